"""The page in a real browser: a stranger's first minutes, without a console error or a request to another
host."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import WAIT
from tests.pages import Events, open_tab, saved
from tests.test_trained import fake

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def opacity(page: "playwright.Page") -> float:
    return float(page.eval_on_selector(".vt-map", "node => getComputedStyle(node).opacity"))


def test_class_page_image_and_live_map(page: "playwright.Page") -> None:
    assert page.locator(".vt-kpi").count() == 6
    assert page.locator(".vt-class").count() == 8

    page.click("#vt-table tr:has-text('neutral')")
    page.wait_for_selector("h3:has-text('neutral, misclassified')")
    first = page.locator(".vt-wide .vt-card").first.get_attribute("title")
    page.click("[aria-label='next page']")
    page.wait_for_selector(".vt-pager:has-text('2 /')")
    assert page.locator(".vt-wide .vt-card").first.get_attribute("title") != first

    card = page.locator(".vt-wide .vt-card").first
    name = card.get_attribute("title")
    card.click()
    page.wait_for_selector(f"#vt-facts:has-text('{name}')")
    assert page.locator("#vt-run-maps .vt-tile").count() >= 3
    page.click("#vt-facts .vt-top:nth-of-type(2)")
    page.wait_for_selector("#vt-live h2:has-text('Maps for')")

    open_tab(page, "Errors")  # the same image again: back to what the run holds
    card.click()
    page.wait_for_selector("#vt-live h2:has-text('Maps of the run for')")


def test_confusion_cell_keyboard_and_sort(page: "playwright.Page") -> None:
    cell = page.locator(".vt-cell.vt-miss:not(:text-is('0'))").first
    cell.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".vt-pairs .vt-card")
    assert page.locator(".vt-pairs .vt-prob").count() == 2 * page.locator(".vt-pairs .vt-card").count()
    page.select_option("select[data-action=sort]", "least confident")
    page.wait_for_selector("h2 small:has-text('least confident first')")
    page.click(".vt-link:has-text('all classes')")
    page.wait_for_selector(".vt-class")


def test_maps_are_blended_in_the_browser(page: "playwright.Page") -> None:
    requests: list[str] = []
    page.on("request", lambda r: requests.append(r.url) if "/queue/" in r.url else None)
    Events(page).wait()  # what belongs to the page's arrival
    requests.clear()
    assert opacity(page) == pytest.approx(0.65)
    page.locator("#vt-gallery [data-blend=opacity]").fill("20")
    assert opacity(page) == pytest.approx(0.2)
    page.select_option("#vt-gallery [data-blend=colors]", "viridis")
    assert "vt-viridis" in page.eval_on_selector(".vt-map", "node => getComputedStyle(node).filter")
    page.click("#vt-gallery [data-blend=on]")
    assert not page.locator(".vt-map").first.is_visible()
    Events(page).wait()
    assert not requests


@pytest.mark.parametrize(
    "page", [(1280, False, "?class=fear&as=surprise&sort=highest+loss")], indirect=True, ids=["link"]
)
def test_a_link_leads_to_its_view(page: "playwright.Page") -> None:
    page.wait_for_selector("h2:has-text('fear → surprise')")
    assert "highest loss first" in page.locator("#vt-gallery h2").inner_text()


def test_upload_and_examples(page: "playwright.Page", tmp_path: Path) -> None:
    from models.data.toon_faces import draw_face

    draw_face("happiness", (4, 2)).image.save(tmp_path / "face.png")
    open_tab(page, "Inspect")
    page.wait_for_selector("#vt-facts:has-text('true class')")  # the first sight is an image of the run
    page.set_input_files("#vt-upload input[type=file]", str(tmp_path / "face.png"))
    page.wait_for_selector("#vt-facts:has-text('drawn faces only')")
    assert page.locator("#vt-facts .vt-top").count() == 5
    picture = page.locator("#vt-live .vt-photo").first.get_attribute("src")
    page.click(".vt-example[title='Grace Hopper']")
    page.wait_for_function("old => document.querySelector('#vt-live .vt-photo').src !== old", arg=picture)


@pytest.mark.parametrize(
    "page", [(1280, False, ""), (390, True, "")], indirect=True, ids=["wide light", "phone dark"]
)
def test_channels_of_a_layer(page: "playwright.Page", tmp_path: Path) -> None:
    open_tab(page, "Layers")
    page.wait_for_selector("#vt-network tr.vt-on")
    page.wait_for_selector(".vt-channel")
    page.locator("#vt-network tr:has-text('conv2_relu')").first.click()
    page.wait_for_selector("#vt-sheet h2:has-text('conv2_relu')")
    page.locator(".vt-channel").nth(3).click()
    page.wait_for_selector("#vt-alone h2:has-text('Channel 3')")
    page.select_option("#vt-sheet select[aria-label=order]", "maximum")
    page.wait_for_function(
        "[...document.querySelectorAll('.vt-channel')].some((node, i) => node.dataset.value != i)"
    )
    page.locator("#vt-network tr:has-text('preds')").first.click()
    page.wait_for_selector("#vt-sheet .vt-values")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    "page", [(1280, True, ""), (390, False, "")], indirect=True, ids=["wide dark", "phone light"]
)
def test_filters_are_maximized_and_stopped(page: "playwright.Page") -> None:
    open_tab(page, "Filters")
    page.wait_for_selector("#vt-weights .vt-channel")
    page.click("#vt-filter-layers tr:has-text('conv4')")
    page.wait_for_selector("#vt-weights h2:has-text('conv4')")
    page.locator("#vt-weights .vt-channel").nth(3).click()
    page.wait_for_selector("#vt-filter h2:has-text('conv4, filter 3')")
    page.select_option("#vt-weights select[aria-label=sort]", "norm")
    page.click("#vt-maximize")
    page.wait_for_selector("#vt-wishes .vt-bar")  # a preview
    page.click("#vt-stop-maximize")
    page.wait_for_selector("#vt-wishes p:has-text('Cancelled after step')")
    page.wait_for_selector("#vt-stop-maximize", state="hidden")
    page.click("#vt-maximize")
    page.wait_for_selector("#vt-wishes .vt-bar")
    page.click("#vt-filter-layers tr:has-text('conv5')")  # which ends what was being made
    page.wait_for_selector("#vt-stop-maximize", state="hidden")
    page.wait_for_selector("#vt-wishes h2:has-text('conv5')")
    assert "Click Maximize" in page.locator("#vt-wishes").inner_text()
    choose(page, "#vt-filter-units", "classes")
    choose(page, "#vt-wanted-classes", "surprise")
    page.wait_for_selector("#vt-wishes h2:has-text('classes')")
    page.click("#vt-maximize")
    page.wait_for_selector("#vt-wishes .vt-channel:has-text('surprise')")
    page.wait_for_selector("#vt-wishes .vt-bar", state="detached")
    page.wait_for_selector("#vt-wishes p:has-text('Feature visualization')")
    page.click("#vt-wishes .vt-channel")
    page.wait_for_selector("#vt-filter h2:has-text('surprise')")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_photo_from_the_webcam(page: "playwright.Page") -> None:
    page.context.grant_permissions(["camera"])
    open_tab(page, "Inspect")
    page.wait_for_selector("#vt-facts:has-text('true class')")
    page.click("#vt-upload [aria-label='Capture from camera']")
    page.click("#vt-upload :text('Click to Access Webcam')")
    page.wait_for_function(
        "document.querySelector('#vt-upload video')?.videoWidth > 0"
    )  # there is something to be seen
    page.click("#vt-upload [aria-label='capture photo']")
    page.wait_for_selector("#vt-facts:has-text('drawn faces only')")


def choose(page: "playwright.Page", field: str, text: str) -> None:
    page.click(f"{field} input")
    page.fill(f"{field} input", text)
    page.locator(f"ul[role=listbox] li:has-text('{text}')").first.click()


def test_methods_side_by_side(page: "playwright.Page", tmp_path: Path) -> None:
    """Cheap methods come at once; a dear one names its cost, is computed on its button, and can be stopped;
    boxes, files, and the way back."""
    open_tab(page, "Inspect")
    page.wait_for_selector("#vt-live h2:has-text('Maps of the run for')")
    page.wait_for_selector("#vt-layers :text('ReLU')")  # the network is there
    choose(page, "#vt-methods", "Eigen-CAM")
    page.wait_for_selector("#vt-live .vt-tile:has-text('Eigen-CAM') .vt-map")
    choose(page, "#vt-methods", "KernelSHAP")
    dear = page.locator("#vt-live .vt-tile:has-text('KernelSHAP')")
    dear.locator(".vt-map, .vt-run").wait_for()  # as fast as the machine is
    page.keyboard.press("Escape")
    page.click("#vt-parameters button")
    page.get_by_label("samples").locator("visible=true").fill("20000")  # long enough to be stopped
    page.keyboard.press("Tab")
    page.wait_for_selector("#vt-again :text('kernel_shap.samples=20000')", state="attached")
    dear.locator(":text('about')").wait_for()
    dear.locator(".vt-run").click()
    page.wait_for_selector("#vt-cancel")
    page.wait_for_selector(":text('KernelSHAP -')")  # progress
    page.click("#vt-cancel")
    page.wait_for_selector("text=KernelSHAP was cancelled")
    page.wait_for_selector("#vt-cancel", state="hidden")
    page.get_by_label("samples").locator("visible=true").fill("20")
    page.keyboard.press("Tab")
    page.wait_for_selector("#vt-live .vt-tile:has-text('KernelSHAP') .vt-map")  # cheap now
    choose(page, "#vt-contrast", "fear")
    page.wait_for_selector("#vt-live h2:has-text('and not fear')")
    page.fill("#vt-threshold input[type=number]", "0.5")
    page.keyboard.press("Tab")
    page.wait_for_selector("#vt-live .vt-box")
    page.click("[aria-label='files of Eigen-CAM']")
    with page.expect_download() as raw:
        page.click("a[download='eigen_cam.npy']")
    assert np.load(saved(raw.value, tmp_path)).shape == (8, 8)
    page.locator("#vt-live [data-blend=split]").fill("40")
    assert "40%" in page.eval_on_selector("#vt-live .vt-map", "node => getComputedStyle(node).clipPath")
    page.click("#vt-again summary")
    assert "--contrast-class fear" in page.locator("#vt-again pre").first.inner_text()


def test_a_broken_upload_is_told_in_one_line(page: "playwright.Page", tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("this is no picture")
    open_tab(page, "Inspect")
    page.set_input_files("#vt-upload input[type=file]", str(tmp_path / "notes.png"))
    page.wait_for_selector("text=This photo cannot be used (not a picture of a known format)")


def test_no_tab_is_empty(page: "playwright.Page") -> None:
    """Every one says something after it was opened, also where there is nothing to compare with and nothing
    was trained."""
    events = Events(page)
    names = "Inspect,Layers,Filters,Inversion,Gaze,Compare,New run,Train,Export,Errors"
    for name in names.split(","):
        open_tab(page, name)
        events.wait()
        assert page.locator("[role=tabpanel]:visible .vt-panel:visible").count(), name


@pytest.mark.parametrize(
    "page",
    [(390, False, ""), (390, True, ""), (1280, True, "")],
    indirect=True,
    ids=["phone", "phone dark", "dark"],
)
def test_it_fits(page: "playwright.Page") -> None:
    """Nothing is wider than the window, on a phone and in the dark."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator(".vt-card").first.is_visible()


