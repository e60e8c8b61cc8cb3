"""Gaze: recorded or predicted fixations, the maps of the network, and how well one predicts the other."""

from dataclasses import asdict, replace
from typing import Any

import gradio as gr
import pandas as pd
from markupsafe import Markup

from dashboard.components.clickable import clickable
from dashboard.components.controls import select
from dashboard.components.markup import NOTHING
from dashboard.components.network.gaze_view import (
    LARGE,
    GazeMap,
    disagreement,
    from_folder,
    gaze_table,
    large,
    two,
    verdict,
)
from dashboard.components.placeholders import no_gaze_folder, no_gaze_model, waiting
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, number
from dashboard.plots import figure
from dashboard.server.event_queue import READS
from dashboard.session.context import Context
from dashboard.session.gaze_service import GazeComparison, GazeService
from dashboard.session.subject_picker import SubjectPicker
from dashboard.session.types import Subject
from dashboard.tabs.gaze_state import ID, GazeView, first_view, from_query
from dashboard.tabs.label_link import label_of_errors
from dashboard.tabs.numbers_state import OUTPUT
from explain.analysis.on_maps import said_of
from explain.formatting import counted, plural
from explain.render import jpeg_bytes, problem
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.training.charts import charts

TITLE = "Gaze"
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def without_fixations(
    comparison: GazeComparison,
    title: str,
    choice: Markup = NOTHING,
    of_numbers: bool = False,
    said: str = "",
) -> str:
    """An image without recorded fixations: the predicted gaze, and the network's map. `choice`: of numbers
    (`of_numbers`), that of the output; `said`: the verdict on such maps."""
    numbers = ", ".join(
        f"{name.upper()} {two(comparison.alike[name])} (center Gaussian {two(comparison.center[name])})"
        for name in comparison.alike
    )
    assert comparison.cam is not None
    empty = problem(comparison.cam)
    maps = [
        GazeMap(comparison.density, "predicted gaze", "gaze model"),
        GazeMap(
            comparison.cam,
            f"{comparison.title} for {comparison.called}",
            f"{comparison.answer}{empty and ' · '}{empty} · compared with the prediction: {numbers}",
        ),
    ]
    width, height = comparison.picture.size
    note = "predicted by the gaze model: no fixations were recorded for this image"
    if of_numbers:
        note += "; of the map the evidence for a larger number"
    note += f"; maps: {said}" if said else ""
    return large(jpeg_bytes(comparison.picture, LARGE), (height, width), maps, title, note, choice=choice)


def numbers(gaze_service: GazeService, run: RunData) -> str:
    """The table of the gaze folder, or of what the gaze model's own file holds; the maps of `run` may be
    those of the folder."""
    results = gaze_service.run
    if results is not None:
        about = results.manifest
        text = (
            f"{about['data']}, {about['part']}, {counted(len(results.images), 'image')}; counted as "
            f"{about['variant']}; best NSS first"
        )
        return gaze_table(results.summary, "Models, networks and people", text, verdict(results, run))
    measured = gaze_service.about.get("metrics", {}).get("gaze")
    if not measured:
        return no_gaze_model()
    text = (
        f"{measured['part']}, {measured['images']} {plural(measured['images'], 'image')} that it was not "
        "trained on; best NSS first"
    )
    return gaze_table(pd.DataFrame(measured["table"]), "The model, baselines and people", text)


def pieces(gaze_service: GazeService, view: GazeView) -> list[str]:
    """The large image, and the cards, of a gaze folder; how to get one without."""
    results = gaze_service.run
    if results is None:
        return [waiting("Predicted gaze", "Choose a photo."), no_gaze_folder()]
    return [from_folder(results, max(view.row, 0), view.source), disagreement(results, view)]


def build(ctx: Context) -> None:
    GazeTab(ctx).listen()


class GazeTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, self._service = ctx, ctx.gaze_service
        first = first_view(self._service.run)
        self._view, self._fresh = gr.State(asdict(first)), gr.State(True)  # fresh: the tab was never opened
        with gr.Row(elem_classes="vt-main"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._picker = SubjectPicker(ctx, "vt-gaze")
                self._curves = gr.Plot(visible=False, show_label=False, elem_id="vt-gaze-curves")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                large, cards = pieces(self._service, first)
                self._large = clickable(large, "vt-gaze")
                clickable(numbers(self._service, ctx.run), "vt-standing")
                self._cards = clickable(cards, "vt-disagreement")
        self._results = [self._view, self._large, self._cards]

    def listen(self) -> None:
        ctx, state, results = self._ctx, self._view, self._results
        clicks = [self._large.select, self._cards.select]
        reads = {} if ctx.run.numbers else READS  # of numbers, a click may ask the network
        gr.on(clicks, self.act, [state, ctx.view], results, trigger_mode="multiple", **QUIET, **reads)
        tab = [self._fresh, state, ctx.opened, ctx.view]
        ctx.on_tab(ID, self.opened, tab, [self._fresh, self._curves, *results])
        ctx.on_load(self.arrive, [state], [*results, ctx.tabs])
        self._picker.listen(self.pick, [state, ctx.view], results, self._large)

    def pick(self, subject: Subject, keys: dict[str, Any], errors: dict[str, Any]) -> list[Any]:
        """An image from outside of the gaze folder. `errors`: the view of Errors, whose label is explained
        where the run has several per image; of numbers, its output until one is chosen here."""
        run, view = self._ctx.run, replace(GazeView(**keys), row=-1, subject=subject)
        label = label_of_errors(errors, run)
        if run.numbers and 0 <= view.output < len(run.classes):
            label = view.output
        comparison = self._service.at(self._ctx.subjects.picture(subject), label)
        choice = NOTHING
        if run.numbers and label is not None and len(run.classes) > 1:
            names = {str(k): name for k, name in enumerate(run.classes)}
            choice = select(OUTPUT, OUTPUT, names, str(label))
        return [
            asdict(view),
            without_fixations(
                comparison, self._ctx.subjects.title(subject), choice, run.numbers, self._said(label)
            ),
            gr.skip() if self._service.run is None else disagreement(self._service.run, view),
        ]

    def _said(self, label: int | None) -> str:
        """The verdict on the run's maps of its first method, of a label or output where one is asked for."""
        run = self._ctx.run
        if isinstance(run, NumbersRun):
            run = run.output(max(run.index if label is None else label, 0))
        elif run.all_labels and label is not None:
            run = run.label_sets.label(label)
        return said_of(run, run.manifest.request.methods[0])

    @error_boundary
    def act(self, keys: dict[str, Any], errors: dict[str, Any], event: gr.SelectData) -> list[Any]:
        output = number(str(event.value)) if event.index == OUTPUT and self._ctx.run.numbers else None
        if output is not None and keys["subject"] is not None:
            return self.pick(keys["subject"], {**keys, "output": output}, errors)
        if self._service.run is None:
            return [gr.skip()] * 3
        before = GazeView(**keys)
        view = before.apply(str(event.index), str(event.value), self._service.run)
        large, cards = pieces(self._service, view)
        moved = (view.row, view.source) != (before.row, before.source) and view.row >= 0
        return [asdict(view), large if moved else gr.skip(), cards]

    @error_boundary
    def opened(
        self, fresh: bool, keys: dict[str, Any], opened: Subject | None, errors: dict[str, Any]
    ) -> list[Any]:
        """When the tab is opened first: the model's curves; and, without a gaze folder, the image that was
        opened last."""
        curves, subject = self._model_curves() if fresh else gr.skip(), self._picker.opened(opened)
        asks_model = self._ctx.access.explains and self._service.checkpoint is not None
        if self._service.run is not None or not fresh or subject is None or not asks_model:
            return [False, curves, *[gr.skip()] * 3]
        return [False, curves, *self.pick(subject, keys, errors)]

    def _model_curves(self) -> Any:
        trained = self._service.trained
        if not trained or not len(trained.curves):
            return gr.skip()
        return gr.Plot(figure(charts(trained)[1]), visible=True)

    @error_boundary
    def arrive(self, request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """The image of the gaze folder that a link names."""
        parameters, before = dict(request.query_params), GazeView(**keys)
        tab = gr.Tabs(selected=ID) if parameters.get(TAB) == ID else gr.skip()
        view = from_query(parameters, self._service.run, before)
        if view == before:
            return [*[gr.skip()] * 3, tab]
        return [asdict(view), *pieces(self._service, view), tab]
