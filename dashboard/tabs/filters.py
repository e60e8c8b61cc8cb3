"""Filters: the weights of a layer, and feature visualizations of its filters, its neurons, or the classes."""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.network.feature_title import feature_title
from dashboard.components.network.filter_view import (
    class_alone,
    feature_panel,
    filter_alone,
    filter_table,
    kernel_panel,
)
from dashboard.components.network.strongest import strongest_strip
from dashboard.components.placeholders import waiting
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, in_inspect, linked
from dashboard.server.event_queue import READS
from dashboard.session.cancellation import in_turns
from dashboard.session.context import Context
from dashboard.tabs.filters_state import CLASSES, FILTERS, ID, UNITS, FiltersView, UnitRequest, from_query
from dashboard.tabs.label_link import kind_of
from models.errors import Cancelled, UserError

if TYPE_CHECKING:
    from explain.features.activation_maximization import Maximized
    from explain.features.kernels import Kernels
    from explain.network.summary import Layer

TITLE = "Filters"
NEEDS, REACH = "explains", "modules"
COUNTS, STEPS = (16, 64), (64, 128, 256, 512)
EVERY = 0.8  # seconds between two previews
UNMADE = "Click Maximize: images are optimized from noise by gradient ascent, and kept for the next time."
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


class Pieces:
    """The parts of the page for a view."""

    def __init__(self, ctx: Context):
        self.ctx, self._table = ctx, list[tuple["Layer", int]]()
        self.elsewhere = "The Layers tab computes them." if ctx.access.computes else ""
        self.unmade = UNMADE if ctx.access.computes else "These images are not computed yet."

    def layers(self) -> list[tuple["Layer", int]]:
        """Those with filters, in the order in which they run, and how many. Raises UserError where there are
        none."""
        import torch

        from explain.features.kernels import layers_with_filters
        from explain.network.summary import layers

        if not self._table:
            with self.ctx.classifier() as classifier:
                shape = (1, classifier.channels, *classifier.input_size)
                example = torch.zeros(shape, device=classifier.device)
                self._table = layers_with_filters(classifier.model, layers(classifier.model, example))
        if not self._table:
            raise UserError(
                "This network has no convolution and no dense layer whose filters could be shown."
            )
        return self._table

    def requested(self, view: FiltersView, form: tuple[Any, ...]) -> tuple["Layer", UnitRequest]:
        """The chosen layer, or the first, and the units that the form asks for."""
        table = self.layers()
        layer, width = next((entry for entry in table if entry[0].name == view.layer), table[0])
        given: list[Any] = [self.ctx.run.classes, layer, width, *form, kind_of(self.ctx.run)]
        return layer, UnitRequest(*given)

    def of(self, view: FiltersView, form: tuple[Any, ...]) -> list[str]:
        """Table, visualizations, weights, one filter or class."""
        from explain.features.kernels import kernels
        from explain.features.visualization_cache import VisualizationCache

        layer, request = self.requested(view, form)
        with self.ctx.classifier() as classifier:
            weights, cache = (
                kernels(classifier.model, layer.name, classifier.preprocessing.color),
                VisualizationCache(classifier, request.settings),
            )
            size, known = classifier.input_size, cache.known(request.units)
            one = None if request.of_classes else cache.known([view.unit])
        panel = feature_panel(
            known,
            feature_title(request.description),
            _names(request, known),
            view.class_index if request.of_classes else view.unit,
            "" if known else self.unmade,
        )
        name, link = layer.alias or layer.name, linked(replace(view, layer=layer.name).query())
        alone = ""
        if request.of_classes and known is not None and view.class_index in known.units:
            run = self.ctx.run
            kind = "output" if run.numbers else "class" if run.label_sets is None else "label"
            alone = class_alone(view.class_index, self.ctx.run.classes[view.class_index], known, kind)
        elif view.unit < len(weights.norms):
            alone = self._filter(weights, layer, view.unit, size, one)
        return [
            filter_table(self.layers(), layer.name),
            panel,
            kernel_panel(weights, asdict(view), name, link),
            alone,
        ]

    def _filter(
        self, weights: "Kernels", layer: "Layer", unit: int, size: tuple[int, int], known: "Maximized | None"
    ) -> str:
        strip = strongest_strip(self.ctx.run, layer, unit, size, offered=False, otherwise=self.elsewhere)
        return filter_alone(weights, unit, f"{layer.alias or layer.name}, filter {unit}", known, strip)


