"""First maps of several visitors in one pass of the network: equal to single ones, and each visitor's own."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from dashboard.session import map_queue
from dashboard.session.context import Context
from dashboard.session.map_queue import MOST, MapQueue, answer
from dashboard.tabs.inspect import InspectTab
from explain.methods.first_maps import Asked, first_maps, kind_of, one_pass
from explain.methods.live import ImageSession, OfNetwork, open_session
from explain.methods.registry import METHODS
from explain.methods.request import MapRequest, Smoothing
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import Cancelled, UserError
from models.outputs.one_by_one import one_by_one
from tests.pages import served
from tests.raw import Visitor

PASS = [name for name, method in METHODS.items() if method.needs == "pass"]


def photos(count: int) -> list[Image.Image]:
    noise = np.random.default_rng(3).integers(0, 256, (count, 40, 48, 3), np.uint8)
    return [Image.fromarray(pixels) for pixels in noise]


@contextmanager
def passes_of(model: torch.nn.Module) -> Iterator[list[int]]:
    """How many images each pass of the network has."""
    images = list[int]()
    handle = model.register_forward_pre_hook(lambda _, inputs: images.append(len(inputs[0])))
    yield images
    handle.remove()


@pytest.mark.parametrize("layer", ["features", "features.2,features", "", "all-stages"])
def test_maps_of_a_batch_are_those_of_single_passes(layer: str, tiny: Classifier) -> None:
    """Every method of one captured pass; each picture has classes of its own."""
    given, classes, pairs = photos(4), (None, 1, 2, 0), ((0, 2), (1, 2), (2, 1), (0, 1))
    asked = [
        Asked(
            photo,
            None,
            (
                *(MapRequest(m, layer, target) for m in PASS),
                *(MapRequest(m, layer, *pair) for m in PASS if METHODS[m].differences),
            ),
        )
        for photo, target, pair in zip(given, classes, pairs, strict=True)
    ]
    assert len({kind_of(one.requests) for one in asked}) == 1
    with passes_of(tiny.model) as images:
        made = first_maps(tiny, asked, OfNetwork.of(tiny.model))
    if layer == "features":
        assert images == [4]
    for photo, one, session in zip(given, asked, made, strict=True):
        assert isinstance(session, ImageSession)
        alone = open_session(tiny, photo)
        np.testing.assert_allclose(session.prob, alone.prob, atol=1e-6)
        assert session.image.tobytes() == alone.image.tobytes()
        torch.testing.assert_close(session.x, alone.x)
        for request in one.requests:
            assert session.known(request)
            found, expected = session.map(request), alone.map(request)
            scale = float(expected.maps.abs().max())
            torch.testing.assert_close(found.maps, expected.maps, rtol=1e-4, atol=1e-5 * scale + 1e-9)
            assert (found.layer, found.targets, found.request) == (
                expected.layer,
                expected.targets,
                expected.request,
            )


def test_what_goes_alone(tiny: Classifier) -> None:
    many = (
        MapRequest("score_cam"),
        MapRequest("integrated_gradients"),
        MapRequest("grad_cam", smoothing=Smoothing(True)),
    )
    assert one_pass((*many, MapRequest("fem"))) == (MapRequest("fem"),)
    one_at_a_time = replace(tiny, model=one_by_one(tiny.model))
    request = (MapRequest("grad_cam", "features", 1),)
    sizes = list[int]()
    handle = one_at_a_time.model.features.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))  # type: ignore[union-attr, operator]
    made = first_maps(one_at_a_time, [Asked(photo, None, request) for photo in photos(3)])
    handle.remove()  # type: ignore[union-attr]
    assert sizes == [1, 1, 1]
    assert all(isinstance(session, ImageSession) and session.known(request[0]) for session in made)


def test_one_that_fails_leaves_the_others(tiny: Classifier) -> None:
    """A face that is not there; an image whose scores are not finite; a class that there is not."""
    given, request = photos(4), MapRequest("grad_cam", "features", 1)
    broken = replace(tiny, model=NotFinite(tiny.model))
    white = Image.new("RGB", (40, 40), "white")
    wrong = Asked(given[2], None, (replace(request, target=99),))
    asked = [
        Asked(given[0], None, (request,)),
        Asked(white, None, (request,)),
        Asked(given[1], None, (request,)),
    ]
    first, failed, last = first_maps(broken, asked)
    assert isinstance(failed, UserError)
    assert "NaN" in str(failed)
    for session, photo in ((first, given[0]), (last, given[1])):
        assert isinstance(session, ImageSession)
        torch.testing.assert_close(session.map(request).maps, open_session(tiny, photo).map(request).maps)
    good, bad = first_maps(tiny, [asked[0], wrong])
    assert isinstance(good, ImageSession)
    assert isinstance(bad, ImageSession)
    torch.testing.assert_close(good.map(request).maps, open_session(tiny, given[0]).map(request).maps)
    with pytest.raises(UserError, match="do not fit"):
        bad.map(wrong.requests[0])


class NotFinite(torch.nn.Module):
    """NaN for images that are white everywhere."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.features, self.whole = model.features, model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.whole(x)
        return torch.where((x.amin((1, 2, 3)) > 0.99)[:, None], torch.nan, scores)


