"""Every view of the dashboard by the rules of axe-core, wide and on a phone, light and dark; and by keyboard
alone."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import dashboard.tabs.new_run
from dashboard.session.context import Context
from explain.run.people.notes import add
from explain.run.reader import open_run
from models.faces.crop import FaceCrop
from models.faces.tracking import FaceTracker
from tests.axe import Axe
from tests.command import run_command
from tests.conftest import TOON_RUN
from tests.pages import DARK, DRAWN, FITS, Events, open_tab, resized, served
from tests.test_faces import montage
from tests.test_trained import fake

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHECK = ("check", "--model", "fer_vgg:toon_faces", "--data", "toon_faces")
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
Page = playwright.Page


def lens(name: str) -> Callable[[Page], None]:
    def opened(page: Page) -> None:
        page.click(f".vt-lenses button:has-text('{name}')")
        page.wait_for_selector(f".vt-lenses button.vt-on:has-text('{name}')")

    return opened


def one_class(page: Page) -> None:
    page.click("#vt-table tr:has-text('neutral')")
    page.wait_for_selector("h3:has-text('neutral, misclassified')")


def pair(page: Page) -> None:
    page.locator(".vt-cell.vt-miss:not(:text-is('0'))").first.click()
    page.wait_for_selector(".vt-pairs .vt-card")
    page.locator(".vt-note summary").first.click()


def live_maps(page: Page) -> None:
    open_tab(page, "Inspect")
    page.wait_for_selector("#vt-facts .vt-top")
    page.click("#vt-facts .vt-top:nth-of-type(2)")
    page.wait_for_selector("#vt-live h2:has-text('Maps for')")
    page.click("#vt-again summary")
    page.click("#vt-parameters button")


def layers(page: Page) -> None:
    open_tab(page, "Layers")
    page.wait_for_selector(".vt-channel:visible")
    page.locator("#vt-network tr:has-text('conv2_relu')").first.click()
    page.wait_for_selector("#vt-sheet h2:has-text('conv2_relu')")
    page.locator("#vt-sheet .vt-channel").nth(3).click()
    page.wait_for_selector("#vt-alone h2:has-text('Channel 3')")


def filters(page: Page) -> None:
    open_tab(page, "Filters")
    page.wait_for_selector("#vt-weights .vt-channel")
    page.click("#vt-filter-layers tr:has-text('conv4')")
    page.wait_for_selector("#vt-weights h2:has-text('conv4')")
    page.locator("#vt-weights .vt-channel").nth(3).click()
    page.wait_for_selector("#vt-filter h2:has-text('conv4, filter 3')")


def inversion(page: Page) -> None:
    open_tab(page, "Inversion")
    page.wait_for_selector("#vt-inversion h2:has-text('of')")


def gaze(page: Page) -> None:
    open_tab(page, "Gaze")
    page.wait_for_selector("#vt-gaze .vt-map")
    page.wait_for_selector("#vt-gaze-curves .js-plotly-plot")


def empty(page: Page) -> None:
    open_tab(page, "Compare")
    page.wait_for_selector("#vt-against .vt-panel")


def compared(page: Page) -> None:
    page.select_option("#vt-against select", "0")
    page.wait_for_selector("#vt-flips .vt-toolbar")
    page.wait_for_selector("#vt-metrics table")


def new_run(page: Page) -> None:
    open_tab(page, "New run")
    for title in ("Drop files", "Labels and classes", "Input of the network", "Methods and layer"):
        page.click(f"[role=tabpanel]:visible button:has-text('{title}')")
    page.click("#vt-run-check")
    page.wait_for_selector("#vt-check select[data-action='output:0']", timeout=60_000)


def train(page: Page) -> None:
    open_tab(page, "Train")
    page.click(".vt-open:has-text('older')")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 6")
    for box in page.locator(".vt-training input").all():
        box.check()
    page.wait_for_selector("h2:has-text('Recall of each class')")


def export(page: Page) -> None:
    open_tab(page, "Export")
    page.wait_for_selector(".vt-handed .vt-card")


def live(page: Page) -> None:
    """With the first frames of the camera; the next ones wait for their answer."""
    open_tab(page, "Inspect")
    page.click(".vt-camera summary")
    page.click("[data-live=start]")
    page.wait_for_selector(".vt-camera .vt-map")
    page.route("**/component_server/", lambda route: None)


def photo(page: Page) -> None:
    page.unroute("**/component_server/")
    page.click("[data-live=stop]")
    montage().save(file := io.BytesIO(), "JPEG")
    given = playwright.FilePayload(name="two.jpg", mimeType="image/jpeg", buffer=file.getvalue())
    page.set_input_files("#vt-upload input[type=file]", given)
    page.wait_for_selector("#vt-faces .vt-face")


def review(page: Page) -> None:
    open_tab(page, "Review")
    page.fill("#vt-review-card [data-action=name]", "ann")
    page.keyboard.press("Tab")
    page.click("#vt-review-card button:has-text('agree')")
    page.wait_for_selector("#vt-review-card .vt-last")


VIEWS: dict[str, Callable[[Page], None]] = {
    "Errors, images": lambda page: None,
    "Errors, attention": lens("Attention"),
    "Errors, means": lens("Mean maps"),
    "Errors, clusters": lens("Clusters"),
    "Errors, slices": lens("Slices"),
    "Errors, notes": lens("Notes"),
    "Errors, a class": lambda page: (lens("Images")(page), one_class(page))[1],
    "Errors, a pair": pair,
    "Inspect": live_maps,
    "Layers": layers,
    "Filters": filters,
    "Inversion": inversion,
    "Gaze": gaze,
    "Compare, empty": empty,
    "Compare": compared,
    "New run": new_run,
    "Live": live,
    "Photo": photo,
    "Review": review,
    "Train": train,
    "Export": export,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped demo, with its survey and one note, beside a run to compare with."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("demo", "other"):
        shutil.copytree(TOON_RUN, folder / name)
    run = open_run(folder / "demo")
    add(run.folder, str(run.table.at[0, "id"]), "tags", ["blurred"])
    return folder / "demo"


@pytest.fixture(scope="module")
def server(trainings: Path, demo: Path) -> Iterator[str]:
    """The dashboard, which looks for faces in photos: its address."""
    with served(Context(open_run(demo), trainings=trainings, faces="auto")) as url:
        yield url


def test_axe_finds_nothing(
    page: Page, events: Events, trainings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wide and light, wide and dark, narrow and dark, narrow and light: every rule in the first theme of a
    width; in the second theme, which changes nothing but colors, their contrast."""
    monkeypatch.setattr("explain.run.preflight.check.MOST", 32)
    answer = json.loads(run_command(*CHECK, "--json").stdout)  # without a process of its own
    monkeypatch.setattr(dashboard.tabs.new_run, "check_in_steps", lambda words, stop: iter([answer]))
    monkeypatch.setattr(FaceTracker, "crop", cropped)  # the camera shows none
    page.add_style_tag(content=STILL)
    rules, dark, wrong = Axe(page), False, list[str]()
    for k, name in enumerate(("older", "oldest")):
        fake(trainings / f"{name}.safetensors", k)
    for name, go in VIEWS.items():
        go(page)
        events.wait()
        for width in (1280, 390):
            resized(page, width)
            wrong += [f"{name}, {width}: {line}" for line in rules.view(hidden=False)]
            page.click("[data-theme-switch]")
            dark = not dark
            assert page.evaluate(DARK) is dark
            wrong += [f"{name}, {width}, other theme: {line}" for line in rules.contrast()]
        resized(page, 1280)
    wrong += [f"all tabs: {line}" for line in rules.view(hidden=True)]
    assert not wrong, "\n".join(wrong)
    planted_violations_are_found(page, rules)


