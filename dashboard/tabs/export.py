"""Export: the images of a view, of every class, or all errors, as one archive; and the report as one file."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.export_view import contents, done, failed, progress
from dashboard.error_boundary import error_boundary
from dashboard.links import in_inspect
from dashboard.server.uploads import handed_out
from dashboard.session.context import Context
from dashboard.session.training_jobs import as_typed
from dashboard.tabs.errors_view import View
from explain.export.anonymize import eye_band
from explain.export.gallery import Export, ExportOptions
from explain.export.selection import selected
from models.errors import Cancelled, UserError

TITLE, ID, NEEDS = "Export", "export", "computes"
WHAT = {
    "view": "what Errors shows now",
    "": "some of every class",
    "errors": "all errors",
    "correct": "all correct images",
}
EVERY = 0.3  # seconds between two words of progress
FORM = ("what", "per_class", "methods", "originals", "raw", "blur_eyes")


def options_of(ctx: Context, view: View, values: Sequence[Any]) -> ExportOptions:
    given = dict(zip(FORM, values, strict=True))
    select, sort = (
        (view.selection(ctx.run), view.sort) if given["what"] == "view" else (str(given["what"]), "")
    )
    each = int(given["per_class"]) if given["per_class"] else None
    known, plain = ctx.run.manifest.request.methods, ExportOptions()
    named = tuple(m for m in known if m in (given["methods"] or []))
    named = () if named == tuple(known[:1]) else named
    return ExportOptions(
        select,
        each,
        named,
        sort or plain.sort,
        bool(given["originals"]),
        bool(given["raw"]),
        bool(given["blur_eyes"]),
    )


def typed(ctx: Context, options: ExportOptions) -> str:
    """The same as a command."""
    plain, words = ExportOptions(), ["export", str(ctx.run.folder), "--out", f"{ctx.run.folder.name}.zip"]
    words += ["--select", options.select] if options.select else []
    words += ["--per-class", str(options.per_class)] if options.per_class else []
    words += ["--methods", ",".join(options.methods)] if options.methods else []
    words += ["--sort", options.sort] if options.sort != plain.sort else []
    words += [
        option
        for option, given in (
            ("--no-originals", not options.originals),
            ("--no-maps", not options.raw),
            ("--blur-eyes", options.blur_eyes),
        )
        if given
    ]
    return as_typed(words)


def build(ctx: Context) -> None:
    run = ctx.run
    with gr.Row(elem_classes="vt-main vt-export"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            form = _form(ctx)
            command = gr.Textbox(
                interactive=False,
                label="The same on the command line",
                lines=3,
                buttons=["copy"],
                elem_id="vt-export-typed",
            )
            with gr.Row():
                paper = gr.Button("Report", size="md", elem_id="vt-report")
                start = gr.Button("Export", variant="primary", size="md", elem_id="vt-export-start")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            state = clickable("", "vt-export-state")
            file = gr.DownloadButton(visible=False, variant="primary", size="md", elem_id="vt-export-file")
            held = clickable("", "vt-export-contents")

    @error_boundary
    def show(keys: dict[str, Any], *values: Any) -> list[str]:
        options = options_of(ctx, View(**keys), values)
        try:
            selection = selected(ctx.findings, options.select, options.per_class, options.sort)
        except UserError as error:
            return [typed(ctx, options), failed(str(error))]
        return [
            typed(ctx, options),
            contents(run, selection, options, options.methods or run.manifest.request.methods[:1]),
        ]

    @error_boundary
    def export(request: gr.Request, keys: dict[str, Any], *values: Any) -> Iterator[list[Any]]:

        who, drawn, out = str(request.session_hash), 0.0, handed_out(f"{run.folder.name}.zip")
        made = Export(ctx.findings, out, options_of(ctx, View(**keys), values))
        ctx.cancellation.begin(who)
        yield [progress("The archive is being written", 0.0), gr.DownloadButton(visible=False)]
        work = made.steps()
        try:
            for fraction in work:
                ctx.cancellation.raise_if_cancelled(who)
                if (now := time.monotonic()) - drawn > EVERY:
                    drawn = now
                    yield [progress("The archive is being written", fraction), gr.skip()]
        except Cancelled:
            work.close()
            yield [failed("Stopped: nothing of the archive was kept."), gr.skip()]
            return
        except UserError as error:
            yield [failed(str(error)), gr.skip()]
            return
        yield [
            done(f"{made.images:,} images", out.stat().st_size),
            gr.DownloadButton(f"Save {out.name}", value=str(out), visible=True),
        ]

    @error_boundary
    def report(methods: list[str], blur_eyes: bool) -> Iterator[list[Any]]:
        from explain.export.report import report as make
        from explain.export.report import write_report

        yield [progress("The report is being written", None), gr.DownloadButton(visible=False)]
        out = handed_out(f"{run.folder.name}.html")
        write_report(make(ctx.findings, next(iter(methods or []), None), blur_eyes=bool(blur_eyes)), out)
        yield [
            done("The report, one file", out.stat().st_size),
            gr.DownloadButton(f"Save {out.name}", value=str(out), visible=True),
        ]

    def stop(request: gr.Request, event: gr.SelectData) -> None:
        if event.index == "stop":
            ctx.cancellation.stop(str(request.session_hash))

    @error_boundary
    def opened(event: gr.SelectData) -> list[Any]:
        return in_inspect(ctx.run, event.value) if event.index == "open" else [gr.skip()] * 2

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    inputs = [ctx.view, *form.values()]
    gr.on(
        [control.input for control in form.values()],
        show,
        inputs,
        [command, held],
        trigger_mode="always_last",
        **quiet,
    )
    start.click(export, inputs, [state, file], concurrency_id="export", **quiet)
    paper.click(report, [form["methods"], form["blur_eyes"]], [state, file], concurrency_id="export", **quiet)
    state.select(stop, None, None, concurrency_limit=None, **quiet)
    held.select(opened, None, [ctx.opened, ctx.tabs], **quiet)
    ctx.on_tab(ID, show, inputs, [command, held])


def _form(ctx: Context) -> dict[str, Any]:
    """The controls by the names in `FORM`."""
    made: dict[str, Any] = {}
    methods = ctx.run.manifest.request.methods
    with gr.Column(elem_classes="vt-controls vt-panel"):
        made["what"] = gr.Radio(
            [(title, name) for name, title in WHAT.items()],
            value="view",
            label="Which images",
            elem_id="vt-export-what",
        )
        made["per_class"] = gr.Number(
            0,
            label="At most so many wrong and so many right of a class",
            info="0: two of every class, or a whole list",
            precision=0,
            minimum=0,
            elem_id="vt-export-each",
        )
        made["methods"] = gr.Dropdown(
            [(ctx.run.title(m), m) for m in methods],
            value=list(methods[:1]),
            multiselect=True,
            label="Methods",
        )
        made["originals"] = gr.Checkbox(True, label="originals at full size, where they are still here")
        made["raw"] = gr.Checkbox(True, label="raw maps as numbers (.npy)")
        made["blur_eyes"] = gr.Checkbox(
            False, label="cover the eyes of aligned faces", visible=_faces(ctx), elem_id="vt-export-eyes"
        )
    return {name: made[name] for name in FORM}


def _faces(ctx: Context) -> bool:
    try:
        return bool(eye_band(ctx.run))
    except UserError:
        return False
