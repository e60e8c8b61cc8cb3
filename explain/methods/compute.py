"""One question and its answer: this network, these images, these layers, these targets -> raw maps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.methods.baseline import baseline
from explain.methods.registry import from_a_pass, get
from explain.methods.spec import Method
from explain.methods.target import Target, as_target
from explain.network.fused import folded
from explain.network.hooks import Capture, capture, logits
from explain.network.oom import shrinking
from models.errors import UserError

FUSIONS = ("mean", "max")


@dataclass(eq=False)
class Case:
    """`model` explains `x` (N, C, H, W) for `target`, through `layers`. `on_progress(fraction)` hears how far
    it is, and may raise `Cancelled`.

    `batch`: how many images the network gets at once where a method asks for many; it shrinks where memory
    ends.
    """

    model: nn.Module
    x: Tensor
    layers: tuple[str, ...]
    target: Target
    precision: str = "fp32"
    batch: int = 32
    on_progress: Callable[[float], None] = field(default=lambda fraction: None)
    _folded: dict[tuple[str, ...], nn.Module] = field(
        default_factory=dict
    )  # shared with every case made from this one

    @cached_property
    def captured(self) -> Capture:
        return capture(self.model, self.x, self.layers, self.precision)

    @property
    def quick(self) -> nn.Module:
        """The network for questions of many passes."""
        if self.layers not in self._folded:
            self._folded[self.layers] = folded(self.model, self.x, self.layers, self.precision)
        return self._folded[self.layers]

    @property
    def layer(self) -> str:
        return self.layers[0]

    def scores(self, images: Tensor, target: Target) -> Tensor:
        """The targets' scores (M,) of images (M, C, H, W), without a graph."""
        return target.score(
            shrinking(
                lambda size: torch.cat(
                    [logits(self.quick, part, self.precision) for part in images.split(size)]
                ),
                self.batch,
            )
        )

    def about(self, target: Target, on_progress: Callable[[float], None] | None = None) -> "Case":
        """Another target of the same images: the captured pass is shared."""
        other = replace(self, target=target, on_progress=on_progress or self.on_progress)
        other.__dict__["captured"] = self.captured
        return other

    def part(self, rows: slice) -> "Case":
        """The same question about some of the images."""
        return replace(self, x=self.x[rows], target=self.target.rows(rows))

    def one(self, row: int) -> "Case":
        return self.part(slice(row, row + 1))


@dataclass(frozen=True, eq=False)
class Explanation:
    """Raw float32 maps (N, h, w) of `method` for `target`: at the layer's own resolution, or at the input's.
    `expected_sum` (N,): what each should sum to, y(x) - y(x0), where the method promises it."""

    maps: Tensor
    method: str
    layer: str
    target: Target
    expected_sum: Tensor | None = None


@dataclass(frozen=True)
class Smoothing:
    """Maps averaged over variations of the image: itself and its mirror image (`flip`), and `samples` copies
    with Gaussian noise of `spread` times the image's range (SmoothGrad, Smilkov et al. 2017,
    arXiv:1706.03825). Every copy has its own pass."""

    flip: bool = False
    samples: int = 0
    spread: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.samples <= 1000 or not 0 < self.spread <= 2:
            raise UserError(
                f"Smoothing with {self.samples} samples of spread {self.spread}: use 0 to 1000 samples and "
                "a spread up to 2."
            )

    def variations(self, x: Tensor) -> Iterable[tuple[Tensor, bool]]:
        """Images, and whether they are mirrored."""
        made = [x]
        if self.samples:
            generator = torch.Generator().manual_seed(self.seed)
            reach = self.spread * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
            made = [x + reach * torch.randn(x.shape, generator=generator).to(x) for _ in range(self.samples)]
        for image in made:
            yield image, False
            if self.flip:
                yield image.flip(3), True


