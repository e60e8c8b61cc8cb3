"""Inspect: one image, the network's prediction, and any number of methods side by side."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from dashboard.components.clickable import clickable
from dashboard.components.inspect.map_cards import Card, heading, map_cards, number_heading
from dashboard.components.inspect.subject import facts, run_maps, shown_probability, start_page
from dashboard.components.note_editor import note_editor
from dashboard.components.panel import panel as panel_of
from dashboard.error_boundary import error_boundary, message_text
from dashboard.links import TAB, in_inspect
from dashboard.server.event_queue import MAPS, MODEL, READS
from dashboard.session.context import Context
from dashboard.session.notes_handler import keep_notes
from dashboard.session.subject_picker import SubjectPicker
from dashboard.session.subjects import first_row, of_row
from dashboard.session.types import Subject
from dashboard.tabs.errors_state import asked_label
from dashboard.tabs.inspect_form import InspectForm
from dashboard.tabs.inspect_live import LivePanel
from dashboard.tabs.inspect_maps import first_maps, live_maps, photo_panel
from dashboard.tabs.inspect_state import ID, NO_CLASS, InspectView, from_query
from dashboard.tabs.label_link import label_of_link
from dashboard.tabs.numbers_state import output_of
from explain.methods.registry import METHODS
from explain.quality.flags import flags
from explain.quality.one_map.kept import Badge
from explain.quality.over_depth.known_depth import known_depth
from explain.run.outputs.number_run import NumbersRun
from explain.run.people.notes import read
from explain.run.reader import RunData
from models.errors import Cancelled, UserError
from models.layers.access import reaches

TITLE = "Inspect"
BEST = "  best of the measured layers"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def show_row(ctx: Context, row: int, label: int | None = None) -> list[Any]:
    """What the run holds of a row, without the network: values for subject, facts, panel, maps, class.
    `label`: of several labels per image, that whose maps are shown; otherwise the most probable one."""
    run, request = ctx.run, ctx.run.manifest.request
    if isinstance(run, NumbersRun):
        return show_numbers(ctx, run, row, run.index if label is None else label)
    prob, pred = run.prob(row), run.shown_class(row)
    if pred is None:
        raise UserError(f"This image could not be read: {run.table.at[row, 'error']}.")
    pred = pred if label is None else label
    maps = {m: _map_of(run, m, row, label) for m in request.methods}
    probability = float(prob[pred])
    cards = [
        Card(m, run.title(m), raw, request.layer, badge=Badge(flags(raw, probability)))
        for m, raw in maps.items()
    ]
    shown = shown_probability(run, prob, ctx.temperature, pred)
    title = heading("Maps of the run", run.classes, pred, None, shown)
    live = ctx.access.explains
    return [
        {"row": row},
        facts(run, prob, row, ctx.temperature, live, pred),
        map_cards(ctx.seen(row), cards, title, False, 0, "" if live else None),
        run_maps(run, row),
        pred,
    ]


def show_numbers(ctx: Context, run: NumbersRun, row: int, output: int) -> list[Any]:
    """As `show_row`, of a run of numbers."""
    predicted, request, live = run.predicted[row], run.manifest.request, ctx.access.explains
    if np.isnan(predicted).any():
        raise UserError(f"This image could not be read: {run.table.at[row, 'error']}.")
    maps = {m: run.maps_of(m, output, [row])[0] for m in request.methods}
    cards = [
        Card(m, run.title(m), raw, request.layer, signed=True, badge=Badge(flags(raw, numbers=True)))
        for m, raw in maps.items()
    ]
    title = number_heading("Maps of the run", run.outputs[output], float(predicted[output]))
    return [
        {"row": row},
        facts(run, predicted, row, None, live, output),
        map_cards(ctx.seen(row), cards, title, False, 0, "" if live else None),
        run_maps(run, row),
        output,
    ]


def _map_of(run: RunData, method: str, row: int, label: int | None) -> np.ndarray:
    """Raw (h, w), of the prediction or of a label."""
    if label is None or run.label_sets is None:
        return run.maps(method, "pred", [row])[0]
    raw: np.ndarray = run.label_sets.maps(method, label, [row])[0]
    return raw


def first_sight(ctx: Context) -> list[Any]:
    """What is shown before anything is clicked; as of `show_row`."""
    row = first_row(ctx.run, ctx.asked)
    if row is None:
        return [None, facts(ctx.run, None, None), start_page(), "", None]
    return show_row(ctx, row, None if ctx.run.label_sets is None else ctx.asked)


def remark_about(ctx: Context, subject: Subject | None) -> str:
    """The note of a row of the run; nothing for other images, and for visitors."""
    if not subject or "row" not in subject or not ctx.access.computes:
        return ""
    editor = note_editor(ctx.run, read(ctx.run.folder), int(subject["row"]))
    return panel_of("Note", editor, "kept with the run")


def build(ctx: Context) -> None:
    InspectTab(ctx).listen()


class InspectTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx = ctx
        subject, facts_html, panel_html, maps_html, target = first_sight(ctx)
        with gr.Row(elem_classes="vt-main"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._facts = clickable(facts_html, "vt-facts")
                self._remark = clickable(remark_about(ctx, subject), "vt-remark")
                with gr.Column(visible=ctx.access.explains, elem_classes="vt-left"):
                    self._form = InspectForm(ctx.run, target)
                    self._picker = SubjectPicker(ctx, "vt")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="vt-cancel")
                self._photo = clickable("", "vt-faces")
                LivePanel(ctx)
                self._panel = clickable(panel_html, "vt-live")
                self._run_maps = clickable(maps_html, "vt-run-maps")
                self._command = clickable("", "vt-again")
        self._subject = gr.State(subject)

    def listen(self) -> None:
        ctx, controls = self._ctx, self._form.controls
        target, contrast = controls["target"], controls["contrast_class"]
        of_run = [self._subject, self._facts, self._panel, self._run_maps, target, contrast, self._photo]
        ctx.opened.change(self.from_run, [ctx.opened], of_run, **QUIET, **READS)
        ctx.on_load(self.arrive, None, [ctx.opened, ctx.tabs])
        if not ctx.access.explains:
            return
        results = [self._facts, self._panel, target, self._command, self._photo]
        from_outside = [self._subject, *results, self._run_maps, contrast]
        self._listen_to_form(results)
        self._listen_to_clicks(results)
        inputs = [self._subject, *self._form.inputs]
        self._photo.select(self.choose_face, inputs, from_outside, **self._asks())
        self._subject.change(self.remark, [self._subject], [self._remark], **QUIET, **READS)
        keep_notes(ctx, [self._remark])
        self._picker.listen(
            self.shown_from_outside,
            self._form.inputs,
            from_outside,
            self._panel,
            MAPS,
        )
        if reaches(ctx.run.manifest.access, "layers"):
            ctx.on_tab(ID, self.choices, None, [controls["layers"]])
            chosen = ctx.layer.change(
                self.use_layer, [ctx.layer], [controls["layers"]], concurrency_id="model", **QUIET
            )
            chosen.then(self.explain, [self._subject, *self._form.inputs], results, **self._asks())

    def _listen_to_form(self, results: list[Any]) -> None:
        inputs, methods = [self._subject, *self._form.inputs], self._form.controls["methods"]
        gr.on(self._form.changes(), self.explain, inputs, results, trigger_mode="always_last", **self._asks())
        methods.change(self.visible_parameters, [methods], self._form.parameters.groups, **QUIET, **READS)

    def _listen_to_clicks(self, results: list[Any]) -> None:
        inputs = [self._subject, *self._form.inputs]
        chosen = self._facts.select(
            self.choose_class, None, [self._form.controls["target"]], **QUIET, **READS
        )
        chosen.then(self.explain, inputs, results, **self._asks())
        self._panel.select(self.show_cancel, None, [self._cancel], **QUIET, **READS)
        computed = self._panel.select(self.compute, inputs, results, **self._busy())
        computed.then(self.hide_cancel, None, [self._cancel], **QUIET, **READS)
        self._cancel.click(self.stop, None, None, concurrency_limit=None, **QUIET)

    def _busy(self) -> dict[str, Any]:
        """Options of events that use the network."""
        return {"api_visibility": "private", "show_progress_on": [self._panel], **MODEL}

    def _asks(self) -> dict[str, Any]:
        """Options of events that ask for first maps."""
        return {**self._busy(), **MAPS}

    def _view(self, subject: Subject | None, values: Sequence[Any]) -> InspectView:
        """Raises UserError for a value that a parameter does not take."""
        count = len(self._form.controls)
        return InspectView.of_form(subject, values[:count], self._form.parameters.read(values[count:]))

    @error_boundary
    def from_run(self, opened: Subject | None) -> list[Any]:
        """The row that was clicked in Errors."""
        subject = of_row(opened)
        if not subject or opened is None:
            return [gr.skip()] * 7
        return [*show_row(self._ctx, subject["row"], opened.get("label")), NO_CLASS, ""]

    @error_boundary
    def arrive(self, request: gr.Request) -> list[Any]:
        """The image that a link names."""
        run, parameters = self._ctx.run, dict(request.query_params)
        subject = from_query(parameters, run, InspectView()).subject
        if isinstance(run, NumbersRun):
            label = output_of(parameters, run)
        else:  # without a tab Errors reads the link, too, and says where there is no label of this name
            label = (label_of_link if TAB in parameters else asked_label)(parameters, run)
        return in_inspect(run, subject["row"], label) if subject else [gr.skip()] * 2

    @error_boundary
    async def explain(
        self, request: gr.Request, subject: Subject | None, *values: Any
    ) -> AsyncIterator[list[Any]]:
        """Live maps for the chosen class (the prediction where none is chosen)."""
        view = self._view(subject, values)
        async for panel in first_maps(self._ctx, view, str(request.session_hash)):
            yield [gr.skip(), panel, *[gr.skip()] * 3]
        yield await asyncio.to_thread(self._live, view)

    def _live(self, view: InspectView, saved: str = "", **options: Any) -> list[Any]:
        """Values of facts, panel, target, command and photo."""
        made = live_maps(self._ctx, view, saved=saved, **options)
        return [*made, photo_panel(self._ctx, view, saved)]

    @error_boundary
    def compute(
        self,
        request: gr.Request,
        event: gr.SelectData,
        progress: Any = gr.Progress(),  # noqa: B008
        *values: Any,
    ) -> list[Any]:
        """An expensive method or the check of a map on its button, or the files of a map."""
        action, method, who = str(event.index), str(event.value), str(request.session_hash)
        view, cancellation = self._view(values[0], values[1:]), self._ctx.cancellation
        if action == "save":
            return self._live(view, saved=method)
        cancellation.begin(who)

        def on_progress(fraction: float) -> None:
            cancellation.raise_if_cancelled(who)
            progress(fraction, desc=title)

        title = getattr(METHODS.get(method), "title", method)
        try:
            if action == "check":
                title = f"Check of {title}"
                return self._live(view, on_progress=on_progress, checked=method)
            return self._live(view, compute=method, on_progress=on_progress)
        except Cancelled:
            gr.Info(message_text(f"{title} was cancelled."))
            return self._live(view)

    def from_outside(self, subject: Subject, *values: Any) -> list[Any]:
        """Another image: the predicted class, and no contrast class."""
        return [subject, *self._live(self._outside(subject, values)), "", NO_CLASS]

    async def shown_from_outside(
        self, request: gr.Request, subject: Subject, *values: Any
    ) -> AsyncIterator[list[Any]]:
        """As `from_outside`, once its first maps are there."""
        view = self._outside(subject, values)
        async for panel in first_maps(self._ctx, view, str(request.session_hash)):
            yield [*[gr.skip()] * 2, panel, *[gr.skip()] * 5]
        yield await asyncio.to_thread(self.from_outside, subject, *values)

    def _outside(self, subject: Subject, values: Sequence[Any]) -> InspectView:
        return self._view(subject, [None, NO_CLASS, *values[2:]])

    @error_boundary
    async def choose_face(
        self, request: gr.Request, event: gr.SelectData, subject: Subject | None, *values: Any
    ) -> AsyncIterator[list[Any]]:
        """Another face of the photo, or the whole of it."""
        view = self._view(subject, values).apply(str(event.index), str(event.value), self._ctx.run.classes)
        if view.subject is None or view.subject == subject:
            yield [gr.skip()] * 8
            return
        async for shown in self.shown_from_outside(request, view.subject, *values):
            yield shown

    @error_boundary
    def choices(self) -> Any:
        """Every layer that maps can be made of, once the network is loaded."""
        return gr.Dropdown(self._layers())

    @error_boundary
    def use_layer(self, chosen: dict[str, Any]) -> Any:
        """The layer that was chosen elsewhere, alone, or several with commas; also blocks, which the list
        lacks."""
        from explain.network.hooks import find_layer, layers_in

        choices, wanted = self._layers(), list(layers_in(str(chosen["layer"])))
        known = [name for _, name in choices]
        with self._ctx.classifier() as classifier:
            for name in wanted:
                find_layer(classifier.model, name)
        choices += [(name, name) for name in wanted if name not in known]
        return gr.Dropdown(choices, value=wanted, multiselect=True)

    def _layers(self) -> list[tuple[str, str]]:
        """Texts and names; the text says which is the best of those that were measured."""
        from explain.methods.live import layers_with_maps

        depth = known_depth(self._ctx.run)
        best = depth.best.layer if depth is not None and depth.best is not None else None
        with self._ctx.classifier() as classifier:
            layers = layers_with_maps(classifier)
        return [
            (f"{x.name}  {x.kind} {'×'.join(map(str, x.shape))}{BEST * (x.name == best)}", x.name)
            for x in layers
        ]

    @error_boundary
    def choose_class(self, event: gr.SelectData) -> int:
        target = InspectView().apply("target", str(event.value), self._ctx.run.classes).target
        if target is None:
            raise UserError(f"The run has no class number '{str(event.value)[:40]}': reload the page.")
        return target

    def remark(self, subject: Subject | None) -> str:
        return remark_about(self._ctx, subject)

    def visible_parameters(self, methods: list[str] | None) -> list[gr.Group]:
        return self._form.parameters.visible(methods or [])

    def show_cancel(self, event: gr.SelectData) -> Any:
        return gr.Button(visible=event.index in ("compute", "check"))

    def hide_cancel(self) -> Any:
        return gr.Button(visible=False)

    def stop(self, request: gr.Request) -> None:
        self._ctx.cancellation.stop(str(request.session_hash))
