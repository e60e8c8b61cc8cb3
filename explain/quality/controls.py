"""Controls: maps that know nothing of what they are compared with. A method says something only where its
maps are better than these. Those of `IMAGE_CONTROLS` see the image at most; the others are maps of the method
itself, of another image or of a network with random weights (J. Adebayo et al., *Sanity checks for saliency
maps*, NeurIPS 2018, arXiv:1810.03292)."""

import zlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from explain.quality.cells import Grid
from explain.quality.settings import OTHER_IMAGE as OTHER_IMAGE
from explain.quality.settings import RANDOM_NETWORK as RANDOM_NETWORK

COARSE = 7  # positions on a side of the smooth noise: those of a layer at 1/32 of 224 pixels

ImageControl = Callable[[Tensor, Grid, int], Tensor]
"""(image (C, H, W), grid, seed) -> values of the cells."""


def center(x: Tensor, grid: Grid, seed: int) -> Tensor:
    """A Gaussian in the middle of the image, its standard deviation a quarter of the side."""
    rows, columns = (torch.linspace(-1, 1, 2 * side + 1)[1::2] for side in grid)
    return torch.exp(-2 * (rows[:, None] ** 2 + columns[None] ** 2))


def smooth_noise(x: Tensor, grid: Grid, seed: int) -> Tensor:
    """Random values on a coarse grid, enlarged: as smooth as a map of a deep layer."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, *(min(COARSE, side) for side in grid), generator=generator)
    return F.interpolate(coarse, grid, mode="bilinear", align_corners=False)[0, 0]


def edges(x: Tensor, grid: Grid, seed: int) -> Tensor:
    """Mean magnitude of the gradient of the gray image (I. Sobel's filters) in each cell."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gray = F.pad(x.float().cpu().mean(0)[None, None], (1, 1, 1, 1), mode="replicate")
    across, down = (F.conv2d(gray, kernel[None, None]) for kernel in (sobel, sobel.T))
    return F.adaptive_avg_pool2d((across**2 + down**2).sqrt(), grid)[0, 0]


IMAGE_CONTROLS: dict[str, ImageControl] = {"center": center, "noise": smooth_noise, "edges": edges}

TITLES = {
    "center": "the center of the image",
    "noise": "smooth noise",
    "edges": "edges",
    OTHER_IMAGE: "the map of another image",
    RANDOM_NETWORK: "the map of a network with random weights",
}


def image_controls(x: Tensor, name: str, grid: Grid) -> Tensor:
    """The maps of `IMAGE_CONTROLS` (3, g, h), in their order, of an image `x` (C, H, W). `name` of the image:
    its noise is the same whenever it is drawn."""
    seed = zlib.crc32(name.encode())
    return torch.stack([make(x, grid, seed) for make in IMAGE_CONTROLS.values()])


def with_values(control: Tensor, like: Tensor) -> Tensor:
    """`control` with the values of `like` in its own order: both have the same distribution, and differ only
    in where the values lie. Figures that depend on the order alone, as those of `curves`, are the same
    without."""
    order = control.flatten().argsort(stable=True)
    values = torch.empty_like(like.flatten())
    values[order] = like.flatten().sort().values
    return values.view_as(like)


def partners(classes: Sequence[int]) -> list[int]:
    """For each image the number of another one, whose map stands as its control: the next one of the same
    class in a circle, or where the class has no other image, the next one of all."""
    of_class = dict[int, list[int]]()
    for k, c in enumerate(classes):
        of_class.setdefault(c, []).append(k)
    found = [(k + 1) % len(classes) for k in range(len(classes))]
    for same in of_class.values():
        if len(same) > 1:
            for k, after in zip(same, [*same[1:], same[0]], strict=True):
                found[k] = after
    return found
