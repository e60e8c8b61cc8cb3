"""A visitor uploads a photo of two people to the page of a network about faces, in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dashboard.server.permissions import Access
from dashboard.session.context import Context
from explain.run.engine import run
from explain.run.reader import open_run
from models.data.folder import FolderSource
from models.data.images import open_image
from models.registry import load
from tests.pages import FITS, PHONE, Events, fits_wide_and_narrow, open_tab, saved, served
from tests.test_faces import HOPPER, astronaut, montage

if TYPE_CHECKING:
    from playwright import sync_api as playwright

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a run of the shipped network, for a visitor."""
    folder = tmp_path_factory.mktemp("faces")
    for name, face in (
        ("happy", astronaut().crop((174, 66, 274, 166))),
        ("neutral", open_image(HOPPER).crop((159, 111, 377, 329))),
    ):
        (folder / "data" / name).mkdir(parents=True)
        for turn in (0, 5, -5):
            face.rotate(turn).save(folder / "data" / name / f"{turn}.png")
    run(load("fer_vgg:fer2013"), FolderSource(folder / "data"), folder / "run", ["grad_cam"])
    with served(Context(open_run(folder / "run"), access=Access.VISITOR)) as url:
        yield url


@pytest.mark.parametrize("page", [(PHONE, False, "")], indirect=True, ids=["phone"])
def test_a_photo_of_two_people(page: "playwright.Page", tmp_path: Path, arrived: list[Events]) -> None:
    montage().save(tmp_path / "two.png")
    open_tab(page, "Inspect")
    sent = list[str]()
    page.on("request", lambda r: sent.append(r.post_data or "") if "/queue/join" in r.url else None)
    page.set_input_files("#vt-upload input[type=file]", tmp_path / "two.png")
    page.wait_for_selector("#vt-faces .vt-found:has-text('2 faces found; the largest is used')")
    assert page.locator("#vt-faces .vt-face").count() == 2
    assert page.locator("#vt-faces [aria-pressed=true]").inner_text() == "1"
    assert page.evaluate(FITS)
    page.wait_for_selector("#vt-facts .vt-top:nth-of-type(1):has-text('neutral')")
    assert sum("two.png" in data for data in sent) == 1  # a photo is read and explained once
    box, frame = (
        page.locator(f"#vt-faces {name}").first.bounding_box() for name in (".vt-crop", ".vt-place")
    )
    assert box is not None
    assert frame is not None  # the map lies on the other tile where the frame lies on this one
    assert (box["width"], box["height"]) == pytest.approx((frame["width"], frame["height"]), abs=2)

    page.locator("#vt-faces .vt-face").nth(1).click()
    page.wait_for_selector("#vt-faces .vt-found:has-text('number 2 is used')")
    page.wait_for_selector("#vt-facts .vt-top:nth-of-type(1):has-text('happy')")
    page.click("#vt-live [data-action=save]")
    with page.expect_download() as download:
        page.click("#vt-faces a:has-text('photo.png')")
    assert open_image(saved(download.value, tmp_path)).size == (1024, 600)
    page.click("#vt-faces button:has-text('use the whole picture')")
    page.wait_for_selector("#vt-faces .vt-found:has-text('the whole picture is used')")
    assert page.locator("#vt-faces .vt-place").count() == 0
    assert fits_wide_and_narrow(page)

    arrived[0].wait()
    page.click("#vt-examples button:has-text('temple')")
    page.wait_for_selector("#vt-faces .vt-found:has-text('No face found: the whole picture is used.')")
    open_tab(page, "Errors")
    page.locator(".vt-card").first.click()  # an image of the run, used whole
    page.wait_for_selector("#vt-live h2:has-text('Maps of the run for')")
    assert page.locator("#vt-faces .vt-found").count() == 0
