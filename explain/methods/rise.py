"""RISE: the probability of the class under random masks, averaged over the masks. Needs scores alone."""

import torch
from torch import Tensor
from torch.nn import functional as F

from explain.methods.baseline import baseline
from explain.methods.inputs import MethodInputs
from explain.methods.scorer import each
from explain.network.hooks import logits
from explain.network.oom import shrinking
from models.outputs.probabilities import probabilities


def rise(
    inputs: MethodInputs,
    samples: int = 1000,
    cells: int = 7,
    kept: float = 0.5,
    base: str = "mean",
    seed: int = 0,
) -> Tensor:
    """M = 1 / (`samples` · `kept`) Σ_i p_i m_i with the class's probability p_i of the image under mask m_i.

    A mask is a random grid of `cells` × `cells`, of which a fraction `kept` is 1, enlarged (bilinear) and
    shifted at random; where it is 0 the image is the baseline. All images get the same masks.
    """
    grids, shifts = random_grids(samples, cells, kept, seed)

    def one_image(one: MethodInputs) -> Tensor:
        return shrinking(lambda size: _averaged(one, grids, shifts, base, size), one.batch_size) / (
            samples * kept
        )

    return each(inputs, one_image)


def random_grids(samples: int, cells: int, kept: float, seed: int) -> tuple[Tensor, Tensor]:
    """Zeros and ones (samples, 1, cells, cells); shifts (samples, 2) in [0, 1), as fractions of a cell."""
    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(samples, 1, cells, cells, generator=generator) < kept).float()
    return grids, torch.rand(samples, 2, generator=generator)


def enlarged(grids: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (M, 1, h, w): the grid is enlarged to one cell more than the image, and the image's size is cut
    out of it at the shift."""
    cell = [-(-side // grids.shape[2]) for side in size]
    large = [side + step for side, step in zip(size, cell, strict=True)]
    masks = F.interpolate(grids, large, mode="bilinear", align_corners=False)
    starts = [(shifts[:, k] * cell[k]).long().tolist() for k in (0, 1)]
    height, width = size
    return torch.stack([m[:, i : i + height, j : j + width] for m, i, j in zip(masks, *starts, strict=True)])


def _averaged(one: MethodInputs, grids: Tensor, shifts: Tensor, base: str, size: int) -> Tensor:
    """Sum of the masks times the probabilities, (1, h, w)."""
    x, without = one.x, baseline(one.x, base)
    total, height, width = torch.zeros(1, *x.shape[2:], device=x.device), x.shape[2], x.shape[3]
    for start in range(0, len(grids), size):
        some = slice(start, start + size)
        masks = enlarged(grids[some], shifts[some], (height, width)).to(x)
        answers = logits(one.fused, without + (x - without) * masks, one.precision)
        score = one.target.repeated(len(masks)).score(probabilities(one.model, answers))
        total += (score[:, None, None] * masks[:, 0]).sum(0)
        one.on_progress(min(1.0, (start + size) / len(grids)))
    return total
