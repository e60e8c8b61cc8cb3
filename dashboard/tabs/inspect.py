"""Inspect: one picture, what the network makes of it, and any number of methods side by side."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from dashboard.components.clickable import clickable
from dashboard.components.map_cards import Card, heading, map_cards
from dashboard.components.note_editor import note_editor
from dashboard.components.panel import panel as panel_of
from dashboard.components.parameters import ParameterControls
from dashboard.components.subject import calibrated, facts, reproduced, run_maps, start_page
from dashboard.error_boundary import error_boundary
from dashboard.examples import examples_strip
from dashboard.links import TAB, in_inspect, number, row_of
from dashboard.server.uploads import photo_upload
from dashboard.session.context import Context
from dashboard.session.image_sessions import Subject, called, first_row
from dashboard.session.notes_handler import keep_notes
from explain.methods.registry import METHODS
from explain.run.notes import read
from models.errors import Cancelled, UserError

TITLE, ID = "Inspect", "inspect"
CHEAP = 2.0  # seconds that a method may take without being asked twice
NOBODY = -1  # no class to be left out
HOW = ("target", "contrast_class", "layers", "methods", "fuse", "flip", "noise", "shared", "threshold")


def show_row(ctx: Context, row: int) -> list[Any]:
    """Everything the run holds of a row, at once; no network is needed. Values for subject, facts, panel,
    maps, class."""
    run, request = ctx.run, ctx.run.manifest.request
    prob, pred = run.prob(row), run.table.at[row, "pred"]
    if np.isnan(float(pred)):
        raise UserError(f"This image could not be read: {run.table.at[row, 'error']}.")
    cards = [Card(m, run.title(m), run.maps(m, "pred", [row])[0], request.layer) for m in request.methods]
    title = heading(
        "Maps of the run",
        run.classes,
        int(pred),
        None,
        float(calibrated(prob, ctx.temperature or 1)[int(pred)]),
    )
    live = ctx.access.explains
    return [
        {"row": row},
        facts(run, prob, row, ctx.temperature, live),
        map_cards(ctx.seen(row), cards, title, False, 0, "" if live else None),
        run_maps(run, row),
        int(pred),
    ]


def first_sight(ctx: Context) -> list[Any]:
    row = first_row(ctx)
    return (
        show_row(ctx, row) if row is not None else [None, facts(ctx.run, None, None), start_page(), "", None]
    )


def build(ctx: Context) -> None:
    run = ctx.run
    subject, facts_html, panel_html, maps_html, chosen = first_sight(ctx)
    with gr.Row(elem_classes="vt-main"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            about = clickable(facts_html, "vt-facts")
            remark = clickable(remark_about(ctx, subject), "vt-remark")
            with gr.Column(visible=ctx.access.explains, elem_classes="vt-left"):
                form, parameters = _form(ctx, chosen)
                with gr.Group(elem_classes="vt-panel vt-controls"):
                    upload = photo_upload("Your own photo", "vt-upload")
                    strip = clickable(examples_strip(), "vt-examples")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="vt-cancel")
            panel = clickable(panel_html, "vt-live")
            kept = clickable(maps_html, "vt-run-maps")
            again = clickable("", "vt-again")
    opened, shown = ctx.opened, gr.State(subject)
    inputs = [shown, *form.values(), *parameters.inputs]
    results = [about, panel, form["target"], again]

    def asked(values: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
        """The form's values by name, and a question for each chosen method in the registry's order."""
        from explain.methods.compute import Smoothing
        from explain.methods.live import MapRequest

        how = dict(zip(HOW, values, strict=False))
        given = parameters.read(values[len(HOW) :])
        smoothing = Smoothing(bool(how["flip"]), int(how["noise"] or 0))
        how["contrast_class"] = (
            None if how["contrast_class"] in (NOBODY, None, how["target"]) else how["contrast_class"]
        )
        common = (",".join(how["layers"] or []), how["target"], how["contrast_class"])
        chosen_ones = [m for m in METHODS if m in (how["methods"] or [])]
        return how, [MapRequest(m, *common, given.get(m, ()), how["fuse"], smoothing) for m in chosen_ones]

    def shown_maps(
        subject: Subject, values: Sequence[Any], compute: str = "", saved: str = "", on_progress: Any = None
    ) -> list[Any]:
        """Cheap maps are made, dear ones only where they are asked for or known already."""
        from explain.methods.reproduce import command_line, in_memory_lines, python_lines

        how, requests = asked(values)
        with ctx.classifier() as classifier:
            session = ctx.sessions.at(subject)
            cards, answered = [], []
            for q in requests:
                method = METHODS[q.method]
                try:
                    seconds = session.seconds(q)
                    if session.known(q) or seconds <= CHEAP or q.method == compute:
                        made = session.map(q, on_progress or (lambda fraction: None))
                        cards.append(
                            Card(
                                q.method,
                                method.title,
                                made.raw,
                                made.layer,
                                made.seconds,
                                expected_sum=made.expected_sum,
                            )
                        )
                    else:
                        cards.append(Card(q.method, method.title, seconds=seconds))
                    answered.append(q)
                except UserError as error:
                    cards.append(Card(q.method, method.title, why=str(error)))
                except Cancelled:
                    raise
                except Exception as error:  # one method that breaks must not take the others along
                    logging.getLogger("vitrine").exception("in %s", q.method)
                    cards.append(
                        Card(
                            q.method,
                            method.title,
                            why=f"That did not work ({type(error).__name__}); the log has more.",
                        )
                    )
        target = session.pred if how["target"] is None else how["target"]
        prob = session.prob
        title = heading(
            "Maps",
            run.classes,
            target,
            how["contrast_class"],
            float(calibrated(prob, ctx.temperature or 1)[target]),
        )
        name, model = called(ctx, subject), ctx.named(classifier)
        names, told = () if classifier.renamed else run.classes, classifier.options
        made_again = ""
        if answered and classifier is ctx.network:
            made_again = reproduced("", in_memory_lines(name, answered, run.classes))
        elif answered:
            made_again = reproduced(
                command_line(name, *model, names, answered, told), python_lines(name, *model, answered, told)
            )
        return [
            facts(run, prob, subject.get("row"), ctx.temperature),
            map_cards(session.seen, cards, title, how["shared"], how["threshold"], saved),
            target,
            made_again,
        ]

    @error_boundary
    def from_run(subject: Subject | None) -> list[Any]:
        """The row that was clicked in Errors."""
        return [*show_row(ctx, int(subject["row"])), NOBODY] if subject else [gr.skip()] * 6

    @error_boundary
    def arrive(request: gr.Request) -> list[Any]:
        """The image that a link names."""
        row = row_of(run, request.query_params) if request.query_params.get(TAB, ID) == ID else None
        return [gr.skip()] * 2 if row is None else in_inspect(run, row)

    @error_boundary
    def explain(subject: Subject | None, *values: Any) -> list[Any]:
        """Live maps for the chosen class (the prediction where none is chosen)."""
        if not subject:
            raise gr.Error(
                "Nothing to explain yet: click an image in Errors, upload one, or take an example.",
                print_exception=False,
            )
        return shown_maps(subject, values)

    @error_boundary
    def compute(
        request: gr.Request,
        event: gr.SelectData,
        progress: Any = gr.Progress(),  # noqa: B008
        *given: Any,
    ) -> list[Any]:
        """A dear method on its button, or the files of a map."""

        (subject, *values), name, method, who = (
            given,
            str(event.index),
            str(event.value),
            str(request.session_hash),
        )
        if name == "save":
            return shown_maps(subject, values, saved=method)
        ctx.cancellation.begin(who)

        def on_progress(fraction: float) -> None:
            ctx.cancellation.raise_if_cancelled(who)
            progress(fraction, desc=METHODS[method].title)

        try:
            return shown_maps(subject, values, compute=method, on_progress=on_progress)
        except Cancelled:
            gr.Info(f"{METHODS[method].title} was stopped.")
            return shown_maps(subject, values)

    def from_outside(subject: Subject, values: Sequence[Any]) -> list[Any]:
        values = [None, NOBODY, *values[2:]]  # another picture: the predicted class
        return [subject, *shown_maps(subject, values), "", NOBODY]

    @error_boundary
    def uploaded(request: gr.Request, path: str | None, *values: Any) -> Iterator[list[Any]]:
        """The photo is looked at, and the field free for the next."""
        if path:
            yield [*[gr.skip()] * 7, None]
            yield [
                *from_outside({"upload": ctx.photos.keep(str(request.session_hash), path)}, values),
                gr.skip(),
            ]

    @error_boundary
    def example(event: gr.SelectData, *values: Any) -> list[Any]:
        return from_outside({"example": str(event.value)}, values)

    @error_boundary
    def choices() -> Any:
        """Every layer, once the network is loaded."""
        from explain.methods.live import layers_with_maps

        with ctx.classifier() as classifier:
            layers = [
                (f"{x.name}  {x.kind} {'×'.join(map(str, x.shape))}", x.name)
                for x in layers_with_maps(classifier)
            ]
        return gr.Dropdown(layers)

    @error_boundary
    def chosen_class(event: gr.SelectData) -> int:
        found = number(str(event.value))
        if found is None or found >= len(run.classes):
            raise UserError(f"The run has no class number '{str(event.value)[:40]}': reload the page.")
        return found

    def computing(event: gr.SelectData) -> Any:
        return gr.Button(visible=event.index == "compute")

    def stop(request: gr.Request) -> None:
        ctx.cancellation.stop(str(request.session_hash))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    options: dict[str, Any] = {
        "api_visibility": "private",
        "concurrency_id": "model",
        "show_progress_on": [panel],
    }
    elsewhere = [shown, *results, kept, form["contrast_class"]]
    opened.change(
        from_run, [opened], [shown, about, panel, kept, form["target"], form["contrast_class"]], **quiet
    )
    ctx.on_load(arrive, None, [opened, ctx.tabs])
    if not ctx.access.explains:
        return
    changes = [form[name].input for name in HOW if name not in ("noise", "threshold")]
    changes += [
        form["noise"].release,
        form["threshold"].release,
        *(control.change for control in parameters.inputs),
    ]
    gr.on(changes, explain, inputs, results, trigger_mode="always_last", **options)
    form["methods"].change(
        lambda names: parameters.visible(names or []), [form["methods"]], parameters.groups, **quiet
    )
    shown.change(lambda subject: remark_about(ctx, subject), [shown], [remark], **quiet)
    keep_notes(ctx, [remark])
    about.select(chosen_class, None, [form["target"]], **quiet).then(explain, inputs, results, **options)
    panel.select(computing, None, [cancel], **quiet)
    panel.select(compute, inputs, results, **options).then(
        lambda: gr.Button(visible=False), None, [cancel], **quiet
    )
    cancel.click(stop, None, None, concurrency_limit=None, **quiet)
    gr.on(
        [upload.upload, upload.input],
        uploaded,
        [upload, *inputs[1:]],
        [*elsewhere, upload],
        trigger_mode="always_last",
        **options,
    )
    strip.select(example, inputs[1:], elsewhere, **options)
    ctx.on_tab(ID, choices, None, [form["layers"]])


def remark_about(ctx: Context, subject: Subject | None) -> str:
    """The note of a row of the run; nothing for pictures from outside, and for visitors."""
    if not subject or "row" not in subject or not ctx.access.computes:
        return ""
    return panel_of(
        "Note", note_editor(ctx.run, read(ctx.run.folder), int(subject["row"])), "kept with the run"
    )


def _form(ctx: Context, chosen: int | None) -> tuple[dict[str, Any], ParameterControls]:
    """The controls by the names in `HOW`; what is rarely changed lies folded."""
    run, request, made = ctx.run, ctx.run.manifest.request, {}
    classes = [(name, i) for i, name in enumerate(run.classes)]
    with gr.Group(elem_classes="vt-panel vt-controls"):
        made["methods"] = gr.Dropdown(
            [(m.title, m.name) for m in METHODS.values()],
            value=list(request.methods),
            multiselect=True,
            label="Methods",
            elem_id="vt-methods",
        )
        with gr.Row():
            made["target"] = gr.Dropdown(
                classes,
                value=chosen,
                label="Map for class",
                filterable=True,
                min_width=120,
                elem_id="vt-target",
            )
            made["contrast_class"] = gr.Dropdown(
                [("–", NOBODY), *classes],
                value=NOBODY,
                label="and not for",
                filterable=True,
                min_width=120,
                elem_id="vt-contrast",
            )
        made["layers"] = gr.Dropdown(
            [x.strip() for x in request.layer.split(",")],
            value=[x.strip() for x in request.layer.split(",")],
            multiselect=True,
            label="Layer; several are fused",
            elem_id="vt-layers",
        )
        made["shared"] = gr.Checkbox(False, label="one scale for all maps", elem_id="vt-shared")
        made["threshold"] = gr.Slider(
            0,
            1,
            0,
            step=0.05,
            label="Box around what exceeds this share of the maximum",
            elem_id="vt-threshold",
        )
        with gr.Accordion("Smoothing and fusion", open=False):
            with gr.Row():
                made["flip"] = gr.Checkbox(False, label="average with the mirror image", min_width=120)
                made["noise"] = gr.Slider(0, 50, 0, step=1, label="Noisy copies", min_width=120)
            made["fuse"] = gr.Radio(["mean", "max"], value="mean", label="Several layers")
        with gr.Accordion("Parameters of the methods", open=False, elem_id="vt-parameters"):
            parameters = ParameterControls(METHODS.values())
    return {name: made[name] for name in HOW}, parameters
