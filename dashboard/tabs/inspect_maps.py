"""Live maps of one image: one card a method, the most probable classes, and the command that repeats them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from dashboard.components.inspect.face_view import face_view
from dashboard.components.inspect.map_cards import Card, heading, map_cards, number_heading
from dashboard.components.inspect.subject import facts, reproduced, shown_probability
from dashboard.components.markup import NOTHING
from dashboard.components.panel import panel, warning
from dashboard.components.placeholders import waiting
from dashboard.session.context import Context
from dashboard.session.types import Subject
from dashboard.tabs.inspect_state import InspectView
from explain.analysis.chance import caution_of_check
from explain.analysis.on_maps import said_of
from explain.formatting import counted, layer_label
from explain.methods.registry import METHODS
from explain.quality.known import state_of, verdict_of
from explain.run.images import shows
from explain.run.reader import RunData
from models.domains import FACES
from models.errors import Cancelled, UserError
from models.faces.crop import OFF, FaceRequest
from models.outputs.task import SINGLE

if TYPE_CHECKING:
    from explain.methods.compute import MapResult
    from explain.methods.live import ImageSession, MapRequest
    from explain.quality.one_map.kept import Badge
    from models.classifier import Classifier

CHEAP = 2.0  # seconds that a method may take without a click on its button
ANOTHER = (
    "The file holds another picture now than when the run was made. Probabilities and live maps are of this "
    "one; the classes, the loss and the maps of the run are of the one before."
)

OnProgress = Callable[[float], None]


def live_maps(
    ctx: Context,
    view: InspectView,
    compute: str = "",
    saved: str = "",
    on_progress: OnProgress = lambda fraction: None,
    checked: str = "",
) -> list[Any]:
    """Facts, map cards, target class, and the command. Expensive methods run only where they are asked for
    (`compute`) or are known already, and so do checks (`checked`: the method whose map is checked); `saved`:
    the method whose files are offered.

    Raises `Cancelled` where `on_progress` does, UserError where the image or the network cannot be had.
    """
    subject = view.subject
    if not subject:
        raise UserError("No image is selected: click an image in Errors, upload one, or take an example.")
    requests = view.requests()
    with ctx.classifier() as classifier:
        session = ctx.sessions.at(subject)
        cards = [
            replace(_card(session, request, compute or checked, on_progress), signed=ctx.run.numbers)
            for request in requests
        ]
        cards = _with_figures(session, requests, cards, checked, on_progress, ctx.run, subject.get("row"))
    target = session.pred if view.target is None else view.target
    title = _title(ctx, session.prob, target, view.contrast_class)
    shown = [request for request, card in zip(requests, cards, strict=True) if not card.why]
    return [
        facts(ctx.run, session.prob, subject.get("row"), ctx.temperature, asked=target),
        _another(ctx, session, subject.get("row"))
        + map_cards(session.image, cards, title, view.shared, view.threshold, saved),
        target,
        _reproduced(ctx, classifier, subject, shown),
    ]


def _another(ctx: Context, session: "ImageSession", row: int | None) -> Markup:
    """Where the file of a row holds another picture than the run has of it: that it does."""
    same = row is None or shows(ctx.run, row, session.image)
    return NOTHING if same else panel("Another picture", warning(ANOTHER))


async def first_maps(ctx: Context, view: InspectView, who: str) -> AsyncIterator[Markup]:
    """Wait until the session of the view's image is open, and keeps those of its maps that are computed
    together with those of other visitors (`session.map_queue`); at once where it was open already. Yields
    what stands in the place of the maps meanwhile. Raises `Cancelled` where the visitor leaves, UserError
    where the image or the network cannot be had."""
    subject, wanted = view.subject, ctx.cancellation.still_wanted(who)
    if not subject or ctx.sessions.known(subject) is not None:
        return

    def ask() -> "Future[ImageSession]":
        photo, face = ctx.subjects.photo(subject), ctx.subjects.face(subject)
        return ctx.maps.ask(photo, face, tuple(view.requests()), subject)

    session, shown = await asyncio.to_thread(ask), ""
    try:
        async for place in ctx.maps.places(session, wanted):
            if (text := _place_text(*place)) != shown:
                shown = text
                yield waiting("Maps", text)
    except Exception:
        if shown:
            yield waiting("Maps", "There are no maps of this image.")
        raise


def _place_text(position: int, seconds: float) -> str:
    """'Waiting for the network: position 3, about 4 s.'"""
    if not position:
        return "The maps are being computed."
    about = f", about {max(1, round(seconds))} s" if seconds else ""
    return f"Waiting for the network: position {position}{about}."


def _title(ctx: Context, prob: np.ndarray, target: int, contrast_class: int | None) -> Markup:
    """`prob`: probabilities, or of a run of numbers the predicted ones."""
    if ctx.run.numbers:
        return number_heading("Maps", ctx.run.classes[target], float(prob[target]))
    shown = shown_probability(ctx.run, prob, ctx.temperature, target)
    return heading("Maps", ctx.run.classes, target, contrast_class, shown)


def _card(session: "ImageSession", request: "MapRequest", compute: str, on_progress: OnProgress) -> Card:
    """A method's map, how long it would take, or why there is none: one that breaks leaves the others."""
    name, title = request.method, METHODS[request.method].title
    try:
        if not session.known(request) and name != compute and (seconds := session.seconds(request)) > CHEAP:
            return Card(name, title, seconds=seconds)
        result = session.map(request, on_progress)
    except UserError as error:
        return Card(name, title, why=str(error))
    except Cancelled:
        raise
    except Exception as error:
        logging.getLogger("vitrine").exception("in %s", name)
        return Card(name, title, why=f"That did not work ({type(error).__name__}); the log has more.")
    return Card(name, title, result.raw, result.layer, result.seconds, expected_sum=result.expected_sum)


