"""The figures of one map that cost a hundred forward passes: insertion and deletion beside controls, and the
likeness with the map of a network with random weights."""

import torch
from torch import Tensor, nn

from explain.methods.compute import MapResult, compute_maps
from explain.methods.inputs import OnProgress, ignore_progress
from explain.methods.live import ImageSession
from explain.quality.agreement import agreement
from explain.quality.badge import cells_with_order
from explain.quality.cells import on_cells
from explain.quality.controls import center, edges, smooth_noise
from explain.quality.curves import Curve, curves_of
from explain.quality.kept import NOISES
from explain.quality.map_check import OWN, RANDOM, MapCheck
from explain.quality.map_scores import SETTINGS, cells_of, measured, quantity_of, scorer_of
from explain.quality.randomized import randomized
from models.errors import UserError

RANDOM_BYTES = 128 * 2**20
"""The network with random weights is kept with the session up to this size, otherwise made for each map."""
MAP_PART = 0.3
"""The fraction of the progress that the random network's map takes."""
KINDS = ("insertion", "deletion")


def known_check(session: ImageSession, result: MapResult) -> MapCheck | None:
    """The check of a map, where it has been made."""
    return measured(session).checks.get(result)


def check_map(
    session: ImageSession, result: MapResult, on_progress: OnProgress = ignore_progress
) -> MapCheck:
    """The check of a map of the session; one that is known is not made again. The network is left as it was.

    `on_progress(fraction)` is called on the way, and may raise `Cancelled`. Raises UserError for a map that
    has no order, for a network whose answers are not finite, and where memory does not suffice for one image.
    """
    if (known := known_check(session, result)) is not None:
        return known
    own = cells_with_order(session, result)
    if own is None:
        raise UserError("This map prefers no part of the image, so there is nothing to check.")
    random, without = _random_map(session, result, lambda done: on_progress(MAP_PART * done))
    maps = _variants(session, own, random)
    done, expected = 0, sum(map(len, maps.values())) * SETTINGS.passes(KINDS) + 2

    def on_images(count: int) -> None:
        nonlocal done
        on_progress(min(1.0, MAP_PART + (1 - MAP_PART) * done / expected))
        done += count

    scorer = scorer_of(session, result, on_images)
    every = torch.cat([*maps.values()])
    curves = curves_of(scorer, session.x, result.target, every, KINDS, SETTINGS)
    if not all(curve.probabilities.isfinite().all() for curve in curves.values()):
        raise UserError(
            "The network answers changed images with NaN or infinite scores: nothing is compared."
        )
    like = float("nan") if random is None else float(agreement([own[None], random[None]])[0, 0, 1])
    made = _check(session, result, maps, curves, like, without)
    measured(session).checks[result] = made
    return made


def _variants(session: ImageSession, own: Tensor, random: Tensor | None) -> dict[str, Tensor]:
    """Name -> maps (M, g, h): several where their mean is given."""
    x, grid = session.x[0], cells_of(session)
    found = {
        OWN: own[None],
        "center": center(x, grid, 0)[None],
        "noise": torch.stack([smooth_noise(x, grid, seed) for seed in range(NOISES)]),
        "edges": edges(x, grid, 0)[None],
    }
    return found if random is None else found | {RANDOM: random[None]}


def _check(
    session: ImageSession,
    result: MapResult,
    maps: dict[str, Tensor],
    curves: dict[str, Curve],
    like: float,
    without: str,
) -> MapCheck:
    """Means over the maps of each name."""
    sizes, names = [len(m) for m in maps.values()], list(maps)
    scores = {
        kind: {n: part.mean(0).numpy() for n, part in zip(names, c.probabilities.split(sizes), strict=True)}
        for kind, c in curves.items()
    }
    areas = {
        kind: [float(part.mean()) for part in c.figure(c.probabilities).split(sizes)]
        for kind, c in curves.items()
    }
    pairs = zip(names, areas["insertion"], areas["deletion"], strict=True)
    return MapCheck(
        quantity_of(session, result),
        curves["insertion"].fractions,
        scores["insertion"],
        scores["deletion"],
        {name: (inserted, deleted) for name, inserted, deleted in pairs},
        like,
        without,
    )


def _random_map(
    session: ImageSession, result: MapResult, on_progress: OnProgress
) -> tuple[Tensor | None, str]:
    """The map of the same request on the cells (g, h), of a network with random weights; or why there is
    none."""
    try:
        network = _random_network(session)
        made = compute_maps(network, session.x, result.request, on_progress=on_progress)
    except UserError as error:
        return None, f"Not compared with a network with random weights. {error}"
    cells = on_cells(made.maps[:1], cells_of(session))[0]
    if cells_with_order(session, made) is None:
        return None, "Not compared with a network with random weights: its map prefers no part of the image."
    return cells, ""


def _random_network(session: ImageSession) -> nn.Module:
    """Raises UserError as `randomized` does."""
    memory = measured(session)
    if memory.random is not None:
        return memory.random
    made = randomized(session.classifier.model, x=session.x)
    if sum(value.nbytes for value in made.state_dict().values()) <= RANDOM_BYTES:
        memory.random = made
    return made
