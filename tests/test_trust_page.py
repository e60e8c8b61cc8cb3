"""The verdicts on a run's maps where its page shows them: the line above the images, lists of methods, the
first method, and the measurement behind the button."""

import asyncio
import os
import re
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

from dashboard.components.toolbar import method_choice
from dashboard.components.trust_line import NOT_YET, trust_line
from dashboard.server.permissions import Access
from dashboard.server.serving import ServeConfig
from dashboard.server.sharing import Sharing
from dashboard.session.context import Context
from dashboard.session.measuring import CANCELLED
from dashboard.tabs.errors import ErrorsTab
from dashboard.tabs.errors_state import View, first_view, from_query
from dashboard.tabs.export import _methods
from dashboard.tabs.inspect_maps import live_maps
from dashboard.tabs.inspect_state import InspectView
from explain.quality.known import (
    first_method,
    known,
    methods_by_verdict,
    shared_method,
    state_of,
    verdict_of,
)
from explain.quality.small import IMAGES
from explain.quality.store import description_stores, stores
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.errors import UserError
from tests.command import launch, one_line
from tests.conftest import TinyNet
from tests.measured import BETTER, CENTER, SAME, above_chance, keep


@pytest.fixture
def small_run(small_run: RunData) -> RunData:
    """Above chance, so that what is measured counts."""
    return above_chance(small_run)


# --- what is known


def test_nothing_is_known_of_a_run_that_was_not_measured(small_run: RunData) -> None:
    assert known(small_run) is None
    assert state_of(small_run, "grad_cam") == "unknown"
    assert methods_by_verdict(small_run) == ["grad_cam", "layer_cam"]
    assert first_method(small_run) == "grad_cam"


def test_verdicts_are_those_of_the_figures(small_run: RunData) -> None:
    keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    found = known(small_run)
    assert found is not None
    assert (found.own, found.images) == (True, 12)
    assert verdict_of(small_run, "layer_cam").text == "beats its best control on 100 % of images"
    assert verdict_of(small_run, "grad_cam").text == "no better than the center"
    assert [state_of(small_run, m) for m in ("layer_cam", "grad_cam")] == ["passes", "does not pass"]
    assert methods_by_verdict(small_run) == ["layer_cam", "grad_cam"]
    assert first_method(small_run) == "layer_cam"
    assert known(small_run) is found  # read once


def test_a_measured_method_that_does_not_pass_comes_after_one_that_is_not_measured(
    small_run: RunData,
) -> None:
    keep(small_run, {"grad_cam": CENTER})
    assert verdict_of(small_run, "grad_cam").text == "its maps are the center"
    assert methods_by_verdict(small_run) == ["layer_cam", "grad_cam"]
    assert first_method(small_run) == "grad_cam"  # none is known to pass: the run's first


def test_the_own_layer_comes_before_newer_ones_of_others(small_run: RunData) -> None:
    other = keep(small_run, {"grad_cam": BETTER}, layer="features.0")
    found = known(small_run)
    assert found is not None
    assert (found.layer, found.own) == ("features.0", False)
    assert verdict_of(small_run, "grad_cam") is None  # no verdict on the run's own maps
    assert first_method(small_run) == "grad_cam"
    keep(small_run, {"grad_cam": SAME})
    os.utime(other.folder / "about.json", (time.time() + 60,) * 2)
    assert verdict_of(small_run, "grad_cam").text == "no better than the center"


def test_damaged_files_are_as_none(small_run: RunData) -> None:
    store = keep(small_run, {"grad_cam": BETTER})
    for part in store.parts:
        part.write_bytes(part.read_bytes()[:-30])
    assert known(small_run) is None
    for part in store.parts:
        part.unlink()
    store.add([{"id": "a.png", "method": "grad_cam", "variant": ""}])  # without any figure
    assert known(small_run) is None
    (store.folder / "about.json").write_text("{")
    assert known(small_run) is None
    shutil.rmtree(store.folder)
    assert known(small_run) is None


def test_two_runs_are_compared_by_a_method_that_passes_in_both(small_run: RunData) -> None:
    other = open_run(shutil.copytree(small_run.folder, small_run.folder.parent / "other"))
    assert shared_method(small_run, other) == "grad_cam"
    keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    assert shared_method(small_run, other) == "grad_cam"
    keep(other, {"grad_cam": BETTER, "layer_cam": BETTER})
    assert shared_method(small_run, other) == "layer_cam"


