"""Whether a map lies in a region that is known to matter: the pointing game (Zhang et al. 2018,
arXiv:1608.00507) and the energy in the region (Wang et al. 2020, arXiv:1910.01279).

Regions are those of the network's input, after resizing and cropping: masks (N, H, W), bool or the fraction
of each pixel, or what `box_regions` makes of boxes. A mask of another resolution counts by its area in each
position of the map. A region that a network must look at is known for drawn data; for photos, a box of the
object is only where a person would look.
"""

from typing import NamedTuple

from torch import Tensor

from explain.quality.grids import covered, resized


class Energy(NamedTuple):
    """`inside` (N,): the fraction of a map's positive values that lies in the region; `area` (N,): the
    fraction of the image that the region covers, which a constant map has, too. float64."""

    inside: Tensor
    area: Tensor


def pointing_game(maps: Tensor, regions: Tensor) -> Tensor:
    """Whether the largest value of maps (N, h, w) lies in the region: (N,) float64, 1 or 0.

    Of several largest values the fraction in the region counts, and of a position on its border the fraction
    of its area: what a point drawn from the largest positions would hit on average, so a constant map scores
    the region's area. NaN for empty regions and for maps with NaN or infinite values.
    """
    fraction = resized(regions, maps.shape[1:]).flatten(1)
    values = maps.flatten(1)
    largest = (values == values.amax(1, keepdim=True)).double()
    hit = (largest * fraction).sum(1) / largest.sum(1)
    return hit.masked_fill(_undefined(maps, fraction), float("nan"))


def energy(maps: Tensor, regions: Tensor) -> Energy:
    """Σ max(M, 0) in the region / Σ max(M, 0), beside the region's area, for maps (N, h, w). NaN for empty
    regions, for maps without a positive value and for those with NaN or infinite values."""
    fraction = resized(regions, maps.shape[1:]).flatten(1)
    positive = maps.double().clamp_min(0).flatten(1)
    inside = (positive * fraction).sum(1) / positive.sum(1)
    return Energy(inside.masked_fill(_undefined(maps, fraction), float("nan")), fraction.mean(1))


def box_regions(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes (N, 4): left, top, right, bottom as fractions of the image's sides -> the fraction of each
    position of a map of `shape` (h, w) that lies in the box, (N, h, w) float64."""
    left, top, right, bottom = boxes.unbind(-1)
    return covered(shape[0], top, bottom)[..., :, None] * covered(shape[1], left, right)[..., None, :]


def _undefined(maps: Tensor, fraction: Tensor) -> Tensor:
    return (fraction.sum(1) == 0) | ~maps.isfinite().flatten(1).all(1)
