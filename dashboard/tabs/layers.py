"""Layers: the network as a table, and what every channel of a layer makes of one picture."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.depth_view import depth_panel
from dashboard.components.layer_view import COLORS, channel_alone, channel_sheet, layer_table
from dashboard.components.panel import empty, panel
from dashboard.components.strongest import strongest_strip
from dashboard.error_boundary import error_boundary
from dashboard.examples import examples_strip
from dashboard.links import PAGE, TAB, clicked_row, copy_link, image_of, number, row_of
from dashboard.server.uploads import photo_upload
from dashboard.session.cancellation import in_turns
from dashboard.session.context import Context
from dashboard.session.image_sessions import Subject, first_row
from models.errors import Cancelled, UserError

if TYPE_CHECKING:
    from explain.features.activations import Activations
    from explain.features.depth import Step
    from explain.network.summary import Layer

TITLE, ID = "Layers", "layers"
NEEDS = "explains"
KEPT = 4  # pictures of which the table is kept
EVERY = 0.8  # seconds between two words of progress
WAITING = panel("The network", empty("Its layers are shown as soon as it is loaded."))


class Pieces:
    """The page's parts for a view: {"subject", "layer", "order", "scale", "colors", "page", "channel"}."""

    def __init__(self, ctx: Context):
        self._ctx, self._known = ctx, OrderedDict[str, Known]()

    def of(self, view: dict[str, Any]) -> list[str]:
        """Table, sheet, channel, depth. Raises UserError for what cannot be shown."""
        from explain.features.activations import activations, order

        if view["subject"] is None:
            raise UserError("Nothing to look at yet: click an image in Errors, or upload one.")
        with self._ctx.classifier() as classifier:
            session = self._ctx.sessions.at(view["subject"])
            known = self._of(view["subject"], classifier.model, session.x)
            by_name = {layer.name: layer for layer in known.table}
            view["layer"] = (
                view["layer"]
                if view["layer"] in by_name
                else next((x.name for x in known.table if x.spatial), known.table[0].name)
            )
            layer = by_name[view["layer"]]
            found = activations(classifier.model, session.x, layer.name, layer.runs)
            ranked = order(classifier.model, session.x, found, view["order"], session.pred)
            saw = self._saw(classifier.model, session.x, found, view["channel"])
        size, channel = (session.x.shape[2], session.x.shape[3]), view["channel"]
        offered, image = self._ctx.access.computes, image_of(self._ctx.run, view["subject"])
        link = copy_link(tab=ID, layer=layer.name, channel=channel, image=image, **{PAGE: view["page"] or ""})
        strip = (
            ""
            if channel is None or channel >= len(found.values)
            else strongest_strip(self._ctx.run, layer, channel, size, offered)
        )
        return [
            layer_table(known.table, layer.name),
            channel_sheet(found, view, ranked, layer.alias, link),
            channel_alone(found, channel, layer, session.seen, size, view["colors"], saw, strip),
            self.depth(view),
        ]

    def depth(self, view: dict[str, Any], running: str = "") -> str:
        """Of a subject that was shown; `running`: how far the pass over the run is."""
        from explain.features.top_activations import curves, surveyed

        known, about = self._known.get(_key(view["subject"])), surveyed(self._ctx.run)
        if known is None:
            return ""
        run = curves(self._ctx.run) if about else None
        return depth_panel(
            known.steps, run, known.shift, view["layer"], about, running, self._ctx.access.computes
        )

    def _of(self, subject: Subject, model: Any, x: Any) -> "Known":
        from explain.features.depth import depth, handed_on, largest_shift, step
        from explain.network.summary import layers

        key = _key(subject)
        if key not in self._known:
            table = layers(model, x)
            on_the_way = handed_on(table)
            measured = depth(model, x, on_the_way)
            steps = [
                step(layer, measured[layer.name][0].tolist())
                for layer in on_the_way
                if layer.name in measured
            ]
            self._known[key] = Known(table, steps, largest_shift(on_the_way, x.shape[3]))
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    @staticmethod
    def _saw(model: Any, x: Any, found: "Activations", channel: int | None) -> Any:
        """What the channel's strongest place saw, or why that cannot be said."""
        from explain.features.projection import projections

        if channel is None or channel >= len(found.values) or not found.values[channel].any():
            return ""
        try:
            return projections(model, x, found, channel)
        except UserError as error:
            return str(error)


@dataclass(frozen=True)
class Known:
    """What was measured of a picture: the network's table, the steps over depth, and the larger shift in
    pixels."""

    table: "list[Layer]"
    steps: "list[Step]"
    shift: int


def _key(subject: Subject | None) -> str:
    return repr(sorted((subject or {}).items()))


