"""Imputation of whole cells for ROAD: the equations of `imputation.impute`, many masks of one image together.

Unknown are the borders of removed cells alone (`cell_elements`), 31 of 256 pixels. Conjugate gradients solve
their equations, preconditioned as in J. H. Bramble, J. E. Pasciak, A. H. Schatz, "The construction of
preconditioners for elliptic problems by substructuring I", Math. Comp. 47, 1986: the amplitudes of waves on
rows and columns, which hardly influence each other, by their diagonal, and the corners between four removed
cells by equations of their own. Each step halves the error, unless almost everything is removed.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from explain.quality.road.cell_elements import Grid, Size, grid_elements

STEPS, MAX_STEPS = 6, 60  # at least; 7 or 8 are usual
TOLERANCE = 5e-3  # of the error (root mean square), in standard deviations of the image
TOGETHER = 32  # images that are filled together on a CPU
CORNER_STEPS = 8
LOWEST = 0.03  # eigenvalue of the equations of corners, as a fraction of the highest
TINY = 1e-30  # instead of a division by zero


class CellImputer:
    """Fills removed cells of one image `x` (1, C, H, W) float32; cells (g, h) that `cell_elements.fits`.
    `noise` (1, C, H, W) is added to what is filled. Without it, the root mean square of the difference to the
    exact solution is below 1e-2 standard deviations of the image, usually 1e-3 to 4e-3. Kept pixels are
    returned bit by bit."""

    @torch.no_grad()
    def __init__(self, x: Tensor, grid: Size, noise: Tensor) -> None:
        self.grid = g = grid_elements((x.shape[2], x.shape[3]), grid, x.device)
        self.x, self.noise = g.cells(x[0]), g.cells(noise[0])
        self.deviation = x.std()
        self.canvas = torch.empty_like(self.x)
        self.canvas[g.order] = self.x
        whole = _every_cell(g)
        self.around = whole.around(whole.times(self.x, g.own))
        right = whole.times(g.cells(-_left_side(x[0])), g.fill.transpose(1, 2))[:-1]
        self.right = right[..., : 2 * g.n].contiguous(), right[..., 2 * g.n :].contiguous()

    @torch.no_grad()
    def __call__(self, removed: Tensor) -> Tensor:
        """Removed cells (B, g, h) bool, not all of an image -> images (B, C, H, W)."""
        size = TOGETHER if removed.device.type == "cpu" else len(removed)
        parts = [self._filled(some) for some in removed.split(size)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _filled(self, removed: Tensor) -> Tensor:
        g, cells = self.grid, _Removed(self.grid, removed)
        own, others = (_with_zero(right.index_select(0, cells.place)) for right in self.right)
        found = cells.solve(cells.collect(own, others), self.deviation)
        around = cells.around(found).add_(self.around.index_select(0, cells.place))
        filled = self.noise.index_select(0, cells.place)
        cells.times(around, g.fill, add_to=filled)
        canvas = self.canvas.expand(len(removed), -1, -1, -1).contiguous()
        canvas.flatten(0, 1).index_copy_(0, cells.image * len(g.order) + cells.cell, filled)
        return g.pixels(canvas)


class _Removed:
    """The N removed cells of a batch of masks (B, g, h), kind after kind, and their equations. Values are
    (N + 1, C, 2 n), of which the last are 0: those of what is kept, or outside."""

    def __init__(self, g: Grid, removed: Tensor) -> None:
        self.grid, self.batch, (rows, columns) = g, len(removed), g.grid
        self.place, self.image = removed.flatten(1)[:, g.order].T.nonzero(as_tuple=True)
        self.cell, self.count = g.order[self.place], len(self.place)
        self.kind = g.kind[self.cell]
        self.counts = self.kind.bincount(minlength=len(g.fill)).tolist()
        number = torch.full((self.batch, rows + 2, columns + 2), self.count, device=removed.device)
        inner, (y, x) = number[:, 1:-1, 1:-1], (self.cell // columns, self.cell % columns)
        inner[self.image, y, x] = torch.arange(self.count, device=removed.device)
        near = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        self.at = {(i, j): number[self.image, y + 1 + i, x + 1 + j] for i, j in near}

    def times(self, values: Tensor, matrices: Tensor, add_to: Tensor | None = None) -> Tensor:
        """(N or N + 1, C, a) times the matrices (K, a, b) of their kinds -> (N + 1, C, b), or `add_to`."""
        beta, out = 1, add_to
        if out is None:
            beta, out = 0, values.new_empty(self.count + 1, values.shape[1], matrices.shape[2])
            out[-1] = 0
        values, places = values[: self.count].split(self.counts), out[: self.count].split(self.counts)
        for some, matrix, place in zip(values, matrices, places, strict=True):
            place.view(-1, matrix.shape[1]).addmm_(some.flatten(0, 1), matrix, beta=beta)
        return out

    def around(self, values: Tensor, *more: Tensor) -> Tensor:
        """(N, C, 4 n + 1): the values around the inside of each cell; and `more` behind them."""
        n = self.grid.n
        left, above, between = (values.index_select(0, self.at[at]) for at in ((0, -1), (-1, 0), (-1, -1)))
        parts = values[:-1], left[..., :n], above[..., n - 1 : 2 * n - 1], between[..., n - 1 : n]
        return torch.cat([*parts, *more], -1)

    def collect(self, own: Tensor, others: Tensor) -> Tensor:
        """The opposite: parts of a cell's own values (N + 1, C, 2 n) and of the others around it (N + 1,
        C, 2 n + 1), the last 0 -> sums, in `own`."""
        n, at = self.grid.n, self.at
        own[:-1, :, :n] += others.index_select(0, at[0, 1])[..., :n]
        own[:-1, :, n - 1 : 2 * n - 1] += others.index_select(0, at[1, 0])[..., n : 2 * n]
        own[:-1, :, n - 1 : n] += others.index_select(0, at[1, 1])[..., 2 * n :]
        return own

    def left_side(self, values: Tensor) -> Tensor:
        """The left sides of the equations."""
        first = self.times(values, self.grid.start)
        row, column = (first.index_select(0, self.at[at]) for at in ((-1, 1), (1, -1)))
        around = self.around(values, row[..., :1], column[..., 1:])
        return self.collect(*(self.times(around, matrices) for matrices in self.grid.stiffness))

    def solve(self, right: Tensor, deviation: Tensor) -> Tensor:
        """Conjugate gradients, for each image by itself, until it is off by less than the tolerance."""
        precondition = _Preconditioner(self, right.shape[1])
        residual, found, step = right, torch.zeros_like(right), torch.zeros_like(right)
        going = torch.ones(self.batch, device=right.device)
        before = change = torch.full_like(going, torch.inf)
        values = self.image.bincount(minlength=self.batch).clamp_min(1) * right[0].numel()
        for done in range(1, MAX_STEPS + 1):
            better = precondition(residual)
            now = self.dot(residual, better)
            step = better.addcmul_(step, self.of_image(now / before))
            image, before = self.left_side(step), now
            length = going * now / self.dot(step, image)
            found.addcmul_(step, self.of_image(length))
            if done >= STEPS - 1:
                last, change = change, length * (self.dot(step, step) / values).sqrt()
            if done >= STEPS:
                going *= _rest(change, last) > TOLERANCE * deviation
                if not going.any():
                    break
            residual = residual.addcmul_(image, self.of_image(length), value=-1)
        return found

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """(B,): of the values of each image."""
        of_cells = (a[:-1] * b[:-1]).flatten(1).sum(1)
        return of_cells.new_zeros(self.batch).index_add_(0, self.image, of_cells).clamp_min_(TINY)

    def of_image(self, factors: Tensor) -> Tensor:
        """(N + 1, 1, 1): for each cell, that of its image."""
        return F.pad(factors[self.image], (0, 1))[:, None, None]


def _rest(change: Tensor, last: Tensor) -> Tensor:
    """What the steps after this one would still change if they went on as a geometric series."""
    return change * (change / (last - change).clamp_min(TINY)).clamp(max=100)


class _Preconditioner:
    """An approximate inverse of the equations of removed cells."""

    def __init__(self, cells: _Removed, channels: int) -> None:
        self.cells, g, last = cells, cells.grid, cells.count
        diagonal = cells.collect(*(_with_zero(part[cells.kind]) for part in g.diagonal))
        self.inverse = torch.where(diagonal > 0, 1 / diagonal, 0).expand(-1, channels, -1).contiguous()
        right, below, across = (cells.at[at] < last for at in ((0, 1), (1, 0), (1, 1)))
        bottom, edge = (cells.cell // g.grid[1] == g.grid[0] - 1), cells.cell % g.grid[1] == g.grid[1] - 1
        between = (right | edge) & (below | bottom) & (across | bottom | edge)
        self.corner = cells.image * len(g.order) + cells.place
        self.matrix, self.highest = _corner_equations(g)
        known = self.matrix.new_zeros(cells.batch * len(g.order))
        known[self.corner] = between.to(known)
        scale = known.view(cells.batch, 1, -1) / self.matrix.diagonal()
        self.scale = scale.expand(-1, channels, -1).flatten(0, 1)

    def __call__(self, residual: Tensor) -> Tensor:
        cells, hats = self.cells, self.cells.grid.hats
        own, below, right = cells.times(residual, hats.transpose(1, 2)).unbind(2)
        sums = own[:-1] + below.index_select(0, cells.at[1, 0]) + right.index_select(0, cells.at[0, 1])
        shape = cells.batch, len(self.matrix), sums.shape[1]
        corners = sums.new_zeros(shape).flatten(0, 1).index_copy_(0, self.corner, sums).view(shape)
        corners = self._solve(corners.transpose(1, 2).flatten(0, 1)).view(*shape[::2], -1).transpose(1, 2)
        own = F.pad(corners.flatten(0, 1).index_select(0, self.corner), (0, 0, 0, 1))
        above, left = (own.index_select(0, cells.at[at]) for at in ((-1, 0), (0, -1)))
        out = cells.times(torch.stack([own[:-1], above, left], 2), hats)
        return out.addcmul_(residual, self.inverse)

    def _solve(self, right: Tensor) -> Tensor:
        """Of the equations of the corners, (B C, G): a few steps of Chebyshev's iteration."""
        middle, half = self.highest * (1 + LOWEST) / 2, self.highest * (1 - LOWEST) / 2
        ratio = half / middle
        step = right * self.scale / middle
        found = step.clone()
        for _ in range(CORNER_STEPS - 1):
            after = 1 / (2 * middle / half - ratio)
            rest = torch.addmm(right, found, self.matrix, alpha=-1)
            found += step.mul_(after * ratio).addcmul_(rest, self.scale, value=2 * after / half)
            ratio = after
        return found


