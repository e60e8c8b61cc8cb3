"""The equations of `imputation.impute` on the borders of cells: matrices that all images of a size share.

A pixel in the inside of a removed cell touches pixels of its own cell, and of the rows and columns around it.
So its value is a fixed linear function of those, the same for every image (static condensation, a Schur
complement), and what is left as unknown are the last row and the last column of each removed cell.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.nn import functional as F

SIDES = range(4, 25)  # of cells, in pixels; matrices of larger ones take much memory
MOST_CELLS = 400

Size = tuple[int, int]


def starts(pixels: int, cells: int) -> list[int]:
    """The first pixel of each cell, as `cells.as_pixels` has them, and the end of the last."""
    return [-(-k * pixels // cells) for k in range(cells + 1)]


def fits(size: Size, grid: Size) -> bool:
    """Whether this file is made for such cells."""
    sides = {b - a for axis in zip(size, grid, strict=True) for a, b in pairwise(starts(*axis))}
    return min(grid) > 1 and grid[0] * grid[1] <= MOST_CELLS and all(side in SIDES for side in sides)


@dataclass(frozen=True)
class _Side:
    """The rows (or columns) of a cell, `size` of them, and the one before: `first`, there is none; `last`,
    none follows."""

    size: int
    first: bool
    last: bool

    @property
    def matrix(self) -> Tensor:
        """The kernel 1 2 1 on them, float64."""
        k = torch.arange(self.size + (not self.first), dtype=torch.float64)
        return (2 - (k[:, None] - k).abs()).clamp_min_(0)

    @property
    def weight(self) -> Tensor:
        """The sum of the kernel inside of the image, at each of them."""
        sums = torch.full((self.size + (not self.first),), 4.0, dtype=torch.float64)
        sums[0] -= float(self.first)
        sums[-1] -= float(self.last)
        return sums

    @property
    def waves(self) -> Tensor:
        """(n, n) orthonormal float64: amplitudes -> the pixels of an edge, all but the last. It ends at
        corners, where the waves are 0; a first edge begins at the border of the image."""
        k = torch.arange(self.size - 1, dtype=torch.float64)
        if self.first:
            waves = torch.cos(torch.pi * (k + 0.5) * (k[:, None] + 0.5) / (self.size - 0.5))
        else:
            waves = torch.sin(torch.pi * (k + 1) * (k[:, None] + 1) / self.size)
        return (waves / waves.norm(dim=1, keepdim=True)).contiguous()

    @property
    def falls(self) -> Tensor:
        """(2, n): amplitudes of a fall from 1 at the corner at the end of an edge to 0 at its start, and of
        the opposite. A first edge has no other corner: it stays at 1."""
        end = torch.arange(1, self.size, dtype=torch.float64) / self.size
        end = torch.ones_like(end) if self.first else end
        return torch.stack([end, 1 - end]) @ self.waves.T


def _basis(rows: _Side, columns: _Side, n: int, where: Tensor) -> Tensor:
    """(4 n + 1, pixels): the values around the inside of a cell -> pixels `where` of the cell, and of the row
    and column before it."""
    top, left = int(not rows.first), int(not columns.first)
    down, right = where.shape[0] - 1, where.shape[1] - 1
    basis = torch.zeros(4 * n + 1, where.numel(), dtype=torch.float64)
    for start, at in ((0, right), (2 * n, 0))[: 1 + left]:
        basis[start : start + rows.size - 1, where[top:down, at]] = rows.waves
        basis[start + n - 1, where[down, at]] = 1
    for start, at in ((n - 1, down), (3 * n, 0))[: 1 + top]:
        basis[start, where[at, right]] = 1
        basis[start + 1 : start + columns.size, where[at, left:right]] = columns.waves
    if top and left:
        basis[4 * n, where[0, 0]] = 1
    return basis


@lru_cache(maxsize=128)
def _element(rows: _Side, columns: _Side, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of one cell: `fill` (4 n + 1, n n), the values around its inside -> its pixels; `own` (2 n, n n), its
    own values -> theirs; `stiffness` (4 n + 1, 4 n + 1), what is left of the equations."""
    top, left = int(not rows.first), int(not columns.first)
    where = torch.arange((rows.size + top) * (columns.size + left)).view(rows.size + top, -1)
    matrix = torch.diag(torch.outer(rows.weight, columns.weight).flatten())
    matrix -= torch.kron(rows.matrix, columns.matrix)
    basis = _basis(rows, columns, n, where)
    fill, others, inside = basis.clone(), basis.clone(), where[top:-1, left:-1].flatten()
    fill[:, inside] = torch.linalg.solve(matrix[inside][:, inside], -(basis @ matrix)[:, inside].T).T
    others[: 2 * n] = 0  # what two values of other cells have in common belongs to those cells
    stiffness = fill @ matrix @ fill.T - others @ matrix @ others.T
    cells = (v.view(-1, *where.shape)[:, top:, left:] for v in (fill, basis[: 2 * n]))
    pad = (0, n - columns.size, 0, n - rows.size)
    fill, own = (F.pad(cell, pad).flatten(1).float() for cell in cells)
    return fill, own, stiffness.float()


