"""Export, links and uploads in Chromium."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from explain.analysis.findings import Findings
from explain.export.gallery import export
from explain.export.report import report, write_report
from explain.run.reader import RunData, open_run
from tests.pages import Events, fits_wide_and_narrow, on_a_phone_in_the_dark, on_tab, open_tab, saved

if TYPE_CHECKING:
    import playwright.sync_api as playwright

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def an_export_is_stopped(page: "playwright.Page") -> None:
    page.click("#vt-export-what label:has-text('all correct images')")
    page.wait_for_selector("#vt-export-contents h2:has-text('all correct')")
    page.click("#vt-export-start")
    page.click("#vt-export-state button:has-text('Cancel')")
    page.wait_for_selector("#vt-export-state :text('Cancelled')")
    assert not page.locator("#vt-export-file").is_visible()


def the_report_is_made(page: "playwright.Page", tmp_path: Path) -> None:
    page.click("#vt-report")
    page.wait_for_selector("#vt-export-state h2:has-text('Report (one file)')")
    with page.expect_download() as download:
        page.click("#vt-export-file")
    assert saved(download.value, tmp_path).read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    "page",
    [(1280, False, "?class=fear&as=surprise&sort=highest+loss&method=grad_cam&page=7")],
    indirect=True,
    ids=["link"],
)
def test_what_errors_shows_is_exported(page: "playwright.Page", tmp_path: Path) -> None:
    """Wide until an export is stopped, then on a phone."""
    page.wait_for_selector("#vt-gallery h2:has-text('fear → surprise')")
    assert on_tab(page, "Errors")
    assert "highest loss first" in page.locator("#vt-gallery h2").inner_text()
    page.select_option("select[data-action=sort]", "most confident")
    page.wait_for_selector("#vt-gallery h2:not(:has-text('highest loss first'))")
    open_tab(page, "Export")
    page.wait_for_selector("#vt-export-contents h2:has-text('6 images of 1 class')")
    assert "--select 'pair:fear>surprise'" in page.input_value("#vt-export-typed textarea")
    an_export_is_stopped(page)
    on_a_phone_in_the_dark(page)
    page.click("#vt-export-what label:has-text('all errors')")
    page.wait_for_selector("#vt-export-contents h2:has-text('all errors')")
    page.fill("#vt-export-each input", "1")
    page.keyboard.press("Tab")
    page.wait_for_selector("#vt-export-contents h2:has-text('8 images of 8 classes')")
    page.click("#vt-export-start")
    page.wait_for_selector("#vt-export-file")
    with page.expect_download() as download:
        page.click("#vt-export-file")
    archive = zipfile.ZipFile(saved(download.value, tmp_path))
    assert json.loads(archive.read("manifest.json"))["images"] == 8
    assert fits_wide_and_narrow(page)
    the_report_is_made(page, tmp_path)
    page.locator("#vt-export-contents .vt-card").first.click()
    page.wait_for_selector("#vt-facts .vt-known")


@pytest.mark.parametrize(
    "page",
    [(1280, False, "?tab=layers&layer=features.30&channel=3&image=test/fear/00012.png")],
    indirect=True,
    ids=["link"],
)
def test_a_copied_link_leads_back(page: "playwright.Page", events: Events) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.wait_for_selector("#vt-alone h2:has-text('Channel 3')")
    assert on_tab(page, "Layers")
    page.click("#vt-sheet [data-link]")
    page.wait_for_selector("#vt-sheet :text('copied')")
    address = page.evaluate("navigator.clipboard.readText()")
    events.wait()  # leaving a page ends its requests with an error
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_selector("#vt-alone h2:has-text('Channel 3')")
    assert "features.30" in page.locator("#vt-sheet h2").inner_text()


NAMES = (
    "<script>document.title='run'</script>",
    '"><img src=x onerror="document.title=1">',
    "quo'te\"s & amp;",
    "\u202eabc.exe",
    "الخوف",
    "=1+1",
    "../..",
    "x",
)


@pytest.fixture(scope="module")
def hostile(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """The demo's run, whose classes and files have names that want to be more than names."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(demo, folder)
    manifest, request = (
        json.loads((folder / name).read_text()) for name in ("manifest.json", "request.json")
    )
    (folder / "manifest.json").write_text(json.dumps(manifest | {"data_root": ""}))
    (folder / "request.json").write_text(
        json.dumps(request | {"classes": NAMES, "data": "photos/<b onclick=alert(1)>"})
    )
    for name in ("analysis.json", "analysis.parquet", "contrasts.parquet"):
        (folder / name).unlink(missing_ok=True)
    for part in (folder / "samples").glob("*.parquet"):
        table = pq.read_table(part)
        ids = [f"<b onmouseover=\"document.title='ran'\">\u202e{n}.png" for n in range(len(table))]
        pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids)), part)
    return open_run(folder)


def test_handed_on_pages_ask_nobody_and_run_nothing(
    hostile: RunData, browser: "playwright.Browser", tmp_path: Path
) -> None:
    """Opened from the disk, as whoever gets them does."""
    findings = Findings(hostile)
    write_report(report(findings), tmp_path / "report.html")
    export(findings, tmp_path / "gallery")
    context = browser.new_context()
    page, asked, dialogs = context.new_page(), list[str](), list[str]()
    page.on("request", lambda r: asked.append(r.url))
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    for file in (tmp_path / "report.html", tmp_path / "gallery" / "index.html"):
        page.goto(file.as_uri())
        title = page.title()
        for place in page.locator("figure, td, h2, h3").all()[:40]:
            place.hover(force=True)
        assert NAMES[0] in page.inner_text("body")
        assert page.title() == title
    # fails where one is missing
    page.evaluate(
        "Promise.all([...document.images].map(image => { image.loading = 'eager'; return image.decode() }))"
    )
    context.close()
    assert dialogs == []
    assert [url for url in asked if not url.startswith(("data:", tmp_path.as_uri()))] == []