class Busy:
    """A context whose network others use."""

    def __init__(self, run: RunData, network: Classifier):
        self.ctx = Context(run, network=network)
        self.queue: MapQueue = self.ctx.maps

    def ask(
        self, photo: Image.Image, *requests: MapRequest, row: int | None = None
    ) -> "Future[ImageSession]":
        return self.queue.ask(photo, None, requests, None if row is None else {"row": row})

    def until_waiting(self, count: int) -> None:
        until = time.monotonic() + 30
        while len(self.queue._waiting) != count or not self.ctx._lock.waiting:
            assert time.monotonic() < until
            time.sleep(0.001)


@pytest.fixture
def busy(small_run: RunData, tiny: Classifier) -> Busy:
    return Busy(small_run, tiny)


def test_five_who_wait_make_one_pass(busy: Busy, tiny: Classifier) -> None:
    given = photos(5)
    with passes_of(tiny.model) as images:
        with busy.ctx.classifier():
            sessions = [
                busy.ask(photo, MapRequest("layer_cam", "features", k % 3), row=k)
                for k, photo in enumerate(given)
            ]
            busy.until_waiting(5)
        made = [session.result(30) for session in sessions]
    assert images == [5]
    for k, session in enumerate(made):
        request = MapRequest("layer_cam", "features", k % 3)
        assert busy.ctx.sessions.known({"row": k}) is session
        torch.testing.assert_close(session.map(request).maps, open_session(tiny, given[k]).map(request).maps)
    with passes_of(tiny.model) as images:  # the next one, alone: its pass is kept for other classes
        alone = busy.ask(given[0], MapRequest("layer_cam", "features", 0)).result(30)
        alone.map(MapRequest("grad_cam", "features", 2))
    assert images == [1]


def test_other_requests_go_by_themselves_and_passes_are_bounded(busy: Busy, tiny: Classifier) -> None:
    """Of another layer or method; `MOST` in one pass; a subject that several ask for once."""
    one, other = MapRequest("grad_cam", "features", 1), MapRequest("grad_cam", "features.2", 1)
    picture = photos(1)[0]
    with passes_of(tiny.model) as images:
        with busy.ctx.classifier():
            many = [busy.ask(picture, one) for _ in range(MOST + 2)]
            of_layer = [busy.ask(picture, other), busy.ask(picture)]
            same = [busy.ask(picture, one, row=0) for _ in range(2)]
            busy.until_waiting(MOST + 6)
        made = [session.result(30) for session in (*many, *of_layer, *same)]
    assert images == [MOST, 3, 1, 1]  # two that were left, and the subject of the last two
    assert made[-1] is made[-2]


