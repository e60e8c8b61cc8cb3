"""Inspect: one image, what the network makes of it, and live maps for any class and layer."""

from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from dashboard.components.clickable import clickable
from dashboard.components.subject import facts, live_panel, run_maps, start_page
from dashboard.context import Context
from dashboard.examples import examples_strip, open_example
from dashboard.guard import said
from dashboard.uploads import open_upload, photo_upload
from explain.errors import overview
from models.errors import UserError

TITLE, ID = "Inspect", "inspect"
Subject = dict[str, Any]
"""What is looked at: {"row": n} of the run, {"upload": path}, or {"example": name}."""


def picture(ctx: Context, subject: Subject) -> Image.Image:
    """The subject's picture. Raises UserError where it cannot be had."""
    if "upload" in subject:
        return open_upload(subject["upload"])
    if "example" in subject:
        return open_example(subject["example"])
    original = ctx.original(int(subject["row"]))
    if original is None:
        raise UserError(f"The image is not at '{ctx.run.manifest.data_root}' any more: the run's own maps are shown, live maps need the image.")
    return original


def show_row(ctx: Context, row: int) -> list[Any]:
    """Everything the run holds of a row, at once; no network is needed. Values for subject, facts, panel, maps, class."""
    run, request = ctx.run, ctx.run.manifest.request
    prob, pred = run.prob(row), run.table.at[row, "pred"]
    if np.isnan(float(pred)):
        raise UserError(f"This image could not be read: {run.table.at[row, 'error']}.")
    raw = run.maps(request.methods[0], "pred", [row])[0]
    live = live_panel(run, ctx.seen(row), raw, request.methods[0], request.layer, int(pred), float(prob[int(pred)]), "from the run")
    return [{"row": row}, facts(run, prob, row), live, run_maps(run, row), int(pred)]


def first_sight(ctx: Context) -> list[Any]:
    """What is there before anything is clicked: the worst class's most confident error."""
    samples = overview(ctx.run, each=1)
    rows = [int(r) for sample in samples for r in (*sample.wrong, *sample.right)]
    return show_row(ctx, rows[0]) if rows else [None, facts(ctx.run, None, None), start_page(), "", None]


def build(ctx: Context) -> None:
    run, request = ctx.run, ctx.run.manifest.request
    subject, facts_html, panel_html, maps_html, chosen = first_sight(ctx)
    classes = [(name, i) for i, name in enumerate(run.classes)]
    with gr.Row(elem_classes="vt-main"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            about = clickable(facts_html, "vt-facts")
            with gr.Group(elem_classes="vt-panel vt-controls"):
                target = gr.Dropdown(classes, value=chosen, label="Map for class", filterable=True)
                layer = gr.Dropdown([request.layer], value=request.layer, label="Layer", filterable=True)
                method = gr.Dropdown([(run.title(m), m) for m in request.methods], value=request.methods[0], label="Method")
            with gr.Group(elem_classes="vt-panel vt-controls"):
                upload = photo_upload("Your own photo", "vt-upload")
                strip = clickable(examples_strip(), "vt-examples")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            panel = clickable(panel_html, "vt-live")
            kept = clickable(maps_html, "vt-run-maps")
    opened, shown = ctx.opened, gr.State(subject)

    @said
    def from_run(subject: Subject | None) -> list[Any]:
        """The row that was clicked in Errors, with the run's own layer and first method."""
        return [*show_row(ctx, int(subject["row"])), request.layer, request.methods[0]] if subject else [gr.skip()] * 7

    @said
    def explain(subject: Subject | None, cls: int | None, at: str, how: str) -> list[Any]:
        """A live map for the chosen class (the prediction where none is chosen)."""
        if not subject:
            raise gr.Error("Nothing to explain yet: click an image in Errors, upload one, or take an example.", print_exception=False)
        from explain.live import look

        with ctx.classifier() as classifier:
            sight = look(classifier, picture(ctx, subject))
            found = sight.map(how, at, cls)
        live = live_panel(run, sight.seen, found.raw, how, found.layer, found.target, float(sight.prob[found.target]), "live")
        return [facts(run, sight.prob, subject.get("row")), live, found.target]

    def from_outside(subject: Subject, at: str, how: str) -> list[Any]:
        about_html, live, chosen = explain(subject, None, at, how)
        return [subject, about_html, live, "", chosen]

    def uploaded(path: str | None, at: str, how: str) -> list[Any]:
        return from_outside({"upload": path}, at, how) if path else [gr.skip()] * 5

    def example(at: str, how: str, event: gr.SelectData) -> list[Any]:
        return from_outside({"example": str(event.value)}, at, how)

    @said
    def choices() -> list[Any]:
        """Every layer and method, once the network is loaded."""
        from explain.live import layers_with_maps
        from explain.methods import METHODS

        with ctx.classifier() as classifier:
            layers = [(f"{x.name}  {x.kind} {'×'.join(map(str, x.shape))}", x.name) for x in layers_with_maps(classifier)]
        return [gr.Dropdown(layers), gr.Dropdown([(m.title, m.name) for m in METHODS.values()])]

    @said
    def chosen_class(event: gr.SelectData) -> int:
        return int(event.value)

    everything = [shown, about, panel, kept, target]
    options: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "model", "show_progress_on": [panel]}
    opened.change(from_run, [opened], [*everything, layer, method], show_progress="hidden", api_visibility="private")
    gr.on([target.input, layer.input, method.input], explain, [shown, target, layer, method], [about, panel, target],
          trigger_mode="always_last", **options)  # fmt: skip
    about.select(chosen_class, None, [target], show_progress="hidden", api_visibility="private").then(
        explain, [shown, target, layer, method], [about, panel, target], **options)  # fmt: skip
    upload.upload(uploaded, [upload, layer, method], everything, **options)
    strip.select(example, [layer, method], everything, **options)
    ctx.on_tab(ID, choices, None, [layer, method])
