"""Filters: the weights of a layer, and what each of its filters, its neurons, or the classes want to see."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.filter_view import (
    class_alone,
    feature_panel,
    filter_alone,
    filter_table,
    kernel_panel,
)
from dashboard.components.markup import html
from dashboard.components.panel import empty, panel
from dashboard.components.strongest import strongest_strip
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, copy_link, in_inspect, number
from dashboard.session.cancellation import in_turns
from dashboard.session.context import Context
from models.errors import Cancelled, UserError

if TYPE_CHECKING:
    from explain.features.activation_maximization import Maximized
    from explain.network.summary import Layer

TITLE, ID = "Filters", "filters"
NEEDS = "explains"
WHAT = ("filters", "neurons at the center", "classes")
COUNTS, STEPS = (16, 64), (64, 128, 256, 512)
EVERY = 0.8  # seconds between two previews
WAITING = panel("Layers with filters", empty("Shown as soon as the network is loaded."))
UNMADE = "Click Maximize: pictures are made by following the gradient from noise, and kept for the next time."


class Wanted:
    """Which units of which layer the form asks for."""

    def __init__(
        self,
        names: Sequence[str],
        layer: "Layer",
        width: int,
        what: str,
        count: int,
        start: float,
        steps: int,
        seed: float,
        classes: list[int],
    ):
        """`names`: of the classes; `width`: how many filters the layer has."""
        from explain.features.activation_maximization import CLASSES, PLACES, Settings

        self.of_classes = what == WHAT[2]
        width = len(names) if self.of_classes else width
        first = min(max(int(start or 0), 0), width - 1)
        listed = classes if self.of_classes and classes else range(first, min(first + int(count), width))
        self.units = tuple(int(unit) for unit in listed)
        place = PLACES[1] if what == WHAT[1] else PLACES[0]
        self.settings = Settings(
            CLASSES if self.of_classes else layer.name, place, steps=int(steps), seed=int(seed or 0)
        )
        self.names = [names[unit] if self.of_classes else str(unit) for unit in self.units]
        kind = (
            "classes"
            if self.of_classes
            else f"{layer.alias or layer.name}, {what} {self.units[0]} to {self.units[-1]}"
        )
        self.title = html(
            "Feature visualization <small>{}, {} steps, seed {}</small>", kind, steps, int(seed or 0)
        )


class Pieces:
    """The page's parts for a view: {"layer", "unit", "class", "sort", "page"}."""

    def __init__(self, ctx: Context):
        self.ctx, self._table = ctx, list[tuple["Layer", int]]()
        self.elsewhere = "Layers does it." if ctx.access.computes else ""
        self.unmade = UNMADE if ctx.access.computes else "Nobody has made these pictures yet."

    def layers(self) -> list[tuple["Layer", int]]:
        """Those with filters, in the order in which they run, and how many."""
        import torch

        from explain.features.kernels import layers_with_filters
        from explain.network.summary import layers

        if not self._table:
            with self.ctx.classifier() as classifier:
                example = torch.zeros(
                    1, classifier.channels, *classifier.input_size, device=classifier.device
                )
                self._table = layers_with_filters(classifier.model, layers(classifier.model, example))
        if not self._table:
            raise UserError(
                "This network has no convolution and no dense layer whose filters could be shown."
            )
        return self._table

    def wanted(self, view: dict[str, Any], how: tuple[Any, ...]) -> tuple["Layer", Wanted]:
        """The layer that was chosen, or the first, and what the form asks for."""
        table = self.layers()
        layer, width = next((found for found in table if found[0].name == view["layer"]), table[0])
        return layer, Wanted(self.ctx.run.classes, layer, width, *how)

    def of(self, view: dict[str, Any], how: tuple[Any, ...]) -> list[str]:
        """Table, wishes, weights, one filter."""
        from explain.features.kernels import kernels
        from explain.features.visualization_cache import VisualizationCache

        layer, wanted = self.wanted(view, how)
        unit, name = view["unit"], layer.alias or layer.name
        with self.ctx.classifier() as classifier:
            found, cache, size = (
                kernels(classifier.model, layer.name),
                VisualizationCache(classifier, wanted.settings),
                classifier.input_size,
            )
            known = cache.known(wanted.units)
            one = None if wanted.of_classes else cache.known([unit])
        features = feature_panel(
            known,
            wanted.title,
            _names(wanted, known),
            view["class"] if wanted.of_classes else unit,
            "" if known else self.unmade,
        )
        alone = ""
        if wanted.of_classes and known is not None and view["class"] in known.units:
            alone = class_alone(view["class"], self.ctx.run.classes[view["class"]], known)
        elif unit < len(found.norms):
            strip = strongest_strip(self.ctx.run, layer, unit, size, offered=False, otherwise=self.elsewhere)
            alone = filter_alone(found, unit, f"{name}, filter {unit}", one, strip)
        link = copy_link(tab=ID, layer=layer.name, unit=unit, sort=view["sort"])
        weights = kernel_panel(found, view, name, link)
        return [filter_table(self.layers(), layer.name), features, weights, alone]


