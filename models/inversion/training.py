"""Train a decoder for one layer of a frozen network: it learns to reconstruct every batch from the layer's
output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from models.architectures.upconv import UpConv
from models.classifier import Classifier
from models.data.parts import Parts
from models.data.tensors import pixels, readable
from models.errors import UserError
from models.inversion.decoder import features_of
from models.inversion.recipe import InversionRecipe
from models.layers.extractor import Untraceable, feature_extractor
from models.preprocessing import Preprocessing
from models.training.balance import Shuffled
from models.training.keep import KeepBest
from models.training.loop import ResumeFile, attempt, finish, run_epochs
from models.training.progress import Progress

SAMPLE = 512  # images that the layer's mean and deviation are measured on


class Inversion:
    """One training: `classifier` and the name of its `layer`, images in `parts`, the file `out` (safetensors)
    of the best epoch on validation. `sets`: the result of `read_parts`, which several layers share. `read`:
    the layer's output for images, for networks that torch.fx cannot trace; without it those are refused."""

    def __init__(
        self,
        classifier: Classifier,
        layer: str,
        parts: Parts,
        out: Path,
        recipe: InversionRecipe,
        command: str = "",
        sets: "list[Dataset[Any]] | None" = None,
        read: Callable[[Tensor], Tensor] | None = None,
    ):
        self.read = read
        self.classifier, self.layer, self.parts, self.out, self.recipe, self.sets = (
            classifier,
            layer,
            parts,
            out,
            recipe,
            sets,
        )
        plan = {
            "model": classifier.name,
            "weights": classifier.weights_hash,
            "layer": layer,
            "recipe": recipe.as_dict(),
            "data": parts.training.fingerprint(),
            "files": parts.training.contents(),
            "preprocessing": classifier.preprocessing.plain(),
        }
        self.progress = Progress(plan, command)

    def fit(self, again: bool = False) -> bool:
        """Train; True when finished, False when stopped. The network's modes and `requires_grad` are
        restored. Raises UserError."""
        modes = [(module, module.training) for module in self.classifier.model.modules()]
        wanted = [(parameter, parameter.requires_grad) for parameter in self.classifier.model.parameters()]
        try:
            ended = attempt(self.out, self.progress, self._differences, again, self.recipe.seed, self._run)
        finally:
            for module, mode in modes:
                module.training = mode
            for parameter, learns in wanted:
                parameter.requires_grad_(learns)
        if ended:
            finish(self.out, self.progress)
        return ended

    def _differences(self, plan: dict[str, Any]) -> list[str]:
        mine = self.progress.plan
        if fed := plan.get("preprocessing"):
            plan = plan | {"preprocessing": Preprocessing.from_dict(fed).plain()}
        changed = [
            f"{k} {plan.get(k)} (now {mine[k]})"
            for k in ("model", "weights", "layer")
            if plan.get(k) != mine[k]
        ]
        # what the plans of earlier versions do not tell is taken for the same
        changed += [
            what
            for key, what in (
                ("files", "image files that have changed since"),
                ("preprocessing", "another preprocessing"),
            )
            if plan.get(key, mine[key]) != mine[key]
        ]
        return (
            changed
            + ([] if plan.get("data") == mine["data"] else ["other images"])
            + self.recipe.differences(plan.get("recipe", {}))
        )

    def _run(self, resume: Path | None) -> bool:
        c, recipe = self.classifier, self.recipe
        network = Features(c, self.layer, self.read)
        sets = self.sets or read_parts(c, self.parts)
        shape, mean, std = network.measured(_sample(sets[0]))
        decoder = UpConv(shape, c.input_size, c.channels, recipe.width, recipe.depth, recipe.ups).to(
            memory_format=torch.channels_last
        )
        decoder.mean.copy_(mean)
        decoder.std.copy_(std)
        about = self._description(
            shape, mean_distance(c.preprocessing.normalize(_sample(sets[1])), recipe.seed)
        )
        keeper = KeepBest(self.out, decoder, about, "psnr", self.progress)
        keeper.begin(self.layer, recipe.epochs)
        order = Shuffled(len(sets[0]), recipe.seed)  # type: ignore[arg-type]
        fitted = DataLoader(
            sets[0],
            recipe.batch_size,
            sampler=order,
            drop_last=len(order) > recipe.batch_size,
            generator=torch.Generator(),
        )
        judged = DataLoader(sets[1], recipe.batch_size, generator=torch.Generator())
        return run_epochs(
            Inverter(network, decoder, c.preprocessing, recipe),
            fitted,
            judged,
            recipe.epochs,
            [keeper, TQDMProgressBar(refresh_rate=5), ResumeFile(self.out)],
            resume,
        )

    def _description(self, shape: tuple[int, ...], scale: float) -> dict[str, Any]:
        c, training = self.classifier, self.parts.training
        data = {"name": training.name, "images": len(training), "fingerprint": training.fingerprint()}
        return {
            "architecture": "upconv",
            "task": "inversion",
            "network": {"name": c.name, "weights": c.weights_hash},
            "layer": self.layer,
            "depth": list(dict(c.model.named_modules())).index(self.layer),
            "shape": list(shape),
            "size": list(c.input_size),
            "channels": c.channels,
            "preprocessing": c.preprocessing.as_dict(),
            "scale": scale,
            "training": self.recipe.as_dict(),
            "command": self.progress.command,
            "data": data,
        }


