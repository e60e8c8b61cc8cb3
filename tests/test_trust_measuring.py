"""The measurement of a run's maps behind the button of its page, and by an option of `serve`."""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import gradio as gr
import pytest
import torch

from dashboard.server.permissions import Access
from dashboard.server.serving import ServeConfig
from dashboard.server.sharing import Sharing
from dashboard.session.context import Context
from dashboard.session.measuring import CANCELLED
from dashboard.tabs.errors import ErrorsTab
from dashboard.tabs.errors_state import first_view
from dashboard.tabs.inspect_maps import live_maps
from dashboard.tabs.inspect_state import InspectView
from explain.quality.known import known
from explain.quality.small import IMAGES
from explain.quality.store import description_stores, stores
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError
from tests.command import launch, one_line
from tests.conftest import TinyNet
from tests.measured import BETTER, SAME, above_chance, keep


@pytest.fixture
def small_run(small_run: RunData) -> RunData:
    """Above chance, so that what is measured counts."""
    return above_chance(small_run)


@pytest.fixture
def made(small_run: RunData, tiny: Classifier) -> Callable[..., ErrorsTab]:
    def build(access: Access = Access.OWNER, network: Classifier | None = tiny) -> ErrorsTab:
        with gr.Blocks():
            return ErrorsTab(Context(small_run, access=access, network=network))

    return build


def click(tab: ErrorsTab, action: str, method: str = "grad_cam") -> list[Any]:
    event = SimpleNamespace(index=action, value="")
    return tab._trust.act({"method": method}, event)  # type: ignore[arg-type]


def ended(tab: ErrorsTab) -> None:
    until = time.monotonic() + 60
    while tab._ctx.measuring.running:
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_a_click_measures_and_the_page_follows(made: Callable[..., ErrorsTab], small_run: RunData) -> None:
    tab = made()
    line, clock = click(tab, "measure")
    assert "Measuring how far the maps can be trusted" in line
    assert clock.active
    click(tab, "measure")  # a second click starts nothing more
    ended(tab)
    line, clock, stamp = tab._trust.follow({"method": "grad_cam"})
    assert not clock.active
    assert stamp == tab._trust.stamp
    assert tab._trust.changed
    found = known(small_run)
    assert found is not None
    assert found.images == min(IMAGES, len(small_run.ok))
    assert found.by_method["grad_cam"].text in line
    assert {v.method for v in found.verdicts} == {"grad_cam", "layer_cam"}
    [store], [described] = stores(small_run.folder), description_stores(small_run.folder)
    assert store.settings.curves.cells == described.settings.cells == 14
    assert described.rows()["id"].nunique() == found.images
    redrawn = tab.redraw({**first_view(small_run).__dict__})
    assert found.by_method["layer_cam"].text in "".join(map(str, redrawn))
    *_, line = (piece for piece in tab.act({**first_view(small_run).__dict__}, pick("layer_cam"))[:-2])
    assert found.by_method["layer_cam"].text in line


def pick(method: str) -> Any:
    return SimpleNamespace(index="method", value=method)


@pytest.mark.slow
def test_cancel_keeps_what_was_measured_and_the_button_resumes(
    made: Callable[..., ErrorsTab], small_run: RunData
) -> None:
    tab = made()
    click(tab, "measure")
    while not tab._ctx.measuring.progress.startswith(("3", "4", "5")):
        with tab._ctx.classifier():  # so that it does one step at a time
            pass
    click(tab, "stop")
    ended(tab)
    line, *_ = tab._trust.follow({"method": "grad_cam"})
    assert CANCELLED in line
    before = known(small_run)
    click(tab, "measure")
    ended(tab)
    after = known(small_run)
    assert after is not None
    assert before is not None
    assert 0 < before.images < after.images == len(small_run.ok)