def _names(wanted: Wanted, made: "Maximized | None") -> list[str]:
    """Of the units that are there."""
    return [
        name
        for unit, name in zip(wanted.units, wanted.names, strict=True)
        if made is not None and unit in made.units
    ]


def changed(view: dict[str, Any], name: str, value: str, of_classes: bool = False) -> dict[str, Any]:
    """The view after a click; what does not fit changes nothing. `of_classes`: what is maximized."""
    from explain.features.kernels import SORTS

    if name == "layer":
        return view | {"layer": value, "page": 0, "unit": 0, "class": None}
    if name == "maximized" and value.isdecimal():
        return view | {"class" if of_classes else "unit": int(value)}
    if name == "unit" and value.isdecimal():
        return view | {"unit": int(value), "class": None}
    if name == "sort" and value in SORTS:
        return view | {"sort": value, "page": 0}
    if name == "page" and value.isdecimal():
        return view | {"page": int(value)}
    return view


def build(ctx: Context) -> None:
    pieces = Pieces(ctx)
    with gr.Row(elem_classes="vt-main vt-through"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            table, alone = clickable(WAITING, "vt-filter-layers"), clickable("", "vt-filter")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            form, start, cancel = _form(ctx)
            feature_area, weights = clickable("", "vt-wishes"), clickable("", "vt-weights")
    gone_on = set[str]()  # visitors who went on to another layer
    view, areas = (
        gr.State({"layer": "", "unit": 0, "class": None, "sort": "index", "page": 0}),
        [table, feature_area, weights, alone],
    )

    @error_boundary
    def show(view: dict[str, Any], *how: Any) -> list[Any]:
        return pieces.of(view, how)

    @error_boundary
    def one(view: dict[str, Any], *how: Any) -> str:
        """The filter alone, whose picture may be there now."""
        return pieces.of(view, how)[3]

    @error_boundary
    def act(request: gr.Request, event: gr.SelectData, view: dict[str, Any], *how: Any) -> list[Any]:
        name, value = str(event.index), str(event.value)
        if name == "row":
            return [gr.skip()] * 5 + in_inspect(ctx.run, value)
        if name == "layer":
            gone_on.add(str(request.session_hash))
            ctx.cancellation.stop(str(request.session_hash))  # what is being made is of another layer
        after = changed(view, name, value, how[0] == WHAT[2])
        if after == view:
            return [gr.skip()] * 7
        found: list[Any] = pieces.of(after, how)
        if name in ("sort", "page"):
            found[1] = gr.skip()
        return [after, *found, gr.skip(), gr.skip()]

    @error_boundary
    def make(request: gr.Request, view: dict[str, Any], *how: Any) -> Iterator[list[Any]]:
        """Previews while it goes on; between its steps other tabs have the network."""
        from explain.features.visualization_cache import maximized

        ctx.access.require_compute()
        who = str(request.session_hash)
        ctx.cancellation.begin(who)
        gone_on.discard(who)
        (_, wanted), began, last, drawn = pieces.wanted(view, how), time.monotonic(), None, 0.0
        chosen = view["class"] if wanted.of_classes else view["unit"]
        yield [gr.skip(), gr.Button(interactive=False), gr.Button(visible=True)]
        with ctx.classifier() as classifier:
            work = maximized(classifier, wanted.units, wanted.settings)
        try:
            for made in in_turns(ctx, who, work):
                last, now = made, time.monotonic()
                if made.step and (now - drawn > EVERY or made.step == made.steps):
                    drawn, rest = now, (now - began) / made.step * (made.steps - made.step)
                    note = (
                        f"Step {made.step} of {made.steps}, about {rest:.0f} s left."
                        if made.step < made.steps
                        else ""
                    )
                    yield [
                        feature_panel(made, wanted.title, wanted.names, chosen, note),
                        gr.skip(),
                        gr.skip(),
                    ]
        except Cancelled:
            if last is not None and who not in gone_on:
                note = f"Stopped after step {last.step} of {last.steps}: shown, but not kept."
                yield [feature_panel(last, wanted.title, wanted.names, chosen, note), gr.skip(), gr.skip()]

    @error_boundary
    def arrive(request: gr.Request, view: dict[str, Any]) -> list[Any]:
        """What a link names."""
        asked = request.query_params
        if asked.get(TAB) != ID:
            return [gr.skip()] * 2
        view = view | {"layer": asked.get("layer", ""), "unit": number(asked.get("unit")) or 0}
        return [changed(view, "sort", asked.get("sort", "")), gr.Tabs(selected=ID)]

    def stop(request: gr.Request) -> None:
        ctx.cancellation.stop(str(request.session_hash))

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    inputs = [view, *form.values()]
    gr.on(
        [area.select for area in areas],
        act,
        inputs,
        [view, *areas, ctx.opened, ctx.tabs],
        concurrency_id="model",
        **quiet,
    )
    gr.on(
        [control.input for control in form.values()],
        show,
        inputs,
        areas,
        concurrency_id="model",
        trigger_mode="always_last",
        **quiet,
    )
    form["what"].change(
        lambda what: gr.Dropdown(visible=what == WHAT[2]), [form["what"]], [form["classes"]], **quiet
    )
    made = start.click(make, inputs, [feature_area, start, cancel], concurrency_id="maximize", **quiet)
    done = made.then(
        lambda: [gr.Button(interactive=True), gr.Button(visible=False)], None, [start, cancel], **quiet
    )
    done.then(one, inputs, [alone], concurrency_id="model", **quiet)
    cancel.click(stop, None, None, concurrency_limit=None, **quiet)
    ctx.on_load(arrive, [view], [view, ctx.tabs])
    ctx.on_tab(ID, show, inputs, areas)


def _form(ctx: Context) -> tuple[dict[str, Any], gr.Button, gr.Button]:
    """The controls in the order in which `Wanted` takes them."""
    made: dict[str, Any] = {}
    with gr.Group(elem_classes="vt-panel vt-controls"):
        with gr.Row():
            made["what"] = gr.Dropdown(
                list(WHAT), value=WHAT[0], label="What", min_width=150, elem_id="vt-what"
            )
            made["count"] = gr.Dropdown(list(COUNTS), value=COUNTS[0], label="How many", min_width=80)
            made["start"] = gr.Number(0, label="From", precision=0, minimum=0, min_width=70)
            made["steps"] = gr.Dropdown(list(STEPS), value=STEPS[1], label="Steps", min_width=80)
            made["seed"] = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=70)
        classes = [(name, i) for i, name in enumerate(ctx.run.classes)]
        made["classes"] = gr.Dropdown(
            classes,
            value=[],
            multiselect=True,
            visible=False,
            filterable=True,
            elem_id="vt-wanted-classes",
            label="Classes; none: as many as above",
        )
        with gr.Row():
            start = gr.Button(
                "Maximize", visible=ctx.access.computes, variant="primary", size="sm", elem_id="vt-maximize"
            )
            cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="vt-stop-maximize")
    return made, start, cancel