def test_training_from_the_page(page: "playwright.Page", trainings: Path, pictures: Path) -> None:
    """Curves of an older training; one started, found again after the page was closed, and cancelled."""
    fake(trainings / "older.safetensors", 0)
    fake(trainings / "oldest.safetensors", 1)
    open_tab(page, "Train")
    page.click(".vt-open:has-text('older')")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length === 6")
    for box in page.locator(".vt-training input").all():
        box.check()
    page.wait_for_selector("h2:has-text('Recall of each class')")

    page.fill("#vt-train-data textarea, #vt-train-data input", str(pictures))
    page.fill("#vt-train-name textarea, #vt-train-name input", "mine")
    page.fill("#vt-train-epochs input", "400")
    page.click("button:has-text('Optimizer')")
    page.fill("#vt-train-patience input", "400")
    page.keyboard.press("Tab")
    page.wait_for_function(
        "document.querySelector('#vt-typed textarea').value.includes('mine.safetensors --epochs 400 "
        "--patience 400')"
    )
    page.click("button:has-text('Preview data')")
    page.wait_for_selector("#vt-preview img")
    page.wait_for_selector("text=One epoch draws 12 images, 12 of them distinct")
    page.click("#vt-start")
    page.wait_for_selector(".vt-training:has-text('mine') :text('/400')")
    address, context = page.url, page.context  # leaving a page would end its requests with an error
    page.close()
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(address, wait_until="domcontentloaded")
    open_tab(page, "Train")
    page.click(".vt-training:has-text('mine') [data-action=cancel]")
    page.wait_for_selector(".vt-training:has-text('mine') :text('stopped at')")
    page.click(".vt-training:has-text('mine') [data-action=resume]")
    page.wait_for_selector(".vt-training:has-text('mine') [data-action=cancel]")
    page.click(".vt-training:has-text('mine') [data-action=cancel]")
    page.wait_for_selector(".vt-training:has-text('mine') [data-action=resume]")
