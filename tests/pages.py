"""Steps that browser tests share."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright import sync_api as playwright


def open_tab(page: "playwright.Page", name: str) -> None:
    """Also where it lies in the menu of those that do not fit."""
    tab = page.locator(f"#vt-tabs button[role=tab]:has-text('{name}')").first
    if not tab.is_visible():
        page.click(".overflow-menu > button")
        tab = page.locator(f".overflow-menu button:has-text('{name}')").last
    tab.click()
