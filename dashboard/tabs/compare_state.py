"""What the Compare tab shows: kept in the page's state, changed by one action at a time, put into links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dashboard.links import TAB
from dashboard.tabs.query import query_string

ID = "compare"
LISTS = {"a": "A correct, B wrong", "b": "B correct, A wrong", "drift": "maps differ most"}
TARGETS = {"label": "true", "pred": "predicted"}


@dataclass(frozen=True)
class Choice:
    """`other`: number of the run that is compared with, -1 for none; `label`: one class alone, -1 for all."""

    other: int = -1
    which: str = "a"
    label: int = -1
    target: str = "label"
    page: int = 0

    def apply(self, action: str, value: str) -> "Choice":
        """The view after a click. What does not fit leaves it as it is."""
        number = int(value) if value.removeprefix("-").isdecimal() else None
        if action == "which" and value in LISTS:
            return replace(self, which=value, page=0)
        if action == "target" and value in TARGETS:
            return replace(self, target=value)
        if number is None:
            return self
        if action == "other":
            return Choice(other=number, target=self.target)
        if action == "label":
            return replace(self, label=-1 if number == self.label else number, page=0)
        return replace(self, page=max(0, number)) if action == "page" else self

    def query(self, names: Sequence[str]) -> str:
        """`names`: of the runs to compare with."""
        return query_string(tab=ID, against=names[self.other] if self.other >= 0 else "")


def from_query(parameters: Mapping[str, str], names: Sequence[str], first: Choice) -> Choice:
    """The view that a link asks for; `first` where it names no run to compare with."""
    against = parameters.get("against")
    if parameters.get(TAB) != ID or against not in names:
        return first
    return first.apply("other", str(names.index(against)))
