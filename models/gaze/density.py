"""Fixation density: every fixation blurred by a Gaussian. NumPy only."""

from functools import lru_cache

import numpy as np
from PIL import Image

from models.data.images import open_image
from models.errors import UserError
from models.gaze.gaze_set import Viewed

SIGMA = 24.0
"""Pixels: OSIE's own (J. Xu et al. 2014), about one degree of visual angle there."""


def sigma_in_pixels(sigma: float | None, degrees: float | None, pixels_per_degree: float | None) -> float:
    """The blur in pixels of the image, from pixels or from degrees of visual angle. Raises UserError where
    only one of two values is given."""
    if degrees is not None or pixels_per_degree is not None:
        if degrees is None or pixels_per_degree is None or sigma is not None:
            raise UserError(
                "The blur is given either as --sigma in pixels, or as --sigma-degrees together with "
                "--pixels-per-degree."
            )
        sigma = degrees * pixels_per_degree
    sigma = SIGMA if sigma is None else sigma
    if not 0 < sigma < 10_000:
        raise UserError(
            f"A blur of {sigma:g} pixels: it must be above 0; 24 is usual for a screen of 800 × 600."
        )
    return float(sigma)


def density(rows: np.ndarray, cols: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """(h, w) float32 that sums to 1: Gaussians of `sigma` pixels around whole pixels, cut off by the edges;
    zeros without a fixation."""
    return distribution(blurred(rows, cols, size, sigma))


def blurred(rows: np.ndarray, cols: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """(h, w) float32: the sum of Gaussians of height 1. A 2-D Gaussian is the product of one over rows and
    one over columns, so the sum over all fixations is a product of two matrices, exact and without
    truncation."""
    down, across = _gaussians(size[0], sigma), _gaussians(size[1], sigma)
    if len(rows) < size[0]:
        return down[:, rows] @ across[cols]
    counts = np.zeros(size, np.float32)
    np.add.at(counts, (rows, cols), 1)
    return down @ counts @ across


@lru_cache(maxsize=16)
def _gaussians(side: int, sigma: float) -> np.ndarray:
    """(side, side): row i is a Gaussian around i."""
    at = np.arange(side, dtype=np.float32)
    return np.exp(-((at[:, None] - at) ** 2) / np.float32(2 * sigma**2))


def people(viewed: Viewed, sigma: float) -> np.ndarray:
    """(h, w) at the image's own size, summing to 1: its blurred fixations, or the density map of its data
    where there are none."""
    if len(viewed.x) or viewed.map_file is None:
        return density(viewed.rows, viewed.cols, viewed.size, sigma)
    return distribution(
        resized(np.asarray(open_image(viewed.map_file).convert("L"), np.float32), viewed.size)
    )


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) resized bilinearly; unchanged where it has that size."""
    if values.shape == tuple(size):
        return values
    return np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    )


def distribution(values: np.ndarray) -> np.ndarray:
    """A map divided by its sum; negative values count as zero. A map of zeros stays so."""
    positive = np.maximum(values, 0)
    total = positive.sum(dtype=np.float64)
    return (positive / total).astype(np.float32) if total > 0 else positive.astype(np.float32)


def center_gaussian(size: tuple[int, int]) -> np.ndarray:
    """(h, w) that sums to 1: a Gaussian in the middle, a quarter of the height and of the width wide."""
    y, x = ((np.arange(n, dtype=np.float32) - (n - 1) / 2) / (n / 4) for n in size)
    return distribution(np.exp(-0.5 * y[:, None] ** 2) * np.exp(-0.5 * x**2))
