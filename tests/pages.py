"""Steps that browser tests share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright import sync_api as playwright

    from dashboard.context import Context


@contextmanager
def served(ctx: "Context") -> Iterator[str]:
    """The dashboard, live: its address."""
    from dashboard.app import build
    from dashboard.serving import options

    page = build(ctx)
    _, url, _ = page.launch(prevent_thread_lock=True, **options())
    yield url
    page.close(verbose=False)


def open_tab(page: "playwright.Page", name: str) -> None:
    """Also where it lies in the menu of those that do not fit."""
    tab = page.locator(f"#vt-tabs button[role=tab]:has-text('{name}')").first
    if not tab.is_visible():
        page.click(".overflow-menu > button")
        tab = page.locator(f".overflow-menu button:has-text('{name}')").last
    tab.click()
