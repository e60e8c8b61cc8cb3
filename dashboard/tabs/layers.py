"""Layers: the network as a table, and what every channel of a layer makes of one picture."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.layer_view import COLOURS, channel_alone, channel_sheet, layer_table
from dashboard.context import Context
from dashboard.examples import examples_strip
from dashboard.guard import said
from dashboard.looks import Looks, Subject, first_row
from dashboard.uploads import photo_upload
from models.errors import UserError

if TYPE_CHECKING:
    from explain.layers import Layer

TITLE, ID = "Layers", "layers"
KEPT = 4  # tables
WAITING = '<section class="vt-panel"><h2>The network</h2><p class="vt-empty">Its layers come as soon as it is loaded.</p></section>'


class Pieces:
    """The page's parts for a view: {"subject", "layer", "order", "scale", "colours", "page", "channel"}."""

    def __init__(self, ctx: Context):
        self._ctx, self._looks, self._tables = ctx, Looks(ctx), OrderedDict[str, "list[Layer]"]()

    def of(self, view: dict[str, Any]) -> list[str]:
        """Table, sheet, channel. Raises UserError for what cannot be shown."""
        from explain.activations import activations, order

        if view["subject"] is None:
            raise UserError("Nothing to look at yet: click an image in Errors, or upload one.")
        with self._ctx.classifier() as classifier:
            sight = self._looks.at(view["subject"])
            table = self._table(view["subject"], classifier.model, sight.x)
            by_name = {layer.name: layer for layer in table}
            view["layer"] = view["layer"] if view["layer"] in by_name else next((x.name for x in table if x.spatial), table[0].name)
            layer = by_name[view["layer"]]
            found = activations(classifier.model, sight.x, layer.name)
            ranked = order(classifier.model, sight.x, found, view["order"], sight.pred)
        size = (sight.x.shape[2], sight.x.shape[3])
        return [layer_table(table, layer.name), channel_sheet(found, view, ranked, layer.alias),
                channel_alone(found, view["channel"], layer, sight.seen, size, view["colours"])]  # fmt: skip

    def _table(self, subject: Subject, model: Any, x: Any) -> "list[Layer]":
        from explain.layers import layers

        key = repr(sorted(subject.items()))
        if key not in self._tables:
            self._tables[key] = layers(model, x)
            if len(self._tables) > KEPT:
                self._tables.popitem(last=False)
        return self._tables[key]


def changed(view: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    """The view after a click; what does not fit changes nothing."""
    from explain.activations import ORDERS, SCALES

    allowed = {"order": ORDERS, "scale": SCALES, "colours": COLOURS}
    if name == "layer":
        return view | {"layer": value, "page": 0, "channel": None}
    if name in allowed and value in allowed[name]:
        return view | {name: value} | ({"page": 0} if name == "order" else {})
    if name in ("page", "channel") and value.isdecimal():
        return view | {name: int(value)}
    return view


def build(ctx: Context) -> None:
    pieces = Pieces(ctx)
    row = first_row(ctx)
    subject = None if row is None else {"row": row}
    start = {"subject": subject, "layer": "", "order": "index", "scale": "each channel", "colours": "viridis", "page": 0, "channel": None}
    with gr.Row(elem_classes="vt-main"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            alone = clickable("", "vt-alone")
            table = clickable(WAITING, "vt-network")
            with gr.Group(elem_classes="vt-panel vt-controls"):
                upload = photo_upload("Your own photo", "vt-layers-upload")
                strip = clickable(examples_strip(), "vt-layers-examples")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            sheet = clickable("", "vt-sheet")
    view, shown = gr.State(start), [table, sheet, alone]

    @said
    def show(view: dict[str, Any]) -> list[Any]:
        return [view, *pieces.of(view)]

    @said
    def act(event: gr.SelectData, view: dict[str, Any]) -> list[Any]:
        view = changed(view, str(event.index), str(event.value))
        return [view, *pieces.of(view)]

    @said
    def opened(subject: Subject | None, view: dict[str, Any]) -> Any:
        """The row that was clicked in Errors; it is drawn when the tab is opened."""
        return view | {"subject": {"row": int(subject["row"])}} if subject else gr.skip()

    @said
    def uploaded(path: str | None, view: dict[str, Any]) -> list[Any]:
        return show(view | {"subject": {"upload": path}}) if path else [gr.skip()] * 4

    @said
    def example(event: gr.SelectData, view: dict[str, Any]) -> list[Any]:
        return show(view | {"subject": {"example": str(event.value)}})

    options: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "model", "show_progress_on": [sheet]}
    results = [view, *shown]
    gr.on([piece.select for piece in shown], act, [view], results, trigger_mode="always_last", **options)
    ctx.opened.change(opened, [ctx.opened, view], [view], api_visibility="private", show_progress="hidden")
    gr.on([upload.upload, upload.input], uploaded, [upload, view], results, trigger_mode="always_last", **options)
    strip.select(example, [view], results, **options)
    ctx.on_tab(ID, show, [view], results)
