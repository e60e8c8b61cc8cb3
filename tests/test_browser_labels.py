"""Several labels per image in a real browser: choosing a label, its threshold, pairs of labels, one image
with all of its labels, links; and axe-core's rules on what is new."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explain.run.engine import run
from explain.run.people.notes import UNKNOWN, read
from explain.run.reader import open_run
from tests.pages import FITS, Events, fits_wide_and_narrow, on_a_phone_in_the_dark, open_tab, resized, served
from tests.test_label_compare import other_network
from tests.test_label_sets import NAMES, Patches, answering

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labels")
    (root / "patches").mkdir()
    patches = Patches(root / "patches", 60)
    run(answering(), patches, root / "run", ["grad_cam"])
    run(other_network(), patches, root / "other", ["grad_cam"])
    return root / "run"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    from dashboard.session.context import Context

    other = folder.parent / "other"
    with served(Context(open_run(folder, "green"), against=(other,), network=answering())) as url:
        yield url


def violations(page: "playwright.Page", area: str) -> list[Any]:
    """Of axe-core's rules, as the page is, and on a phone in the dark; there the page stays."""
    rules = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    found = [*axe.Axe().run(page, context=area, options=rules).response["violations"]]
    on_a_phone_in_the_dark(page)
    return [*found, *axe.Axe().run(page, context=area, options=rules).response["violations"]]


def test_one_label_after_the_other(page: "playwright.Page") -> None:
    """Wide and light until a pair of labels is shown, then on a phone and in the dark."""
    events = Events(page)
    page.wait_for_selector("#vt-labels tr.vt-on:has-text('green')")
    page.click("#vt-labels tr:has-text('blue')")
    page.wait_for_selector("#vt-labels tr.vt-on:has-text('blue')")
    page.wait_for_selector("#vt-threshold h2:has-text('blue is predicted')")
    page.fill("#vt-threshold input[type=number]", "0.05")
    page.keyboard.press("Tab")
    page.wait_for_selector("#vt-threshold button:has-text('0 misses')")
    page.click("#vt-labels [data-action=pairs][data-value=together]")
    page.locator("#vt-labels .vt-cell[data-action=together]:not(:text-is('0'))").first.click()
    page.wait_for_selector("#vt-gallery h2:has-text('red and ')")
    page.wait_for_selector("#vt-labels tr.vt-on:has-text('red')")
    page.wait_for_selector("#vt-what:has-text('Checked'), #vt-what .vt-proposal, #vt-what .vt-warning")
    events.wait()
    link = page.locator("#vt-gallery [data-link]").first.get_attribute("data-link") or ""
    assert "label=red" in link
    assert "thresholds=2%3A0.05" in link
    assert violations(page, "#vt-labels") == []
    page.locator("#vt-gallery .vt-card img").first.click()
    open_tab(page, "Inspect")
    page.wait_for_selector("#vt-facts h2:has-text('Labels')")
    page.click(f"#vt-facts .vt-top:has-text('{NAMES[3]}')")
    page.wait_for_selector(f"#vt-live h2:has-text('Maps for {NAMES[3]}')")
    events.wait()
    assert fits_wide_and_narrow(page)
    page.click("[data-theme-switch]")
    resized(page, 1280)
    assert violations(page, "#vt-facts") == []


@pytest.mark.parametrize("page", [(390, True, "?image=3.png&label=grey&threshold=0.9")], indirect=True)
def test_right_labels_are_toggled_and_kept(page: "playwright.Page", events: Events, folder: Path) -> None:
    page.wait_for_selector("#vt-labels tr.vt-on:has-text('grey')", state="attached")  # behind Inspect
    assert page.input_value("#vt-threshold input[type=number]") == "0.9"
    editor = page.locator("#vt-remark .vt-note")
    open_tab(page, "Inspect")
    events.wait()  # the image of the link brings a note of its own
    editor.locator("summary").click()
    boxes = editor.locator("[type=checkbox]").all()
    before = [name for name, box in zip((*NAMES, UNKNOWN), boxes, strict=True) if box.is_checked()]
    other = editor.locator(f"label:has-text('{NAMES[3]}')")
    other.click()
    events.wait()
    assert set(read(folder)["3.png"].labels or ()) == set(before) ^ {NAMES[3]}
    rules = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    assert axe.Axe().run(page, context="#vt-remark", options=rules).response["violations"] == []
    other.click()
    events.wait()
    assert read(folder) == {}


@pytest.mark.parametrize(
    "page",
    [(1280, False, "?tab=compare&against=other&label=blue&thresholds=best-f1")],
    indirect=True,
)
def test_two_runs_are_compared_by_label(page: "playwright.Page") -> None:
    events = Events(page)
    page.wait_for_selector("#vt-flips h2:has-text('blue')")
    assert page.locator("#vt-metrics [data-action=thresholds].vt-on").inner_text() == "best F1"
    page.click("#vt-flips [data-action=asked]")
    page.wait_for_selector("#vt-flips th:has-text('AP of A')")
    events.wait()
    assert page.locator("#vt-flips tbody tr").count() == 4
    rules = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    areas = ("#vt-metrics", "#vt-changes", "#vt-flips")
    found = [axe.Axe().run(page, context=area, options=rules).response["violations"] for area in areas]
    assert found == [[], [], []]
    page.click("#vt-changes tr:has-text('red')")
    page.wait_for_selector("#vt-changes tr.vt-on:has-text('red')")
    page.click("#vt-flips [data-action=which][data-value=b]")
    events.wait()
    card = page.locator("#vt-flips .vt-card").first
    if card.count():
        card.click()
        page.wait_for_selector("#vt-live h2:has-text('for red')")
        link = page.locator("#vt-facts [data-link]").first.get_attribute("data-link") or ""
        assert "label=red" in link
    assert page.evaluate(FITS)


@pytest.mark.parametrize("page", [(1280, False, "?label=pink")], indirect=True)
def test_the_other_tabs_follow_the_label(page: "playwright.Page") -> None:
    page.wait_for_selector(".toast-body:has-text('No label')")
    page.click("#vt-labels tr:has-text('blue')")
    page.wait_for_selector("#vt-labels tr.vt-on:has-text('blue')")
    events = Events(page)
    open_tab(page, "Layers")
    page.wait_for_selector("#vt-depth:has-text('Separability of blue')")
    page.select_option("#vt-sheet [data-action=order]", "weight towards the class")
    chosen = page.locator("#vt-sheet [data-action=label]")
    chosen.wait_for()
    assert chosen.input_value() == "2"
    chosen.select_option("3")
    page.wait_for_selector("#vt-depth:has-text('Separability of grey')")
    open_tab(page, "Filters")
    page.wait_for_selector("#vt-filter-layers tr")
    open_tab(page, "Inversion")
    page.wait_for_selector("#vt-inversion h2:has-text('Reconstructions of')")
    open_tab(page, "Gaze")
    page.wait_for_selector("#vt-gaze:has-text('Grad-CAM for blue')")
    events.wait()
    assert page.locator("text=takes runs of one class").count() == 0
