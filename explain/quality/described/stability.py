"""How much a map changes under noise that is too small to see: max-sensitivity (Yeh et al. 2019,
arXiv:1901.09392).

A map that ignores the image is perfectly stable: this describes a map, and is no measure of its quality.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Maps = Callable[[Tensor, Tensor], Tensor]
"""(images (M, C, H, W), classes (M,)) -> maps (M, h, w)."""


def max_sensitivity(
    maps: Maps, x: Tensor, classes: Tensor, *, radius: float = 0.02, samples: int = 10, seed: int = 0
) -> Tensor:
    """max over noise of ‖map(x + noise) - map(x)‖ / ‖map(x)‖ (Euclidean norms) for images `x` (N, C, H, W)
    and `classes` (N,): (N,) float64; 0 is a map that does not change.

    Noise is uniform in ± `radius`, in the units of `x` as the network gets it: normalized. `samples` draws,
    the same for every image; an image and its noisy copies are one call of `maps`. NaN where the image's map
    is zero everywhere, and where a map is not finite.
    """
    noise = perturbations(x, radius, samples, seed)
    found = []
    for image, label in zip(x, classes, strict=True):
        images = torch.cat([image[None], image + noise])
        made = maps(images, label.expand(len(images))).double().flatten(1)
        change = (made[1:] - made[0]).norm(dim=1).amax()
        found.append(change / made[0].norm())
    return torch.stack(found) if found else torch.zeros(0, dtype=torch.float64)


def perturbations(x: Tensor, radius: float, samples: int, seed: int) -> Tensor:
    """(samples, C, H, W) uniform in ± `radius`."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(samples, *x.shape[1:], generator=generator)
    return (radius * (2 * draws - 1)).to(x)
