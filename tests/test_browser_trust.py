"""The line above the images of Errors, and its button, in a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from explain.quality import small
from explain.quality.known import known
from explain.run.reader import open_run
from tests.conftest import DEMO

if TYPE_CHECKING:
    from playwright import sync_api as playwright

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The last 128 images of the demo's 800, of which 10 are measured, in 3 steps."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    shutil.copytree(DEMO, folder)
    shutil.rmtree(folder / "trust", ignore_errors=True)
    (folder / "samples/part-00000.parquet").unlink()
    part = folder / "samples" / "part-00001.parquet"
    table = pq.read_table(part)
    pq.write_table(table.slice(len(table) - 128), part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "IMAGES", 10)
        patch.setattr(small, "STEPS", 3)
        yield folder


@pytest.mark.parametrize("page", [(1280, False, "")], indirect=True, ids=["wide light"])
def test_maps_are_measured_at_a_click(page: "playwright.Page", demo: Path) -> None:
    page.wait_for_selector("#vt-trust p:has-text('Not measured yet')")
    page.click("#vt-trust [data-action=measure]")
    page.wait_for_selector("#vt-trust [data-action=stop]")
    page.locator("#vt-confusion td button").first.click()  # another part of the page answers meanwhile
    page.wait_for_selector("#vt-gallery h2:has-text('image')")
    page.wait_for_selector("#vt-trust small:has-text('10 images')")
    found = known(open_run(demo))
    assert found is not None
    best, *_, last = found.verdicts
    options = page.locator("#vt-gallery select[data-action=method] option")
    page.wait_for_function(
        "text => document.querySelector('#vt-gallery select[data-action=method]').textContent.includes(text)",
        arg=best.text,
    )
    assert best.text in options.first.inner_text()
    shown = page.locator("#vt-gallery select[data-action=method]").input_value()
    assert found.by_method[shown].text in page.locator("#vt-trust p").inner_text()
    page.select_option("#vt-gallery select[data-action=method]", last.method)
    page.wait_for_selector(f"#vt-trust p:has-text('{last.title}: {last.text}')")
