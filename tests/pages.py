"""Steps that browser tests share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.ports import free_port

DRAWN = """() => new Promise(resolve => {
  let timer = setTimeout(resolve, 200);
  const start = Date.now();
  new MutationObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(resolve, Date.now() - start > 8000 ? 0 : 200);
  }).observe(document.body, {childList: true, subtree: true, characterData: true});
})"""  # nothing has changed for 200 ms
RESTS = """(() => {
  const request = window.requestAnimationFrame.bind(window);
  const loaded = () => document.getElementById('vt-tabs') !== null;
  let inTimer = false;
  window.requestAnimationFrame = callback => {
    const timer = inTimer || (!loaded() && String(callback).includes('performance.now()'));
    if (timer && loaded()) return 0;
    return request(time => {
      const outer = inTimer;
      inTimer = timer;
      try { callback(time); } finally { inTimer = outer; }
    });
  };
})()"""  # else Gradio's loading screen counts the seconds in every frame, also after it has gone
LATE_END = """(() => {
  const fetched = window.fetch.bind(window), read = new TextDecoder(), write = new TextEncoder();
  window.fetch = async (...asked) => {
    const response = await fetched(...asked);
    if (!String(asked[0].url ?? asked[0]).includes('queue/data')) return response;
    const held = new TransformStream({async transform(chunk, to) {
      const text = read.decode(chunk), at = text.indexOf('data: {"msg":"close_stream"');
      if (at < 0) return to.enqueue(chunk);
      to.enqueue(write.encode(text.slice(0, at)));
      await new Promise(resolve => setTimeout(resolve, 200));
      to.enqueue(write.encode(text.slice(at)));
    }});
    const {status, headers} = response;
    return new Response(response.body.pipeThrough(held), {status, headers});
  };
})()"""  # the page hears 200 ms late that a stream of answers has ended
DARK = "document.body.classList.contains('dark')"
FITS = "document.documentElement.scrollWidth <= window.innerWidth"

PHONE = 390  # pixels of width

if TYPE_CHECKING:
    from pathlib import Path

    from playwright import sync_api as playwright

    from dashboard.session.context import Context


@contextmanager
def served(ctx: "Context") -> Iterator[str]:
    """The dashboard, live: its address."""
    from dashboard.app import build
    from dashboard.server.serving import options

    page = build(ctx)
    _, url, _ = page.launch(prevent_thread_lock=True, server_port=free_port(), **options())
    yield url
    page.close(verbose=False)


class Events:
    """The events of a page that the server has not finished yet."""

    def __init__(self, page: "playwright.Page"):
        self.page = page
        self.open: set[playwright.Request] = set()
        page.on("request", lambda request: self.open.add(request) if "/queue/" in request.url else None)
        page.on("requestfinished", lambda request: self.open.discard(request))
        page.on("requestfailed", lambda request: self.open.discard(request))

    def wait(self) -> None:
        """Until all are finished, no other follows, and the page is drawn."""
        quiet, until = 0, time.monotonic() + 10
        while quiet < 6:
            self.page.wait_for_timeout(50)
            quiet = 0 if self.open else quiet + 1
            if time.monotonic() > until:  # a stream whose end the browser never reports
                self.open.clear()
        self.page.evaluate(DRAWN)


def saved(download: "playwright.Download", folder: "Path") -> "Path":
    """The downloaded file: it is in the browser's hands, which serves several tests, until it is saved."""
    path = folder / download.suggested_filename
    download.save_as(path)
    return path


def open_tab(page: "playwright.Page", name: str) -> None:
    """Also where it lies in the menu of those that do not fit.

    A page that has just arrived measures its tabs first: until then neither a tab nor the menu can be seen,
    and a tab may still move from one to the other.
    """
    from playwright.sync_api import TimeoutError as TooLate

    tab = page.locator(f"#vt-tabs button[role=tab]:has-text('{name}'):visible")
    menu = page.locator(".overflow-menu > button:visible")
    entry = page.locator(f".overflow-menu button:has-text('{name}'):visible")
    for _ in range(20):
        tab.or_(menu).first.wait_for()
        with suppress(TooLate):
            if tab.count() == 0:
                menu.click(timeout=3000)
            tab.or_(entry).last.click(timeout=3000)
            return
    raise AssertionError(f"no tab {name} to click")


def resized(page: "playwright.Page", width: int) -> None:
    """Make the window so wide, and wait until the page is drawn."""
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(DRAWN)


def on_a_phone_in_the_dark(page: "playwright.Page") -> None:
    """The same page, as it would be there: another page load takes more time than all that is done in it."""
    if not page.evaluate(DARK):
        page.click("[data-theme-switch]")
        assert page.evaluate(DARK)
    resized(page, PHONE)


def fits_wide_and_narrow(page: "playwright.Page") -> bool:
    """Whether nothing is wider than the window, neither on a phone nor in 1280 pixels. The page stays as it
    was."""
    width, fit = page.evaluate("innerWidth"), list[bool]()
    for tried in (PHONE, 1280) if width > PHONE else (1280, PHONE):
        resized(page, tried)
        fit.append(page.evaluate(FITS))
    return all(fit)


def on_tab(page: "playwright.Page", name: str) -> bool:
    """Whether this tab is the open one."""
    chosen = page.locator("#vt-tabs button[role=tab][aria-selected=true]").first
    return chosen.inner_text() == name
