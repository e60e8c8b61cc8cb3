"""Make the screenshots of the documentation from the real page: the dashboard on its demo, in headless
Chromium.

    python docs/make_screenshots.py [--out docs] [--browser /usr/bin/chromium]

`inspect.png`: an image of the demo's finding, with live maps. `filters.png`: the images that maximize the
filters of a layer, beside its weights. Each has 128 colors. Needs playwright and Chromium.
"""

import argparse
import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import vitrine
from tests.pages import DRAWN

VIEWPORT = (1280, 980)
COLORS = 128
WAIT = 300_000  # ms; the first live map waits for the network
PHOTO = "test/anger/00006.png"  # from North
LAYER = "conv3"


def inspect(page: Page) -> None:
    page.wait_for_selector(f"#vt-facts:has-text('{PHOTO}')")
    page.wait_for_selector("#vt-live .vt-map")


def filters(page: Page) -> None:
    page.click(f"#vt-filter-layers tr:has-text('{LAYER}')")
    page.wait_for_selector(f"#vt-weights h2:has-text('{LAYER}')")
    page.wait_for_selector(f"#vt-wishes h2:has-text('{LAYER}')")
    page.click("#vt-maximize")
    page.wait_for_selector("#vt-wishes .vt-channel")
    page.wait_for_selector("#vt-stop-maximize", state="hidden")
    page.locator("#vt-wishes .vt-channel").first.click()
    page.wait_for_selector(f"#vt-filter h2:has-text('{LAYER}, filter')")


VIEWS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "inspect": (f"?image={PHOTO}", inspect),
    "filters": ("?tab=filters", filters),
}
"""Name of the file -> the link, and what is done on the page."""


def picture(page: Page) -> Image.Image:
    """What is in the window from the tabs on, in few colors."""
    page.evaluate(DRAWN)
    page.locator("#vt-tabs").evaluate("node => node.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(600)  # transitions end
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return shown.quantize(COLORS, dither=Image.Dither.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    asked = parser.parse_args()
    width, height = VIEWPORT
    with vitrine.dashboard(ROOT / "dashboard" / "demo") as dashboard, sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=asked.browser, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for name, (link, show) in VIEWS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.set_default_timeout(WAIT)
            page.goto(dashboard.url + link, wait_until="domcontentloaded")
            show(page)
            file = asked.out / f"{name}.png"
            picture(page).save(file, optimize=True)
            print(f"{file}: {width} × {height}, {file.stat().st_size:,} bytes")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
