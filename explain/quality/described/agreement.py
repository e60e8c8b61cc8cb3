"""Whether methods agree on an image. Where they disagree most, no single map should be believed; that they
agree does not make them right."""

from collections.abc import Sequence

import torch
from torch import Tensor

from explain.quality.grids import resized
from explain.quality.similarity import standardized_ranks


def agreement(maps: Sequence[Tensor], absolute: bool = False) -> Tensor:
    """Spearman's rank correlation between the maps of every two of M methods on the same N images: (N, M, M)
    float64, symmetric with ones on the diagonal.

    `maps`: one tensor (N, h, w) for each method; they are reduced to the coarsest grid among them, by the
    mean over each position's area. `absolute`: of the magnitudes, for methods that do not say for or against.
    NaN where one of the two maps is flat on that grid, or holds NaN or infinite values.
    """
    shape = (min(m.shape[1] for m in maps), min(m.shape[2] for m in maps))
    unit = torch.stack([standardized_ranks(resized(m.abs() if absolute else m, shape)) for m in maps], 1)
    return unit @ unit.transpose(1, 2)


def mean_agreement(correlations: Tensor) -> Tensor:
    """(N, M, M) of `agreement` -> (N,): the mean over pairs of different methods; pairs with NaN are left
    out. NaN where no pair is left."""
    above = torch.ones(correlations.shape[1:], device=correlations.device).triu(1).bool()
    return correlations[:, above].nanmean(1)