class Watched(TinyNet):
    """Tells `on_pass` how many images go through it, it or any copy of it."""

    on_pass: ClassVar[Callable[[int], None]] = staticmethod(lambda images: None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Watched.on_pass(len(x))
        return super().forward(x)


@pytest.mark.slow
def test_a_live_map_waits_for_one_batch_of_a_measurement(
    made: Callable[..., ErrorsTab], tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it is asked for: counted in images that go through the network before it is its turn."""
    model = Watched().eval()
    model.load_state_dict(tiny.model.state_dict())
    tab = made(network=replace(tiny, model=model))
    ctx, request = tab._ctx, tab._ctx.run.manifest.request
    total, passes, waited, visitors = 0, 0, list[int](), dict[threading.Thread, int]()

    def visit() -> None:
        view = InspectView({"row": 0}, layers=(request.layer,), methods=("grad_cam",))
        live_maps(ctx, view)

    def on_pass(images: int) -> None:
        nonlocal total, passes
        if (me := threading.current_thread()) in visitors:  # its first pass: it has the network
            if visitors[me] >= 0:
                waited.append(total - visitors[me])
            visitors[me] = -1
            return
        if passes % 4 == 0:  # somebody asks while this batch is under way
            ctx.sessions.forget({"row": 0})  # nothing is known of the image
            visitor = threading.Thread(target=visit, daemon=True)
            visitors[visitor] = total
            visitor.start()
            while not ctx._lock.waiting and visitor.is_alive():
                time.sleep(0.001)
        total, passes = total + images, passes + 1

    monkeypatch.setattr(Watched, "on_pass", staticmethod(on_pass))
    click(tab, "measure")
    ended(tab)
    for visitor in visitors:
        visitor.join(60)
    assert known(ctx.run).images == len(ctx.run.ok)
    assert len(waited) == len(visitors) >= 20
    assert max(waited) <= 32
    assert total > len(ctx.run.ok) * (9 * 18 + 2)  # nine maps of an image in two curves of nine steps


def test_visitors_have_no_button_and_cannot_measure(made: Callable[..., ErrorsTab]) -> None:
    tab = made(Access.VISITOR)
    assert "data-action" not in tab._trust.drawn("grad_cam")
    with pytest.raises(gr.Error, match="Visitors can look"):
        click(tab, "measure")
    assert not tab._ctx.measuring.running


def test_without_the_network_or_the_images_there_is_the_command(
    made: Callable[..., ErrorsTab], small_run: RunData
) -> None:
    assert "trust " in made(network=None)._trust.drawn("grad_cam")  # its weights are in no file
    assert 'data-action="measure"' in made()._trust.drawn("grad_cam")
    shutil.rmtree(small_run.manifest.data_root)
    tab = made()
    assert "data-copy" in tab._trust.drawn("grad_cam")
    click(tab, "measure")
    ended(tab)
    assert "can be read" in tab._trust.drawn("grad_cam")  # why there is nothing, in one line


@pytest.mark.slow
def test_a_page_that_arrives_later_opens_with_what_is_known_by_then(
    made: Callable[..., ErrorsTab], small_run: RunData
) -> None:
    tab = made()
    keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})

    async def first(**parameters: str) -> dict[str, Any]:
        return (await anext(tab.arrive(SimpleNamespace(query_params=parameters))))[0]  # type: ignore[arg-type, call-overload]

    assert asyncio.run(first())["method"] == "layer_cam"
    assert asyncio.run(first(method="grad_cam"))["method"] == "grad_cam"


# --- serve


@pytest.mark.slow
def test_serve_measures_after_the_findings(made: Callable[..., ErrorsTab], small_run: RunData) -> None:
    ctx, busy = made()._ctx, [True, True, False]
    ctx.measuring.start_when_idle(lambda: busy.pop(0))
    assert ctx.measuring.running
    assert known(small_run) is None
    while ctx.measuring.running:
        time.sleep(0.02)
    assert not busy
    before = known(small_run)
    assert before is not None
    ctx.measuring.start_when_idle(lambda: False)
    assert ctx.measuring.close()
    assert ctx.measuring.close()


def test_serve_ends_the_measurement(made: Callable[..., ErrorsTab], small_run: RunData) -> None:
    ctx = made()._ctx
    ctx.measuring.start_when_idle(lambda: True)
    assert ctx.measuring.close()
    assert known(small_run) is None


def test_the_option_of_serve(small_run: RunData) -> None:
    assert "--measure-trust" in launch("serve", "--help")
    assert not ServeConfig(small_run.folder).measure_trust
    with pytest.raises(UserError, match="leave one of them out"):
        ServeConfig(small_run.folder, Sharing(host="0.0.0.0", read_only=True), measure_trust=True).context(
            small_run
        )
    arguments = ("--run", small_run.folder, "--read-only", "--measure-trust", "--no-browser")
    assert "leave one of them out" in one_line("serve", *arguments)
