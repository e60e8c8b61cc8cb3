"""The tabs, in their order on the page: each is a module with `TITLE`, `ID`, `build(ctx)`, and `NEEDS`, the
permission without which it is not built."""

from types import ModuleType

from dashboard.server.permissions import Access
from dashboard.tabs import compare, errors, export, filters, gaze, inspect, inversion, layers, train

TABS = (errors, inspect, layers, filters, inversion, gaze, compare, train, export)


def open_to(access: Access) -> list[ModuleType]:
    """The tabs of this access; the others are not built."""
    return [tab for tab in TABS if getattr(access, getattr(tab, "NEEDS", ""), True)]
