"""The figures beside a map that cost a few forward passes: flags, and how much of the score the part of the
image keeps that the map points to, beside controls."""

from collections.abc import Sequence

import torch
from torch import Tensor

from explain.methods.baseline import baseline
from explain.methods.compute import MapResult
from explain.methods.live import ImageSession
from explain.quality.cells import as_pixels, on_cells, removal_ranks
from explain.quality.controls import center, smooth_noise
from explain.quality.curves import Scorer
from explain.quality.flags import NO_ORDER, Flag, flags
from explain.quality.one_map.kept import NOISES, TOP, Badge, Kept
from explain.quality.one_map.map_scores import (
    BATCH,
    SETTINGS,
    cells_of,
    contrast_of,
    explained,
    measured,
    quantity_of,
)
from explain.quality.similarity import is_flat
from models.outputs.one_by_one import takes_one_image

SHARED = 3 + NOISES
"""Images that all maps of a session share: the image, its baseline, center and noise."""


def badges(session: ImageSession, results: Sequence[MapResult], seconds: float = float("inf")) -> list[Badge]:
    """The badge of each map, in their order. All that are not known go through the network in one batch, with
    the controls, which are asked once for each session; known ones cost nothing. `seconds` that the batch may
    take: where it would take longer, new maps get flags alone.

    The cells with the 10 % largest values are those of the curves (`explain.quality.cells`), equal values in
    random order. Raises UserError where memory does not suffice for one image.
    """
    known = measured(session).badges
    cells = {
        r: found for r in results if r not in known and (found := cells_with_order(session, r)) is not None
    }
    affordable = not cells or _needed(session, len(cells)) <= seconds
    kept = _kept(session, cells) if cells and affordable else {}
    for r in results:
        if r not in known and (r in kept or r not in cells):
            known[r] = Badge(_flags(session, r), kept.get(r))
    return [known[r] if r in known else Badge(_flags(session, r)) for r in results]


def cells_with_order(session: ImageSession, result: MapResult) -> Tensor | None:
    """The first image's map (g, h) on the cells; None for one that has no order."""
    found = on_cells(result.maps[:1], cells_of(session))[0]
    return found if bool(found.isfinite().all()) and not bool(is_flat(found)) else None


def _needed(session: ImageSession, maps: int) -> float:
    """About how many seconds the batch takes."""
    return session.pace * (maps + (SHARED if measured(session).shared is None else 0))


def _flags(session: ImageSession, result: MapResult) -> tuple[Flag, ...]:
    probability = None if session.numbers else float(session.prob[result.target])
    found = flags(result.maps[0], probability, session.numbers)
    if cells_with_order(session, result) is None and not any(flag.name in NO_ORDER for flag in found):
        g, h = cells_of(session)
        found += (Flag("flat", f"Each of {g} × {h} cells has the same mean value: none is preferred."),)
    return found


def _kept(session: ImageSession, cells: dict[MapResult, Tensor]) -> dict[MapResult, Kept]:
    """One batch: what is not known of the shared images, then the maps."""
    memory = measured(session)
    own = _strongest(torch.stack([*cells.values()]))
    if memory.shared is None:
        own = torch.cat([_shared(session), own])
    answers = _answers(session, own.to(session.x.device))
    if memory.shared is None:
        memory.shared, answers = answers[:SHARED], answers[SHARED:]
    found = {}
    for k, result in enumerate(cells):
        asked = torch.cat([memory.shared, answers[k : k + 1]])
        scores = explained(session.classifier.model, asked, result.target, contrast_of(result)).tolist()
        whole, blurred, middle, *noise, score = scores
        found[result] = Kept(quantity_of(session, result), whole, score, middle, sum(noise) / NOISES, blurred)
    return found


def _strongest(values: Tensor) -> Tensor:
    """Cells (N, g, h) -> bool: the 10 % with the largest values, one at least."""
    return removal_ranks(values, SETTINGS.seed) < max(1, round(TOP * values[0].numel()))


def _shared(session: ImageSession) -> Tensor:
    """(SHARED, g, h) bool: what stays of the image, of its baseline, and of the controls."""
    grid = cells_of(session)
    controls = [center(session.x[0], grid, 0), *(smooth_noise(session.x[0], grid, k) for k in range(NOISES))]
    ends = torch.ones(1, *grid).bool(), torch.zeros(1, *grid).bool()
    return torch.cat([*ends, _strongest(torch.stack(controls))])


def _answers(session: ImageSession, stays: Tensor) -> Tensor:
    """Scores (N, K) of the image with the cells `stays` (N, g, h), the rest from its baseline."""
    x, base = session.x, baseline(session.x, SETTINGS.baseline)

    def make(start: int, end: int) -> Tensor:
        return torch.where(as_pixels(stays[start:end], (x.shape[2], x.shape[3]))[:, None], x, base)

    model = session.passes.fused(())
    return Scorer(model, batch_size=1 if takes_one_image(model) else BATCH).answers(make, len(stays)).cpu()
