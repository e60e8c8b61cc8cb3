"""The verdicts on a run's maps where its page shows them: the line above the images, lists of methods, and
the first method."""

import os
import re
import shutil
import time

import pytest

from dashboard.components.toolbar import method_choice
from dashboard.components.trust.trust_line import NOT_YET, trust_line
from dashboard.tabs.errors_state import View, first_view, from_query
from dashboard.tabs.export import _methods
from explain.quality.known import (
    first_method,
    known,
    methods_by_verdict,
    shared_method,
    state_of,
    verdict_of,
)
from explain.run.reader import RunData, open_run
from tests.measured import BETTER, CENTER, SAME, above_chance, keep


@pytest.fixture
def small_run(small_run: RunData) -> RunData:
    """Above chance, so that what is measured counts."""
    return above_chance(small_run)


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
