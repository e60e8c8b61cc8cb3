"""Several labels per image in a real browser: choosing a label, its threshold, pairs of labels, one image
with all of its labels, links; and axe-core's rules on what is new."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from explain.run.engine import run
from explain.run.notes import UNKNOWN, read
from explain.run.reader import open_run
from tests.pages import Events, open_tab, served
from tests.test_label_sets import NAMES, Patches, answering

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labels")
    (root / "patches").mkdir()
    run(answering(), Patches(root / "patches", 60), root / "run", ["grad_cam"])
    return root / "run"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    from dashboard.session.context import Context

    with served(Context(open_run(folder, "green"), network=answering())) as url:
        yield url


@pytest.mark.parametrize(
    "page", [(1280, False, ""), (390, True, "")], indirect=True, ids=["wide light", "phone dark"]
)
def test_one_label_after_the_other(page: "playwright.Page", tmp_path: Path) -> None:
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
    rules = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    found = [axe.Axe().run(page, context="#vt-labels", options=rules).response["violations"]]
    page.locator("#vt-gallery .vt-card img").first.click()
    open_tab(page, "Inspect")
    page.wait_for_selector("#vt-facts h2:has-text('Labels')")
    page.click(f"#vt-facts .vt-top:has-text('{NAMES[3]}')")
    page.wait_for_selector(f"#vt-live h2:has-text('Maps for {NAMES[3]}')")
    events.wait()
    found += [axe.Axe().run(page, context="#vt-facts", options=rules).response["violations"]]
    assert found == [[], []]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("page", [(1280, False, "?label=grey&threshold=0.9")], indirect=True)
def test_a_link_opens_its_label(page: "playwright.Page") -> None:
    page.wait_for_selector("#vt-labels tr.vt-on:has-text('grey')")
    assert page.input_value("#vt-threshold input[type=number]") == "0.9"


@pytest.mark.parametrize("page", [(390, True, "?image=3.png")], indirect=True)
def test_right_labels_are_toggled_and_kept(page: "playwright.Page", folder: Path) -> None:
    events, editor = Events(page), page.locator("#vt-remark .vt-note")
    open_tab(page, "Inspect")
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
