"""Make the animation of README.md from the real page: the dashboard on its demo, in headless Chromium.

    python docs/make_animation.py [--out docs/vitrine.webp] [--browser /usr/bin/chromium]

The walk of docs/tutorial.md: the finding → its images side by side → one of them in Inspect → the check of
its map → the repaired network in Compare. A ring marks where the next click is. Needs playwright and
Chromium.
"""

import argparse
import io
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, sync_playwright

import vitrine
from tests.pages import open_tab

VIEWPORT = (1280, 900)
WIDTH = 960  # pixels of the animation
QUALITY = 80
TEAL = (15, 118, 110)
WAIT = 120_000  # ms; the first live map waits for the network
BEFORE_CLICK, AFTER_CLICK = 900, 2200  # ms that a frame is shown


@dataclass
class Recorder:
    """`frames`: (picture, milliseconds), in the order of the clicks."""

    page: Page
    frames: list[tuple[Image.Image, int]] = field(default_factory=list)

    def screenshot(self, milliseconds: int, ring: tuple[float, float] | None = None) -> None:
        self.page.wait_for_timeout(400)  # transitions end
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        if ring:
            x, y = ring
            ImageDraw.Draw(picture).ellipse((x - 22, y - 22, x + 22, y + 22), outline=TEAL, width=6)
        height = round(picture.height * WIDTH / picture.width)
        self.frames.append((picture.resize((WIDTH, height), Image.Resampling.LANCZOS), milliseconds))

    def click(self, target: Locator, then: str, show: str | None = None) -> None:
        """Record the page with a ring on `target`, click it, wait for `then`, and record the page with `show`
        (by itself `then`) at the top."""
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        assert box is not None, f"{target} is not on the page"
        self.screenshot(BEFORE_CLICK, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))
        target.click()
        self.page.locator(then).first.wait_for()
        self.page.locator(show or then).first.evaluate("node => node.scrollIntoView({block: 'start'})")
        self.screenshot(AFTER_CLICK)


def record(page: Page) -> list[tuple[Image.Image, int]]:
    """The frames of one walk through the demo."""
    recorder = Recorder(page)
    page.wait_for_selector(".vt-card")
    recorder.screenshot(AFTER_CLICK)
    finding = page.locator(".vt-proposal").first
    recorder.click(finding.locator("[data-action=group]"), ".vt-side", ".vt-gallery")
    card = page.locator(".vt-side .vt-card").first
    recorder.click(card, f"#vt-facts:has-text('{card.get_attribute('title')}')", "#vt-tabs")
    page.locator("#vt-live [data-action=check]").first.wait_for()
    recorder.click(page.locator("#vt-live [data-action=check]").first, ".vt-map-check")
    open_tab(page, "Errors")
    recorder.click(finding.locator("a[href*=compare]"), "#vt-flips .vt-card", "#vt-tabs")
    return recorder.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "vitrine.webp")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    asked = parser.parse_args()
    width, height = VIEWPORT
    with vitrine.dashboard(ROOT / "dashboard" / "demo") as dashboard, sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=asked.browser, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce"
        )
        page.set_default_timeout(WAIT)
        page.goto(dashboard.url, wait_until="domcontentloaded")
        frames = record(page)
        browser.close()
    first, *others = (picture for picture, _ in frames)
    durations = [milliseconds for _, milliseconds in frames]
    first.save(
        asked.out, save_all=True, append_images=others, duration=durations, loop=0, quality=QUALITY, method=6
    )
    size = f"{first.width} × {first.height}, {asked.out.stat().st_size:,} bytes"
    print(f"{asked.out}: {len(frames)} frames, {size}")


if __name__ == "__main__":
    main()