def explain(
    captured: Capture, methods: Iterable[str], target: Target | Tensor, fuse: str = "mean"
) -> dict[str, Explanation]:
    """Maps of several methods for one target each image, all from one captured pass."""
    chosen, target = [from_a_pass(name) for name in methods], as_target(target)
    return {
        m.name: Explanation(maps, m.name, ",".join(captured.layers), target)
        for m, maps in zip(
            chosen, _from_pass(captured, [(m, m.settings()) for m in chosen], target, fuse), strict=True
        )
    }


def answer(
    case: Case,
    name: str,
    given: dict[str, Any] | None = None,
    fuse: str = "mean",
    smoothing: Smoothing | None = None,
) -> Explanation:
    """The maps of any method, with parameters, layers fused and smoothing. The model is left as it was found.

    Raises UserError for what does not fit, and where memory does not suffice for one image.
    """
    return shrinking(lambda _: _answer(case, name, given, fuse, smoothing), 1)


def _answer(
    case: Case, name: str, given: dict[str, Any] | None, fuse: str, smoothing: Smoothing | None
) -> Explanation:
    method = get(name)
    settings = method.settings(given)
    if not smoothing or not (smoothing.flip or smoothing.samples):
        expected_sum = _change(case, settings["base"]) if method.complete else None
        return Explanation(
            _maps(case, method, settings, fuse), name, _layers(case, method), case.target, expected_sum
        )
    total, variations = None, list(smoothing.variations(case.x))
    for k, (x, mirrored) in enumerate(variations):
        on_progress = lambda fraction, k=k: case.on_progress((k + fraction) / len(variations))  # noqa: E731
        maps = _maps(replace(case, x=x, on_progress=on_progress), method, settings, fuse)
        maps = maps.flip(2) if mirrored else maps
        total = maps if total is None else total + maps
        case.on_progress((k + 1) / len(variations))
    assert total is not None
    return Explanation(total / len(variations), name, _layers(case, method), case.target)


def _change(case: Case, base: str) -> Tensor:
    """By how much the score exceeds the baseline's (N,)."""
    answers = logits(case.model, torch.cat([case.x, baseline(case.x, base)]), case.precision)
    return case.target.score(answers[: len(case.x)]) - case.target.score(answers[len(case.x) :])


def _layers(case: Case, method: Method) -> str:
    return ",".join(case.layers) if method.layered else ""


def _maps(case: Case, method: Method, settings: dict[str, Any], fuse: str) -> Tensor:
    if method.needs == "pass":
        return _from_pass(case.captured, [(method, settings)], case.target, fuse)[0]
    if not method.layered or len(case.layers) == 1:
        return method.compute(case, **settings).float()
    return fused(
        [method.compute(replace(case, layers=(layer,)), **settings).float() for layer in case.layers], fuse
    )


def _from_pass(
    captured: Capture, chosen: Sequence[tuple[Method, dict[str, Any]]], target: Target, fuse: str
) -> list[Tensor]:
    gradients = (
        captured.gradients(target) if any(m.class_specific for m, _ in chosen) else captured.activations
    )
    with torch.no_grad():
        return [
            fused(
                [m.compute(a, g, **settings) for a, g in zip(captured.activations, gradients, strict=True)],
                fuse,
            )
            for m, settings in chosen
        ]


def fused(maps: Sequence[Tensor], how: str) -> Tensor:
    """One map (N, h, w) of several layers': each over its own largest magnitude, enlarged to the finest
    (bilinear), then mean or max."""
    if how not in FUSIONS:
        raise UserError(f"No fusion '{how}': choose from {', '.join(FUSIONS)}.")
    if len(maps) == 1:
        return maps[0]
    size = max((m.shape[1:] for m in maps), key=lambda shape: shape[0] * shape[1])
    scaled = [m / m.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(m.dtype).tiny) for m in maps]
    large = torch.stack(
        [F.interpolate(m[:, None], size, mode="bilinear", align_corners=False)[:, 0] for m in scaled]
    )
    return large.mean(0) if how == "mean" else large.amax(0)
