"""Training for numbers: regression of any named ones, and of valence and arousal."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoints import head_key
from models.data.source import ImageSource
from models.data.tensors import readable, truth
from models.errors import UserError
from models.measures.affect import AXES, affect_measures
from models.measures.numbers import number_measures
from models.outputs.task_names import AFFECT, REGRESSION
from models.training.recipe import Recipe
from models.training.task import Task

LOSSES = {
    "mse": "squared error",
    "huber": "Huber loss",
    "ccc": "1 - concordance correlation",
}


class Numbers(Task):
    """Numbers of any scale: the network learns them less `mean` (R,), over `std` (R,), those of the training
    images; its checkpoint answers in units of the data. The loss is the mean over images and outputs of the
    squared error or of the Huber loss (P. J. Huber 1964, linear from one `std` on), or 1 - CCC of each output
    in the batch (L. I. Lin 1989), in these units. The best epoch has the highest mean CCC."""

    name, monitor = REGRESSION, "ccc"

    def __init__(
        self,
        outputs: tuple[str, ...],
        kind: str = "mse",
        mean: Tensor | None = None,
        std: Tensor | None = None,
    ):
        self.outputs, self.kind = outputs, kind
        self.mean = torch.zeros(len(outputs)) if mean is None else mean
        self.std = torch.ones(len(outputs)) if std is None else std

    @classmethod
    def begun(cls, recipe: Recipe, source: ImageSource) -> "Numbers":
        """Raises UserError for an output that is the same for all images, and for balanced classes."""
        _require_unbalanced(recipe, source.name)
        values = truth(source, source.classes).double()
        mean, std = values.mean(0), values.std(0, unbiased=False)
        for name, spread, center in zip(source.classes, std, mean, strict=True):
            if not float(spread) > 1e-9 * max(1e-30, abs(float(center))):
                raise UserError(
                    f"{name} is the same for all images of {source.name}: there is nothing to learn."
                )
        task = cls(source.classes, recipe.loss_name, mean.float(), std.float())
        task.notes = (f"{LOSSES[task.kind]} of {', '.join(source.classes[:6])}, each in standard deviations",)
        return task

    def loss(self, answer: Tensor, truth: Tensor) -> Tensor:
        known = readable(truth)
        if not bool(known.any()):
            return answer.sum() * 0
        answer, aim = answer[known], self._scaled(truth[known]).to(answer)
        if self.kind == "huber":
            return F.huber_loss(answer, aim)
        return F.mse_loss(answer, aim) if self.kind == "mse" else (1 - _concordance(answer, aim)).mean()

    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        predicted = answer.double() * self.std + self.mean
        each = number_measures(predicted.numpy(), truth.double().numpy())
        squared = float(F.mse_loss(answer.double(), self._scaled(truth).double()))
        return {"loss": squared, "ccc": float(np.mean(each["ccc"]))}

    def _scaled(self, truth: Tensor) -> Tensor:
        return (truth - self.mean.to(truth)) / self.std.to(truth)

    def require_network(self, model: nn.Module, example: Tensor) -> None:
        was = [(module, module.training) for module in model.modules()]
        try:
            with torch.no_grad():
                plain = model.eval()(example)
                with self.as_saved(model):
                    scaled = model(example)
        finally:
            for module, training in was:
                module.training = training
        expected = plain * self.std.to(plain) + self.mean.to(plain)
        tolerance = 1e-3 * float(self.std.max())
        if not torch.allclose(scaled, expected, rtol=1e-3, atol=tolerance):
            raise UserError(
                f"The outputs of {type(model).__name__} are not those of its last linear layer: a regression "
                "needs a network that ends in it."
            )

    @contextmanager
    def as_saved(self, model: nn.Module) -> Iterator[None]:
        """The last linear layer answers in units of the data."""
        layer = model.get_submodule(head_key(model).removesuffix(".weight"))
        if not isinstance(layer, nn.Linear) or layer.bias is None:
            raise UserError(
                f"{type(model).__name__} does not end in a linear layer with a bias: a regression needs one."
            )
        weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        scale, shift = self.std.to(weight), self.mean.to(weight)
        try:
            with torch.no_grad():
                layer.weight.mul_(scale[:, None])
                layer.bias.mul_(scale).add_(shift)
            yield
        finally:
            with torch.no_grad():
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)


class Affect(Numbers):
    """Valence and arousal in [-1, 1] (Hewitt & Gunes 2018), as they are."""

    name = AFFECT

    @classmethod
    def begun(cls, recipe: Recipe, source: ImageSource) -> "Affect":
        _require_unbalanced(recipe, "valence and arousal")
        return cls(AXES, recipe.loss_name)

    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        each = affect_measures(answer.double().numpy(), truth.double().numpy())
        return {
            "loss": float(F.mse_loss(answer, truth)),
            "ccc": float(np.mean(each["ccc"])),
            "rmse": float(np.mean(each["rmse"])),
        }


def _concordance(answer: Tensor, truth: Tensor) -> Tensor:
    """Lin's concordance correlation (R,) over the images of a batch (N, R)."""
    a, t = answer - answer.mean(0), truth - truth.mean(0)
    spread = (a**2).mean(0) + (t**2).mean(0) + (answer.mean(0) - truth.mean(0)) ** 2
    return 2 * (a * t).mean(0) / (spread + 1e-8)


def _require_unbalanced(recipe: Recipe, name: str) -> None:
    if recipe.balance != "none":
        raise UserError(f"--balance is for classes, and {name} has none: leave it out.")