def test_places_of_those_who_wait(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of one kind go in the first pass, though one of another kind is between them."""
    picture, one, other = photos(1)[0], MapRequest("grad_cam", "features", 1), MapRequest("fem", "features")
    with busy.ctx.classifier():
        waits = [busy.ask(picture, request) for request in (one, other, one)]
        busy.until_waiting(3)
        assert [busy.queue.place(session) for session in waits] == [(1, 0), (2, 0), (3, 0)]
        monkeypatch.setattr(busy.queue, "_took", 2.5)
        assert [busy.queue.place(session) for session in waits] == [(1, 2.5), (2, 5.0), (3, 2.5)]
    for session in waits:
        session.result(30)
        assert busy.queue.place(session) == (0, 0)


def test_who_waits_in_inspect_sees_the_place(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_queue, "EVERY", 0.01)
    busy.queue._took = 2.5
    with gr.Blocks():
        tab = InspectTab(busy.ctx)
    values = [control.value for control in tab._form.inputs]
    held, released = threading.Event(), threading.Event()

    def use() -> None:
        with busy.ctx.classifier():
            held.set()
            assert released.wait(30)

    async def visit() -> list[str]:
        panels = []
        async for shown in tab.explain(gr.Request(session_hash="me"), {"row": 0}, *values):  # type: ignore[attr-defined]
            panels.append(str(shown[1]))
            released.set()
        return panels

    with ThreadPoolExecutor(1) as other:
        other.submit(use)
        assert held.wait(30)
        first, *_, last = asyncio.run(visit())
    assert "Waiting for the network: position 1, about 2 s." in first
    assert "vt-map" not in first
    assert "vt-map" in last


def test_who_cancels_is_left_out_alone(busy: Busy, tiny: Classifier) -> None:
    request, stops = MapRequest("grad_cam", "features", 1), busy.ctx.cancellation
    wanted = {who: stops.still_wanted(who) for who in "abc"}

    async def visit() -> list[Any]:
        sessions = [busy.ask(photo, request) for photo in photos(3)]
        waits = [asyncio.create_task(answer(s, wanted[who])) for s, who in zip(sessions, "abc", strict=True)]
        await asyncio.to_thread(busy.until_waiting, 3)
        stops.stop("b")
        await asyncio.wait([waits[1]], timeout=30)
        released.set()
        return await asyncio.gather(*waits, return_exceptions=True)

    held, released = threading.Event(), threading.Event()

    def use() -> None:
        with busy.ctx.classifier():
            held.set()
            assert released.wait(30)

    with ThreadPoolExecutor(1) as other, passes_of(tiny.model) as images:
        other.submit(use)
        assert held.wait(30)
        first, second, third = asyncio.run(visit())
    assert isinstance(second, Cancelled)
    assert first.known(request)
    assert third.known(request)
    assert images == [2]
    wanted["a"]()  # nobody stopped these
    stops.still_wanted("b")()  # work that begins later is wanted


def test_a_network_that_cannot_be_had_is_said_to_all(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def refused() -> Iterator[Classifier]:
        raise UserError("no network")
        yield

    monkeypatch.setattr(busy.queue, "_classifier", refused)
    for session in [busy.ask(photo) for photo in photos(2)]:
        with pytest.raises(UserError, match="no network"):
            session.result(30)


@pytest.mark.slow
def test_five_visitors_of_the_page_share_a_pass(busy: Busy, tiny: Classifier, tmp_path: Path) -> None:
    """By `/explain`, while the network is in use; reading goes on meanwhile."""
    files = [tmp_path / f"{k}.png" for k in range(5)]
    for photo, file in zip(photos(5), files, strict=True):
        photo.save(file)
    with served(busy.ctx) as url, ThreadPoolExecutor(5) as pool, passes_of(tiny.model) as images:
        visitors = [Visitor(url) for _ in files]

        def explain(visitor: Visitor, file: Path) -> dict[str, Any]:
            event = next(d for d in visitor.config["dependencies"] if d["api_name"] == "explain")
            photo = {"path": visitor.upload(file), "meta": {"_type": "gradio.FileData"}}
            return visitor.ask(event, [photo, "grad_cam", "", "features", ""])

        with busy.ctx.classifier():
            asked = [pool.submit(explain, *one) for one in zip(visitors, files, strict=True)]
            busy.until_waiting(5)
            assert Visitor(url).click("vt-table", "class", 1)["success"]
        answers = [one.result(60) for one in asked]
    assert images == [5]
    for answer_, photo in zip(answers, photos(5), strict=True):
        assert answer_["success"]
        alone = open_session(tiny, photo).map(MapRequest("grad_cam", "features"))
        np.testing.assert_allclose(answer_["output"]["data"][0]["map"], alone.raw, rtol=1e-3, atol=1e-6)