def _names(request: UnitRequest, known: "Maximized | None") -> list[str]:
    """Of the units that are there."""
    units = () if known is None else known.units
    return [name for unit, name in zip(request.units, request.names, strict=True) if unit in units]


def build(ctx: Context) -> None:
    FiltersTab(ctx).listen()


class FiltersTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, self._pieces = ctx, Pieces(ctx)
        self._moved_on = set[str]()  # visitors who chose another layer while images were optimized
        with gr.Row(elem_classes="vt-main vt-through"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                placeholder = waiting("Layers with filters", "They are listed once the network is loaded.")
                self._table = clickable(placeholder, "vt-filter-layers")
                self._alone = clickable("", "vt-filter")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                with gr.Group(elem_classes="vt-panel vt-controls"):
                    self._form = _form(ctx.run.classes, kind_of(ctx.run))
                    self._start, self._cancel = _buttons(ctx.access.computes)
                self._features, self._weights = clickable("", "vt-wishes"), clickable("", "vt-weights")
        self._view = gr.State(asdict(FiltersView()))
        self._areas = [self._table, self._features, self._weights, self._alone]

    def listen(self) -> None:
        ctx, controls, areas = self._ctx, list(self._form.values()), self._areas
        inputs, model = [self._view, *controls], {**QUIET, "concurrency_id": "model"}
        clicks = [area.select for area in areas]
        gr.on(
            clicks,
            self.act,
            inputs,
            [self._view, *areas, ctx.opened, ctx.tabs],
            trigger_mode="multiple",
            **model,
        )
        typed = [control.input for control in controls]
        gr.on(typed, self.show, inputs, areas, trigger_mode="always_last", **model)
        kind, classes = self._form["kind"], self._form["classes"]
        kind.change(lambda kind: gr.Dropdown(visible=kind == CLASSES), [kind], [classes], **QUIET, **READS)
        running = [self._features, self._start, self._cancel]
        maximized = self._start.click(self.maximize, inputs, running, concurrency_id="maximize", **QUIET)
        done = maximized.then(self.ready, None, [self._start, self._cancel], **QUIET, **READS)
        done.then(self.settle, inputs, [self._features, self._alone], **model)
        self._cancel.click(self.stop, None, None, concurrency_limit=None, **QUIET)
        ctx.on_load(self.arrive, [self._view], [self._view, ctx.tabs])
        ctx.on_tab(ID, self.show, inputs, areas)

    @error_boundary
    def show(self, keys: dict[str, Any], *form: Any) -> list[Any]:
        return self._pieces.of(FiltersView(**keys), form)

    @error_boundary
    def settle(self, request: gr.Request, keys: dict[str, Any], *form: Any) -> list[Any]:
        """The filter alone, whose visualization may be there now; and the layer that was chosen meanwhile,
        over which the last preview may have been drawn."""
        _, features, _, alone = self._pieces.of(FiltersView(**keys), form)
        return [features if request.session_hash in self._moved_on else gr.skip(), alone]

    @error_boundary
    def act(self, request: gr.Request, event: gr.SelectData, keys: dict[str, Any], *form: Any) -> list[Any]:
        action, value, view = str(event.index), str(event.value), FiltersView(**keys)
        nothing = [gr.skip()] * (len(self._areas) + 1)
        if action == "row":
            return nothing + in_inspect(self._ctx.run, value)
        if action == "layer":  # what is being optimized is of another layer
            self._moved_on.add(str(request.session_hash))
            self._ctx.cancellation.stop(str(request.session_hash))
        after = view.apply(action, value, form[0] == CLASSES)
        if after == view:
            return [*nothing, gr.skip(), gr.skip()]
        pieces: list[Any] = self._pieces.of(after, form)
        if action in ("sort", "page"):
            pieces[1] = gr.skip()
        return [asdict(after), *pieces, gr.skip(), gr.skip()]

    @error_boundary
    def maximize(self, request: gr.Request, keys: dict[str, Any], *form: Any) -> Iterator[list[Any]]:
        """Previews while images are optimized; between the steps other tabs have the network."""
        self._ctx.access.require_compute()
        who, view = str(request.session_hash), FiltersView(**keys)
        self._ctx.cancellation.begin(who)
        self._moved_on.discard(who)
        _, units = self._pieces.requested(view, form)
        yield [gr.skip(), gr.Button(interactive=False), gr.Button(visible=True)]
        for panel in self._previews(who, units, view.class_index if units.of_classes else view.unit):
            yield [panel, gr.skip(), gr.skip()]

    def _previews(self, who: str, units: UnitRequest, chosen: int | None) -> Iterator[str]:
        """The panel now and then, after the last step, and after a cancellation."""
        from explain.features.visualization_cache import maximized

        ctx, began, drawn, last = self._ctx, time.monotonic(), 0.0, None
        title = feature_title(units.description)
        with ctx.classifier() as classifier:
            work = maximized(classifier, units.units, units.settings)
        try:
            for result in in_turns(work, ctx.classifier, lambda: ctx.cancellation.raise_if_cancelled(who)):
                last, now = result, time.monotonic()
                if result.step and (now - drawn > EVERY or result.step == result.steps):
                    drawn = now
                    yield feature_panel(result, title, units.names, chosen, _progress(result, now - began))
        except Cancelled:
            if last is not None and who not in self._moved_on:
                note = f"Cancelled after step {last.step} of {last.steps}: these images are not kept."
                yield feature_panel(last, title, units.names, chosen, note)

    @error_boundary
    def arrive(self, request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """What a link names."""
        if request.query_params.get(TAB) != ID:
            return [gr.skip()] * 2
        view = from_query(dict(request.query_params), FiltersView(**keys))
        return [asdict(view), gr.Tabs(selected=ID)]

    def ready(self) -> list[Any]:
        return [gr.Button(interactive=True), gr.Button(visible=False)]

    def stop(self, request: gr.Request) -> None:
        self._ctx.cancellation.stop(str(request.session_hash))


def _progress(result: "Maximized", seconds: float) -> str:
    if result.step == result.steps:
        return ""
    rest = seconds / result.step * (result.steps - result.step)
    return f"Step {result.step} of {result.steps}, about {rest:.0f} s left."


def _form(classes: tuple[str, ...], called: str) -> dict[str, Any]:
    """The controls, in the order in which `UnitRequest` takes them. `called`: what the classes are called."""
    units = [(called if kind == CLASSES else kind, kind) for kind in UNITS]
    with gr.Row():
        form: dict[str, Any] = {
            "kind": gr.Dropdown(
                units, value=FILTERS, label="Units", min_width=150, elem_id="vt-filter-units"
            ),
            "count": gr.Dropdown(list(COUNTS), value=COUNTS[0], label="Number", min_width=80),
            "start": gr.Number(0, label="First", precision=0, minimum=0, min_width=70),
            "steps": gr.Dropdown(list(STEPS), value=STEPS[1], label="Steps", min_width=80),
            "seed": gr.Number(0, label="Seed", precision=0, minimum=0, min_width=70),
        }
    form["classes"] = gr.Dropdown(
        [(name, i) for i, name in enumerate(classes)],
        value=[],
        multiselect=True,
        visible=False,
        filterable=True,
        elem_id="vt-wanted-classes",
        label=f"{called.capitalize()} (default: the number above)",
    )
    return form


def _buttons(visible: bool) -> tuple[gr.Button, gr.Button]:
    with gr.Row():
        start = gr.Button("Maximize", visible=visible, variant="primary", size="sm", elem_id="vt-maximize")
        cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="vt-stop-maximize")
    return start, cancel
