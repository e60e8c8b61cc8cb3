"""Export: the images of a view, of every class, or all errors, as one archive; and the report as one file."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.export_view import contents, done, failed, progress
from dashboard.components.trust.trust_line import method_options
from dashboard.error_boundary import error_boundary
from dashboard.links import in_inspect
from dashboard.server.event_queue import READS
from dashboard.server.uploads import handed_out
from dashboard.session.context import Context
from dashboard.tabs.errors_state import View
from dashboard.tabs.export_state import FORM, OF_VIEW, SELECTIONS, ExportView, typed
from dashboard.tabs.number_export import SELECTIONS as OF_NUMBERS
from dashboard.tabs.number_export import archive_of, contents_of, of_view, options_of, typed_of
from explain.analysis.findings import Findings
from explain.export.anonymize import eye_band
from explain.export.gallery import Export, ExportOptions
from explain.export.number_gallery import NumberExport
from explain.export.selection import selected
from explain.formatting import counted
from explain.quality.known import first_method, methods_by_verdict
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.errors import Cancelled, UserError

TITLE, ID, NEEDS = "Export", "export", "computes"
EVERY = 0.3  # seconds between two messages of progress
WRITING = "Writing the archive"
OF_CLASS = {
    "label": "Maximum wrong and correct images per class",
    "info": "0: two of every class, or the whole list",
}
OF_GROUP = {"label": "Maximum images per group", "info": "0: four of every group, or the whole list"}
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(ctx: Context) -> None:
    ExportTab(ctx).listen()


class ExportTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx = ctx
        with gr.Row(elem_classes="vt-main vt-export"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._form = _form(ctx.run)
                self._command = gr.Textbox(
                    interactive=False,
                    label="Equivalent command",
                    lines=3,
                    buttons=["copy"],
                    elem_id="vt-export-typed",
                )
                with gr.Row():
                    self._report = gr.Button("Report", size="md", elem_id="vt-report")
                    several = ctx.run.label_sets is not None
                    self._of_all = gr.Button(
                        "Report of all labels", visible=several, size="md", elem_id="vt-report-labels"
                    )
                    self._start = gr.Button("Export", variant="primary", size="md", elem_id="vt-export-start")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._state = clickable("", "vt-export-state")
                self._file = gr.DownloadButton(
                    visible=False, variant="primary", size="md", elem_id="vt-export-file"
                )
                self._contents = clickable("", "vt-export-contents")

    def listen(self) -> None:
        ctx, form, shown = self._ctx, self._form, [self._command, self._contents]
        inputs, result = [ctx.view, *form.values()], [self._state, self._file]
        changes = [control.input for control in form.values()]
        gr.on(changes, self.show, inputs, shown, trigger_mode="always_last", **QUIET)
        self._start.click(self.export, inputs, result, concurrency_id="export", **QUIET)
        report = [ctx.view, form["methods"], form["blur_eyes"]]
        self._report.click(self.report, report, result, concurrency_id="export", **QUIET)
        self._of_all.click(self.report_of_all, report, result, concurrency_id="export", **QUIET)
        self._state.select(self.stop, None, None, concurrency_limit=None, **QUIET)
        self._contents.select(self.opened, None, [ctx.opened, ctx.tabs], **QUIET)
        ctx.on_tab(ID, self.chosen, inputs, [*shown, form["methods"]], **READS)

    def _findings(self, keys: dict[str, Any]) -> Findings:
        """Of the label and at the threshold of Errors."""
        view = View(**keys)
        return self._ctx.findings_of(view.asked).at(view.threshold, view.positive)

    def _options(self, keys: dict[str, Any], values: tuple[Any, ...]) -> ExportOptions:
        return ExportView(*values).options(self._findings(keys).run, View(**keys))

    @error_boundary
    def show(self, keys: dict[str, Any], *values: Any) -> list[str]:
        """The command, and what the archive will hold."""
        if isinstance(self._ctx.run, NumbersRun):
            return self._of_numbers(self._ctx.run, keys, values)
        findings, options = self._findings(keys), self._options(keys, values)
        run = findings.run
        command, methods = typed(run, options), options.methods or run.manifest.request.methods[:1]
        try:
            selection = selected(findings, options.select, options.per_class, options.sort)
        except UserError as error:
            return [command, failed(str(error))]
        return [command, contents(run, selection, options, methods)]

    @error_boundary
    def chosen(self, keys: dict[str, Any], *values: Any) -> list[Any]:
        """As `show`, and the list of methods as they are known by now."""
        return [*self.show(keys, *values), gr.Dropdown(choices=_methods(self._ctx.run))]

    def _of_numbers(self, run: NumbersRun, keys: dict[str, Any], values: tuple[Any, ...]) -> list[str]:
        try:
            return contents_of(run, keys, values)
        except UserError as error:
            return [typed_of(of_view(run, keys), options_of(run, keys, values)), failed(str(error))]

    def _archive(self, out: Path, keys: dict[str, Any], values: tuple[Any, ...]) -> "Export | NumberExport":
        if isinstance(run := self._ctx.run, NumbersRun):
            return archive_of(run, out, keys, values)
        return Export(self._findings(keys), out, self._options(keys, values))

    @error_boundary
    def export(self, request: gr.Request, keys: dict[str, Any], *values: Any) -> Iterator[list[Any]]:
        out, who = handed_out(f"{self._ctx.run.folder.name}.zip"), str(request.session_hash)
        archive = self._archive(out, keys, values)
        self._ctx.cancellation.begin(who)
        yield [progress(WRITING, 0.0), gr.DownloadButton(visible=False)]
        try:
            for fraction in self._written(archive, who):
                yield [progress(WRITING, fraction), gr.skip()]
        except Cancelled:
            yield [failed("Cancelled. Nothing was written."), gr.skip()]
        except UserError as error:
            yield [failed(str(error)), gr.skip()]
        else:
            size = out.stat().st_size
            yield [done(f"{counted(archive.images, 'image')}", size), _download(out.name, str(out))]

    def _written(self, archive: "Export | NumberExport", who: str) -> Iterator[float]:
        """Write the archive; the fraction that is done, now and then. Raises `Cancelled`."""
        drawn, work = 0.0, archive.steps()
        try:
            for fraction in work:
                self._ctx.cancellation.raise_if_cancelled(who)
                if (now := time.monotonic()) - drawn > EVERY:
                    drawn = now
                    yield fraction
        finally:
            work.close()

    @error_boundary
    def report(self, keys: dict[str, Any], methods: list[str] | None, blur_eyes: bool) -> Iterator[list[Any]]:
        from explain.export.number_report import number_report
        from explain.export.report import report, write_report

        yield [progress("Writing the report", None), gr.DownloadButton(visible=False)]
        out, method = handed_out(f"{self._ctx.run.folder.name}.html"), next(iter(methods or []), None)
        if isinstance(run := self._ctx.run, NumbersRun):
            text = number_report(run, method, blur_eyes=bool(blur_eyes))
        else:
            text = report(self._findings(keys), method, blur_eyes=bool(blur_eyes))
        write_report(text, out)
        yield [done("Report (one file)", out.stat().st_size), _download(out.name, str(out))]

    @error_boundary
    def report_of_all(
        self, keys: dict[str, Any], methods: list[str] | None, blur_eyes: bool
    ) -> Iterator[list[Any]]:
        """Of several labels per image, all of them at the thresholds of Errors."""
        from explain.analysis.multi_label.scores import chosen_thresholds
        from explain.export.label_report import label_report
        from explain.export.report import write_report

        yield [progress("Writing the report", None), gr.DownloadButton(visible=False)]
        sets, view = self._ctx.run.label_sets, View(**keys)
        thresholds = chosen_thresholds(sets, view.label_thresholds)
        out, method = handed_out(f"{self._ctx.run.folder.name}.labels.html"), next(iter(methods or []), None)
        write_report(label_report(sets, thresholds, method, blur_eyes=bool(blur_eyes)), out)
        yield [done("Report of all labels (one file)", out.stat().st_size), _download(out.name, str(out))]

    def stop(self, request: gr.Request, event: gr.SelectData) -> None:
        if event.index == "stop":
            self._ctx.cancellation.stop(str(request.session_hash))

    @error_boundary
    def opened(self, event: gr.SelectData) -> list[Any]:
        return in_inspect(self._ctx.run, event.value) if event.index == "open" else [gr.skip()] * 2


def _download(name: str, path: str) -> gr.DownloadButton:
    return gr.DownloadButton(f"Download {name}", value=path, visible=True)


def _form(run: RunData) -> dict[str, Any]:
    """The controls by the names in `FORM`."""
    with gr.Column(elem_classes="vt-controls vt-panel"):
        controls: dict[str, Any] = {
            "select": gr.Radio(
                [(title, name) for name, title in (OF_NUMBERS if run.numbers else SELECTIONS).items()],
                value=OF_VIEW,
                label="Images",
                elem_id="vt-export-what",
            ),
            "per_class": gr.Number(
                0,
                **(OF_GROUP if run.numbers else OF_CLASS),
                precision=0,
                minimum=0,
                elem_id="vt-export-each",
            ),
            "methods": gr.Dropdown(
                _methods(run),
                value=[first_method(run)],
                multiselect=True,
                label="Methods",
            ),
            "originals": gr.Checkbox(True, label="Original images at full size, where they are available"),
            "raw": gr.Checkbox(True, label="Raw maps as numbers (.npy)"),
            "blur_eyes": gr.Checkbox(
                False, label="Cover the eyes of aligned faces", visible=_faces(run), elem_id="vt-export-eyes"
            ),
        }
    return {name: controls[name] for name in FORM}


def _methods(run: RunData) -> list[tuple[str, str]]:
    """Texts and names, those that can be trusted first."""
    return [(text, m) for m, text in method_options(run, methods_by_verdict(run)).items()]


def _faces(run: RunData) -> bool:
    try:
        return bool(eye_band(run))
    except UserError:
        return False
