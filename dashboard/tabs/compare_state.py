"""What the Compare tab shows: kept in the page's state, changed by one action at a time, put into links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dashboard.links import TAB
from dashboard.tabs.errors_state import LABEL, is_thresholds
from dashboard.tabs.query import query_string
from explain.analysis.binary.measures import PRESETS

ID = "compare"
LISTS = {"a": "A correct, B wrong", "b": "B correct, A wrong", "drift": "maps differ most"}
NEARER, FARTHER = "nearer", "farther"
CHANGES = {NEARER: "nearer in B", FARTHER: "farther in B"}
"""Lists of a run of numbers: where B is nearer to the truth than A, and where it is farther from it."""
TARGETS = {"label": "true", "pred": "predicted"}
OF_ERRORS = "errors"
THRESHOLDS = {OF_ERRORS: "of Errors", **PRESETS}
"""Thresholds of all labels, of runs of several labels per image."""


@dataclass(frozen=True)
class Choice:
    """`other`: number of the run that is compared with, -1 for none; `label`: one class alone, -1 for all. Of
    several labels per image, `asked`: the number in A of the label that is opened, -1 for none; `thresholds`:
    one of `THRESHOLDS`, or those of a link, by the number of the label as text. Of numbers, `asked`: the
    output, -1 for the first; `which`: one of `CHANGES`, anything else for the first."""

    other: int = -1
    which: str = "a"
    label: int = -1
    target: str = "label"
    page: int = 0
    asked: int = -1
    thresholds: str = OF_ERRORS

    def apply(self, action: str, value: str) -> "Choice":
        """The view after a click. What does not fit leaves it as it is."""
        number = int(value) if value.removeprefix("-").isdecimal() else None
        if action == "which" and value in (*LISTS, *CHANGES):
            return replace(self, which=value, page=0)
        if action == "target" and value in TARGETS:
            return replace(self, target=value)
        if action == "thresholds" and (value in THRESHOLDS or is_thresholds(value)):
            return replace(self, thresholds=value, page=0)
        if number is None:
            return self
        if action == "other":
            return Choice(other=number, target=self.target, thresholds=self.thresholds)
        if action == "asked":
            return replace(self, asked=max(number, -1), label=-1, page=0)
        if action == "label":
            return replace(self, label=-1 if number == self.label else number, page=0)
        return replace(self, page=max(0, number)) if action == "page" else self

    def query(self, names: Sequence[str], label: str = "", thresholds: str = "") -> str:
        """`names`: of the runs to compare with. Of several labels per image, `label`: the name of the one
        that is opened; `thresholds`: those that are shown, where they are those of Errors."""
        of_errors = self.thresholds == OF_ERRORS
        return query_string(
            tab=ID,
            against=names[self.other] if self.other >= 0 else "",
            thresholds=thresholds if of_errors else self.thresholds,
            **{LABEL: label},
        )


def list_of(choice: Choice) -> str:
    """The name in `CHANGES` of the images that are shown."""
    return choice.which if choice.which in CHANGES else NEARER


def from_query(parameters: Mapping[str, str], names: Sequence[str], first: Choice) -> Choice:
    """The view that a link asks for; `first` where it names no run to compare with."""
    against = parameters.get("against")
    if parameters.get(TAB) != ID or against not in names:
        return first
    found = first.apply("other", str(names.index(against)))
    return found.apply("thresholds", parameters.get("thresholds", ""))
