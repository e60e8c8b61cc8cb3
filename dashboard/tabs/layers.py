"""Layers: the network as a table, and what every channel of a layer makes of one image."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr
from cachetools import LRUCache
from markupsafe import Markup

from dashboard.components.clickable import clickable
from dashboard.components.markup import NOTHING
from dashboard.components.network.depth_view import depth_panel
from dashboard.components.network.layer_view import channel_alone, channel_sheet, label_choice, layer_table
from dashboard.components.network.strongest import strongest_strip
from dashboard.components.placeholders import waiting
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, clicked_row, linked
from dashboard.server.event_queue import READS
from dashboard.session.cancellation import in_turns
from dashboard.session.context import Context
from dashboard.session.subject_picker import SubjectPicker
from dashboard.session.subjects import of_row
from dashboard.session.types import Subject
from dashboard.tabs.label_link import label_of_errors, label_of_link
from dashboard.tabs.layers_state import ID, LayersView, from_query
from models.errors import Cancelled, UserError

if TYPE_CHECKING:
    from explain.features.activations import Activations
    from explain.features.depth import Step
    from explain.network.summary import Layer

TITLE = "Layers"
NEEDS, REACH = "explains", "layers"
KEPT = 4  # images of which the measurements are kept
EVERY = 0.8  # seconds between two messages of progress
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Measured:
    """Of an image: the network's table, the steps over depth, and the larger shift in pixels."""

    table: "list[Layer]"
    steps: "list[Step]"
    shift: int


class Pieces:
    """The parts of the page for a view."""

    def __init__(self, ctx: Context):
        self._ctx, self._measured = ctx, LRUCache[str, Measured](KEPT)

    def of(self, view: LayersView, label: int | None = None) -> tuple[LayersView, list[str]]:
        """The view with a layer that exists; table, sheet, channel, depth. `label`: of several labels per
        image, the number of the one that weights and curves are of; of numbers, that of the output. Raises
        UserError for what cannot be shown."""
        from explain.features.activations import activations, order

        if view.subject is None:
            raise UserError("No image is selected: click an image in Errors, or upload one.")
        with self._ctx.classifier() as classifier:
            session = self._ctx.sessions.at(view.subject)
            measured = self._of(view.subject, classifier.model, session.x)
            layer = _layer(measured.table, view.layer)
            view = replace(view, layer=layer.name)
            output = activations(classifier.model, session.x, layer.name, layer.runs)
            target = session.pred if label is None else label
            ranked = order(classifier.model, session.x, output, view.order, target)
            projected = _projected(classifier.model, session.x, output, view.channel)
        size, channel = (session.x.shape[2], session.x.shape[3]), view.channel
        strip = ""
        if channel is not None and channel < len(output.values):
            strip = strongest_strip(self._ctx.run, layer, channel, size, self._ctx.access.computes)
        return view, [
            layer_table(measured.table, layer.name),
            channel_sheet(
                output, asdict(view), ranked, layer.alias, self._link(view, label), *self._towards(label)
            ),
            channel_alone(output, channel, layer, session.image, size, view.colors, projected, strip),
            self.depth(view, label),
        ]

    def _link(self, view: LayersView, label: int | None) -> str:
        shown = view if label is None else replace(view, label=label)
        return linked(shown.query(self._ctx.run))

    def _towards(self, label: int | None) -> tuple[Markup, str]:
        """The choice of the label or output, and what it is called; nothing for runs of one class per image,
        and of one number."""
        run = self._ctx.run
        if label is None or (run.numbers and len(run.classes) == 1):
            return NOTHING, "output" if run.numbers else "class"
        called = "output" if run.numbers else "label"
        return label_choice(run.classes, label, called), called

    def depth(self, view: LayersView, label: int | None = None, running: str = "") -> str:
        """Of a subject that was shown; `running`: the progress of the pass over the run."""
        from explain.features.top_activations import curves, stored_counts

        measured, about = self._measured.get(_key(view.subject)), stored_counts(self._ctx.run)
        if measured is None:
            return ""
        run = curves(self._ctx.run, label) if about else None
        name = "" if label is None or self._ctx.run.numbers else self._ctx.run.classes[label]
        given = (measured.steps, run, measured.shift, view.layer, about, running, self._ctx.access.computes)
        return depth_panel(*given, name, not self._ctx.run.numbers)

    def _of(self, subject: Subject, model: Any, x: Any) -> Measured:
        from explain.features.depth import block_outputs, depth, largest_shift, step
        from explain.network.summary import layers

        key = _key(subject)
        if key not in self._measured:
            table = layers(model, x)
            on_the_way = block_outputs(table)
            values = depth(model, x, on_the_way)
            steps = [
                step(layer, values[layer.name][0].tolist()) for layer in on_the_way if layer.name in values
            ]
            self._measured[key] = Measured(table, steps, largest_shift(on_the_way, x.shape[3]))
        return self._measured[key]


def _layer(table: "list[Layer]", name: str) -> "Layer":
    """The layer of that name, otherwise the first one with spatial positions."""
    named = next((layer for layer in table if layer.name == name), None)
    return named or next((layer for layer in table if layer.spatial), table[0])


def _projected(model: Any, x: Any, output: "Activations", channel: int | None) -> Any:
    """What the channel's strongest position responds to in the image, or why that is not known."""
    from explain.features.projection import projections

    if channel is None or channel >= len(output.values) or not output.values[channel].any():
        return ""
    try:
        return projections(model, x, output, channel)
    except UserError as error:
        return str(error)


def _key(subject: Subject | None) -> str:
    return repr(sorted((subject or {}).items()))


def build(ctx: Context) -> None:
    LayersTab(ctx).listen()


class LayersTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, self._pieces = ctx, Pieces(ctx)
        with gr.Row(elem_classes="vt-main vt-through"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._channel = clickable("", "vt-alone")
                placeholder = waiting("Network", "The layers are listed once the network is loaded.")
                self._table = clickable(placeholder, "vt-network")
                self._picker = SubjectPicker(ctx, "vt-layers")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._sheet = clickable("", "vt-sheet")
                self._depth = clickable("", "vt-depth")
        self._view = gr.State(asdict(LayersView(self._picker.opened(None))))
        self._surveyed = gr.State(0.0)  # when the last pass over the run began
        self._results = [self._view, self._table, self._sheet, self._channel, self._depth]

    def listen(self) -> None:
        ctx, state, results = self._ctx, self._view, self._results
        busy: dict[str, Any] = {
            "api_visibility": "private",
            "concurrency_id": "model",
            "show_progress_on": [self._sheet],
        }
        clicks = [piece.select for piece in results[1:]]
        gr.on(clicks, self.act, [state, ctx.view], results, trigger_mode="multiple", **busy)
        gr.on(
            [self._channel.select, self._depth.select],
            self.survey_run,
            [state, ctx.view],
            [self._depth, self._surveyed],
            concurrency_id="survey",
            **QUIET,
        )
        # what is shown now, which may be something else than when the survey began
        self._surveyed.change(self.show, [state, ctx.view], results, **busy)
        ctx.opened.change(self.opened, [ctx.opened, state], [state], **QUIET, **READS)
        self._picker.listen(self.pick, [state, ctx.view], results, self._sheet)
        ctx.on_load(self.arrive, [state], [state, ctx.tabs])
        ctx.on_tab(ID, self.show, [state, ctx.view], results)

    def _shown(self, view: LayersView, errors: dict[str, Any]) -> list[Any]:
        """Values for the results. `errors`: the view of Errors."""
        view, pieces = self._pieces.of(view, self._label(view, errors))
        return [asdict(view), *pieces]

    def _label(self, view: LayersView, errors: dict[str, Any]) -> int | None:
        """Of several labels per image, and of numbers, the one that was chosen here, or else in Errors."""
        run = self._ctx.run
        known = (run.label_sets is not None or run.numbers) and 0 <= view.label < len(run.classes)
        return view.label if known else label_of_errors(errors, run)

    @error_boundary
    def show(self, keys: dict[str, Any], errors: dict[str, Any]) -> list[Any]:
        return self._shown(LayersView(**keys), errors)

    @error_boundary
    def act(
        self, request: gr.Request, event: gr.SelectData, keys: dict[str, Any], errors: dict[str, Any]
    ) -> list[Any]:
        action, value, view = str(event.index), str(event.value), LayersView(**keys)
        if action == "stop":
            self._ctx.cancellation.stop(str(request.session_hash))
        if action == "row":
            clicked_row(self._ctx.run, value)
        after = view.apply(action, value)
        return [gr.skip()] * len(self._results) if after == view else self._shown(after, errors)

    @error_boundary
    def survey_run(
        self, request: gr.Request, event: gr.SelectData, keys: dict[str, Any], errors: dict[str, Any]
    ) -> Iterator[list[Any]]:
        """One pass over the run; the network is free between its steps."""
        if event.index != "survey":
            yield [gr.skip(), gr.skip()]
            return
        self._ctx.access.require_compute()
        if self._ctx.run.numbers:
            raise UserError(
                "The pass over the run takes runs of classes; the outputs of this run are numbers."
            )
        view, began, who = LayersView(**keys), time.monotonic(), str(request.session_hash)
        label = self._label(view, errors)
        self._ctx.cancellation.begin(who)
        yield [self._pieces.depth(view, label, "starting"), gr.skip()]
        try:
            for message in self._survey(who):
                yield [self._pieces.depth(view, label, message), gr.skip()]
        except Cancelled:
            gr.Info("Cancelled. Nothing was written.")
        except UserError:
            yield [gr.skip(), began]
            raise
        yield [gr.skip(), began]

    def _survey(self, who: str) -> Iterator[str]:
        """Messages of progress."""

        from explain.features.top_activations import top_activations

        ctx, began, drawn = self._ctx, time.monotonic(), 0.0
        with ctx.classifier() as classifier:
            work = top_activations(classifier, ctx.run)
        for fraction in in_turns(work, ctx.classifier, lambda: ctx.cancellation.raise_if_cancelled(who)):
            if (now := time.monotonic()) - drawn > EVERY:
                drawn, rest = now, (now - began) / fraction * (1 - fraction)
                yield f"{100 * fraction:.0f} % of the run, about {rest:.0f} s left"

    @error_boundary
    def arrive(self, request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """What a link names; it is drawn when the tab is opened."""
        if request.query_params.get(TAB) != ID:
            return [gr.skip()] * 2
        parameters = dict(request.query_params)
        view = from_query(parameters, self._ctx.run, LayersView(**keys))
        label = label_of_link(parameters, self._ctx.run)
        return [asdict(view if label is None else replace(view, label=label)), gr.Tabs(selected=ID)]

    @error_boundary
    def opened(self, opened: Subject | None, keys: dict[str, Any]) -> Any:
        """The row that was clicked in Errors; it is drawn when the tab is opened."""
        subject = of_row(opened)
        return asdict(LayersView(**{**keys, "subject": subject, "label": -1})) if subject else gr.skip()

    def pick(self, subject: Subject, keys: dict[str, Any], errors: dict[str, Any]) -> list[Any]:
        return self._shown(LayersView(**{**keys, "subject": subject}), errors)
