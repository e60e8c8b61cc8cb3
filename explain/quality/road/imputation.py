"""Imputation of removed pixels for ROAD: every removed pixel is the weighted mean of its neighbors.

The linear system is that of Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution
Methods" (ICML 2022, arXiv:2202.00449): a discrete Laplace equation whose boundary values are the kept pixels.
Other libraries solve it by a sparse factorization, one image after the other.

Here it is solved on any device, for a batch at a time, by conjugate gradients whose preconditioner is a
multigrid V-cycle: 3 to 5 steps to an error of 1e-3. What was measured before it was chosen: V-cycles alone
converge by a factor of 0.4 per cycle if borders of the removed area lie between the pixels of a coarser
level; conjugate gradients make that 0.2, for a third more time. A start from the coarsest level saves one to
two steps; full multigrid as a start costs more than it saves. Two Jacobi steps before and after instead of
one save less than they cost, except at the coarser levels.

All steps are sums of shifted arrays, as the kernel 1 2 1 / 2 4 2 / 1 2 1 is four sums of pairs of neighbors:
on a CPU, convolutions and poolings of torch take 10 to 100 times as long.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import UserError

TOLERANCE = 1.5e-3  # of the bound of the error, in standard deviations; the error is about a third of it
MAX_STEPS = 50  # 2 to 5 are usual
DENSE = 64  # a level of at most so many pixels is solved by its inverse matrix
FINEST, COARSER = (0.8,), (1.4, 0.75)  # weights of the Jacobi steps of a V-cycle on its way down
TINY = 1e-30  # instead of a division by zero
CACHED, IN_MEMORY = 1 << 18, 1 << 26  # values that are solved together on a CPU, and on other devices


@torch.no_grad()
def impute(x: Tensor, keep: Tensor, noise: float = 0.01, seed: int = 0) -> Tensor:
    """The images `x` with all pixels outside of `keep` imputed: (B, C, H, W) float32, on the device of `x`.

    `x` is (B, C, H, W) float32 and `keep` (B, H, W) bool. Kept pixels are returned bit by bit. Every other
    pixel is the mean of its eight neighbors, kept or imputed, with weights 1/6 (direct) and 1/12 (diagonal);
    neighbors beyond the border are left out and the other weights are divided by their sum. Values of removed
    pixels have no influence. The result differs from the exact solution by less than 1e-3 standard deviations
    of the image.

    Gaussian noise of standard deviation `noise`, in units of `x`, is added to the imputed pixels: the same
    for the same seed, shape and kind of device. If no pixel of an image is kept, the system has no unique
    solution, and the mean of the image by channel is taken. If all pixels are kept, the image is unchanged.
    If a kept pixel is not finite, the imputed pixels of that image are not finite either.

    Raises UserError if shapes or types do not match. Source: Rong et al. 2022, arXiv:2202.00449.
    """
    if x.ndim != 4 or x.dtype != torch.float32:
        raise UserError(f"Images are {x.dtype} {tuple(x.shape)}; imputation takes float32 (B, C, H, W).")
    if keep.dtype != torch.bool or keep.shape != (len(x), *x.shape[2:]):
        raise UserError(
            f"The mask is {keep.dtype} {tuple(keep.shape)}; images of {tuple(x.shape)} need a mask of "
            f"torch.bool {(len(x), *x.shape[2:])}."
        )
    if keep.all():
        return x.clone()
    imputed, kept = torch.empty_like(x, memory_format=torch.contiguous_format), keep.flatten(1)
    none, every = ~kept.any(1), kept.all(1)
    imputed[none] = x[none].mean((2, 3), keepdim=True).expand(-1, -1, *x.shape[2:])
    together = max(1, (CACHED if x.device.type == "cpu" else IN_MEMORY) // x[0].numel())
    solver = None
    for images in (~none & ~every).nonzero()[:, 0].split(together):
        some = x[images]
        if solver is None or solver.shape != some.shape:
            solver = _Solver(some.shape, x.device)
        imputed[images] = solver.solve(some, keep[images, None])
    if noise:
        generator = torch.Generator(x.device).manual_seed(seed)
        imputed += torch.empty_like(imputed).normal_(0, noise, generator=generator)
    return torch.where(keep[:, None], x, imputed)


class _Field:
    """A value of each pixel of a level, (B, C, n): row after row with a margin one pixel wide, so that a
    shift of the image is a shift of the array; and the views of it that are needed again and again."""

    def __init__(self, batch: int, channels: int, height: int, width: int, device: torch.device) -> None:
        row = width + 2
        self.flat = flat = torch.zeros(batch, channels, (height + 2) * row, device=device)
        self.pairs = flat[..., :-1], flat[..., 1:]
        self.rows = flat[..., :-row], flat[..., row:]
        self.ends = flat[..., : -2 * row - 2], flat[..., row : -row - 2]
        self.center = flat[..., row + 1 : -row - 1]
        self.pixels = flat.view(batch, channels, height + 2, row)[..., 1:-1, 1:-1]
        self.even, self.odd = self.pixels[..., ::2, :], self.pixels[..., 1::2, :]


def _blur(values: _Field, out: _Field, scratch: tuple[_Field, _Field]) -> Tensor:
    """`values` filtered with 1 2 1 / 2 4 2 / 1 2 1, in `out` (its margin is undefined); returns its array."""
    first, second = scratch
    torch.add(*values.pairs, out=first.pairs[0])
    torch.add(*first.pairs, out=second.pairs[0])
    torch.add(*second.rows, out=first.rows[0])
    torch.add(*first.ends, out=out.center)
    return out.flat


class _Level:
    """The system at one resolution, times 12: middle · e - blurred e = right, for each unknown pixel.

    Unknown are the removed pixels and, at a coarser resolution, blocks that have one. `middle` is the weight
    of the unknown neighbors, plus that of the known ones, plus 4 (the blur includes the pixel itself).
    `inverse` is 1 / (middle - 4), and 0 where nothing is unknown. `e` is what is to be added to the values.
    """

    def __init__(
        self,
        weights: tuple[float, ...],
        batch: int,
        channels: int,
        height: int,
        width: int,
        device: torch.device,
    ) -> None:
        self.weights, self.height, self.width = weights, height, width
        self.sides = sides = height + height % 2, width + width % 2
        narrow = [_Field(batch, 1, *sides, device) for _ in range(5)]
        wide = [_Field(batch, channels, *sides, device) for _ in range(5)]
        self.unknown, self.middle, self.inverse = narrow[:3]
        self.e, self.right, self.rest = wide[:3]
        self.narrow, self.wide = (narrow[3], narrow[4]), (wide[3], wide[4])
        self.row_sums = torch.zeros(batch, channels, self.sides[0] // 2, self.sides[1], device=device)

    def image(self, field: _Field) -> Tensor:
        """The pixels of a field, without the row or column that makes its sides even."""
        return field.pixels[..., : self.height, : self.width]

    def set_finest(self, keep: Tensor) -> Tensor:
        """Sets the system of a mask (B, 1, H, W) of kept pixels; returns the weight of the kept neighbors of
        each removed pixel."""
        self.image(self.inverse).copy_(keep)
        _blur(self.inverse, self.middle, self.narrow)
        known = self.image(self.middle).masked_fill(keep, 0)
        self.set(~keep, known)
        return known

    def set(self, unknown: Tensor, known: Tensor) -> None:
        """Sets the system, from what is unknown and the weight of known neighbors, (B, 1, h, w) each."""
        self.image(self.unknown).copy_(unknown)
        _blur(self.unknown, self.middle, self.narrow)
        self.image(self.middle).add_(known)
        torch.div(self.unknown.flat, (self.middle.flat - 4).clamp_min_(1), out=self.inverse.flat)

    def residual(self, values: _Field, right: Tensor | None = None) -> Tensor:
        """right - (left side for `values`), without mask; in `rest`."""
        rest = _blur(values, self.rest, self.wide).addcmul_(self.middle.flat, values.flat, value=-1)
        return rest if right is None else rest.add_(right)

    def smooth(self, weights: Sequence[float]) -> None:
        """Jacobi steps: `e` moves towards the means of its neighbors."""
        for weight in weights:
            self.e.flat.addcmul_(self.inverse.flat, self.residual(self.e, self.right.flat), value=weight)

    def restrict(self, fine: _Field, coarse: "_Level") -> None:
        """The sums of blocks of 2 × 2 pixels become the right side of the coarser level."""
        torch.add(fine.even, fine.odd, out=self.row_sums)
        torch.add(self.row_sums[..., ::2], self.row_sums[..., 1::2], out=coarse.image(coarse.right))

    def prolong(self, coarse: "_Level") -> None:
        """Adds the values of the coarser level to the unknown pixels of its blocks; `smooth` interpolates."""
        values = coarse.image(coarse.e)
        self.row_sums[..., ::2] = values
        self.row_sums[..., 1::2] = values
        self.e.even.addcmul_(self.unknown.even, self.row_sums)
        self.e.odd.addcmul_(self.unknown.odd, self.row_sums)


class _Solver:
    """Solves the systems of images of one shape (B, C, H, W); its arrays are used again and again."""

    def __init__(self, shape: torch.Size, device: torch.device) -> None:
        batch, channels, height, width = shape
        self.shape, self.levels = shape, [_Level(FINEST, batch, channels, height, width, device)]
        while height * width > DENSE:
            height, width = (height + 1) // 2, (width + 1) // 2
            self.levels.append(_Level(COARSER, batch, channels, height, width, device))
        finest, last = self.levels[0].sides, self.levels[-1].sides
        self.values, self.direction = (_Field(batch, channels, *finest, device) for _ in range(2))
        kernel = torch.tensor([[1.0, 2, 1], [2, 0, 2], [1, 2, 1]], device=device)
        pixels = torch.eye(last[0] * last[1], device=device)
        self.neighbors = F.conv2d(pixels.view(-1, 1, *last), kernel[None, None], padding=1).flatten(1)
        self.inverse, self.zero = pixels, torch.zeros((), device=device)

    def solve(self, x: Tensor, keep: Tensor) -> Tensor:
        """The solution (B, C, H, W) for images `x` and masks `keep` (B, 1, H, W)."""
        self.set(keep)
        finest, values = self.levels[0], self.values
        count = keep.sum((2, 3), keepdim=True)
        mean = x.masked_fill(~keep, 0).sum((2, 3), keepdim=True) / count
        known = (x - mean).masked_fill_(~keep, 0)
        deviation = (known.square().sum((1, 2, 3), keepdim=True) / (count * x.shape[1])).sqrt_()
        values.flat.zero_()
        finest.image(values).copy_(known.div_(deviation).nan_to_num_(0, 0, 0))
        self.start()
        values.flat.add_(finest.e.flat)
        self.conjugate_gradients()
        return torch.addcmul(mean, finest.image(values), deviation)

    def set(self, keep: Tensor) -> None:
        """Sets the systems of all levels. A coarser one is the same stencil over blocks of 2 × 2 pixels; the
        weights of known neighbors of a block are added up."""
        unknown, known = ~keep, self.levels[0].set_finest(keep)
        for fine, coarse in zip(self.levels, self.levels[1:], strict=False):
            known = _block_sums(F.pad(known, (0, fine.width % 2, 0, fine.height % 2)))
            unknown = _block_sums(fine.unknown.pixels) > 0
            coarse.set(unknown, known)
        last = self.levels[-1]
        unknown, diagonal = last.unknown.pixels.flatten(1), last.middle.pixels.flatten(1) - 4
        matrix = torch.diag_embed(torch.where(unknown > 0, diagonal, 1))
        self.inverse = torch.linalg.inv(matrix - unknown[:, :, None] * self.neighbors * unknown[:, None])

    def start(self) -> None:
        """A first solution: that of the coarsest level, interpolated and smoothed on each finer one."""
        self.set_right()
        for fine, coarse in zip(self.levels, self.levels[1:], strict=False):
            fine.restrict(fine.right, coarse)
        self.solve_last()
        for coarse, fine in zip(self.levels[:0:-1], self.levels[-2::-1], strict=True):
            fine.e.flat.zero_()
            fine.prolong(coarse)
            fine.smooth(fine.weights[::-1])

    def correct(self, index: int) -> None:
        """A V-cycle: an approximate solution of a level, in its `e`."""
        level = self.levels[index]
        if index == len(self.levels) - 1:
            return self.solve_last()
        torch.addcmul(
            self.zero, level.inverse.flat, level.right.flat, value=level.weights[0], out=level.e.flat
        )
        level.smooth(level.weights[1:])  # the first step is that from zero
        level.residual(level.e, level.right.flat).mul_(level.unknown.flat)
        level.restrict(level.rest, self.levels[index + 1])
        self.correct(index + 1)
        level.prolong(self.levels[index + 1])
        return level.smooth(level.weights[::-1])

    def solve_last(self) -> None:
        last = self.levels[-1]
        right = last.right.pixels.flatten(2)
        last.e.pixels.copy_((right @ self.inverse).view(last.e.pixels.shape)).mul_(last.unknown.pixels)

    def set_right(self) -> None:
        finest = self.levels[0]
        torch.mul(finest.residual(self.values), finest.unknown.flat, out=finest.right.flat)

    def conjugate_gradients(self) -> None:
        """Improves `values` until no pixel of an image is off by more than the tolerance. An image that is
        done stays as it is while others of its batch go on."""
        finest, p, values = self.levels[0], self.direction.flat, self.values.flat
        residual, z = finest.right.flat, finest.e.flat
        self.set_right()
        p.zero_()
        going = torch.ones(self.shape[0], 1, 1, device=p.device)
        before = change = torch.full_like(going, torch.inf)
        for _ in range(MAX_STEPS):
            self.correct(0)
            now = _dot(residual, z)
            torch.addcmul(z, now / before, p, out=p)
            image = finest.residual(self.direction).mul_(finest.unknown.flat)  # of p, with the sign changed
            step = going * now / _dot(p, image).clamp_max_(-TINY)
            values.addcmul_(step, p, value=-1)
            last, change = change, (step * p.abs().amax(-1, keepdim=True)).abs().amax(1, keepdim=True)
            going *= _error(change, last) > TOLERANCE
            if not going.any():
                return
            residual.addcmul_(step, image, value=-1)
            before = now.clamp_min_(TINY)


def _error(change: Tensor, last: Tensor) -> Tensor:
    """A bound of the error after a step from its change and that of the step before: what a geometric series
    would still add, and at least the change itself."""
    return change * (change / (last - change).clamp_min(TINY)).clamp(1, 100)


def _block_sums(values: Tensor) -> Tensor:
    rows = values[..., ::2, :] + values[..., 1::2, :]
    return rows[..., ::2] + rows[..., 1::2]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)
