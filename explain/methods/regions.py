"""Captum's methods that take regions of the image away: squares, superpixels, a grid. Maps are as large as
the input (N, H, W)."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from explain.methods.baseline import baseline
from explain.methods.scorer import captum, each, pixels, seeded
from explain.methods.segments import segments
from explain.network.oom import shrinking

if TYPE_CHECKING:
    from explain.methods.compute import Case


def occlusion(case: "Case", window: float = 0.15, stride: float = 0.5, base: str = "mean") -> Tensor:
    """M = by how much the score falls where a square is covered, averaged over the squares that cover a
    place.

    `window`: side of the square as a share of the image's; `stride`: as a share of the window.
    """
    from captum.attr import Occlusion

    side = [max(1, round(window * s)) for s in case.x.shape[2:]]
    step = [max(1, round(stride * s)) for s in side]
    count = 1.0
    for whole, s, t in zip(case.x.shape[2:], side, step, strict=True):
        count *= -(-(whole - s) // t) + 1
    channels = case.x.shape[1]
    with captum(case, count + 1, forward=True) as (net, more), torch.no_grad():
        return shrinking(
            lambda size: (
                pixels(
                    Occlusion(net).attribute(
                        sliding_window_shapes=(channels, *side),
                        strides=(channels, *step),
                        baselines=baseline(case.x, base),
                        perturbations_per_eval=max(1, size // len(case.x)),
                        **more,
                    )
                )
                / channels
            ),
            case.batch,
        )


def feature_ablation(case: "Case", kind: str = "superpixels", count: int = 60, base: str = "mean") -> Tensor:
    """M = by how much the score falls where a region is replaced by the baseline, over the region's size in
    pixels."""
    from captum.attr import FeatureAblation

    def work(one: "Case", mask: Tensor) -> Tensor:
        with captum(one, int(mask.max()) + 2, forward=True) as (net, more), torch.no_grad():
            return shrinking(
                lambda size: FeatureAblation(net).attribute(
                    baselines=baseline(one.x, base), feature_mask=mask, perturbations_per_eval=size, **more
                ),
                one.batch,
            )

    return _over_regions(case, kind, count, work)


def lime(
    case: "Case",
    samples: int = 300,
    kind: str = "superpixels",
    count: int = 60,
    base: str = "mean",
    seed: int = 0,
) -> Tensor:
    """A linear model of the score over regions that are there or not, fitted near the image (ridge
    regression); its weights, over the region's size.

    Ridge as in the authors' code: Captum's own choice, a Lasso of fixed strength, finds nothing where scores
    are small.
    """
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime

    return _over_regions(
        case,
        kind,
        count,
        _fitted(partial(Lime, interpretable_model=SkLearnRidge(alpha=1.0)), samples, base, seed),
    )


def kernel_shap(
    case: "Case",
    samples: int = 300,
    kind: str = "superpixels",
    count: int = 60,
    base: str = "mean",
    seed: int = 0,
) -> Tensor:
    """Shapley values of regions, estimated by a weighted linear regression; over the region's size."""
    from captum.attr import KernelShap

    return _over_regions(case, kind, count, _fitted(KernelShap, samples, base, seed))


def _fitted(
    kind: Callable[[nn.Module], Any], samples: int, base: str, seed: int
) -> Callable[["Case", Tensor], Tensor]:
    def work(one: "Case", mask: Tensor) -> Tensor:
        def fit(size: int) -> Tensor:
            with seeded(seed):
                found: Tensor = kind(net).attribute(
                    baselines=baseline(one.x, base),
                    feature_mask=mask,
                    n_samples=samples,
                    perturbations_per_eval=size,
                    **more,
                )
            return found

        with captum(one, samples, forward=True) as (net, more), torch.no_grad():
            return shrinking(fit, one.batch)

    return work


def _over_regions(case: "Case", kind: str, count: int, work: Callable[["Case", Tensor], Tensor]) -> Tensor:
    """Region by region, each region's value spread over its pixels, so that regions of unlike size can be
    compared."""

    def one_image(one: "Case") -> Tensor:
        mask = segments(one.x[0], kind, count)
        size = torch.bincount(mask.flatten())[mask]
        return work(one, mask[None, None].expand(1, one.x.shape[1], -1, -1))[:, 0].detach() / size

    return each(case, one_image)
