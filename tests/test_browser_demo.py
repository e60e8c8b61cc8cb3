"""The walk of docs/tutorial.md on the page: the first screen names the fault, one click shows its images, the
check of a map, and the link to the repaired network in Compare."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from launch import DEMO, REPAIRED
from tests.pages import FITS, open_tab

if TYPE_CHECKING:
    from playwright import sync_api as playwright

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of both shipped runs; they are written to."""
    folder = tmp_path_factory.mktemp("runs")
    for run in (DEMO, REPAIRED):
        shutil.copytree(run, folder / run.name)
    return folder / DEMO.name


@pytest.mark.parametrize("page", [(1280, False, "")], indirect=True, ids=["wide light"])
def test_from_the_first_screen_to_the_repaired_network(page: "playwright.Page") -> None:
    finding = page.locator(".vt-proposal").first
    finding.wait_for()
    box = finding.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 900  # without scrolling
    assert "anger may be recognized by studio: North." in finding.inner_text()
    finding.locator("[data-action=group]").click()
    page.wait_for_selector("#vt-gallery .vt-side >> nth=2")
    page.wait_for_function("document.getElementById(`vt-gallery`).getBoundingClientRect().top < 90")
    titles = page.locator("#vt-gallery .vt-side h3").all_inner_texts()
    assert [t.split("\u00a0")[0].split(" of ")[0].rstrip(" 0123456789") for t in titles] == [
        "anger, studio: North",
        "anger, without it",
        "others, studio: North",
    ]
    boxes = page.locator("#vt-gallery .vt-side").evaluate_all(
        "columns => columns.map(column => column.getBoundingClientRect())"
    )  # at one moment: the page is still moving
    lefts, tops = ([box[side] for box in boxes] for side in ("x", "y"))
    assert lefts == sorted(set(lefts))
    assert max(tops) - min(tops) < 1
    assert page.evaluate(FITS)
    page.locator("#vt-gallery .vt-side .vt-card").first.click()
    page.locator("#vt-live [data-action=check]").first.click()
    page.wait_for_selector("#vt-live .vt-map-check")
    open_tab(page, "Errors")
    finding.locator("a[href*=compare]").click()
    page.wait_for_selector("#vt-flips .vt-card")
    table = page.locator("#vt-metrics section:has(h2:has-text('Shortcuts of A'))")
    assert "anger, without it" in table.inner_text()


@pytest.mark.parametrize("page", [(390, True, "")], indirect=True, ids=["phone dark"])
def test_on_a_phone(page: "playwright.Page") -> None:
    page.locator(".vt-proposal [data-action=group]").first.click()
    page.wait_for_selector("#vt-gallery .vt-side >> nth=2")
    assert page.evaluate(FITS)
