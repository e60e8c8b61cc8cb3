"""Faithfulness: how a score changes while the parts of an image are removed or inserted in the order of a
map. Insertion and deletion: V. Petsiuk et al., RISE, BMVC 2018, arXiv:1806.07421. Most and least relevant
first with imputed pixels: Y. Rong et al., ROAD, ICML 2022, arXiv:2202.00449."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from explain.methods.baseline import baseline
from explain.network.hooks import logits
from explain.network.oom import shrinking
from explain.quality.cells import Grid, as_pixels, grid_of, on_cells, removal_ranks
from explain.quality.road.cell_elements import fits
from explain.quality.road.cell_imputation import CellImputer
from explain.quality.road.imputation import impute
from explain.quality.settings import KINDS as KINDS
from explain.quality.settings import CurveSettings as CurveSettings
from explain.quality.settings import Kind
from explain.quality.stepwise import Steps, to_end
from models.outputs.probabilities import probabilities

Images = Callable[[int, int], Tensor]
"""(start, end) -> those images (end - start, C, H, W) of a batch: no more than a batch of them is held."""
Fill = Callable[[Tensor], Tensor]
"""Removed cells (B, g, h) bool -> images (B, C, H, W) with something else in them."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores of M maps of one image: `fractions` (S,), `logits` and `probabilities` (M, S) of the class."""

    kind: str
    fractions: tuple[float, ...]
    logits: Tensor
    probabilities: Tensor

    def figure(self, scores: Tensor) -> Tensor:
        """(M,): the area below a curve from 0 to 1 by trapezoids; the mean where it has no ends."""
        at = torch.tensor(self.fractions, dtype=scores.dtype)
        return torch.trapezoid(scores, at, dim=1) if KINDS[self.kind].starts else scores.mean(1)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Asks the network for the score of one class, in batches of `batch_size` images. `model`: a fused copy
    serves best; `precision` 'fp32' or 'bf16'."""

    model: nn.Module
    precision: str = "fp32"
    batch_size: int = 32

    def __call__(self, make: Images, count: int, target: int) -> tuple[Tensor, Tensor]:
        """Logits and probabilities (count,) of class `target`, on the CPU. Raises UserError where memory does
        not suffice for one image."""
        return to_end(self.score_steps(make, count, target))

    def score_steps(self, make: Images, count: int, target: int) -> Steps[tuple[Tensor, Tensor]]:
        """As a call, batch by batch."""
        scores = yield from self.answer_steps(make, count)
        return scores[:, target].cpu(), probabilities(self.model, scores)[:, target].cpu()

    def answers(self, make: Images, count: int) -> Tensor:
        """Scores (count, K) of all classes. Raises UserError as a call does."""
        return to_end(self.answer_steps(make, count))

    def answer_steps(self, make: Images, count: int) -> Steps[Tensor]:
        """As `answers`, batch by batch; where memory does not suffice, the other batches are smaller, too."""
        parts, start, size = list[Tensor](), 0, self.batch_size
        while start < count:
            parts.append(shrinking(partial(self._scores, make, start, count), size))
            start += len(parts[-1])
            size = min(size, len(parts[-1]))
            yield
        return torch.cat(parts)

    def _scores(self, make: Images, start: int, count: int, size: int) -> Tensor:
        return logits(self.model, make(start, min(start + size, count)), self.precision)


def curves_of(
    scorer: Scorer, x: Tensor, target: int, maps: Tensor, kinds: Sequence[str], settings: CurveSettings
) -> dict[str, Curve]:
    """The curves of M maps (M, h, w), of any resolution, of one image `x` (1, C, H, W) for class `target`,
    by the names of `KINDS`. NaN for maps that are not finite: they have no order. All maps share the passes
    of the image itself and of its baseline."""
    return to_end(curve_steps(scorer, x, target, maps, kinds, settings))


def curve_steps(
    scorer: Scorer, x: Tensor, target: int, maps: Tensor, kinds: Sequence[str], settings: CurveSettings
) -> Steps[dict[str, Curve]]:
    """As `curves_of`, batch by batch."""
    known = maps.flatten(1).isfinite().all(1)
    grid = grid_of(x, settings.cells)
    ranks = removal_ranks(on_cells(maps.nan_to_num(0, 0, 0).to(x.device), grid), settings.seed)
    base = baseline(x, settings.baseline)
    ends = yield from scorer.score_steps(lambda start, end: torch.cat([x, base])[start:end], 2, target)
    fills = dict[str, Fill]()
    for filled in {KINDS[name].filled for name in kinds}:
        imputed = filled == "imputed"
        fills[filled] = _imputed(x, grid, settings) if imputed else _from_baseline(x, base)
    found = {}
    for name in kinds:
        kind = KINDS[name]
        fractions = settings.fractions_of(kind)
        removed = _removed(kind, ranks, fractions)
        make = partial(_images, fills[kind.filled], removed)
        asked = yield from scorer.score_steps(make, len(removed), target)
        scores = tuple(s.view(len(fractions), len(maps)).T for s in asked)
        if kind.starts:
            scores = tuple(map(partial(_with_ends, kind), scores, ends))
            fractions = (0.0, *fractions, 1.0)
        logit, probability = (torch.where(known[:, None].cpu(), s, torch.nan) for s in scores)
        found[name] = Curve(name, fractions, logit, probability)
    return found


def _removed(kind: Kind, ranks: Tensor, fractions: Sequence[float]) -> Tensor:
    """(S M, g, h) bool: the cells that are away, step by step: masks of a batch that have as many."""
    cells = ranks[0].numel()
    return torch.cat([kind.removed(ranks, round(fraction * cells), cells) for fraction in fractions])


def _images(fill: Fill, removed: Tensor, start: int, end: int) -> Tensor:
    return fill(removed[start:end])


def _from_baseline(x: Tensor, base: Tensor) -> Fill:
    size = x.shape[2], x.shape[3]
    return lambda removed: torch.where(as_pixels(removed, size)[:, None], base, x)


def _imputed(x: Tensor, grid: Grid, settings: CurveSettings) -> Fill:
    """Imputed, and noise added, the same at every step. Many masks share what is known of the image, where
    the grid allows it."""
    generator = torch.Generator().manual_seed(settings.seed)
    noise = settings.noise * torch.randn(x.shape, generator=generator).to(x)
    size = x.shape[2], x.shape[3]
    of_cells = CellImputer(x, grid, noise) if fits(size, grid) else None

    def fill(removed: Tensor) -> Tensor:
        if of_cells and not removed.flatten(1).all(1).any():
            return of_cells(removed)
        away = as_pixels(removed, size)
        filled = impute(x.expand(len(away), -1, -1, -1), ~away, noise=0) + noise
        return torch.where(away[:, None], filled, x)

    return fill


def _with_ends(kind: Kind, scores: Tensor, ends: Tensor) -> Tensor:
    """Scores (M, S) between those of the whole image, `ends[0]`, and of its baseline, `ends[1]`."""
    whole, empty = (end.expand(len(scores), 1) for end in ends)
    first, last = (whole, empty) if kind.starts == "whole" else (empty, whole)
    return torch.cat([first, scores, last], 1)
