"""What the Layers tab shows: kept in the page's state, changed by one action at a time, put into links."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dashboard.components.network.layer_view import COLORS
from dashboard.links import PAGE, TAB, image_of, number
from dashboard.session.subjects import of_link
from dashboard.session.types import Subject
from dashboard.tabs.errors_state import LABEL
from dashboard.tabs.numbers_state import OUTPUT
from dashboard.tabs.query import query_string
from explain.run.reader import RunData

ID = "layers"


@dataclass(frozen=True)
class LayersView:
    """`layer` empty: the first one with spatial positions; `channel` None: none is enlarged; `label`: of
    several labels per image, the number of the one that weights and curves are of, of numbers that of the
    output; -1: that of Errors."""

    subject: Subject | None = None
    layer: str = ""
    order: str = "index"
    scale: str = "each channel"
    colors: str = "viridis"
    page: int = 0
    channel: int | None = None
    label: int = -1

    def apply(self, action: str, value: str) -> "LayersView":
        """The view after a click. What does not fit leaves it as it is."""
        from explain.features.activations import ORDERS, SCALES

        if action == "layer":
            return replace(self, layer=value, page=0, channel=None)
        if action == "order" and value in ORDERS:
            return replace(self, order=value, page=0)
        if action == "scale" and value in SCALES:
            return replace(self, scale=value)
        if action == "colors" and value in COLORS:
            return replace(self, colors=value)
        if not value.isdecimal():
            return self
        if action == "row":  # one of the strongest images
            return replace(self, subject={"row": int(value)})
        if action == "page":
            return replace(self, page=int(value))
        if action == "label":
            return replace(self, label=int(value), page=0)
        return replace(self, channel=int(value)) if action == "channel" else self

    def query(self, run: RunData) -> str:
        image = image_of(run, self.subject)
        name = OUTPUT if run.numbers else LABEL
        asked = (run.numbers or run.label_sets is not None) and self.label >= 0
        more = {PAGE: self.page or "", name: run.classes[self.label] if asked else ""}
        return query_string(tab=ID, layer=self.layer, channel=self.channel, image=image, **more)


def from_query(parameters: Mapping[str, str], run: RunData, first: LayersView) -> LayersView:
    """The view that a link asks for; `first` where it asks for none of this tab."""
    if parameters.get(TAB) != ID:
        return first
    return replace(
        first,
        subject=of_link(run, parameters) or first.subject,
        layer=parameters.get("layer", ""),
        channel=number(parameters.get("channel")),
        page=number(parameters.get(PAGE)) or 0,
    )
