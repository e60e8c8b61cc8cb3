"""The first maps of several pictures in one pass: what `open_session` and `ImageSession.map` give one by
one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from PIL import Image

from explain.methods.compute import MapResult, compute_maps
from explain.methods.inputs import Passes
from explain.methods.live import (
    ImageSession,
    OfNetwork,
    Prepared,
    answered,
    default_layer_of,
    layer_text,
    prepare,
)
from explain.methods.registry import get
from explain.methods.request import MapRequest
from explain.network.hooks import layers_in, logits
from models.classifier import Classifier
from models.faces.crop import FaceCrop, FaceRequest
from models.outputs.one_by_one import takes_one_image
from models.outputs.regression import is_regression
from models.outputs.task import REGRESSION, with_task

T = TypeVar("T")
Kind = tuple[MapRequest, ...]
"""Requests without their classes: those of one kind go through one pass."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A picture, which face of it is used (as of `open_session`), and which maps are wanted of it."""

    image: Image.Image
    faces: FaceRequest | FaceCrop | None = None
    requests: tuple[MapRequest, ...] = ()


def one_pass(requests: Sequence[MapRequest]) -> tuple[MapRequest, ...]:
    """Those whose maps follow from one captured pass, also of several pictures: built-in methods that need no
    other pass, without smoothing. Raises UserError for a method that there is not."""
    return tuple(
        r
        for r in requests
        if get(r.method).needs == "pass" and not get(r.method).from_outside and r.smoothing.copies == 1
    )


def kind_of(requests: Sequence[MapRequest]) -> Kind:
    """What pictures that go through one pass have in common; each may have classes of its own."""
    return tuple(
        replace(r, target=None, contrast_class=None if r.contrast_class is None else 0) for r in requests
    )


def first_maps(
    classifier: Classifier, asked: Sequence[Asked], shared: OfNetwork | None = None
) -> list[ImageSession | Exception]:
    """A session for each picture, which keeps the maps of its requests; or why there is none. All requests
    are of one kind (`kind_of`), and `one_pass` has them.

    Pictures of one size go through the network in one batch, for networks that take batches. Maps that cannot
    be computed together are left out: `ImageSession.map` computes them, or says why not. A picture that
    fails leaves the others. `shared`: with other sessions of this network.
    """
    if classifier.task == REGRESSION:
        classifier = with_task(classifier, REGRESSION)
    found: list[ImageSession | Prepared | Exception] = [
        _tried(lambda one=one: prepare(classifier, one.image, one.faces))  # type: ignore[misc]
        for one in asked
    ]
    batches = dict[tuple[object, ...], list[int]]()
    for k, prepared in enumerate(found):
        if isinstance(prepared, Prepared):
            alone = k if takes_one_image(classifier.model) else -1
            batches.setdefault((*prepared.x.shape, alone), []).append(k)
    sessions: list[ImageSession | Exception | None]
    sessions = [one if isinstance(one, Exception) else None for one in found]
    for rows in batches.values():
        pictures = [one for k in rows if isinstance(one := found[k], Prepared)]
        for k, session in zip(rows, _together(pictures, [asked[k] for k in rows], shared), strict=True):
            sessions[k] = session
    return [session for session in sessions if session is not None]


def _together(
    pictures: Sequence[Prepared], asked: Sequence[Asked], shared: OfNetwork | None
) -> list[ImageSession | Exception]:
    """Of pictures of one size; where the batch fails, each is opened by itself, without maps."""
    try:
        return _in_one_pass(pictures, asked, shared)
    except Exception:
        return [
            _tried(lambda p=p: answered(p, logits(p.classifier.model, p.x), shared))  # type: ignore[misc]
            for p in pictures
        ]


def _in_one_pass(
    pictures: Sequence[Prepared], asked: Sequence[Asked], shared: OfNetwork | None
) -> list[ImageSession | Exception]:
    first, requests = pictures[0], asked[0].requests
    x = first.x if len(pictures) == 1 else torch.cat([p.x for p in pictures])
    passes = Passes(first.classifier.model, x, fused=None if shared is None else shared.fused)
    requests = _with_layers(first, requests, shared)
    if requests:
        passes.captured(layers_in(requests[0].layer))  # it has the scores, too
    scores = passes.logits
    sessions = [
        _tried(lambda k=k, p=p: answered(p, scores[k : k + 1], shared))  # type: ignore[misc]
        for k, p in enumerate(pictures)
    ]
    if len(pictures) == 1 and isinstance(sessions[0], ImageSession):
        sessions[0].__dict__["passes"] = passes  # later maps of this picture share it
    preds = [0] * len(scores) if is_regression(passes.model) else scores.argmax(1).tolist()
    for number, request in enumerate(requests):
        own = [one.requests[number] for one in asked]
        targets = [pred if r.target is None else int(r.target) for pred, r in zip(preds, own, strict=True)]  # type: ignore[arg-type]
        _keep(sessions, own, _maps(passes, replace(request, target=tuple(targets)), own))
    return sessions


def _with_layers(
    picture: Prepared, requests: tuple[MapRequest, ...], shared: OfNetwork | None
) -> tuple[MapRequest, ...]:
    """With the names of the layers, which are the same for all pictures."""
    model, x = picture.classifier.model, picture.x

    def last() -> str:
        return default_layer_of(picture.classifier, x, shared)

    names = {text: layer_text(model, x, text, last) for text in {r.layer for r in requests}}
    return tuple(replace(r, layer=names[r.layer]) for r in requests)


def _maps(passes: Passes, request: MapRequest, own: Sequence[MapRequest]) -> MapResult:
    """Maps of all pictures, each for its own classes."""
    contrast = [r.contrast_class for r in own]
    if contrast[0] is not None:
        request = replace(request, contrast_class=tuple(int(c) for c in contrast))  # type: ignore[arg-type]
    return compute_maps(passes.model, passes.x, request, passes=passes)


def _keep(sessions: Sequence[ImageSession | Exception], own: Sequence[MapRequest], result: MapResult) -> None:
    """Each session keeps its row, as if it had been computed by itself."""
    for k, (session, request) in enumerate(zip(sessions, own, strict=True)):
        if not isinstance(session, ImageSession):
            continue
        sums = None if result.expected_sums is None else result.expected_sums[k : k + 1].clone()
        complete = replace(request, layer=result.request.layer, target=result.targets[k])
        maps, target = result.maps[k : k + 1].clone(), result.targets[k : k + 1]
        session.keep(request, MapResult(maps, complete, result.layer, target, result.seconds, sums))


def _tried(make: Callable[[], T]) -> T | Exception:
    try:
        return make()
    except Exception as error:
        return error