class Grid:
    """Of images of one size, cut into G cells. The values of a cell (2 n, with n the longest side of a cell)
    are those of its last column, corner and row, columns and rows as amplitudes of waves, and an unused one;
    the values around its inside (4 n + 1) are these, then column and corner of the cell on the left, corner
    and row of the one above, and the corner of the one between both.

    `order` (G,): the cells, first all of the first kind. Cells of a kind share matrices, all float32: `fill`
    (K, 4 n + 1, n n); `own` (K, n n, 2 n), pixels -> values; `stiffness`, (K, 4 n + 3, 2 n) for its own
    values and (K, 4 n + 3, 2 n + 1) for the others around it. It also takes the first pixel of the row on the
    upper right and of the column on the lower left, which touch those of its own column and row: `start`
    (K, 2 n, 2), values -> first pixels of row and column. `hats` (K, 3, 2 n): functions of corners that fall
    to 0 towards the next ones: of the own corner, of that of the cell above, and of that of the cell on the
    left."""

    def __init__(self, size: Size, grid: Size, device: torch.device) -> None:
        self.size, self.grid = size, grid
        edges = [starts(pixels, of) for pixels, of in zip(size, grid, strict=True)]
        sides = [[_Side(b - a, a == 0, b == axis[-1]) for a, b in pairwise(axis)] for axis in edges]
        self.n = n = max(side.size for axis in sides for side in axis)
        cells = list(product(sides[0], sides[1]))
        kinds = list(dict.fromkeys(cells))
        made = zip(*(_element(*kind, n) for kind in kinds), strict=True)
        fill, own, stiffness = (torch.stack(each).to(device) for each in made)
        start, self.hats = (functions.to(device) for functions in self._edge_functions(kinds))
        self.fill, self.own, self.start = fill, own.transpose(1, 2), start.flip(1).transpose(1, 2)
        own_part, others = slice(2 * n), slice(2 * n, None)
        diagonal = stiffness.diagonal(dim1=1, dim2=2)[:, None]
        self.diagonal = diagonal[..., own_part], diagonal[..., others]
        self.stiffness = (
            torch.cat([stiffness[..., own_part], -start], 1),
            F.pad(stiffness[..., others], (0, 0, 0, 2)),
        )
        self.kind = torch.tensor([kinds.index(cell) for cell in cells], device=device)
        self.order = self.kind.argsort(stable=True)
        # the pixels of n x n of every cell, in the image, and the pixels of the image among those
        self.taken, self.back = [], []
        for axis in edges:
            inside = [[min(a + k, b - 1) for k in range(n)] for a, b in pairwise(axis)]
            back = [c * n + k for c, (a, b) in enumerate(pairwise(axis)) for k in range(b - a)]
            self.taken.append(torch.tensor(inside, device=device).flatten())
            self.back.append(torch.tensor(back, device=device))

    def _edge_functions(self, kinds: list[tuple[_Side, _Side]]) -> tuple[Tensor, Tensor]:
        """(K, 2, 2 n): amplitudes of the first pixel of the column, and of the row; and `hats`."""
        n = self.n
        start, hats = torch.zeros(len(kinds), 2, 2 * n), torch.zeros(len(kinds), 3, 2 * n)
        for k, (rows, columns) in enumerate(kinds):
            column, row = slice(rows.size - 1), slice(n, n + columns.size - 1)
            start[k, 0, column], start[k, 1, row] = rows.waves[:, 0], columns.waves[:, 0]
            hats[k, 0, n - 1] = 1
            hats[k, 0, column], hats[k, 1, column] = rows.falls
            hats[k, 0, row], hats[k, 2, row] = columns.falls
        return start, hats

    def cells(self, x: Tensor) -> Tensor:
        """Pixels (C, H, W) -> (G, C, n n), in `order`."""
        n, (rows, columns) = self.n, self.grid
        if self.size != (rows * n, columns * n):
            x = x[:, self.taken[0]][:, :, self.taken[1]]
        cells = x.reshape(-1, rows, n, columns, n).permute(1, 3, 0, 2, 4)
        return cells.reshape(rows * columns, -1, n * n).index_select(0, self.order)

    def pixels(self, cells: Tensor) -> Tensor:
        """(B, G, C, n n), in the order of the image -> (B, C, H, W)."""
        n, (rows, columns), (batch, _, channels, _) = self.n, self.grid, cells.shape
        x = cells.view(batch, rows, columns, channels, n, n).permute(0, 3, 1, 4, 2, 5)
        x = x.reshape(batch, channels, rows * n, columns * n)
        return x if x.shape[2:] == self.size else x[:, :, self.back[0]][..., self.back[1]]


@lru_cache(maxsize=4)
def grid_elements(size: Size, grid: Size, device: torch.device) -> Grid:
    """That of images (H, W) and cells (g, h)."""
    return Grid(size, grid, device)
