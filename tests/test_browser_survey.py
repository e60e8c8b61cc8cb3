"""The pass over a run for the strongest images of its channels, in a browser."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from explain.features.top_activations import ABOUT, DEPTH, STRONGEST
from tests.conftest import TOON_RUN
from tests.pages import open_tab

if TYPE_CHECKING:
    from playwright import sync_api as playwright

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 images of all classes of the demo's 800, without its survey: the whole takes half a minute."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    shutil.copytree(TOON_RUN, folder)
    parts = sorted((folder / "samples").iterdir())
    table = pa.concat_tables(map(pq.read_table, parts))
    for path in (*parts, *(folder / name for name in (STRONGEST, DEPTH, ABOUT))):
        path.unlink()
    pq.write_table(table.take([k * len(table) // 64 for k in range(64)]), parts[0])
    return folder


@pytest.mark.parametrize("page", [(1280, False, "")], indirect=True, ids=["wide light"])
def test_the_run_is_looked_at_for_strongest_images(page: "playwright.Page", demo: Path) -> None:
    open_tab(page, "Layers")
    page.locator(".vt-channel").nth(2).click()
    page.click("#vt-alone [data-action=survey]")
    page.click("#vt-depth [data-action=stop]")
    page.wait_for_selector("#vt-depth [data-action=survey]")  # stopped: it is offered again
    assert not (demo / ABOUT).exists()
    page.click("#vt-depth [data-action=survey]")
    page.wait_for_selector("#vt-depth small:has-text('the run: 64 images')")
    assert page.locator(".vt-chart polyline.vt-line-run").count() >= 4
    picture = page.locator("#vt-alone .vt-photo").first.get_attribute("src")
    page.locator(".vt-strongest .vt-tile").first.click()
    page.wait_for_function("old => document.querySelector('#vt-alone .vt-photo').src !== old", arg=picture)
    page.locator(".vt-chart .vt-slot").last.click()
    page.wait_for_selector("#vt-sheet h2:has-text('preds')")
