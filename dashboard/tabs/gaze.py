"""Gaze: where people look, or would; where the network looks; and how well one predicts the other."""

from dataclasses import asdict
from typing import Any

import gradio as gr
import pandas as pd

from dashboard.components.clickable import clickable
from dashboard.components.gaze_view import (
    LARGE,
    GazeMap,
    GazeView,
    disagreement,
    first_view,
    from_folder,
    gaze_table,
    large,
    verdict,
)
from dashboard.components.markup import html
from dashboard.components.panel import empty, panel
from dashboard.error_boundary import error_boundary
from dashboard.examples import examples_strip
from dashboard.links import IMAGE, TAB
from dashboard.plots import figure
from dashboard.server.uploads import photo_upload
from dashboard.session.context import Context
from dashboard.session.gaze_service import GazeComparison, GazeService
from dashboard.session.image_sessions import Subject, called, first_row, picture
from explain.formatting import percent
from explain.render import jpeg_bytes
from models.program import program
from models.training.charts import charts

TITLE, ID = "Gaze", "gaze"
NOTHING = html(
    "Fixations are compared with networks by <code>{program} gaze evaluate --data fixations.csv "
    "--model mobilenet_v2 --out gaze/first</code>, and shown by "
    "<code>{program} serve --gaze gaze/first</code>.",
    program=program(),
)


def seen(ctx: Context, session: GazeComparison, subject: Subject) -> str:
    """A picture without fixations: what is predicted, and the network's map."""
    numbers = ", ".join(
        f"{name.upper()} {session.alike[name]:.2f} (middle of the picture {session.center[name]:.2f})"
        for name in session.alike
    )
    looked = [
        GazeMap(session.density, "where people would look", "predicted"),
        GazeMap(
            session.cam,  # type: ignore[arg-type]
            f"{session.title} for {session.called}",
            f"{percent(session.prob)} · with the prediction: {numbers}",
        ),
    ]
    width, height = session.picture.size
    note = "the prediction stands for people: no one looked at this picture"
    return large(jpeg_bytes(session.picture, LARGE), (height, width), looked, _name(ctx, subject), note)


def _name(ctx: Context, subject: Subject) -> str:
    return (
        called(ctx, subject)
        if "row" in subject
        else "Your photo"
        if "upload" in subject
        else str(subject["example"])
    )


def numbers(gaze_service: GazeService) -> str:
    """The table of what was evaluated, or of what the model's own file says of it."""
    if gaze_service.run is not None:
        about = gaze_service.run.manifest
        text = (
            f"{about['data']}, {about['part']}, {len(gaze_service.run.images):,} images; counted as "
            f"{about['variant']}; best NSS first"
        )
        return gaze_table(
            gaze_service.run.summary, "Models, networks and people", text, verdict(gaze_service.run)
        )
    measured = gaze_service.about.get("metrics", {}).get("gaze")
    if not measured:
        return panel(
            "Models and baselines",
            empty(html("This copy has no gaze model: train one with <code>{} gaze train</code>.", program())),
        )
    text = f"{measured['part']}, {measured['images']} images that it was not trained on; best NSS first"
    return gaze_table(pd.DataFrame(measured["table"]), "The model, baselines and people", text)


def pieces(gaze_service: GazeService, view: GazeView) -> list[str]:
    """What is shown large, and the cards, of a gaze folder; how to get one without."""
    if gaze_service.run is None:
        return [
            panel("Where people would look", empty("Choose a photo.")),
            panel("Where people looked", empty(NOTHING)),
        ]
    return [
        from_folder(gaze_service.run, max(view.row, 0), view.source),
        disagreement(gaze_service.run, view),
    ]


def build(ctx: Context) -> None:
    gaze_service = ctx.gaze_service
    first = first_view(gaze_service.run)
    state, fresh = gr.State(asdict(first)), gr.State(True)
    with gr.Row(elem_classes="vt-main"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            with gr.Group(visible=ctx.access.explains, elem_classes="vt-panel vt-controls"):
                upload = photo_upload("Your own photo", "vt-gaze-upload")
                strip = clickable(examples_strip(), "vt-gaze-examples")
            plot = gr.Plot(visible=False, show_label=False, elem_id="vt-gaze-curves")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            big, cards = pieces(gaze_service, first)
            shown = [clickable(big, "vt-gaze")]
            clickable(numbers(gaze_service), "vt-standing")
            shown.append(clickable(cards, "vt-disagreement"))
    results = [state, *shown]

    def looked_at(subject: Subject, keys: dict[str, Any]) -> list[Any]:
        session = gaze_service.at(picture(ctx, subject))
        view = GazeView(**keys | {"row": -1})
        return [
            asdict(view),
            seen(ctx, session, subject),
            gr.skip() if gaze_service.run is None else disagreement(gaze_service.run, view),
        ]

    @error_boundary
    def act(keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        if gaze_service.run is None:
            return [gr.skip()] * 3
        before = GazeView(**keys)
        view = before.apply(str(event.index), str(event.value), gaze_service.run)
        big, cards = pieces(gaze_service, view)
        return [
            asdict(view),
            big if (view.row, view.source) != (before.row, before.source) and view.row >= 0 else gr.skip(),
            cards,
        ]

    @error_boundary
    def opened(is_fresh: bool, keys: dict[str, Any], row: dict[str, Any] | None) -> list[Any]:
        """When the tab is opened first: the model's curves; and, without a gaze folder, the image that was
        opened last."""
        drawn = (
            gr.Plot(figure(charts(gaze_service.trained)[1]), visible=True)
            if is_fresh and gaze_service.trained and len(gaze_service.trained.curves)
            else gr.skip()
        )
        at = int(row["row"]) if row else first_row(ctx)
        if (
            gaze_service.run is not None
            or not is_fresh
            or at is None
            or not ctx.access.explains
            or gaze_service.checkpoint is None
        ):
            return [False, drawn, *[gr.skip()] * 3]
        return [False, drawn, *looked_at({"row": at}, keys)]

    @error_boundary
    def arrive(request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """The image of the gaze folder that a link names."""
        asked, found = request.query_params, gaze_service.run
        rows = (
            found.images.index[found.images["id"] == asked.get(IMAGE)]
            if found is not None and asked.get(TAB) == ID
            else []
        )
        if not len(rows):
            return [*[gr.skip()] * 3, gr.Tabs(selected=ID) if asked.get(TAB) == ID else gr.skip()]
        view = GazeView(**keys | {"row": int(rows[0])})
        return [asdict(view), *pieces(gaze_service, view), gr.Tabs(selected=ID)]

    @error_boundary
    def uploaded(request: gr.Request, path: str | None, keys: dict[str, Any]) -> list[Any]:
        if not path:
            return [gr.skip()] * 4
        return [*looked_at({"upload": ctx.photos.keep(str(request.session_hash), path)}, keys), None]

    @error_boundary
    def example(keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        return looked_at({"example": str(event.value)}, keys)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    busy: dict[str, Any] = {
        "api_visibility": "private",
        "concurrency_id": "model",
        "show_progress_on": [shown[0]],
    }
    gr.on([area.select for area in shown], act, [state], results, trigger_mode="always_last", **quiet)
    ctx.on_tab(ID, opened, [fresh, state, ctx.opened], [fresh, plot, *results])
    ctx.on_load(arrive, [state], [*results, ctx.tabs])
    if ctx.access.explains:
        gr.on(
            [upload.upload, upload.input],
            uploaded,
            [upload, state],
            [*results, upload],
            trigger_mode="always_last",
            **busy,
        )
        strip.select(example, [state], results, **busy)
