"""Maps that may be better than those of one layer and one pass: candidates of `better_maps.py`.

Each is a function (model, images (N, C, H, W), classes (N,)) -> maps (N, h, w), as `register_method` takes
it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest, Smoothing
from explain.network.stages import stage_layers
from explain.network.target_layers import map_layers
from models.classifier import Classifier
from models.data.source import ImageSource

Candidate = Callable[[nn.Module, Tensor, Tensor], Tensor]
Layers = Callable[[nn.Module, Tensor], tuple[str, ...]]

FLOOR = 1e-8  # of pytorch-grad-cam's RefineCAM


def block_ends(model: nn.Module, x: Tensor) -> tuple[str, ...]:
    """In the place of stages: of the layers before, the outermost that ends last at each resolution, which is
    the output of a block, also where no activation follows."""
    found, chosen = map_layers(model, x), stage_layers(model, x)
    sizes = {layer.name: layer.shape[1:] for layer in found}
    ends = []
    for stage in chosen[:-1]:
        same = [name for name, size in sizes.items() if size == sizes[stage]]
        ends.append(min(reversed(same), key=lambda name: name.count(".")))
    return (*ends, chosen[-1])


def over_depth(method: str, how: str, most: int = 0, layers: Layers = stage_layers) -> Candidate:
    """Maps of `method` at the last `most` stages (0: all), put together by 'mean', 'max', or 'product' of
    their positive parts, each divided by its largest value: with Grad-CAM++ that is RefineCAM (L. Domeniconi
    et al. 2026, arXiv:2605.14641)."""

    def maps(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        chosen, classes = layers(model, x[:1])[-most:], tuple(target.tolist())
        if how != "product":
            return compute_maps(model, x, MapRequest(method, ",".join(chosen), classes, fuse=how)).maps
        each = [compute_maps(model, x, MapRequest(method, one, classes)).maps for one in chosen]
        size = max((m.shape[1:] for m in each), key=lambda shape: shape[0] * shape[1])
        large = [F.interpolate(m.clamp_min(0)[:, None], size, mode="bilinear")[:, 0] for m in each]
        scaled = [m / (m.amax((1, 2), keepdim=True) + FLOOR) for m in large]
        return torch.stack(scaled).prod(0)

    return maps


def smoothed(method: str, samples: int = 8) -> Candidate:
    """The mean of `method` over noisy copies and their mirror images (SmoothGrad, arXiv:1706.03825)."""

    def maps(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        smoothing = Smoothing(flip=True, samples=samples)
        return compute_maps(
            model, x, MapRequest(method, "", tuple(target.tolist()), smoothing=smoothing)
        ).maps

    return maps


def expected_gradients(images: Tensor, samples: int = 32, magnitudes: bool = False) -> Candidate:
    """G. Erion et al. 2021, arXiv:1906.10670: the mean over baselines, which are other images of the data
    (M, C, H, W), of gradient times difference to the baseline, at a random point between both."""

    def maps(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        generator, total = torch.Generator().manual_seed(0), torch.zeros_like(x)
        for _ in range(samples):
            base = images[torch.randint(len(images), (len(x),), generator=generator)]
            at = torch.rand(len(x), 1, 1, 1, generator=generator)
            point = (base + at * (x - base)).requires_grad_()
            score = model(point).gather(1, target[:, None]).sum()
            total += (x - base) * torch.autograd.grad(score, point)[0]
        return (total.abs() if magnitudes else total).sum(1)

    return maps


def images_for_baselines(classifier: Classifier, source: ImageSource, most: int = 64) -> Tensor:
    """Images of the data (M, C, H, W), evenly spread."""
    places = torch.linspace(0, len(source) - 1, min(most, len(source))).long().tolist()
    return classifier.batch([source.load(k) for k in places])


def random_masks(samples: int) -> Candidate:
    """RISE with `samples` masks."""

    def maps(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        request = MapRequest("rise", "", tuple(target.tolist()), parameters=(("samples", samples),))
        return compute_maps(model, x, request).maps

    return maps


def candidates(pool: Tensor) -> dict[str, Candidate]:
    """Name -> function; `pool`: images for the baselines of expected gradients."""
    fused = {
        f"{m}_depth_{how}": over_depth(m, how)
        for m in ("layer_cam", "hires_cam", "grad_cam_pp")
        for how in ("mean", "max", "product")
    }
    fused["layer_cam_blocks_mean"] = over_depth("layer_cam", "mean", layers=block_ends)
    fused["layer_cam_last_three_mean"] = over_depth("layer_cam", "mean", 3)
    late = {f"{m}_last_two_mean": over_depth(m, "mean", 2) for m in ("layer_cam", "hires_cam")}
    smooth = {f"{m}_smoothed": smoothed(m) for m in ("grad_cam", "layer_cam", "hires_cam")}
    gradients = {
        "expected_gradients": expected_gradients(pool),
        "expected_gradients_magnitudes": expected_gradients(pool, magnitudes=True),
    }
    return fused | late | smooth | gradients | {"rise_300": random_masks(300)}