def cropped(tracker: FaceTracker, frame: Image.Image, at: float) -> FaceCrop:
    return FaceCrop(tracker.request, frame.size, region=(40, 20, 200, 180))


PALE = "<p id=pale style='color: #999; background: #aaa'>pale</p>"
CLOSE = "<button class=close style='all: unset; display: inline-block; width: 9px; height: 9px'>x</button>"


def planted_violations_are_found(page: Page, rules: Axe) -> None:
    """What is new in a piece, in both themes, and what was changed in place."""
    piece = page.locator("[role=tabpanel]:visible .vt-panel:visible").first
    page.evaluate(DRAWN)
    assert not rules.view()
    piece.evaluate(
        "(node, made) => node.insertAdjacentHTML('beforeend', made)",
        PALE + CLOSE + CLOSE + "<img src='data:,'>",
    )
    found = rules.view()
    for rule, target in (("color-contrast", "#pale"), ("target-size", ".close"), ("image-alt", "img")):
        assert any(line.startswith(f"{rule}: ") and target in line for line in found), (rule, found)
    page.click("[data-theme-switch]")
    assert any("#pale" in line for line in rules.contrast())
    page.click("[data-theme-switch]")
    page.evaluate("document.querySelectorAll('#pale, .close, img[src=\"data:,\"]').forEach(n => n.remove())")
    assert not rules.view()
    page.locator("[role=tabpanel]:visible h2:visible").first.evaluate(
        "node => { node.style.color = node.style.background = '#888' }"
    )
    assert [line for line in rules.view() if line.startswith("color-contrast: ")]


