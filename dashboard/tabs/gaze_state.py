"""What the Gaze tab shows: kept in the page's state, changed by one action at a time, put into links."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dashboard.links import IMAGE, TAB
from dashboard.session.types import Subject
from dashboard.tabs.query import query_string
from explain.gaze.folder import GazeRun
from explain.gaze.metrics import METRICS

ID = "gaze"


@dataclass(frozen=True)
class GazeView:
    """`source`, `metric`: what the cards are sorted by; `row`: the image that is shown large, -1 for one from
    outside of the folder, the `subject`. `output`: of numbers, the one whose map is compared with the
    predicted gaze, -1: that of Errors."""

    source: str = ""
    metric: str = "nss"
    page: int = 0
    row: int = -1
    subject: Subject | None = None
    output: int = -1

    def apply(self, action: str, value: str, results: GazeRun) -> "GazeView":
        """The view after a click. What does not fit leaves it as it is."""
        number = int(value) if value.isdecimal() else None
        if action == "source" and value in results.kept:
            return replace(self, source=value, page=0)
        if action == "metric" and value in METRICS:
            return replace(self, metric=value, page=0)
        if action == "page" and number is not None:
            return replace(self, page=number)
        if action == "row" and number is not None and number < len(results.images):
            return replace(self, row=number)
        return self

    def query(self, results: GazeRun) -> str:
        return query_string(tab=ID, image=results.images.at[self.row, "id"] if self.row >= 0 else "")


def from_query(parameters: Mapping[str, str], results: GazeRun | None, first: GazeView) -> GazeView:
    """The view that a link asks for; `first` where it asks for no image of the gaze folder."""
    if results is None or parameters.get(TAB) != ID:
        return first
    rows = results.images.index[results.images["id"] == parameters.get(IMAGE)]
    return replace(first, row=int(rows[0])) if len(rows) else first


def first_view(results: GazeRun | None) -> GazeView:
    """The image where the first network, or model, and people disagree most."""
    if results is None or not results.kept:
        return GazeView()
    sources = results.manifest["sources"]
    networks = [s["name"] for s in sources if s["kind"] == "network" and s["name"] in results.kept]
    source = (networks or results.kept)[0]
    rows = results.worst(source, "nss")
    return GazeView(source, row=int(rows[0]) if len(rows) else 0)
