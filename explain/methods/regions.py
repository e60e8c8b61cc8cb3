"""Captum's methods that remove regions of the image: squares, superpixels, a grid. Maps are as large as
the input (N, H, W)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from explain.methods.baseline import baseline
from explain.methods.inputs import MethodInputs
from explain.methods.scorer import captum, each, pixels, seeded
from explain.methods.segments import segments
from explain.network.oom import shrinking


def occlusion(inputs: MethodInputs, window: float = 0.15, stride: float = 0.5, base: str = "mean") -> Tensor:
    """M = by how much the score falls where a square is covered, averaged over the squares that cover a
    position.

    `window`: side of the square as a fraction of the image's; `stride`: as a fraction of the window.
    """
    from captum.attr import Occlusion

    side = [max(1, round(window * s)) for s in inputs.x.shape[2:]]
    step = [max(1, round(stride * s)) for s in side]
    count = 1.0
    for whole, s, t in zip(inputs.x.shape[2:], side, step, strict=True):
        count *= -(-(whole - s) // t) + 1
    channels = inputs.x.shape[1]
    with captum(inputs, count + 1, forward=True) as (net, more), torch.no_grad():
        return shrinking(
            lambda size: (
                pixels(
                    Occlusion(net).attribute(
                        sliding_window_shapes=(channels, *side),
                        strides=(channels, *step),
                        baselines=baseline(inputs.x, base),
                        perturbations_per_eval=max(1, size // len(inputs.x)),
                        **more,
                    )
                )
                / channels
            ),
            inputs.batch_size,
        )


def feature_ablation(
    inputs: MethodInputs, kind: str = "superpixels", count: int = 60, base: str = "mean"
) -> Tensor:
    """M = by how much the score falls where a region is replaced by the baseline, over the region's size in
    pixels."""
    from captum.attr import FeatureAblation

    def work(one: MethodInputs, mask: Tensor) -> Tensor:
        with captum(one, int(mask.max()) + 2, forward=True) as (net, more), torch.no_grad():
            return shrinking(
                lambda size: FeatureAblation(net).attribute(
                    baselines=baseline(one.x, base), feature_mask=mask, perturbations_per_eval=size, **more
                ),
                one.batch_size,
            )

    return _over_regions(inputs, kind, count, work)


def lime(
    inputs: MethodInputs,
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
        inputs,
        kind,
        count,
        _fitted(partial(Lime, interpretable_model=SkLearnRidge(alpha=1.0)), samples, base, seed),
    )


def kernel_shap(
    inputs: MethodInputs,
    samples: int = 300,
    kind: str = "superpixels",
    count: int = 60,
    base: str = "mean",
    seed: int = 0,
) -> Tensor:
    """Shapley values of regions, estimated by a weighted linear regression; over the region's size."""
    from captum.attr import KernelShap

    return _over_regions(inputs, kind, count, _fitted(KernelShap, samples, base, seed))


def _fitted(
    kind: Callable[[nn.Module], Any], samples: int, base: str, seed: int
) -> Callable[[MethodInputs, Tensor], Tensor]:
    def work(one: MethodInputs, mask: Tensor) -> Tensor:
        def fit(size: int) -> Tensor:
            with seeded(seed):
                attribution: Tensor = kind(net).attribute(
                    baselines=baseline(one.x, base),
                    feature_mask=mask,
                    n_samples=samples,
                    perturbations_per_eval=size,
                    **more,
                )
            return attribution

        with captum(one, samples, forward=True) as (net, more), torch.no_grad():
            return shrinking(fit, one.batch_size)

    return work


def _over_regions(
    inputs: MethodInputs, kind: str, count: int, work: Callable[[MethodInputs, Tensor], Tensor]
) -> Tensor:
    """Region by region, each region's value spread over its pixels, so that regions of unlike size can be
    compared."""

    def one_image(one: MethodInputs) -> Tensor:
        mask = segments(one.x[0], kind, count)
        size = torch.bincount(mask.flatten())[mask]
        return work(one, mask[None, None].expand(1, one.x.shape[1], -1, -1))[:, 0].detach() / size

    return each(inputs, one_image)
