"""A run from the page, in a browser: checked, started, cancelled, resumed, opened."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dashboard.session.run_pages import end_pages
from models.process_identity import runs
from tests.forked import pause_at_the_first_progress, wait_until_paused
from tests.pages import DRAWN, fits_wide_and_narrow, on_a_phone_in_the_dark, open_tab

if TYPE_CHECKING:
    from playwright import sync_api as playwright

pytestmark = [pytest.mark.slow, pytest.mark.browser]
ROW = ".vt-training:has-text('mine')"


@pytest.fixture(autouse=True)
def ended(demo: Path) -> Iterator[None]:
    """What a failed test left running ends."""
    yield
    for path in demo.parent.glob("*.job.json"):
        job = json.loads(path.read_text())
        if runs(job["pid"], job["born"]):
            os.kill(job["pid"], signal.SIGKILL)
    end_pages()


def process_of(run: str, demo: Path) -> int:
    return int(json.loads((demo.parent / f"{run}.job.json").read_text())["pid"])


def fill(page: "playwright.Page", field: str, text: str) -> None:
    page.fill(f"#vt-run-{field} :is(textarea, input)", text)


@pytest.fixture
def goes_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A check that has shown what it found ends when this is set."""
    from dashboard.tabs import new_run

    event, in_steps = threading.Event(), new_run.check_in_steps

    def waits(*given: Any) -> Iterator[Any]:
        yield from in_steps(*given)
        event.wait(60)

    monkeypatch.setattr(new_run, "check_in_steps", waits)
    yield event
    event.set()


@pytest.mark.usefixtures("forks")
def test_a_run_from_the_page(
    page: "playwright.Page",
    demo: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    goes_on: threading.Event,
) -> None:
    """Wide and light; then a check that is refused, on a phone and in the dark."""
    open_tab(page, "New run")
    fill(page, "name", "mine")
    fill(page, "model", "tiny_conv:toon_studios")
    fill(page, "data", "toon_studios")
    page.click("button:has-text('Methods and layer')")
    fill(page, "limit", "48")
    page.wait_for_function(
        "document.querySelector('#vt-run-typed textarea').value.endsWith('/mine --limit 48')"
    )
    page.click("#vt-run-check")
    page.wait_for_selector("#vt-check dd", timeout=60_000)
    assert "--model tiny_conv:toon_studios --data toon_studios" in page.inner_text("#vt-check .vt-command")
    chosen = page.locator("#vt-check select[data-action='output:0'] option:checked").inner_text()
    assert chosen.startswith("0: ")

    page.click("button:has-text('Input of the network')")
    page.evaluate(DRAWN)  # Gradio makes the fields of an accordion when it opens
    page.locator("#vt-run-mean :is(textarea, input)").press_sequentially("0.4")  # keys, as a person types
    page.wait_for_function("document.querySelector('#vt-run-typed textarea').value.includes('--mean 0.4')")
    page.wait_for_selector("#vt-check :text('made with other settings: check again')")
    goes_on.set()
    page.wait_for_selector("#vt-run-check:enabled")
    assert page.locator("#vt-check :text('made with other settings: check again')").count() == 1
    fill(page, "mean", "")
    page.wait_for_function("!document.querySelector('#vt-check [aria-disabled]')")

    with monkeypatch.context() as patch:
        pause_at_the_first_progress(patch)
        page.click("#vt-run-start")
        page.wait_for_selector(f"{ROW} :text('32 of 48 images')", timeout=60_000)
    wait_until_paused(process_of("mine", demo))
    page.click(f"{ROW} [data-action=cancel]")
    page.wait_for_selector(":text('mine stops after this batch')")
    os.kill(process_of("mine", demo), signal.SIGCONT)
    page.wait_for_selector(f"{ROW} :text('cancelled at')", timeout=60_000)
    assert not (demo.parent / "mine" / "manifest.json").exists()
    page.click(f"{ROW} [data-action=resume]")
    page.wait_for_selector(f"{ROW} :text('complete, 48 images')", timeout=60_000)
    page.click(f"{ROW} [data-action=open]")
    link = page.wait_for_selector(f"{ROW} a.vt-link", timeout=60_000)
    assert link is not None
    config = httpx.get(f"{link.get_attribute('href')}config", timeout=60).json()
    assert any(c["props"].get("elem_id") == "vt-gallery" for c in config["components"])
    on_a_phone_in_the_dark(page)
    a_check_that_is_refused_shows_the_classes_to_match(page, pictures)


def a_check_that_is_refused_shows_the_classes_to_match(page: "playwright.Page", pictures: Path) -> None:
    """The data's classes are not the network's: each gets an output, and the command names their file."""
    fill(page, "data", str(pictures))
    fill(page, "name", "colors")
    page.click("#vt-run-check")
    page.wait_for_selector("#vt-check [role=alert]:has-text('no class for')", timeout=60_000)
    for k in range(3):
        page.select_option(f"#vt-check select[data-action='output:{k}']", str(k))
        page.wait_for_selector(f"#vt-check tr:has(select[data-action='output:{k}']) :text('corrected')")
    page.wait_for_function(
        "document.querySelector('#vt-run-typed textarea').value.includes('colors.classes.csv')"
    )
    page.click("#vt-run-check")
    page.wait_for_selector("#vt-check dd", timeout=60_000)
    assert fits_wide_and_narrow(page)
