"""The tabs: a file each with `TITLE`, `ID`, `build(ctx)`, and what one must be allowed to for it to be there.
The order here is that on the page."""

from types import ModuleType

from dashboard.server.permissions import Access
from dashboard.tabs import compare, errors, export, filters, gaze, inspect, inversion, layers, train

TABS = (errors, inspect, layers, filters, inversion, gaze, compare, train, export)


def open_to(access: Access) -> list[ModuleType]:
    """Those that this access sees; the others are not even built."""
    return [tab for tab in TABS if getattr(access, getattr(tab, "NEEDS", ""), True)]
