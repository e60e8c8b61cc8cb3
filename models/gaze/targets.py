"""Targets of gaze models: fixations and their blurred density on the grid of the output; and the losses."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.gaze.density import density, distribution, people, resized
from models.gaze.gaze_set import GazeSet, Viewed


def targets(images: Sequence[Viewed], grid: tuple[int, int], sigma: float) -> tuple[Tensor, Tensor]:
    """(fraction of the fixations in each cell, blurred density), each (N, h, w) float32 that sums to 1.
    `sigma`: pixels of the image."""
    pairs = [_of(image, grid, sigma) for image in images]
    return torch.from_numpy(np.stack([p[0] for p in pairs])), torch.from_numpy(
        np.stack([p[1] for p in pairs])
    )


def _of(image: Viewed, grid: tuple[int, int], sigma: float) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = positions(image, grid)
    counts = np.zeros(grid, np.float32)
    np.add.at(counts, (rows, cols), 1)
    if not len(rows):  # the data has a drawn density alone: it stands for both
        counts = distribution(resized(people(image, sigma), grid))
        return counts, counts
    return counts / len(rows), density(
        rows, cols, grid, sigma * (grid[0] * grid[1] / (image.size[0] * image.size[1])) ** 0.5
    )


def positions(image: Viewed, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of its fixations on a grid over the whole image."""
    rows, cols = image.y * (grid[0] / image.size[0]), image.x * (grid[1] / image.size[1])
    return np.minimum(rows.astype(np.int64), grid[0] - 1), np.minimum(cols.astype(np.int64), grid[1] - 1)


def log_prior(data: GazeSet, grid: tuple[int, int], sigma: float) -> Tensor:
    """Log density (h, w) of all fixations: the center bias of the set."""
    total = torch.zeros(grid, dtype=torch.float64)
    for image in data.images:
        total += torch.from_numpy(_of(image, grid, sigma)[1])
    return (total / total.sum()).clamp_min(1e-9).log().float()


def loss_of(name: str, answer: Tensor, counts: Tensor, blurred: Tensor) -> Tensor:
    """Mean over the images of a batch. `answer` (N, h, w), the output: log densities for nll and kl, maps
    otherwise, logits for bce."""
    if name == "nll":
        return -(counts * answer).sum((1, 2)).mean()
    if name == "kl":
        return (torch.xlogy(blurred, blurred) - blurred * answer).sum((1, 2)).mean()
    if name == "nss":
        return -nss_of(answer, counts).mean()
    scaled = blurred / blurred.amax((1, 2), keepdim=True).clamp_min(1e-12)
    return F.mse_loss(answer, scaled) if name == "mse" else F.binary_cross_entropy_with_logits(answer, scaled)


def nss_of(maps: Tensor, counts: Tensor) -> Tensor:
    """Normalized scanpath saliency (N,) on the grid; 0 for a constant map."""
    mean, deviation = maps.mean((1, 2), keepdim=True), maps.std((1, 2), keepdim=True, correction=0)
    return (counts * (maps - mean) / deviation.clamp_min(1e-9)).sum((1, 2))
