"""The order in which the parts of an image are removed: a map on a grid of cells, the largest value first."""

import torch
from torch import Tensor
from torch.nn import functional as F

Grid = tuple[int, int]


def grid_of(x: Tensor, cells: int) -> Grid:
    """Cells on each side of images (N, C, H, W): `cells`, or the pixels where these are fewer."""
    return min(cells, x.shape[2]), min(cells, x.shape[3])


def on_cells(maps: Tensor, grid: Grid) -> Tensor:
    """Maps (N, h, w) of any resolution -> (N, *grid): enlarged as they are drawn (bilinear), and where they
    are finer than the grid, the mean of each cell."""
    finest = max(maps.shape[1], grid[0]), max(maps.shape[2], grid[1])
    values = maps[:, None].float()
    if finest != tuple(maps.shape[1:]):
        values = F.interpolate(values, finest, mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(values, grid)[:, 0]


def removal_ranks(values: Tensor, seed: int = 0) -> Tensor:
    """Cells (N, g, h) -> (N, g, h) whole numbers, 0 for the largest value. Equal values are in random order,
    the same for every map: half of many maps is exactly zero, and an order by position would be a map of its
    own."""
    n, cells = len(values), values[0].numel()
    shuffle = torch.randperm(cells, generator=torch.Generator().manual_seed(seed)).to(values.device)
    order = shuffle[values.flatten(1)[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(cells, device=values.device).expand(n, cells)
    return torch.empty_like(order).scatter_(1, order, places).view_as(values)


def as_pixels(cells: Tensor, size: Grid) -> Tensor:
    """Values of cells (K, g, h) -> pixels (K, H, W), each of the cell that it lies in."""
    rows, columns = (
        torch.arange(side, device=cells.device) * of // side
        for side, of in zip(size, cells.shape[1:], strict=True)
    )
    return cells[:, rows[:, None], columns]
