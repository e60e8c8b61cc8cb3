"""Train a network by a recipe: bf16 autocast and channels_last, best epoch on validation, resumable."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from models import checkpoints
from models.data.parts import Parts
from models.data.remote.location import stamp_of
from models.data.source import ImageSource
from models.data.tensors import pixels, readable, truth, workers
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.layers.heads import freeze
from models.outputs.task_names import MULTI
from models.training.balance import Shuffled, groups_of, sampler
from models.training.features import features
from models.training.keep import KeepBest
from models.training.lit_classifier import LitClassifier
from models.training.loop import ResumeFile, attempt, finish, run_epochs
from models.training.network import Network, build
from models.training.progress import Progress
from models.training.recipe import Recipe
from models.training.tasks import TASKS


class Training:
    """One training of one network, from its plan to its best checkpoint `out` (safetensors), with its curves
    beside it. `which`: the parameters to read of `weights` with several sets; `say`: takes what is found out
    about them."""

    def __init__(
        self,
        name: str,
        weights: str | None,
        parts: Parts,
        out: Path,
        recipe: Recipe,
        command: str = "",
        options: PreprocessingOptions | None = None,
        which: str = "",
        say: Callable[[str], None] = lambda text: None,
    ):
        self.parts, self.out, self.recipe = parts, out, recipe.of_data(parts.training)
        self.options = (options or PreprocessingOptions()).resolved()
        self.classes, recipe = parts.training.classes, self.recipe
        self.task = TASKS[recipe.task].begun(recipe, parts.training)
        self.task.require_measurable(parts.validation)
        self.groups = groups_of(parts.training, recipe.balance_by)
        plan = {
            "model": name,
            "weights": weights,
            "which": which,
            "recipe": recipe.as_dict(),
            "data": parts.training.fingerprint(),
            "judged": [part.fingerprint() for part in (parts.validation, parts.test) if part],
            "files": [part.contents() for part in (parts.training, parts.validation, parts.test) if part],
            "weights_file": stamp_of(Path(weights)) if weights else "",
            "options": _given(self.options),
        }
        self.progress = Progress(plan, command)
        self.name, self.weights, self.which, self.say = name, weights, which, say

    def finished(self) -> dict[str, Any] | None:
        """The measures of this training where it is finished, otherwise None."""
        before = Progress.read(self.out)
        if (
            before is None
            or before.state != "finished"
            or self._differences(before.plan)
            or not self.out.exists()
        ):
            return None
        return dict(checkpoints.describe(self.out)["metrics"])

    def _differences(self, plan: dict[str, Any]) -> list[str]:
        mine = self.progress.plan
        plan = {"which": ""} | plan  # plans of earlier versions lack it
        told = ("model", "weights", "which")
        plain = [f"{k} {plan.get(k)} (now {mine[k]})" for k in told if plan.get(k) != mine[k]]
        same = (
            plan.get("data") == mine["data"] and plan.get("judged", mine["judged"]) == mine["judged"]
        )  # older plans lack the second
        data = [] if same else ["other images or labels"]
        # entries that plans of earlier versions lack count as equal
        if "options" in plan:
            plan = plan | {"options": {k: v for k, v in plan["options"].items() if v is not None}}
        data += [
            what
            for key, what in (
                ("files", "image files that have changed since"),
                ("weights_file", "a weights file that has changed since"),
                ("options", "another preprocessing"),
            )
            if plan.get(key, mine[key]) != mine[key]
        ]
        # a kept plan went through JSON, where tuples are lists and numbers stay numbers
        return plain + data + self.recipe.differences(plan.get("recipe", {}))

    def fit(self, again: bool = False) -> bool:
        """Train; True when finished, False when stopped. After every epoch the best checkpoint so far is on
        disk. Raises UserError."""

        def steps(resume: Path | None) -> bool:
            network = build(
                self.name, self.weights, len(self.task.outputs), self.recipe, self.options, self.which
            )
            for note in network.notes:
                self.say(f"network    {note}")
            for note in self.task.notes:
                self.say(f"loss       {note}")
            fed = network.preprocessing
            self.task.require_network(network.model, torch.zeros(1, fed.channels, *fed.size))
            return self._steps(
                replace(network, preprocessing=replace(fed, bits=fed.bits or self.parts.training.bits)),
                resume,
            )

        return attempt(self.out, self.progress, self._differences, again, self.recipe.seed, steps)

    def finish(self, message: str) -> None:
        finish(self.out, self.progress, message)

    def _steps(self, network: Network, resume: Path | None) -> bool:
        keeper = self.keeper = KeepBest(
            self.out, network.model, self._description(network), self.task.monitor, self.progress, self.task
        )
        recipe = self.recipe
        if network.head is None:
            return self._whole("scratch", network, recipe.rate, [], resume)
        ended = True
        still, names = freeze(
            network.model, network.head, recipe.unfreeze if recipe.recipe == "finetune" else 0
        )
        keeper.description["steps"] = [
            {"step": "head", "learning_rate": recipe.rate, "trained": [network.head]}
        ]
        if not (resume and recipe.recipe == "finetune"):
            ended = self._head(network)
        if not ended or recipe.recipe == "features":
            return ended
        rate = recipe.rate * recipe.fine_rate
        keeper.description["steps"].append(
            {
                "step": "fine-tune",
                "learning_rate": rate,
                "trained": [*names, network.head],
                "batch_norm": "frozen",
            }
        )
        return self._whole("fine-tune", network, rate, still, resume)

    def _head(self, network: Network) -> bool:
        """Train the new head on features of the frozen base; it keeps the weights of its best epoch."""
        assert network.head is not None
        head = network.model.get_submodule(network.head)
        data = [
            TensorDataset(
                *features(
                    network.model,
                    network.head,
                    network.preprocessing,
                    part,
                    self.classes,
                    fitted=part is self.parts.training,
                )
            )
            for part in (self.parts.training, self.parts.validation)
        ]
        self.keeper.begin("head", self.recipe.head_epochs)
        best = BestState()
        trainee = LitClassifier(head, None, self.recipe, self.task, self.recipe.rate)
        ended = self._run(trainee, data, self.recipe.head_epochs, [best], None)
        if best.state:
            head.load_state_dict(best.state)
        return ended

    def _whole(
        self, step: str, network: Network, rate: float, still: list[nn.Module], resume: Path | None
    ) -> bool:
        data = [
            pixels(part, network.preprocessing, self.classes, fitted=part is self.parts.training)
            for part in (self.parts.training, self.parts.validation)
        ]
        self.keeper.begin(step, self.recipe.epochs)
        trainee = LitClassifier(network.model, network.preprocessing, self.recipe, self.task, rate, still)
        return self._run(trainee, data, self.recipe.epochs, [ResumeFile(self.out)], resume)

    def _run(
        self,
        trainee: LitClassifier,
        data: Sequence[Dataset[Any]],
        epochs: int,
        more: list[L.Callback],
        resume: Path | None,
    ) -> bool:
        recipe = self.recipe
        callbacks = [
            self.keeper,
            EarlyStopping(self.keeper.monitor, mode="max", patience=recipe.patience),
            TQDMProgressBar(refresh_rate=5),
            *more,
        ]
        fitted, judged = (
            self._loader(data[0], self.parts.training, True),
            self._loader(data[1], self.parts.validation, False),
        )
        return run_epochs(trainee, fitted, judged, epochs, callbacks, resume, recipe.clip)

    def _loader(self, data: Dataset[Any], source: ImageSource, fitting: bool) -> DataLoader[Any]:
        size: int = len(data)  # type: ignore[arg-type]
        if isinstance(data, TensorDataset):
            good = int(readable(data.tensors[1]).sum())
            if good < (2 if fitting else 1):
                raise UserError(
                    f"{source.name} has {good} readable images: training needs at least two, validation one."
                )
        order = self._order() if fitting else None
        processes = 0 if isinstance(data, TensorDataset) else workers(size, self.recipe.batch_size)
        return DataLoader(
            data,
            self.recipe.batch_size,
            sampler=order,
            drop_last=fitting and size > self.recipe.batch_size,
            num_workers=processes,
            persistent_workers=processes > 0,
            generator=torch.Generator(),
        )

    def _order(self) -> Shuffled:
        truths = truth(self.parts.training, self.classes)
        return sampler(truths, self.recipe.balance, len(self.classes), self.recipe.seed, self.groups)

    def _description(self, network: Network) -> dict[str, Any]:
        training = self.parts.training
        return {
            "architecture": network.architecture,
            "task": self.task.name,
            "classes": list(self.task.outputs),
            **({"outputs": "logits"} if self.task.name == MULTI else {}),
            "preprocessing": network.preprocessing.as_dict(),
            "domain": self.recipe.domain or network.domain,
            "training": self.recipe.as_dict(),
            "command": self.progress.command,
            "head": self.recipe.head if network.head else None,
            "base": network.base,
            "transform_input": getattr(network.model, "transform_input", None),
            "data": {
                "name": training.name,
                "images": len(training),
                "fingerprint": training.fingerprint(),
                "parts": self.parts.note,
                "counts": self.task.counts(training),
            },
        }


def _given(options: PreprocessingOptions) -> dict[str, Any]:
    """Those that are given: plans of earlier versions lack the names of later ones."""
    return {name: value for name, value in asdict(options).items() if value is not None}


class BestState(L.Callback):
    """The weights of the epoch that was best on validation, in memory: for heads, which are small."""

    def __init__(self) -> None:
        self.best, self.state = float("-inf"), {}  # type: ignore[var-annotated]

    def on_validation_end(self, trainer: L.Trainer, module: LitClassifier) -> None:  # type: ignore[override]
        value = float(trainer.callback_metrics[f"val_{module.task.monitor}"])
        if value > self.best:
            self.best = value
            self.state = {k: v.detach().clone() for k, v in module.model.state_dict().items()}
