"""The tabs, in their order on the page: each is a module with `TITLE`, `ID`, `build(ctx)`, and `NEEDS`, the
permission without which it is not built; `ONE_CLASS`, if it is for runs of one class per image alone; and
`REACH`, how much of the network it needs (`models.layers.access`)."""

from types import ModuleType

from markupsafe import Markup

from dashboard.components.placeholders import waiting
from dashboard.server.permissions import Access
from dashboard.tabs import (
    compare,
    errors,
    export,
    filters,
    gaze,
    inspect,
    inversion,
    layers,
    new_run,
    numbers,
    review,
    train,
)
from explain.run.reader import RunData
from models.layers.access import Access as Reach
from models.layers.access import reaches

TABS = (errors, inspect, layers, filters, inversion, gaze, compare, review, new_run, train, export)


def open_to(access: Access, run: RunData | None = None) -> list[ModuleType]:
    """The tabs of this access and run; the others are not built. `numbers` stands in the place of `errors`
    for a run of numbers."""
    of_run = run is not None and run.numbers
    tabs = [numbers if tab is errors and of_run else tab for tab in TABS]
    if run is not None and (run.numbers or run.label_sets is not None):
        tabs = [tab for tab in tabs if not getattr(tab, "ONE_CLASS", False)]
    return [tab for tab in tabs if getattr(access, getattr(tab, "NEEDS", ""), True)]


def missing(tab: ModuleType, run: RunData) -> Markup | None:
    """What stands in a tab that needs more of the network than can be reached; None where it can be built."""
    access = run.manifest.access
    needed: Reach = getattr(tab, "REACH", "scores")
    if reaches(access, needed):
        return None
    allowed = {
        "scores": "scores alone",
        "gradients": "scores and gradients",
        "layers": "layers of other kinds than PyTorch's",
    }[access]
    what = "its layers" if needed == "layers" else "modules of PyTorch"
    return waiting(
        tab.TITLE,
        f"This network's file gives {allowed}, and {tab.TITLE} needs {what}: make the run with the code that "
        "builds the network, as --model net.py:build --weights FILE.",
    )