# --- the line and the lists


def line_of(html: str) -> str:
    """Its text: the name of the method and what is said of it."""
    return re.sub(r"<[^>]+>", "", html.partition("</p>")[0])


def test_the_line_in_every_state(small_run: RunData) -> None:
    html = trust_line(small_run, "grad_cam", "button")
    assert NOT_YET in html
    assert line_of(html) == f"Grad-CAM: {NOT_YET}"
    assert 'data-action="measure"' in html
    html = trust_line(small_run, "grad_cam", "command")
    assert f"trust {small_run.folder}" in html
    assert "data-copy" in html
    html = trust_line(small_run, "grad_cam", "")
    assert NOT_YET in html
    assert "<button" not in html
    html = trust_line(small_run, "grad_cam", "button", "40 %, about 9 s left")
    assert line_of(html) == "Grad-CAM: Measuring how far the maps can be trusted (40 %, about 9 s left)."
    assert 'data-action="stop"' in html
    assert 'data-action="measure"' not in html
    assert "data-action" not in trust_line(small_run, "grad_cam", "", "40 %")
    assert "<small>Cancelled.</small>" in trust_line(small_run, "grad_cam", "button", ended="Cancelled.")
    keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    html = trust_line(small_run, "grad_cam", "button")
    assert '<span class="vt-negative">no better than the center</span>' in html
    assert line_of(html) == "Grad-CAM: no better than the center"
    assert "insertion − deletion: 0.400, the center 0.400" in html
    assert f"at layer {small_run.manifest.request.layer}, 12 images" in html
    assert "<button" not in html
    html = trust_line(small_run, "layer_cam", "")
    assert '<span class="vt-positive">beats its best control on 100 % of images</span>' in html


def test_few_images_and_another_layer_are_said(small_run: RunData) -> None:
    keep(small_run, {"grad_cam": BETTER}, layer="features.0")
    html = trust_line(small_run, "grad_cam", "button")
    assert "At features.0: beats its best control on 100 % of images." in html
    assert line_of(html).startswith("Grad-CAM: Not measured at ")
    assert "vt-positive" not in html
    assert NOT_YET in trust_line(small_run, "layer_cam", "")
    keep(small_run, {"grad_cam": BETTER}, images=5)
    html = trust_line(small_run, "grad_cam", "button")
    assert "5 images are too few to say" in html
    assert 'data-action="measure"' in html


def test_names_are_escaped(small_run: RunData) -> None:
    small_run.manifest.titles["grad_cam"] = "<b>'x"
    html = trust_line(small_run, "grad_cam", "command", ended="<i>")
    assert "<b>&lt;b&gt;&#39;x</b>" in html
    assert "<i>" not in html
    keep(small_run, {"grad_cam": SAME})
    assert "&lt;b&gt;&#39;x: no better" in method_choice(small_run, View(method="grad_cam"))


def test_lists_begin_with_what_passes_and_say_the_verdict(small_run: RunData) -> None:
    plain = method_choice(small_run, View(method="grad_cam"))
    assert plain.index(">Grad-CAM<") < plain.index(">LayerCAM<")
    keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    html = method_choice(small_run, View(method="grad_cam"))
    best, other = (
        html.index(t)
        for t in (
            "LayerCAM: beats its best control on 100 % of images",
            "Grad-CAM: no better than the center",
        )
    )
    assert best < other
    assert [name for _, name in _methods(small_run)] == ["layer_cam", "grad_cam"]  # of Export


def test_links_keep_their_method(small_run: RunData) -> None:
    assert "method" not in first_view(small_run).query(small_run)
    named = View(method="grad_cam").query(small_run)
    keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    assert first_view(small_run).method == "layer_cam"
    assert "method=layer_cam" in first_view(small_run).query(small_run)
    assert "method=grad_cam" in View(method="grad_cam").query(small_run)
    assert from_query({"method": "grad_cam"}, small_run).method == "grad_cam"
    assert "method" not in named  # of before: it names none, and gets the first one of now


# --- the button


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
