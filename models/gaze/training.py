"""Train a gaze model: SalNet on pixels, or a readout on precomputed features of a frozen backbone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from models import checkpoints
from models.architectures.gaze_readout import Backbone, GazeReadout, Readout
from models.architectures.gaze_small import GazeSmall
from models.errors import UserError
from models.gaze.examples import Mirrored, features, looked_at, standardize, taught
from models.gaze.gaze_set import GazeSet
from models.gaze.model import SYMMETRIC, GazeModel, as_maps, load_gaze, salnet
from models.gaze.recipe import GazeRecipe
from models.gaze.targets import log_prior, loss_of, nss_of
from models.layers.extractor import feature_extractor
from models.preprocessing import Preprocessing
from models.registry import load, spec
from models.training.balance import Shuffled
from models.training.keep import KeepBest
from models.training.loop import ResumeFile, attempt, finish, run_epochs
from models.training.progress import Progress


class GazeTraining:
    """One training, from its plan to the checkpoint `out` of the best epoch on validation, with its curves
    beside it. `weights`: a file for the backbone; `which`: the parameters to read of one with several sets;
    `say`: takes what is found out about them. `teacher`: a trained model whose predictions are the targets
    instead of fixations, also on `photos` without fixations."""

    def __init__(
        self,
        data: GazeSet,
        out: Path,
        recipe: GazeRecipe,
        sigma: float,
        weights: str | None = None,
        command: str = "",
        teacher: GazeModel | None = None,
        photos: Sequence[Path] = (),
        which: str = "",
        say: Callable[[str], None] = lambda text: None,
    ):
        self.data, self.out, self.recipe, self.sigma, self.weights = data, out, recipe, sigma, weights
        self.teacher, self.photos, self.which, self.say = teacher, list(photos), which, say
        if teacher and recipe.model == "gaze_readout":
            raise UserError("A readout learns from fixations: --teacher is for gaze_small and SalNet.")
        if which and recipe.model != "gaze_readout":
            raise UserError(f"--which {which} is for the backbone of gaze_readout: leave --which out.")
        if photos and not teacher:
            raise UserError("--photos need a --teacher: they have no fixations.")
        self.fitted, self.judged = data.part("train"), data.part("validation")
        plan = {"model": recipe.model, "recipe": recipe.as_dict(), "data": data.fingerprint(), "sigma": sigma}
        plan |= {"weights": weights, "which": which}
        asked = {"teacher": teacher.name, "photos": len(self.photos)} if teacher else {}
        self.progress = Progress(plan | asked, command)

    def fit(self, again: bool = False) -> bool:
        """Train; True when finished, False when stopped. Raises UserError."""
        steps = self._readout if self.recipe.model == "gaze_readout" else self._from_pixels
        ended = attempt(self.out, self.progress, self._differences, again, self.recipe.seed, steps)
        if ended:
            finish(self.out, self.progress)
        return ended

    def _differences(self, plan: dict[str, Any]) -> list[str]:
        mine = self.progress.plan
        changed = [
            f"{k} {plan.get(k)} (now {mine.get(k)})"
            for k in ("model", "sigma", "teacher", "photos")
            if plan.get(k) != mine.get(k)
        ]
        changed += [  # which plans of earlier versions lack: taken for the same
            f"{k} {plan[k]} (now {mine[k]})" for k in ("weights", "which") if plan.get(k, mine[k]) != mine[k]
        ]
        return (
            changed
            + ([] if plan.get("data") == mine["data"] else ["other images or fixations"])
            + self.recipe.differences(plan.get("recipe", {}))
        )

    def _from_pixels(self, resume: Path | None) -> bool:
        recipe = self.recipe
        small = recipe.model == "gaze_small"
        model = GazeSmall(log_prior(self.fitted, recipe.grid, self.sigma)) if small else salnet(recipe.model)
        model = model.to(memory_format=torch.channels_last)
        preprocessing = replace(SYMMETRIC, size=recipe.size)
        if self.teacher:
            fitted = taught(
                [*(image.path for image in self.fitted.images), *self.photos],
                self.teacher,
                recipe,
                preprocessing,
                self.out.parent,
            )
        else:
            fitted = looked_at(self.fitted.images, recipe, preprocessing, self.sigma, self.out.parent)
        validation = looked_at(self.judged.images, recipe, preprocessing, self.sigma, self.out.parent)
        about = self._description(preprocessing) | (
            {"teacher": self.teacher.name, "photos": len(self.photos)} if self.teacher else {}
        )
        sides: list[Dataset[Any]] = [fitted, Mirrored(fitted)] if recipe.flips else [fitted]
        return self._run(
            LitGazeModel(model, recipe, preprocessing), model, about, ConcatDataset(sides), validation, resume
        )

    def _readout(self, resume: Path | None) -> bool:
        recipe = self.recipe
        classifier = load(recipe.backbone, self.weights, which=self.which)
        for note in classifier.notes:
            self.say(f"network    {note}")
        fed = classifier.preprocessing
        preprocessing = Preprocessing(recipe.size, None, fed.mean, fed.std, scale=fed.scale, order=fed.order)
        network = feature_extractor(classifier.model, recipe.layers).to(memory_format=torch.channels_last)
        sides = (False, True) if recipe.flips else (False,)
        fitted = [
            features(network, self.fitted.images, recipe, preprocessing, self.sigma, self.out.parent, flip)
            for flip in sides
        ]
        judged = features(network, self.judged.images, recipe, preprocessing, self.sigma, self.out.parent)
        widths = [x.shape[1] for x in judged.tensors[:-2]]
        backbone = Backbone(network, recipe.layers, widths)
        standardize(backbone, fitted)
        readout = Readout(widths, log_prior(self.fitted, recipe.grid, self.sigma), recipe.dropout)
        whole = GazeReadout(backbone, readout)
        architecture = classifier.metadata.get("architecture") or spec(recipe.backbone).name
        base = {
            "name": architecture,
            "weights": classifier.weights_hash,
            "layers": list(recipe.layers),
            "widths": widths,
        }
        about = self._description(preprocessing) | {"backbone": base}
        trainee = LitGazeModel(Standardized(backbone, readout), recipe, None)
        return self._run(trainee, whole, about, ConcatDataset(fitted), judged, resume)

    def _run(
        self,
        trainee: "LitGazeModel",
        model: nn.Module,
        about: dict[str, Any],
        fitted: Dataset[Any],
        judged: Dataset[Any],
        resume: Path | None,
    ) -> bool:
        recipe = self.recipe
        keeper = KeepBest(self.out, model, about, "nss", self.progress)
        keeper.begin("gaze", recipe.epochs)
        order = Shuffled(len(fitted), recipe.seed)  # type: ignore[arg-type]
        learned = DataLoader(
            fitted,
            recipe.batch_size,
            sampler=order,
            drop_last=len(order) > recipe.batch_size,
            generator=torch.Generator(),
        )
        checked = DataLoader(judged, recipe.batch_size, generator=torch.Generator())
        return run_epochs(
            trainee,
            learned,
            checked,
            recipe.epochs,
            [keeper, TQDMProgressBar(refresh_rate=5), ResumeFile(self.out)],
            resume,
        )

    def _description(self, preprocessing: Preprocessing) -> dict[str, Any]:
        return {
            "architecture": self.recipe.model,
            "task": "gaze",
            "output": self.recipe.output,
            "preprocessing": preprocessing.as_dict(),
            "training": self.recipe.as_dict(),
            "sigma": self.sigma,
            "command": self.progress.command,
            "data": {
                "name": self.data.name,
                "images": len(self.fitted.images),
                "fingerprint": self.data.fingerprint(),
                "fixations": self.fitted.fixations,
            },
        }


class Standardized(nn.Module):
    """A readout on features that are not standardized yet."""

    def __init__(self, backbone: Backbone, readout: Readout):
        super().__init__()
        self.mean, self.std, self.readout = backbone.mean, backbone.std, readout

    def forward(self, *features: Tensor) -> Tensor:
        return self.readout(
            [
                (x.float() - mean[:, None, None]) / std[:, None, None]
                for x, mean, std in zip(features, self.mean, self.std, strict=True)
            ]
        )


class LitGazeModel(L.LightningModule):
    """Batches are (input ..., counts, blurred). `preprocessing`: of pixels; None where the input is
    features."""

    def __init__(self, model: nn.Module, recipe: GazeRecipe, preprocessing: Preprocessing | None):
        super().__init__()
        self.model, self.recipe, self.preprocessing = model, recipe, preprocessing

    def answer(self, batch: list[Tensor]) -> Tensor:
        inputs = batch[:-2]
        answered: Tensor = self.model(
            self.preprocessing.normalize(inputs[0], self.device) if self.preprocessing else inputs[0],
            *inputs[1:],
        )
        return answered.float()

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        # a step draws the same whether the training came here in one go or was resumed
        torch.manual_seed((self.recipe.seed * 100_003 + self.current_epoch) * 1_000_003 + number)
        loss = loss_of(self.recipe.loss, self.answer(batch), *batch[-2:])
        self.log("loss", loss.detach(), prog_bar=True, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        answer, (counts, blurred) = self.answer(batch), batch[-2:]
        self.log(
            "val_loss",
            loss_of(self.recipe.loss, answer, counts, blurred),
            prog_bar=True,
            batch_size=len(batch[0]),
        )
        self.log(
            "val_nss",
            nss_of(as_maps(answer, self.recipe.output), counts).mean(),
            prog_bar=True,
            batch_size=len(batch[0]),
        )

    def configure_optimizers(self) -> Any:
        recipe, learning = self.recipe, [p for p in self.model.parameters() if p.requires_grad]
        if recipe.optimizer == "sgd":
            optimizer: Any = torch.optim.SGD(
                learning, recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(
                learning, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
            )
        if recipe.schedule == "steps":
            return {
                "optimizer": optimizer,
                "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1),
            }
        steps = max(
            5, int(self.trainer.estimated_stepping_batches)
        )  # OneCycleLR divides by its first part less one
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.25
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def save_metrics(path: Path, measured: dict[str, Any]) -> None:
    """Write measures of a checkpoint into its metadata."""
    found = load_gaze(path)
    checkpoints.save(
        path, found.model, found.about | {"metrics": found.about.get("metrics", {}) | measured}, half=True
    )
