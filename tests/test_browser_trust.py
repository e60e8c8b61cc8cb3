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
from tests.conftest import TOON_RUN
from tests.measured import BETTER, SAME, keep
from tests.pages import FITS

if TYPE_CHECKING:
    from playwright import sync_api as playwright

LEFTS = """parts => parts.map(part => {
    const range = document.createRange();
    range.selectNodeContents(document.querySelector(`#vt-trust .vt-over-depth ${part}`));
    return range.getBoundingClientRect().left;
})"""
"""Where the text of the first of each begins."""

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The last 128 images of the demo's 800, of which 10 are measured, in 3 steps."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    shutil.copytree(TOON_RUN, folder)
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


@pytest.fixture
def over_depth(demo: Path) -> None:
    """Two layers, of which another one than the run's is the better one."""
    run = open_run(demo)
    keep(run, {"layer_cam": SAME})
    keep(run, {"layer_cam": BETTER}, layer="features.22")


@pytest.mark.parametrize("page", [(1280, False, "")], indirect=True, ids=["wide light"])
def test_the_best_layer_is_used_in_inspect_at_a_click(over_depth: None, page: "playwright.Page") -> None:
    page.click("#vt-trust .vt-over-depth summary:has-text('2 layers on 12 images, best at features.22')")
    rows = page.locator("#vt-trust .vt-over-depth tbody tr")
    assert [text.split()[0] for text in rows.all_inner_texts()] == ["features.22", "features.37"]
    widths = [bar.bounding_box()["width"] for bar in page.locator("#vt-trust .vt-bar i").all()]  # type: ignore[index]
    assert widths[0] == pytest.approx(90, abs=1)
    assert widths[1] == pytest.approx(90 * 0.4 / 0.6055, abs=1)
    assert page.evaluate(FITS)
    text, *others = page.evaluate(LEFTS, ["p.vt-advice", "thead th", "tbody td"])
    assert others == pytest.approx([text, text], abs=0.5)  # the table begins where the text above it does
    page.click("#vt-trust [data-action=layer]")
    page.wait_for_selector("#vt-layers:visible :text('features.22')")
    page.wait_for_selector("#vt-live :text('features.22')")  # live maps, at this layer alone
    assert "features.37" not in page.locator("#vt-live").inner_text()
