"""What the list of runs shows: kept in the page's state, changed by one action at a time, put into links."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dashboard.tabs.query import query_string

SORTS = {"name": False, "date": True, "network": False, "data": False, "images": True, "figure": True}
"""Columns, and whether the largest is first when a column is clicked."""
LONGEST = 100  # characters of a search


@dataclass(frozen=True)
class RunsView:
    """`find`: words that all must be in a run's name, network, data or state; `sort`: one of `SORTS`; `down`:
    the largest first."""

    find: str = ""
    sort: str = "date"
    down: bool = True
    page: int = 0

    def apply(self, action: str, value: str) -> "RunsView":
        """The view after a click. What does not fit leaves it as it is."""
        if action == "find":
            return replace(self, find=value[:LONGEST].strip(), page=0)
        if action == "sort" and value in SORTS:
            down = not self.down if value == self.sort else SORTS[value]
            return replace(self, sort=value, down=down, page=0)
        if action == "page" and value.isdecimal() and len(value) < 6:
            return replace(self, page=int(value))
        return self

    def query(self) -> str:
        first = RunsView()
        return query_string(
            find=self.find,
            sort=self.sort if (self.sort, self.down) != (first.sort, first.down) else "",
            order="" if self.down == SORTS[self.sort] else ("down" if self.down else "up"),
            sheet=self.page or "",
        )


def from_query(parameters: Mapping[str, str]) -> RunsView:
    """The view that a link asks for."""
    view = RunsView().apply("find", parameters.get("find", ""))
    if (sort := parameters.get("sort", "")) in SORTS:
        order = parameters.get("order", "")
        down = order == "down" if order in ("down", "up") else SORTS[sort]
        view = replace(view, sort=sort, down=down)
    elif parameters.get("order") == "up":
        view = replace(view, down=False)
    return view.apply("page", parameters.get("sheet", ""))
