"""Inversion: what every layer still knows of a picture, rebuilt from its output; edited; and without a
decoder, by optimization."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.inversion_view import edits, over_depth, row_of_layers, under_way
from dashboard.components.markup import html
from dashboard.components.panel import empty, panel
from dashboard.error_boundary import error_boundary
from dashboard.examples import examples_strip
from dashboard.links import IMAGE, TAB, row_of
from dashboard.server.uploads import photo_upload
from dashboard.session.cancellation import in_turns
from dashboard.session.context import Context
from dashboard.session.image_sessions import Subject, called, first_row, picture
from models.errors import Cancelled
from models.program import program

TITLE, ID, NEEDS = "Inversion", "inversion", "explains"
HOW = {"drop": "drop these", "keep": "keep these alone"}
STEPS = (100, 200, 500)
EVERY = 0.8  # seconds between two previews
NONE = html(
    "There are no decoders for this network. <code>{program} invert train --model … --data … --layers … "
    "--out decoders</code> trains them, <code>{program} serve --decoders decoders</code> shows them; without "
    "decoders, a layer can be inverted by optimization.",
    program=program(),
)
WAITING = panel("What every layer still knows", empty("Opening …"))


def build(ctx: Context) -> None:
    decoder_service = ctx.decoder_service
    state = gr.State({"subject": None, "layer": ""})
    with gr.Row(elem_classes="vt-main"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            with gr.Group(elem_classes="vt-panel vt-controls"):
                upload = photo_upload("Your own photo", "vt-invert-upload")
                strip = clickable(examples_strip(), "vt-invert-examples")
            with gr.Group(visible=bool(decoder_service.layers), elem_classes="vt-panel vt-controls"):
                units = gr.Textbox(
                    "0",
                    label="Channels of the chosen layer, or classes",
                    info="0-3,7 or names",
                    elem_id="vt-units",
                    max_lines=1,
                )
                how = gr.Radio(
                    [(title, name) for name, title in HOW.items()],
                    value="drop",
                    show_label=False,
                    elem_id="vt-how",
                )
                again = gr.Button("Decode again", size="sm", elem_id="vt-decode")
            with gr.Group(visible=ctx.access.computes, elem_classes="vt-panel vt-controls"):
                layer = gr.Dropdown(
                    [], label="Without a decoder: layer", allow_custom_value=True, elem_id="vt-optimize-layer"
                )
                steps = gr.Dropdown(list(STEPS), value=STEPS[1], label="Steps")
                with gr.Row():
                    start = gr.Button("Optimize", variant="primary", size="sm", elem_id="vt-optimize")
                    cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="vt-optimize-stop")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            big = clickable(WAITING, "vt-inversion")
            edit, optimized = clickable("", "vt-edited"), clickable("", "vt-optimized")
            clickable(over_depth(decoder_service.about) if decoder_service.layers else "", "vt-over-depth")

    def looked_at(subject: Subject, view: dict[str, Any]) -> list[Any]:
        """The view, the row of layers, and nothing edited yet."""
        session_of(subject)
        view = view | {
            "subject": subject,
            "layer": view["layer"] or (decoder_service.layers[-1] if decoder_service.layers else ""),
        }
        return [view, row_for(view), ""]

    def session_of(subject: Subject) -> Any:
        with ctx.classifier():
            return ctx.sessions.at(subject)

    def row_for(view: dict[str, Any]) -> str:
        import numpy as np

        from explain.inversion.rebuild import enlarged

        subject, session = view["subject"], session_of(view["subject"])
        title = f"What every layer still knows of {_name(ctx, subject)}"
        rebuilt = decoder_service.every_layer(subject) if decoder_service.layers else []
        more = enlarged(picture(ctx, subject).size, session.seen.size[::-1])
        shown = row_of_layers(
            np.asarray(session.seen),
            ctx.run.classes[session.pred],
            rebuilt,
            ctx.run.classes,
            view["layer"],
            title,
            more,
        )
        return shown if rebuilt else panel(title, empty(NONE))

    @error_boundary
    def opened(view: dict[str, Any], row: dict[str, Any] | None) -> list[Any]:
        """When the tab is opened first: the image that was opened last, and the layers that an optimization
        may begin from."""
        from explain.methods.live import layers_with_maps

        at = int(row["row"]) if row else first_row(ctx)
        if view["subject"] is not None or at is None:
            return [gr.skip()] * 4
        with ctx.classifier() as classifier:
            names = [x.name for x in layers_with_maps(classifier)]
        return [
            *looked_at({"row": at}, view),
            gr.Dropdown(names, value=names[len(names) // 2] if names else None),
        ]

    @error_boundary
    def arrive(request: gr.Request, view: dict[str, Any]) -> list[Any]:
        """The image that a link names; the tab's own opening shows it."""
        if request.query_params.get(TAB) != ID:
            return [gr.skip()] * 2
        row = row_of(ctx.run, request.query_params) if request.query_params.get(IMAGE) else None
        return [gr.skip() if row is None else {"row": row}, gr.Tabs(selected=ID)]

    @error_boundary
    def uploaded(request: gr.Request, path: str | None, view: dict[str, Any]) -> list[Any]:
        if not path:
            return [gr.skip()] * 4
        return [*looked_at({"upload": ctx.photos.keep(str(request.session_hash), path)}, view), None]

    @error_boundary
    def example(view: dict[str, Any], event: gr.SelectData) -> list[Any]:
        return looked_at({"example": str(event.value)}, view)

    @error_boundary
    def chosen(view: dict[str, Any], units: str, how: str, event: gr.SelectData) -> list[Any]:
        """Another layer to edit."""
        if event.index != "layer" or event.value not in decoder_service.layers:
            return [gr.skip()] * 3
        view = view | {"layer": str(event.value)}
        return [
            view,
            row_for(view),
            edits(
                view["layer"],
                decoder_service.edited(view["subject"], view["layer"], units, how),
                ctx.run.classes,
            ),
        ]

    @error_boundary
    def decode(view: dict[str, Any], units: str, how: str) -> str:
        if view["subject"] is None:
            raise gr.Error("Nothing to decode yet: upload a photo, or open an image.", print_exception=False)
        return edits(
            view["layer"], decoder_service.edited(view["subject"], view["layer"], units, how), ctx.run.classes
        )

    @error_boundary
    def optimize(
        request: gr.Request, view: dict[str, Any], layer: str | None, steps: int
    ) -> Iterator[list[Any]]:
        """Previews while it goes on; between its steps other tabs have the network."""
        from explain.inversion.optimize import Settings
        from explain.inversion.optimize import optimize as descend
        from explain.inversion.rebuild import pixels_of

        ctx.access.require_compute()
        if view["subject"] is None or not layer:
            raise gr.Error("Choose a picture and a layer first.", print_exception=False)
        who, drawn, last = str(request.session_hash), 0.0, None
        ctx.cancellation.begin(who)
        yield [gr.skip(), gr.Button(interactive=False), gr.Button(visible=True)]
        with ctx.classifier() as classifier:
            work = descend(
                classifier,
                decoder_service.input(classifier, view["subject"]),
                Settings(str(layer), int(steps)),
            )
        try:
            for step in in_turns(ctx, who, work):
                last = step
                if (now := time.monotonic()) - drawn > EVERY or step.step == step.steps:
                    drawn = now
                    picture = pixels_of(step.picture, classifier.preprocessing)[0]
                    yield [
                        under_way(picture, str(layer), step.step, step.steps, step.distance),
                        gr.skip(),
                        gr.skip(),
                    ]
        except Cancelled:
            if last is not None:
                picture = pixels_of(last.picture, classifier.preprocessing)[0]
                yield [
                    under_way(picture, str(layer), last.step, last.steps, last.distance, "stopped"),
                    gr.skip(),
                    gr.skip(),
                ]

    def stop(request: gr.Request) -> None:
        ctx.cancellation.stop(str(request.session_hash))

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    busy: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "model", "show_progress_on": [big]}
    results = [state, big, edit]
    ctx.on_load(arrive, [state], [ctx.opened, ctx.tabs])
    ctx.on_tab(ID, opened, [state, ctx.opened], [*results, layer])
    gr.on(
        [upload.upload, upload.input],
        uploaded,
        [upload, state],
        [*results, upload],
        trigger_mode="always_last",
        **busy,
    )
    strip.select(example, [state], results, **busy)
    big.select(chosen, [state, units, how], results, concurrency_id="model", **quiet)
    gr.on([again.click, units.submit], decode, [state, units, how], [edit], concurrency_id="model", **quiet)
    made = start.click(
        optimize, [state, layer, steps], [optimized, start, cancel], concurrency_id="maximize", **quiet
    )
    made.then(lambda: [gr.Button(interactive=True), gr.Button(visible=False)], None, [start, cancel], **quiet)
    cancel.click(stop, None, None, concurrency_limit=None, **quiet)


def _name(ctx: Context, subject: Subject) -> str:
    return "your photo" if "upload" in subject else called(ctx, subject)
