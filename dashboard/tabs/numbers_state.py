"""What the Errors tab shows of a run of numbers, as a few keys: kept in the page's state, changed by one
action at a time, put into links."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dashboard.links import PAGE, number
from dashboard.tabs.query import query_string
from explain.analysis.numbers.chart import drawn_region, region_at
from explain.analysis.numbers.groups import GROUPS, SORTS
from explain.analysis.numbers.plane import Box, Near, Region, parse_region, region_text, rounded
from explain.analysis.numbers.proposals import SUSPICIOUS, is_found
from explain.analysis.numbers.run_numbers import plane_of
from explain.quality.known import first_method
from explain.run.outputs.number_run import NumbersRun

TOOLS = {"box": "rectangle", "lasso": "lasso"}
"""What a drag on the plane draws."""
SIDES = ("left", "right", "bottom", "top")
OUTPUT = "output"  # of a link
LONGEST = 2000  # characters of a region


@dataclass(frozen=True)
class NumbersView:
    """`output`: its number; `group`: empty for some images of each group, a name of
    `explain.analysis.numbers.groups.GROUPS` or of a group of findings
    (`explain.analysis.numbers.proposals.is_found`), or a region of the plane as text; `sort`: empty for the
    order of the group; `shared`: one scale for all maps; `tool`: one of `TOOLS`."""

    output: int = 0
    method: str = ""
    group: str = ""
    sort: str = ""
    page: int = 0
    shared: bool = False
    tool: str = "box"

    @property
    def region(self) -> Region | None:
        return parse_region(self.group)

    @property
    def box(self) -> Box:
        """The sides of the region; open ones where it is no rectangle."""
        region = self.region
        return region if isinstance(region, Box) else Box()

    def apply(self, action: str, value: str, run: NumbersRun) -> "NumbersView":
        """The view after a click. What does not fit the run leaves the view as it is."""
        if action == OUTPUT:
            chosen = number(value)
            if chosen is None or chosen >= len(run.outputs) or chosen == self.output:
                return self
            kept = self.group if self.group in (*GROUPS, SUSPICIOUS) else ""
            return replace(self, output=chosen, group=kept, page=0)
        if action in ("group", "region", "drawn", "at", *SIDES):
            return self._of_images(action, value, run)
        if action == "sort" and value in ("", *SORTS):
            return replace(self, sort=value, page=0)
        if action == "page" and (page := number(value)) is not None:
            return replace(self, page=page)
        if action == "method" and value in run.manifest.request.methods:
            return replace(self, method=value)
        if action == "shared":
            return replace(self, shared=value == "true")
        if action == "tool" and value in TOOLS:
            return replace(self, tool=value)
        return self

    def _of_images(self, action: str, value: str, run: NumbersRun) -> "NumbersView":
        if action == "group":
            return self._at(value) if value in ("", *GROUPS) or is_found(value) else self
        plane = plane_of(run, self.output)
        if action in SIDES:
            sides = {side: getattr(self.box, side) for side in SIDES}
            text = ",".join(value if side == action else _side(sides[side]) for side in SIDES)
            region = parse_region(f"box:{text}"[:LONGEST])
            if region == Box():
                return self._at("") if self.region else self
            return self if region is None else self._at(region_text(rounded(region, plane.axis)))
        if action == "at":
            point = parse_region(f"near:{value}"[:LONGEST])
            if not isinstance(point, Near):
                return self
            return self._at(region_text(region_at(plane, point.true, point.predicted)))
        region = parse_region(value) if len(value) <= LONGEST else None
        if region is None:
            return self
        kept = drawn_region(plane, region) if action == "drawn" else rounded(region, plane.axis)
        text = region_text(kept)
        return self if parse_region(text) is None else self._at(text)  # too thin for any image

    def _at(self, group: str) -> "NumbersView":
        return replace(self, group=group, sort="" if group != self.group else self.sort, page=0)

    def query(self, run: NumbersRun) -> str:
        """The view as query parameters, with names instead of numbers."""
        plain = first_view(run).method == self.method == run.manifest.request.methods[0]
        return query_string(
            output=run.outputs[self.output] if len(run.outputs) > 1 else None,
            method=None if plain else self.method,
            group=self.group,
            sort=self.sort,
            **{PAGE: self.page + 1 if self.page else None},
        )


def first_view(run: NumbersRun) -> NumbersView:
    return NumbersView(run.index, first_method(run))


def from_query(parameters: Mapping[str, str], run: NumbersRun) -> NumbersView:
    """The view that a link asks for; what does not fit is left out."""
    view = first_view(run)
    if (output := output_of(parameters, run)) is not None:
        view = view.apply(OUTPUT, str(output), run)
    view = view.apply("method", parameters.get("method", ""), run)
    group = parameters.get("group", "")
    view = view.apply("group" if group in GROUPS or is_found(group) else "region", group, run)
    view = view.apply("sort", parameters.get("sort", ""), run)
    page = number(parameters.get(PAGE))
    return replace(view, page=page - 1) if page else view


def output_of(parameters: Mapping[str, str], run: NumbersRun) -> int | None:
    """The number of the output that a link names; None where it names none."""
    name = parameters.get(OUTPUT)
    return run.outputs.index(name) if name in run.outputs else None


def is_view(parameters: Mapping[str, str]) -> bool:
    """Whether a link asks for anything of this tab."""
    return bool({OUTPUT, "method", "group", "sort", PAGE} & set(parameters))


def _side(value: float) -> str:
    return "" if value in (float("inf"), float("-inf")) else repr(value)