def _with_zero(values: Tensor) -> Tensor:
    """(N, C, m) -> (N + 1, C, m), the last 0."""
    return F.pad(values, (0, 0, 0, 0, 0, 1))


@lru_cache(maxsize=4)
def _every_cell(g: Grid) -> _Removed:
    return _Removed(g, torch.ones(1, *g.grid, dtype=torch.bool, device=g.order.device))


@lru_cache(maxsize=4)
def _corner_equations(g: Grid) -> tuple[Tensor, float]:
    """(G, G) in the order of the grid: of the functions of corners, if all cells are removed. And a bound of
    the eigenvalues, divided by the diagonal; those of fewer corners are no larger."""
    cells, count = _every_cell(g), len(g.order)
    heights = g.hats.new_zeros(count + 1, count, 3)
    for i, at in enumerate(((0, 0), (1, 0), (0, 1))):
        heights[cells.at[at], torch.arange(count, device=heights.device), i] = 1
    functions = cells.times(heights, g.hats)
    matrix = torch.einsum("ncm,ndm->cd", functions, cells.left_side(functions))
    scale = matrix.diagonal().rsqrt()
    return matrix, 1.02 * float(torch.linalg.eigvalsh(scale[:, None] * matrix * scale)[-1])


def _left_side(x: Tensor) -> Tensor:
    """The left side of the equation of each pixel (C, H, W), as if all were unknown: its weight by the pixel
    minus the kernel 1 2 1 / 2 4 2 / 1 2 1, whose weight the pixels beyond the border do not have."""
    down, right = (x.new_full((side,), 4) for side in x.shape[1:])
    for weights in (down, right):
        weights[[0, -1]] = 3
    pairs = F.pad(x, (1, 1, 1, 1))
    for _ in range(2):
        pairs = pairs[:, :-1] + pairs[:, 1:]
    for _ in range(2):
        pairs = pairs[..., :-1] + pairs[..., 1:]
    return down[:, None] * right * x - pairs
