"""The figures of one map that cost a hundred forward passes: insertion and deletion beside controls, among
them the maps of the same method for another image and on a network with random weights."""

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from explain.methods.compute import MapResult, compute_maps
from explain.methods.inputs import OnProgress, ignore_progress
from explain.methods.live import ImageSession
from explain.quality.cells import on_cells
from explain.quality.controls import center, edges, smooth_noise
from explain.quality.curves import Curve, curves_of
from explain.quality.described.agreement import agreement
from explain.quality.described.randomized import randomized
from explain.quality.one_map.badge import cells_with_order
from explain.quality.one_map.kept import NOISES
from explain.quality.one_map.map_check import NAMES, NOT_COMPARED, OTHER, OWN, RANDOM, MapCheck
from explain.quality.one_map.map_scores import SETTINGS, cells_of, measured, quantity_of, scorer_of
from explain.quality.one_map.other_image import OtherImages
from models.errors import Cancelled, UserError

RANDOM_BYTES = 128 * 2**20
"""The network with random weights is kept with the session up to this size, otherwise made for each map."""
MAP_PART = 0.3
"""The fraction of the progress that the maps of another image and of the random network take."""
KINDS = ("insertion", "deletion")
NO_RUN = OtherImages()


def known_check(session: ImageSession, result: MapResult, others: OtherImages = NO_RUN) -> MapCheck | None:
    """The check of a map, where it has been made with the same `others`."""
    return measured(session).checks.get(result, {}).get(others)


def check_map(
    session: ImageSession,
    result: MapResult,
    on_progress: OnProgress = ignore_progress,
    others: OtherImages = NO_RUN,
) -> MapCheck:
    """The check of a map of the session; one that is known is not made again, unless it lacks the map of
    another image, whose files may be back. The network is left as it was.

    `others`: where the image is one of a run, of which another image's map is a control.
    `on_progress(fraction)` is called on the way, and may raise `Cancelled`. Raises UserError for a map that
    has no order, for a network whose answers are not finite, and where memory does not suffice for one image.
    """
    known = known_check(session, result, others)
    if known is not None and (others.run is None or OTHER in known.areas):
        return known
    own = cells_with_order(session, result)
    if own is None:
        raise UserError("This map prefers no part of the image, so there is nothing to check.")
    made, notes = _of_the_method(session, result, others, lambda done: on_progress(MAP_PART * done))
    maps = _variants(session, own, made)
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
    check = _check(session, result, maps, curves, notes)
    measured(session).checks.setdefault(result, {})[others] = check
    return check


def _variants(session: ImageSession, own: Tensor, made: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name -> maps (M, g, h): several where their mean is given. `made`: of `_of_the_method`."""
    x, grid = session.x[0], cells_of(session)
    return {
        OWN: own[None],
        "center": center(x, grid, 0)[None],
        "noise": torch.stack([smooth_noise(x, grid, seed) for seed in range(NOISES)]),
        "edges": edges(x, grid, 0)[None],
        **{name: cells[None] for name, cells in made.items()},
    }


def _check(
    session: ImageSession,
    result: MapResult,
    maps: dict[str, Tensor],
    curves: dict[str, Curve],
    notes: dict[str, str],
) -> MapCheck:
    """Means over the maps of each name."""
    like, middle = (
        float(agreement([maps[OWN], maps[name]])[0, 0, 1]) if name in maps else float("nan")
        for name in (RANDOM, "center")
    )
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
        notes[RANDOM],
        notes[OTHER],
        middle,
    )


def _of_the_method(
    session: ImageSession, result: MapResult, others: OtherImages, on_progress: OnProgress
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The maps of the same request on the cells (g, h), of another image and of a network with random
    weights; and what is said of each: which image it is of, or why there is none."""
    found, notes = dict[str, Tensor](), dict[str, str]()
    request = replace(result.request, target=result.target)  # not what they are predicted as themselves
    classifier, target = session.classifier, result.target
    inputs: dict[str, Callable[[OnProgress], tuple[nn.Module, Tensor, str]]] = {
        OTHER: lambda on_part: (
            classifier.model,
            *others.find(classifier, session.x, target, session.image, on_part),
        ),
        RANDOM: lambda on_part: (_random_network(session), session.x, ""),
    }
    for k, (name, given) in enumerate(inputs.items()):

        def on_part(done: float, k: int = k) -> None:
            on_progress((k + done) / len(inputs))

        try:
            model, x, notes[name] = given(on_part)
            made = compute_maps(model, x, request, on_progress=on_part)
        except UserError as error:
            notes[name] = f"{NOT_COMPARED[name]}. {error}"
        except Cancelled:
            raise
        except Exception as error:  # a method from outside: the other figures do not depend on it
            logging.getLogger("vitrine").exception("in %s of %s", request.method, NAMES[name])
            why = f"The method did not work on it ({type(error).__name__}); the log has more."
            notes[name] = f"{NOT_COMPARED[name]}. {why}"
        else:
            if cells_with_order(session, made) is None:
                notes[name] = f"{NOT_COMPARED[name]}: its map prefers no part of the image."
            else:
                found[name] = on_cells(made.maps[:1], cells_of(session))[0]
    return found, notes


def _random_network(session: ImageSession) -> nn.Module:
    """Raises UserError as `randomized` does."""
    memory = measured(session)
    if memory.random is not None:
        return memory.random
    made = randomized(session.classifier.model, x=session.x)
    if sum(value.nbytes for value in made.state_dict().values()) <= RANDOM_BYTES:
        memory.random = made
    return made