FOCUS = """() => {
  const node = document.activeElement, style = getComputedStyle(node);
  const outlined = style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2;
  return {
    piece: node.closest('.block[id]')?.id ?? '',
    name: node.ariaLabel || node.textContent.trim().slice(0, 40) || node.outerHTML.slice(0, 120),
    visible: node.matches(':focus-visible') && outlined,
    color: style.outlineColor,
    body: node === document.body,
  };
}"""
REACHABLE = """() => {
  const controls = 'button, a[href], input, select, textarea, summary, [tabindex="0"]';
  const seen = node => node.checkVisibility({visibilityProperty: true});
  const open = node => seen(node) && !node.disabled && node.tabIndex >= 0;
  return [...document.querySelectorAll(controls)].filter(open).length;
}"""
TEAL = {False: "rgb(13, 112, 104)", True: "rgb(63, 184, 171)"}
ON_TOP = ["vt-top", "vt-numbers", "vt-what"]
MATRIX, IMAGES = ["vt-confusion", "vt-table"], ["vt-trust", "vt-gallery"]


def by_tab(page: Page) -> list[dict[str, Any]]:
    """What has the focus after each press of Tab, from the first control of the page to the last."""
    page.evaluate(DRAWN)
    page.evaluate("document.activeElement.blur()")
    page.locator("[data-theme-switch]").focus()
    reached = [page.evaluate(FOCUS)]
    while len(reached) < 400:
        page.keyboard.press("Tab")
        if (now := page.evaluate(FOCUS))["body"]:
            break
        reached.append(now)
    return reached


def order(reached: list[dict[str, Any]]) -> list[str]:
    """The page's pieces, each as often as it is entered."""
    pieces = [now["piece"] for now in reached if now["piece"].startswith("vt-")]
    return [piece for k, piece in enumerate(pieces) if k == 0 or piece != pieces[k - 1]]


@pytest.mark.parametrize(
    "page", [(1280, False, ""), (390, True, "")], indirect=True, ids=["wide light", "phone dark"]
)
def test_tab_reaches_every_control(page: Page) -> None:
    """In the order in which they are seen, with an outline around each."""
    phone = page.viewport_size["width"] < 900
    errors = [*ON_TOP, *IMAGES, *MATRIX] if phone else [*ON_TOP, *MATRIX, *IMAGES]
    assert page.evaluate(FITS)
    assert page.locator(".vt-card").first.is_visible()
    for name in ("Errors, images", "Inspect"):
        VIEWS[name](page)
        reached = by_tab(page)
        assert len(reached) == page.evaluate(REACHABLE)
        outlined = [now["visible"] and now["color"] == TEAL[phone] for now in reached[1:]]
        assert all(outlined), reached[1 + outlined.index(False)]
        pieces = order(reached)
        assert len(pieces) == len(set(pieces)), "a piece is left and entered again"
        if name != "Inspect":
            assert pieces == [piece for piece in errors if piece in pieces]
            assert {*IMAGES, *MATRIX} <= set(pieces)
    if phone:  # it arrived narrow and in the dark
        page.add_style_tag(content=STILL)
        assert not Axe(page).view()
    else:
        open_tab(page, "Errors")
        the_focus_stays_where_it_was(page)


def the_focus_stays_where_it_was(page: Page) -> None:
    """A click by keyboard draws a piece anew; arrows move among the tabs of Errors."""
    page.focus(".vt-lenses [role=tab]:has-text('Attention')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#vt-gallery h2:has-text('Map statistics')")
    page.wait_for_function("document.activeElement.textContent === 'Attention'")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "Mean maps"
    page.focus("[aria-label='next page']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".vt-pager:has-text('2 /')")
    page.wait_for_function("document.activeElement.ariaLabel === 'next page'")