def changed(view: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    """The view after a click; what does not fit changes nothing."""
    from explain.features.activations import ORDERS, SCALES

    allowed = {"order": ORDERS, "scale": SCALES, "colors": COLORS}
    if name == "layer":
        return view | {"layer": value, "page": 0, "channel": None}
    if name in allowed and value in allowed[name]:
        return view | {name: value} | ({"page": 0} if name == "order" else {})
    if name == "row" and value.isdecimal():  # one of the strongest images
        return view | {"subject": {"row": int(value)}}
    if name in ("page", "channel") and value.isdecimal():
        return view | {name: int(value)}
    return view


def build(ctx: Context) -> None:
    pieces = Pieces(ctx)
    row = first_row(ctx)
    subject = None if row is None else {"row": row}
    start = {
        "subject": subject,
        "layer": "",
        "order": "index",
        "scale": "each channel",
        "colors": "viridis",
        "page": 0,
        "channel": None,
    }
    with gr.Row(elem_classes="vt-main vt-through"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            alone = clickable("", "vt-alone")
            table = clickable(WAITING, "vt-network")
            with gr.Group(elem_classes="vt-panel vt-controls"):
                upload = photo_upload("Your own photo", "vt-layers-upload")
                strip = clickable(examples_strip(), "vt-layers-examples")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            sheet = clickable("", "vt-sheet")
            over = clickable("", "vt-depth")
    view, seen, shown = gr.State(start), gr.State(0.0), [table, sheet, alone, over]

    @error_boundary
    def show(view: dict[str, Any]) -> list[Any]:
        return [view, *pieces.of(view)]

    @error_boundary
    def act(request: gr.Request, event: gr.SelectData, view: dict[str, Any]) -> list[Any]:
        name, value = str(event.index), str(event.value)
        if name == "stop":
            ctx.cancellation.stop(str(request.session_hash))
        if name in ("stop", "survey"):
            return [gr.skip()] * 5
        if name == "row":
            clicked_row(ctx.run, value)
        after = changed(view, name, value)
        return [gr.skip()] * 5 if after == view else [after, *pieces.of(after)]

    @error_boundary
    def look_at_run(request: gr.Request, event: gr.SelectData, view: dict[str, Any]) -> Iterator[list[Any]]:
        """One pass over the run, with the network free between its steps."""
        if event.index != "survey":
            yield [gr.skip(), gr.skip()]
            return
        from explain.features.top_activations import survey

        ctx.access.require_compute()
        who, began, drawn = str(request.session_hash), time.monotonic(), 0.0
        ctx.cancellation.begin(who)
        yield [pieces.depth(view, "begins"), gr.skip()]
        with ctx.classifier() as classifier:
            work = survey(classifier, ctx.run)
        try:
            for fraction in in_turns(ctx, who, work):
                if (now := time.monotonic()) - drawn > EVERY:
                    drawn, rest = now, (now - began) / fraction * (1 - fraction)
                    yield [
                        pieces.depth(view, f"{fraction:.0%} of the run, about {rest:.0f} s left"),
                        gr.skip(),
                    ]
        except Cancelled:
            gr.Info("Stopped: nothing of the run was kept.")
        except UserError:
            yield [gr.skip(), began]
            raise
        yield [gr.skip(), began]

    @error_boundary
    def arrive(request: gr.Request, view: dict[str, Any]) -> list[Any]:
        """What a link names."""
        asked = request.query_params
        if asked.get(TAB) != ID:
            return [gr.skip()] * 2
        row = row_of(ctx.run, asked)
        named = {
            "layer": asked.get("layer", ""),
            "channel": number(asked.get("channel")),
            "page": number(asked.get(PAGE)) or 0,
        }
        return [view | named | ({"subject": {"row": row}} if row is not None else {}), gr.Tabs(selected=ID)]

    @error_boundary
    def opened(subject: Subject | None, view: dict[str, Any]) -> Any:
        """The row that was clicked in Errors; it is drawn when the tab is opened."""
        return view | {"subject": {"row": int(subject["row"])}} if subject else gr.skip()

    @error_boundary
    def uploaded(request: gr.Request, path: str | None, view: dict[str, Any]) -> Iterator[list[Any]]:
        """The photo is looked at, and the field free for the next."""
        if path:
            yield [*[gr.skip()] * 5, None]
            yield [
                *show(view | {"subject": {"upload": ctx.photos.keep(str(request.session_hash), path)}}),
                gr.skip(),
            ]

    @error_boundary
    def example(event: gr.SelectData, view: dict[str, Any]) -> list[Any]:
        return show(view | {"subject": {"example": str(event.value)}})

    options: dict[str, Any] = {
        "api_visibility": "private",
        "concurrency_id": "model",
        "show_progress_on": [sheet],
    }
    results = [view, *shown]
    gr.on([piece.select for piece in shown], act, [view], results, trigger_mode="always_last", **options)
    gr.on(
        [alone.select, over.select],
        look_at_run,
        [view],
        [over, seen],
        concurrency_id="survey",
        show_progress="hidden",
        api_visibility="private",
    )
    seen.change(
        show, [view], results, **options
    )  # what is looked at now, which may be something else than when it began
    ctx.opened.change(opened, [ctx.opened, view], [view], api_visibility="private", show_progress="hidden")
    gr.on(
        [upload.upload, upload.input],
        uploaded,
        [upload, view],
        [*results, upload],
        trigger_mode="always_last",
        **options,
    )
    strip.select(example, [view], results, **options)
    ctx.on_load(arrive, [view], [view, ctx.tabs])
    ctx.on_tab(ID, show, [view], results)