def _with_figures(
    session: "ImageSession",
    requests: "Sequence[MapRequest]",
    cards: Sequence[Card],
    checked: str,
    on_progress: OnProgress,
    run: RunData,
    row: int | None,
) -> list[Card]:
    """The cards with what is said of their maps; figures that take long only where they are asked for. `row`:
    of the image in the run; None of a photo."""
    from explain.quality.one_map.check import check_map, known_check
    from explain.quality.one_map.other_image import NOT_OF_RUN, OtherImages

    others = OtherImages(without_run=NOT_OF_RUN) if row is None else OtherImages(run, int(row))
    results = {
        card.method: session.map(request)
        for request, card in zip(requests, cards, strict=True)
        if card.raw is not None
    }
    if checked in results:
        check_map(session, results[checked], on_progress, others)
    seconds = float("inf") if checked else CHEAP  # who asks for a check waits longer than for its figures
    found = dict(zip(results, _badges(session, [*results.values()], seconds), strict=True))
    checks = {method: known_check(session, result, others) for method, result in results.items()}
    cautions = {m: caution_of_check(run, results[m].target) for m, check in checks.items() if check}
    return [
        replace(
            c,
            badge=found.get(c.method),
            check=checks.get(c.method),
            of_run=_of_run(run, c.method),
            caution=cautions.get(c.method, ""),
        )
        for c in cards
    ]


def _of_run(run: RunData, method: str) -> str:
    """The verdict on the run's maps of a method, with the layer that it is of; '' where nothing is known."""
    verdict = verdict_of(run, method)
    if verdict is None or state_of(run, method) == "unknown":
        return ""
    layer, images = layer_label(run.manifest.request.layer), verdict.decisive.images
    return f"{said_of(run, method)} ({counted(images, 'image')}, {layer})"


def _badges(session: "ImageSession", results: "Sequence[MapResult]", seconds: float) -> "list[Badge]":
    """Flags alone where the figures would take more `seconds`, or cannot be had: the maps do not depend on
    them."""
    from explain.quality.one_map.badge import badges

    try:
        return badges(session, results, seconds)
    except Exception:
        logging.getLogger("vitrine").exception("in the figures of maps")
        return badges(session, results, 0)


def _reproduced(
    ctx: Context, classifier: "Classifier", subject: Subject, requests: "Sequence[MapRequest]"
) -> str:
    """The same maps by command and in Python; empty where there are none."""
    from explain.methods.reproduce import command_line, in_memory_lines, python_lines

    image, model = ctx.subjects.name(subject), ctx.named(classifier)
    faces = _faces_of(ctx, classifier, subject)
    if not requests:
        return ""
    if classifier is ctx.network:
        return reproduced("", in_memory_lines(image, requests, ctx.run.classes, faces))
    names = () if classifier.renamed else ctx.run.classes
    task = "" if classifier.task in ("", SINGLE) else classifier.task
    options, read = classifier.options, (classifier.which, classifier.output_kind, task)
    return reproduced(
        command_line(image, *model, names, requests, options, *read, faces),
        python_lines(image, *model, requests, options, *read, faces),
    )


def _faces_of(ctx: Context, classifier: "Classifier", subject: Subject) -> FaceRequest | None:
    """What the command has to say of faces; None where it would not look for any. Images of the run are used
    whole."""
    face = ctx.subjects.face(subject)
    if face is None:
        return FaceRequest(OFF) if classifier.domain == FACES else None
    request = face.request
    return replace(request, detector=Path(request.detector).name) if not ctx.access.computes else request


def photo_panel(ctx: Context, view: InspectView, saved: str = "") -> Markup:
    """The whole photo, its faces, and the maps that are known on it; nothing where no faces are looked for.
    `saved`: the method whose files are offered."""
    subject = view.subject
    if not subject or ctx.subjects.faces is None or "row" in subject:
        return NOTHING
    with ctx.classifier():
        session = ctx.sessions.at(subject)
        results = [session.map(request) for request in view.requests() if session.known(request)]
    cards = [
        Card(r.request.method, METHODS[r.request.method].title, r.raw, r.layer, signed=ctx.run.numbers)
        for r in results
    ]
    return face_view(session, cards, view.shared, saved)
