"""Inversion: an image rebuilt from the output of every layer, from an edited output, and, without a decoder,
by optimization."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.network.inversion_view import (
    before_and_after,
    called,
    edits,
    over_depth,
    row_of_layers,
    under_way,
)
from dashboard.components.placeholders import no_decoders, waiting
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB
from dashboard.server.event_queue import READS
from dashboard.session.cancellation import in_turns
from dashboard.session.context import Context
from dashboard.session.subject_picker import SubjectPicker
from dashboard.session.types import Subject
from dashboard.tabs.inversion_state import ID, InversionView, from_query
from dashboard.tabs.label_link import kind_of, label_of_errors
from models.errors import Cancelled, UserError

TITLE, NEEDS, REACH = "Inversion", "explains", "layers"
EDITS = {"drop": "Drop these units", "keep": "Keep only these units"}
STEPS = (100, 200, 500)
EVERY = 0.8  # seconds between two previews
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(ctx: Context) -> None:
    InversionTab(ctx).listen()


class InversionTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, self._decoders = ctx, ctx.decoder_service
        self._view = gr.State(asdict(InversionView()))
        with gr.Row(elem_classes="vt-main"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._picker = SubjectPicker(ctx, "vt-invert")
                self._editing()
                self._optimizing()
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._rebuilt = clickable(waiting("Reconstructions", "Loading …"), "vt-inversion")
                self._edited, self._optimized = clickable("", "vt-edited"), clickable("", "vt-optimized")
                of_labels = ctx.run.label_sets is not None
                about = self._decoders.about
                depth = over_depth(about, of_labels, ctx.run.numbers) if self._decoders.layers else ""
                clickable(depth, "vt-over-depth")

    def _editing(self) -> None:
        with gr.Group(visible=bool(self._decoders.layers), elem_classes="vt-panel vt-controls"):
            self._units = gr.Textbox(
                "0",
                label=f"Channels of the chosen layer, or {kind_of(self._ctx.run)}",
                info="0-3,7 or names",
                elem_id="vt-units",
                max_lines=1,
            )
            self._edit = gr.Radio(
                [(title, name) for name, title in EDITS.items()],
                value="drop",
                label="Edit of these channels",
                elem_id="vt-how",
            )
            self._decode = gr.Button("Decode", size="sm", elem_id="vt-decode")

    def _optimizing(self) -> None:
        with gr.Group(visible=self._ctx.access.computes, elem_classes="vt-panel vt-controls"):
            self._layer = gr.Dropdown(
                [], label="Layer (without a decoder)", allow_custom_value=True, elem_id="vt-optimize-layer"
            )
            self._steps = gr.Dropdown(list(STEPS), value=STEPS[1], label="Steps")
            with gr.Row():
                self._start = gr.Button("Optimize", variant="primary", size="sm", elem_id="vt-optimize")
                self._cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="vt-optimize-stop")

    def listen(self) -> None:
        ctx, state, model = self._ctx, self._view, {**QUIET, "concurrency_id": "model"}
        results = [state, self._rebuilt, self._edited]
        editing = [state, self._units, self._edit, ctx.view]
        ctx.on_load(self.arrive, [state], [ctx.opened, ctx.tabs])
        ctx.on_tab(ID, self.opened, [state, ctx.opened, ctx.view], [*results, self._layer])
        self._picker.listen(self.pick, [state, ctx.view], results, self._rebuilt)
        self._rebuilt.select(self.choose_layer, editing, results, **model)
        gr.on([self._decode.click, self._units.submit], self.decode, editing, [self._edited], **model)
        optimized = self._start.click(
            self.optimize,
            [state, self._layer, self._steps],
            [self._optimized, self._start, self._cancel],
            concurrency_id="maximize",
            **QUIET,
        )
        optimized.then(self.ready, None, [self._start, self._cancel], **QUIET, **READS)
        self._cancel.click(self.stop, None, None, concurrency_limit=None, **QUIET)

    def pick(self, subject: Subject, keys: dict[str, Any], errors: dict[str, Any]) -> list[Any]:
        """The view, the row of layers, and nothing edited yet. `errors`: the view of Errors."""
        view, asked = InversionView(**keys).of(subject, self._decoders.layers), self._asked(errors)
        return [asdict(view), self._row_of_layers(subject, view.layer, asked), ""]

    def _asked(self, errors: dict[str, Any]) -> int | None:
        """Of several labels per image, or of numbers, the one that is asked for in Errors."""
        return label_of_errors(errors, self._ctx.run)

    def _row_of_layers(self, subject: Subject, layer: str, asked: int | None) -> str:
        """The reconstruction from every layer; how to get decoders where there are none."""
        import numpy as np

        from explain.inversion.rebuild import enlarged

        classes = self._ctx.run.classes
        with self._ctx.classifier():
            session = self._ctx.sessions.at(subject)
        several, before = self._ctx.run.label_sets is not None, self._before(subject)
        pred = called(classes, session.prob) if several else classes[session.pred]
        if before is not None:
            pred = before_and_after(None, before, classes, asked)
        title = f"Reconstructions of {self._ctx.subjects.title(subject)}"
        if not self._decoders.layers:
            return no_decoders(title)
        more = enlarged(self._ctx.subjects.picture(subject).size, session.image.size[::-1])
        rebuilt = self._decoders.every_layer(subject)
        picture = np.asarray(session.image)
        return row_of_layers(picture, pred, rebuilt, classes, layer, title, more, asked, before)

    def _before(self, subject: Subject) -> Any:
        """Of numbers, those of the image itself, (R,)."""
        if not self._ctx.run.numbers:
            return None
        with self._ctx.classifier():
            return self._ctx.sessions.at(subject).prob

    def _edits(self, view: InversionView, units: str, edit: str, asked: int | None) -> str:
        if view.subject is None:
            raise UserError("No image is selected: upload a photo, or open an image.")
        rebuilt = self._decoders.edited(view.subject, view.layer, units, edit)
        before = self._before(view.subject)
        return edits(view.layer, rebuilt, self._ctx.run.classes, asked, before)

    @error_boundary
    def opened(self, keys: dict[str, Any], opened: Subject | None, errors: dict[str, Any]) -> list[Any]:
        """When the tab is opened first: the image that was opened last, and the layers that an optimization
        may begin from."""
        from explain.methods.live import layers_with_maps

        subject = self._picker.opened(opened)
        if keys["subject"] is not None or subject is None:
            return [gr.skip()] * 4
        with self._ctx.classifier() as classifier:
            names = [x.name for x in layers_with_maps(classifier)]
        middle = names[len(names) // 2] if names else None
        return [*self.pick(subject, keys, errors), gr.Dropdown(names, value=middle)]

    @error_boundary
    def arrive(self, request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """The image that a link names; the tab's own opening shows it."""
        if request.query_params.get(TAB) != ID:
            return [gr.skip()] * 2
        subject = from_query(dict(request.query_params), self._ctx.run, InversionView(**keys)).subject
        return [subject or gr.skip(), gr.Tabs(selected=ID)]

    @error_boundary
    def choose_layer(
        self, keys: dict[str, Any], units: str, edit: str, errors: dict[str, Any], event: gr.SelectData
    ) -> list[Any]:
        """Another layer to edit."""
        if event.index != "layer" or event.value not in self._decoders.layers:
            return [gr.skip()] * 3
        view = InversionView(**keys).apply("layer", str(event.value), self._decoders.layers)
        asked = self._asked(errors)
        edited = self._edits(view, units, edit, asked)
        assert view.subject is not None
        return [asdict(view), self._row_of_layers(view.subject, view.layer, asked), edited]

    @error_boundary
    def decode(self, keys: dict[str, Any], units: str, edit: str, errors: dict[str, Any]) -> str:
        return self._edits(InversionView(**keys), units, edit, self._asked(errors))

    @error_boundary
    def optimize(
        self, request: gr.Request, keys: dict[str, Any], layer: str | None, steps: int
    ) -> Iterator[list[Any]]:
        """Previews while the image is optimized; between the steps other tabs have the network."""
        self._ctx.access.require_compute()
        if keys["subject"] is None or not layer:
            raise UserError("No image or no layer is selected: choose both first.")
        who = str(request.session_hash)
        self._ctx.cancellation.begin(who)
        yield [gr.skip(), gr.Button(interactive=False), gr.Button(visible=True)]
        for panel in self._previews(who, keys["subject"], str(layer), int(steps)):
            yield [panel, gr.skip(), gr.skip()]

    def _previews(self, who: str, subject: Subject, layer: str, steps: int) -> Iterator[str]:
        """The panel now and then, after the last step, and after a cancellation."""
        from explain.inversion.optimize import Settings, optimize
        from explain.inversion.rebuild import pixels_of

        ctx, drawn, last = self._ctx, 0.0, None
        with ctx.classifier() as classifier:
            work = optimize(classifier, self._decoders.input(classifier, subject), Settings(layer, steps))

        def panel(step: Any, note: str = "") -> str:
            image = pixels_of(step.picture, classifier.preprocessing)[0]
            return under_way(image, layer, step.step, step.steps, step.distance, note)

        try:
            for step in in_turns(work, ctx.classifier, lambda: ctx.cancellation.raise_if_cancelled(who)):
                last = step
                if (now := time.monotonic()) - drawn > EVERY or step.step == step.steps:
                    drawn = now
                    yield panel(step)
        except Cancelled:
            if last is not None:
                yield panel(last, "cancelled")

    def ready(self) -> list[Any]:
        return [gr.Button(interactive=True), gr.Button(visible=False)]

    def stop(self, request: gr.Request) -> None:
        self._ctx.cancellation.stop(str(request.session_hash))
