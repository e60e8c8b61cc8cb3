"""What the Filters tab shows: kept in the page's state, changed by one action at a time, put into links; and
which units its form asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dashboard.links import TAB, number
from dashboard.tabs.query import query_string
from explain.formatting import counted

if TYPE_CHECKING:
    from explain.network.summary import Layer

ID = "filters"
FILTERS, NEURONS, CLASSES = UNITS = ("filters", "neurons at the center", "classes")
"""What can be maximized."""


@dataclass(frozen=True)
class FiltersView:
    """`layer` empty: the first one with filters; `unit`: the filter that is enlarged; `class_index`: the
    class that is enlarged, where classes are maximized."""

    layer: str = ""
    unit: int = 0
    class_index: int | None = None
    sort: str = "index"
    page: int = 0

    def apply(self, action: str, value: str, of_classes: bool = False) -> "FiltersView":
        """The view after a click. What does not fit leaves it as it is. `of_classes`: whether classes are
        maximized, so that a click on a visualization names a class."""
        from explain.features.kernels import SORTS

        if action == "layer":
            return replace(self, layer=value, page=0, unit=0, class_index=None)
        if action == "sort" and value in SORTS:
            return replace(self, sort=value, page=0)
        if not value.isdecimal():
            return self
        if action == "maximized":
            return replace(self, class_index=int(value)) if of_classes else replace(self, unit=int(value))
        if action == "unit":
            return replace(self, unit=int(value), class_index=None)
        return replace(self, page=int(value)) if action == "page" else self

    def query(self) -> str:
        return query_string(tab=ID, layer=self.layer, unit=self.unit, sort=self.sort)


def from_query(parameters: Mapping[str, str], first: FiltersView) -> FiltersView:
    """The view that a link asks for; `first` where it asks for none of this tab."""
    if parameters.get(TAB) != ID:
        return first
    view = replace(first, layer=parameters.get("layer", ""), unit=number(parameters.get("unit")) or 0)
    return view.apply("sort", parameters.get("sort", ""))


class UnitRequest:
    """The units of a layer, or the classes, that the form asks to visualize."""

    def __init__(
        self,
        names: Sequence[str],
        layer: "Layer",
        width: int,
        kind: str,
        count: int,
        start: float,
        steps: int,
        seed: float,
        classes: list[int],
        called: str = CLASSES,
    ):
        """`names`: of the classes; `width`: the number of filters of the layer; `called`: what the classes
        are called; the rest: of the form."""
        from explain.features.activation_maximization import CLASSES as ALL_CLASSES
        from explain.features.activation_maximization import PLACES, Settings

        self.of_classes = kind == CLASSES
        width = len(names) if self.of_classes else width
        first = min(max(int(start or 0), 0), width - 1)
        listed = classes if self.of_classes and classes else range(first, min(first + int(count), width))
        self.units = tuple(int(unit) for unit in listed)
        self.names = [names[unit] if self.of_classes else str(unit) for unit in self.units]
        target = ALL_CLASSES if self.of_classes else layer.name
        place = PLACES[1] if kind == NEURONS else PLACES[0]
        self.settings = Settings(target, place, steps=int(steps), seed=int(seed or 0))
        of_layer = f"{layer.alias or layer.name}, {kind} {self.units[0]} to {self.units[-1]}"
        self.description = (
            f"{called if self.of_classes else of_layer}, {counted(steps, 'step')}, seed {int(seed or 0)}"
        )
