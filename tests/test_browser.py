"""The page in a real browser: a stranger's first minutes, without a console error or a request to another
host."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from matplotlib import get_data_path

from tests.conftest import WAIT
from tests.forked import paused_after, wait_until_paused
from tests.pages import PHONE, Events, fits_wide_and_narrow, on_tab, open_tab, resized, saved
from tests.test_trained import fake

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]
PHOTO = f"{get_data_path()}/sample_data/grace_hopper.jpg"
OVERVIEW = ".vt-link:has-text('all classes')"


def opacity(page: "playwright.Page") -> float:
    return float(page.eval_on_selector(".vt-map", "node => getComputedStyle(node).opacity"))


def class_page_image_and_live_map(page: "playwright.Page") -> None:
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


def confusion_cell_keyboard_and_sort(page: "playwright.Page") -> None:
    cell = page.locator(".vt-cell.vt-miss:not(:text-is('0'))").first
    cell.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".vt-pairs .vt-card")
    assert page.locator(".vt-pairs .vt-prob").count() == 2 * page.locator(".vt-pairs .vt-card").count()
    page.select_option("select[data-action=sort]", "least confident")
    page.wait_for_selector("h2 small:has-text('least confident first')")
    page.click(OVERVIEW)
    page.wait_for_selector(".vt-class")


def maps_are_blended_in_the_browser(page: "playwright.Page", events: Events) -> None:
    requests: list[str] = []
    page.on("request", lambda r: requests.append(r.url) if "/queue/" in r.url else None)
    events.wait()  # what belongs to clicks before
    requests.clear()
    assert opacity(page) == pytest.approx(0.65)
    page.locator("#vt-gallery [data-blend=opacity]").fill("20")
    assert opacity(page) == pytest.approx(0.2)
    page.select_option("#vt-gallery [data-blend=colors]", "viridis")
    assert "vt-viridis" in page.eval_on_selector(".vt-map", "node => getComputedStyle(node).filter")
    page.click("#vt-gallery [data-blend=on]")
    assert not page.locator(".vt-map").first.is_visible()
    events.wait()
    assert not requests


def no_tab_is_empty(page: "playwright.Page", events: Events) -> None:
    """Every one says something after it was opened, also where there is nothing to compare with and nothing
    was trained."""
    names = "Inspect,Layers,Filters,Inversion,Gaze,Compare,New run,Train,Export,Errors"
    for name in names.split(","):
        open_tab(page, name)
        events.wait()
        assert page.locator("[role=tabpanel]:visible .vt-panel:visible").count(), name


@pytest.mark.parametrize("page", [(1280, False, "?class=fear&sheet=2")], indirect=True, ids=["link"])
def test_errors_then_every_tab(page: "playwright.Page", events: Events) -> None:
    """From what a link names to all classes, one class, an image and its live map, a confusion, and on."""
    page.wait_for_selector("#vt-gallery .vt-pager:has-text('2 /')")
    assert on_tab(page, "Errors")
    page.click(OVERVIEW)
    page.wait_for_selector(".vt-class")
    assert page.locator(".vt-kpi").count() == 6
    assert page.locator(".vt-class").count() == 8
    class_page_image_and_live_map(page)
    open_tab(page, "Errors")
    confusion_cell_keyboard_and_sort(page)
    maps_are_blended_in_the_browser(page, events)
    no_tab_is_empty(page, events)


def methods_side_by_side(page: "playwright.Page", tmp_path: Path) -> None:
    """Cheap methods come at once; a dear one names its cost, is computed on its button, and can be stopped;
    boxes, files, and the way back."""
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


@pytest.mark.parametrize("page", [(1280, False, "?image=test/fear/00012.png")], indirect=True, ids=["link"])
def test_methods_and_photos_in_inspect_and_layers(page: "playwright.Page", tmp_path: Path) -> None:
    """An image of the run from a link, its maps by several methods, then what is no picture, files, an
    example and the webcam. The field is free again once a photo was taken; the same photo can be given
    twice."""
    from models.data.toon_faces import draw_face

    draw_face("happiness", (4, 2)).image.save(tmp_path / "face.png")
    (tmp_path / "notes.png").write_text("this is no picture")
    photo = page.locator("#vt-live .vt-photo").first
    changed = "old => document.querySelector('#vt-live .vt-photo').src !== old"
    page.context.grant_permissions(["camera"])

    def upload(file: str | Path) -> None:
        page.wait_for_selector("#vt-upload input[type=file]", state="attached")
        page.set_input_files("#vt-upload input[type=file]", str(file))

    page.wait_for_selector("#vt-facts :text('test/fear/00012.png')")
    page.wait_for_selector("#vt-facts:has-text('true class')")
    assert on_tab(page, "Inspect")
    methods_side_by_side(page, tmp_path)
    upload(tmp_path / "notes.png")
    page.wait_for_selector("text=This photo cannot be used (not a picture of a known format)")
    upload(tmp_path / "face.png")
    page.wait_for_selector("#vt-facts:has-text('drawn faces only')")
    page.wait_for_selector("#vt-facts .vt-known dt", state="detached")  # those of the run's image are gone
    assert page.locator("#vt-facts .vt-top").count() == 5
    picture = photo.get_attribute("src")
    page.click(".vt-example[title='Grace Hopper']")
    page.wait_for_function(changed, arg=picture)
    for _ in range(2):
        upload(PHOTO)
        page.wait_for_selector("#vt-live .vt-methods img.vt-map")
        page.wait_for_selector("#vt-upload input[type=file]", state="attached")
    picture = photo.get_attribute("src")
    page.click("#vt-upload [aria-label='Capture from camera']")
    page.click("#vt-upload :text('Click to Access Webcam')")
    page.wait_for_function(
        "document.querySelector('#vt-upload video')?.videoWidth > 0"
    )  # there is something to be seen
    page.click("#vt-upload [aria-label='capture photo']")
    page.wait_for_function(changed, arg=picture)
    page.wait_for_selector("#vt-facts:has-text('drawn faces only')")
    open_tab(page, "Layers")
    page.set_input_files("#vt-layers-upload input[type=file]", PHOTO)
    page.wait_for_selector("#vt-sheet .vt-channel")
    page.wait_for_selector("#vt-layers-upload input[type=file]", state="attached")


def channels_of_a_layer(page: "playwright.Page") -> None:
    open_tab(page, "Layers")
    page.wait_for_selector("#vt-network tr.vt-on")
    page.wait_for_selector("#vt-sheet .vt-channel")
    page.locator("#vt-network tr:has-text('conv2_relu')").first.click()
    page.wait_for_selector("#vt-sheet h2:has-text('conv2_relu')")
    page.locator("#vt-sheet .vt-channel").nth(3).click()
    page.wait_for_selector("#vt-alone h2:has-text('Channel 3')")
    page.select_option("#vt-sheet select[aria-label=order]", "maximum")
    page.wait_for_function(
        "[...document.querySelectorAll('#vt-sheet .vt-channel')].some((node, i) => node.dataset.value != i)"
    )
    page.locator("#vt-network tr:has-text('preds')").first.click()
    page.wait_for_selector("#vt-sheet .vt-values")
    assert fits_wide_and_narrow(page)


def filters_of_a_layer(page: "playwright.Page") -> None:
    open_tab(page, "Filters")
    page.wait_for_selector("#vt-weights .vt-channel")
    page.click("#vt-filter-layers tr:has-text('conv4')")
    page.wait_for_selector("#vt-weights h2:has-text('conv4')")
    channel = page.locator("#vt-weights .vt-channel").nth(3)
    number = channel.get_attribute("data-value")  # by norm, where that was chosen before
    channel.click()
    page.wait_for_selector(f"#vt-filter h2:has-text('conv4, filter {number}')")
    page.select_option("#vt-weights select[aria-label=sort]", "norm")
    page.wait_for_function("document.querySelectorAll('#vt-weights .vt-channel')[3]?.dataset.value != 3")


def maximizing_is_stopped(page: "playwright.Page") -> None:
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


def a_class_is_maximized(page: "playwright.Page") -> None:
    page.get_by_label("Steps", exact=True).locator("visible=true").click()
    page.locator("ul[role=listbox] li:has-text('64')").click()
    choose(page, "#vt-filter-units", "classes")
    choose(page, "#vt-wanted-classes", "surprise")
    page.wait_for_selector("#vt-wishes h2:has-text('classes')")
    page.click("#vt-maximize")
    page.wait_for_selector("#vt-wishes .vt-channel:has-text('surprise')")
    page.wait_for_selector("#vt-wishes .vt-bar", state="detached")
    page.wait_for_selector("#vt-wishes p:has-text('Feature visualization')")
    page.click("#vt-wishes .vt-channel")
    page.wait_for_selector("#vt-filter h2:has-text('surprise')")
    assert fits_wide_and_narrow(page)


@pytest.mark.parametrize(
    "page", [(1280, True, "?tab=filters&layer=features.0&unit=5")], indirect=True, ids=["link"]
)
def test_filters_and_channels(page: "playwright.Page") -> None:
    """In the dark; the second half on a phone. Nothing is wider than the window, wide or narrow."""
    page.wait_for_selector("#vt-filter h2:has-text('filter 5')")
    assert on_tab(page, "Filters")
    open_tab(page, "Errors")
    page.locator(".vt-card").first.wait_for()
    assert fits_wide_and_narrow(page)
    filters_of_a_layer(page)
    maximizing_is_stopped(page)
    resized(page, PHONE)
    filters_of_a_layer(page)
    a_class_is_maximized(page)
    channels_of_a_layer(page)


def choose(page: "playwright.Page", field: str, text: str) -> None:
    page.click(f"{field} input")
    page.fill(f"{field} input", text)
    page.locator(f"ul[role=listbox] li:has-text('{text}')").first.click()


@pytest.mark.parametrize(
    "page", [(1280, False, "?image=no/such.png&tab=nonsense&layer=x")], indirect=True, ids=["nonsense"]
)
@pytest.mark.usefixtures("forks")
def test_training_from_the_page(
    page: "playwright.Page", trainings: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Curves of an older training; one started, found again after the page was closed, and cancelled. It
    stands still after two epochs, until it is cancelled."""
    for variable, value in paused_after(2, "models.training.keep:KeepBest.on_train_epoch_end").items():
        monkeypatch.setenv(variable, value)
    page.wait_for_selector(".vt-card")
    assert on_tab(page, "Errors"), "a link that names nothing opens the first tab"
    fake(trainings / "older.safetensors", 0)
    fake(trainings / "oldest.safetensors", 1)
    open_tab(page, "Train")
    page.click(".vt-open:has-text('older')")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length === 6")
    for box in page.locator(".vt-training input").all():
        box.check()
    page.wait_for_selector("h2:has-text('Recall of each class')")

    page.get_by_label("Model", exact=True).locator("visible=true").fill("small_conv")
    page.keyboard.press("Enter")
    page.fill("#vt-train-data textarea, #vt-train-data input", str(pictures))
    page.fill("#vt-train-name textarea, #vt-train-name input", "mine")
    page.fill("#vt-train-epochs input", "4000")
    page.click("button:has-text('Optimizer')")
    page.fill("#vt-train-patience input", "4000")
    page.keyboard.press("Tab")
    page.wait_for_function(
        "document.querySelector('#vt-typed textarea').value.includes('mine.safetensors --epochs 4000 "
        "--patience 4000')"
    )
    assert "small_conv" in page.input_value("#vt-typed textarea")
    page.click("button:has-text('Preview data')")
    page.wait_for_selector("#vt-preview img")
    page.wait_for_selector("text=One epoch draws 12 images, 12 of them distinct")
    page.click("#vt-start")
    page.wait_for_selector(".vt-training:has-text('mine') :text('/4000')")
    address, context = page.url, page.context  # leaving a page would end its requests with an error
    page.close()
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(address, wait_until="domcontentloaded")
    open_tab(page, "Train")
    cancelled(page, trainings / "mine.progress.json")
    page.wait_for_selector(".vt-training:has-text('mine') :text('stopped at')")
    page.click(".vt-training:has-text('mine') [data-action=resume]")
    cancelled(page, trainings / "mine.progress.json")
    page.wait_for_selector(".vt-training:has-text('mine') [data-action=resume]")


def cancelled(page: "playwright.Page", progress: Path) -> None:
    page.wait_for_selector(".vt-training:has-text('mine') [data-action=cancel]")
    pid = json.loads(progress.read_text())["pid"]
    wait_until_paused(pid)
    page.click(".vt-training:has-text('mine') [data-action=cancel]")
    while not interrupted(pid):
        page.wait_for_timeout(50)
    os.kill(pid, signal.SIGCONT)


def interrupted(pid: int) -> bool:
    """Whether a paused process has a Ctrl-C to come."""
    pending = Path(f"/proc/{pid}/status").read_text().split("ShdPnd:")[1].split()[0]
    return bool(int(pending, 16) >> (signal.SIGINT - 1) & 1)