def read_parts(classifier: Classifier, parts: Parts) -> list[Dataset[Any]]:
    """Pixels of training and validation, in memory where they fit."""
    return [
        pixels(part, classifier.preprocessing, part.classes) for part in (parts.training, parts.validation)
    ]


class Features(nn.Module):
    """The output of a layer of a frozen network, as maps or vectors."""

    def __init__(self, classifier: Classifier, layer: str, read: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        self.layer, self.size, self.preprocessing = layer, classifier.input_size, classifier.preprocessing
        self.tokens = getattr(classifier.model, "num_prefix_tokens", None)
        self.read: Callable[[Tensor], Tensor] | None = None
        try:
            network = feature_extractor(classifier.model, [layer])
        except Untraceable:
            if read is None:
                raise
            network, self.read = classifier.model, read
        self.network = network.requires_grad_(False)

    def train(self, mode: bool = True) -> "Features":
        """Always in eval mode: batch norms keep their statistics, and there is no dropout."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            if self.read:
                return self.read(
                    x
                ).clone()  # no longer a tensor of inference mode, which a decoder could not learn from
            return features_of(self.network(x)[self.layer], self.size, self.tokens)

    def measured(self, sample: Tensor) -> tuple[tuple[int, ...], Tensor, Tensor]:
        """(shape of one image's output, mean and standard deviation of every channel) over a sample of
        pixels. Raises UserError for a layer with a constant output."""
        found = torch.cat([self(self.preprocessing.normalize(part)).float() for part in sample.split(32)])
        over = (0, 2, 3) if found.ndim == 4 else (0,)
        if float(found.std(0).max()) <= 1e-7 * max(1.0, float(found.abs().max())):
            raise UserError(
                f"Layer {self.layer} has the same output for every image: nothing can be reconstructed from "
                "it; choose another layer."
            )
        deviation = found.std(over)
        return (
            tuple(found.shape[1:]),
            found.mean(over),
            torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)),
        )


class Inverter(L.LightningModule):
    """Squared error of the normalized image, and PSNR of its pixels in [0, 1]."""

    def __init__(
        self, network: Features, decoder: UpConv, preprocessing: Preprocessing, recipe: InversionRecipe
    ):
        super().__init__()
        self.network, self.decoder, self.preprocessing, self.recipe = network, decoder, preprocessing, recipe

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The decoder's only: the network is frozen."""
        return self.decoder.state_dict(*args, **kwargs)

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        return self.decoder.load_state_dict(state, strict, assign)

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        torch.manual_seed((self.recipe.seed * 100_003 + self.current_epoch) * 1_000_003 + number)
        x = self.preprocessing.normalize(batch[0][readable(batch[1])], self.device)
        if self.recipe.flips and bool(torch.rand(()) < 0.5):
            x = x.flip(3)
        loss = F.mse_loss(self.decoder(self.network(x)).float(), x)
        self.log("loss", loss.detach(), prog_bar=True, on_step=False, on_epoch=True, batch_size=len(x))
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        x = self.preprocessing.normalize(batch[0][readable(batch[1])], self.device)
        found = self.decoder(self.network(x)).float()
        self.log("val_loss", F.mse_loss(found, x), prog_bar=True, batch_size=len(x))
        wrong = self.preprocessing.restore(found) - self.preprocessing.restore(x)
        errors = wrong.square().mean((1, 2, 3))
        self.log("val_psnr", (-10 * errors.clamp_min(1e-10).log10()).mean(), prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        optimizer = torch.optim.Adam(
            self.decoder.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, recipe.step, 0.1),
        }


def mean_distance(x: Tensor, seed: int = 0) -> float:
    """Mean Euclidean distance between two images of (N, C, H, W): each image and a random other one. Errors
    are given as fractions of it (Dosovitskiy & Brox). Raises UserError for fewer than two."""
    if len(x) < 2:
        raise UserError("1 test image: the mean distance between images needs at least two.")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return float((x[order] - x[order.roll(1)]).flatten(1).norm(dim=1).mean())


def _sample(data: Dataset[Any]) -> Tensor:
    """uint8 (n, C, h, w): of readable images, evenly spread."""
    size: int = len(data)  # type: ignore[arg-type]
    picked = [data[i] for i in range(0, size, max(1, size // SAMPLE))]
    good = [x for x, y in picked if bool(readable(y[None])[0])]
    if not good:
        raise UserError("No image of this split can be read: check the files.")
    return torch.stack(good)
