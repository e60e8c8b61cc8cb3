"""Captum's gradient methods: maps as large as the input (N, H, W)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.methods.baseline import baseline
from explain.methods.inputs import MethodInputs
from explain.methods.scorer import WHOLE, captum, each, pixels, seeded
from explain.methods.stand_ins import Elementwise, MaxPool
from explain.network.hooks import replaced
from explain.network.oom import shrinking
from models.errors import UserError


def input_gradient(inputs: MethodInputs, channels: str = "largest") -> Tensor:
    """M = max over channels of |∂y / ∂x|."""
    from captum.attr import Saliency

    with captum(inputs, 1) as (net, more):
        return pixels(Saliency(net).attribute(abs=False, **more), channels)


def input_x_gradient(inputs: MethodInputs) -> Tensor:
    """M = Σ_c x ∂y / ∂x."""
    from captum.attr import InputXGradient

    with captum(inputs, 1) as (net, more):
        return pixels(InputXGradient(net).attribute(**more))


def integrated_gradients(inputs: MethodInputs, steps: int = 50, base: str = "mean") -> Tensor:
    """M = Σ_c (x - x0) ∫ ∂y / ∂x along the straight line from the baseline x0 to x; sums to y(x) - y(x0)."""
    from captum.attr import IntegratedGradients

    with captum(inputs, steps) as (net, more):
        return shrinking(
            lambda size: pixels(
                IntegratedGradients(net).attribute(
                    baselines=baseline(inputs.x, base),
                    n_steps=steps,
                    internal_batch_size=max(size, len(inputs.x)),
                    **more,
                )
            ),
            inputs.batch_size,
        )


def smooth_grad(
    inputs: MethodInputs, samples: int = 25, spread: float = 0.15, channels: str = "largest", seed: int = 0
) -> Tensor:
    """The mean input gradient of noisy copies of the image; the noise has `spread` times the image's
    range."""
    from captum.attr import NoiseTunnel, Saliency

    def work(one: MethodInputs) -> Tensor:
        reach = spread * float(one.x.max() - one.x.min())

        def noisy(size: int) -> Tensor:
            with seeded(seed):
                attribution: Tensor = NoiseTunnel(Saliency(net)).attribute(
                    nt_type="smoothgrad",
                    nt_samples=samples,
                    stdevs=reach,
                    abs=False,
                    nt_samples_batch_size=min(size, samples),
                    **more,
                )
            return attribution

        with captum(one, samples) as (net, more):
            return pixels(shrinking(noisy, one.batch_size), channels)

    return each(inputs, work)


def deep_lift(inputs: MethodInputs, base: str = "mean") -> Tensor:
    """M = Σ_c (x - x0) times the multipliers of the rescale rule; sums to y(x) - y(x0).

    The rescale rule holds for every elementwise function, so for every activation. There is no rule for
    products of features, as in gates, attention and layer norm: with these the sum differs from y(x) - y(x0).
    """
    from captum.attr import DeepLift
    from captum.attr._core import deep_lift as rules

    rules.SUPPORTED_NON_LINEAR.update({Elementwise: rules.nonlinear, MaxPool: _max_pool_rule})

    def work(some: MethodInputs) -> Tensor:
        with captum(some, 2, "exact") as (net, more):
            return pixels(DeepLift(net).attribute(baselines=baseline(some.x, base), **more))

    return each(inputs, work, WHOLE)


def _max_pool_rule(
    module: nn.Module, inputs: Tensor, outputs: Tensor, grad_input: Tensor, grad_output: Tensor, eps: float
) -> Tensor:
    """DeepLift's multipliers of max pooling; in every tensor the images come first and the baselines second.

    Captum's own rule, with one correction: where windows overlap, a position that is the maximum of two
    windows gets the contributions of both. What exceeds the baseline's maximum goes to the image's maximum,
    and the reverse.
    """
    assert isinstance(module, MaxPool)
    (x, x0), (y, y0) = inputs.chunk(2), outputs.chunk(2)
    high = torch.maximum(y, y0)
    with torch.enable_grad():
        pooled = inputs.detach().requires_grad_()
        gains = grad_output * torch.cat([high - y0, y - high])
        to_maximum, to_baseline = torch.autograd.grad(module.function(pooled), pooled, gains)[0].chunk(2)
    delta, contributions = torch.cat(2 * [x - x0]), torch.cat(2 * [to_maximum + to_baseline])
    return torch.where(delta.abs() < eps, grad_input, contributions / delta)


def gradient_shap(inputs: MethodInputs, samples: int = 20, spread: float = 0.09, seed: int = 0) -> Tensor:
    """The mean of gradients at random points between baselines (mean color, blurred image) and noisy copies,
    times the difference."""
    from captum.attr import GradientShap

    def work(one: MethodInputs) -> Tensor:
        bases = torch.cat([baseline(one.x, name) for name in ("mean", "blur")])
        reach = spread * float(one.x.max() - one.x.min())

        def parts(size: int) -> Tensor:
            total = torch.zeros_like(one.x)
            with seeded(seed):
                for part in torch.arange(samples).split(min(size, samples)):
                    total += len(part) * GradientShap(net).attribute(
                        baselines=bases, n_samples=len(part), stdevs=reach, **more
                    )
            return total / samples

        with captum(one, samples) as (net, more):
            return pixels(shrinking(parts, one.batch_size))

    return each(inputs, work)


def guided_backprop(inputs: MethodInputs, channels: str = "sum") -> Tensor:
    """The input gradient where every ReLU lets pass only what is positive, of its input and of the
    gradient."""
    from captum.attr import GuidedBackprop

    return pixels(_through_relus(inputs, GuidedBackprop), channels)


def deconvolution(inputs: MethodInputs, channels: str = "sum") -> Tensor:
    """The input gradient where every ReLU lets pass only the positive gradient, whatever its input was."""
    from captum.attr import Deconvolution

    return pixels(_through_relus(inputs, Deconvolution), channels)


def guided_grad_cam(inputs: MethodInputs) -> Tensor:
    """M = Σ_c guided backpropagation times the positive part of Grad-CAM, enlarged (bilinear)."""
    from captum.attr import GuidedBackprop

    from explain.methods.cam import grad_cam

    coarse = grad_cam(inputs.captured.activation, inputs.captured.gradient(inputs.target)).relu()
    large = F.interpolate(coarse[:, None], inputs.x.shape[2:], mode="bilinear", align_corners=False)
    return pixels(_through_relus(inputs, GuidedBackprop) * large)


def _through_relus(inputs: MethodInputs, kind: Callable[[nn.Module], Any]) -> Tensor:
    with captum(inputs, 1, "guided") as (net, more):
        if not len(net.relus or []):
            raise UserError(
                "This network has no ReLU, whose gradient this method changes: use the input gradient or "
                "SmoothGrad."
            )
        attribution: Tensor = kind(net).attribute(**more)
    return attribution


def layer_grad_cam(inputs: MethodInputs) -> Tensor:
    """Captum's own Grad-CAM of the layer: the same as ours, from a whole backward pass."""
    from captum.attr import LayerGradCam

    captured = inputs.captured
    captured.gradient(inputs.target)  # raises UserError where no gradient reaches the layer
    # Captum gets (N, C, h, w) whatever the layout, at the one run that counts
    maps = nn.Identity()
    with (
        captum(inputs, 1) as (net, more),
        replaced(inputs.model, inputs.layer, inputs.x, maps, captured.turns[0]),
    ):
        attribution: Tensor = LayerGradCam(net, maps).attribute(**more)
    return attribution[:, 0].detach()
