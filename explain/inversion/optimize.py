"""Inversion without a decoder: a picture with a similar output at a layer, by gradient descent from noise.

A. Mahendran, A. Vedaldi, *Understanding Deep Image Representations by Inverting Them*, 2015
(arXiv:1412.0035): relative squared distance of the outputs, plus a sixth power of the pixels and total
variation as priors. An iterator: every step is a result, and the caller may stop at any time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from explain.formatting import counted
from explain.network.hooks import reach, turns
from explain.network.model_state import as_found
from models.classifier import Classifier
from models.errors import UserError
from models.inversion.decoder import features_of

POWER = 6  # of the pixels' prior, as published


@dataclass(frozen=True)
class Settings:
    """`restarts`: beginnings, all in one batch, of which the nearest is shown; `variation`, `norm`: weights
    of the priors, of pixels in [0, 1]. `rate`: of Adam, in deviations of the network's input,
    for pixels in [0, 1]."""

    layer: str
    steps: int = 200
    restarts: int = 2
    rate: float = 0.05
    variation: float = 30.0
    norm: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 5000 or not 1 <= self.restarts <= 16:
            raise UserError(
                f"{counted(self.steps, 'step')} and {counted(self.restarts, 'restart')}: 1 to 5000 steps and "
                "1 to 16 restarts can be made."
            )
        if min(self.rate, self.variation + 1e-12, self.norm + 1e-12) <= 0:
            raise UserError("The rate must be above 0, and the weights of the priors not below.")


@dataclass(frozen=True, eq=False)
class Step:
    """After `step` of `steps`: the nearest picture (1, C, H, W), normalized; `distance`: ||output - wanted||²
    / ||wanted||² of every beginning."""

    step: int
    steps: int
    picture: Tensor
    distance: tuple[float, ...]


def optimize(classifier: Classifier, x: Tensor, settings: Settings) -> Iterator[Step]:
    """Rebuild `x` (1, C, H, W) from its output at the layer. The network is as it was between any two steps.
    Raises UserError for a layer that cannot be had, or whose output is zero."""
    ascent = _Descent(classifier, x, settings)
    for step in range(1, settings.steps + 1):
        yield ascent.advance(step)


class _Descent:
    def __init__(self, classifier: Classifier, x: Tensor, settings: Settings):
        self.classifier, self.settings = classifier, settings
        with as_found(classifier.model):
            self.turn = turns(classifier.model, x, settings.layer)
            self.wanted = self._output(x).detach()
        self.size = float(self.wanted.square().sum())
        if self.size == 0:
            raise UserError(
                f"Layer {settings.layer} outputs nothing but zeros for this picture: there is nothing to "
                "rebuild."
            )
        noise = torch.randn(
            (settings.restarts, *x.shape[1:]), generator=torch.Generator().manual_seed(settings.seed)
        )
        self.fed = classifier.preprocessing
        self.pictures = self.fed.standardize(0.5 + 0.02 * noise.to(x))  # gray
        self.optimizer = torch.optim.Adam([self.pictures], settings.rate * self.fed.white)
        self.low, self.high = (self.fed.standardize(torch.full_like(x, v)) for v in (0.0, 1.0))

    def advance(self, step: int) -> Step:
        with as_found(self.classifier.model), torch.enable_grad():
            self.pictures.requires_grad_()
            output = self._output(self.pictures, graph=True)
            distance = (output - self.wanted).square().flatten(1).sum(1) / self.size
            pixels = self.fed.restore(self.pictures)  # the priors are of pixels before normalization
            rough, bright = variation(pixels), (pixels - 0.5).mul(2).pow(POWER).mean((1, 2, 3))
            loss = (distance + self.settings.variation * rough + self.settings.norm * bright).sum()
            (self.pictures.grad,) = torch.autograd.grad(loss, self.pictures)
            self.pictures.requires_grad_(False)
        best = int(distance.detach().argmin())
        shown = Step(
            step,
            self.settings.steps,
            self.pictures[best : best + 1].clone(),
            tuple(distance.detach().tolist()),
        )
        self.optimizer.step()
        torch.minimum(torch.maximum(self.pictures, self.low), self.high, out=self.pictures)
        return shown

    def _output(self, x: Tensor, graph: bool = False) -> Tensor:
        c = self.classifier
        output = reach(c.model, x, self.settings.layer, graph, turn=self.turn)
        return features_of(output, c.input_size, getattr(c.model, "num_prefix_tokens", None)).float()


def variation(x: Tensor) -> Tensor:
    """Total variation (N,) with exponent 2: the mean over pixels of the squared differences to the right and
    down."""
    across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
    return across.square().mean((1, 2, 3)) + down.square().mean((1, 2, 3))
