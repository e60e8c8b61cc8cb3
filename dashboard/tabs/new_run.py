"""New run: choose a network and data, check them, start a run, follow it, and open it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.listed.check_view import check_result, not_checked, under_way
from dashboard.components.listed.run_list import run_list
from dashboard.error_boundary import error_boundary, message_text
from dashboard.server.unpack import SUFFIX, unpacked
from dashboard.server.uploads import keep_upload
from dashboard.session.check_process import check_in_steps
from dashboard.session.context import Context
from dashboard.session.run_command import (
    check_words,
    checked_name,
    classes_file,
    filled_in,
    run_words,
    write_classes,
)
from dashboard.session.run_jobs import RunJobs
from dashboard.session.run_pages import RunPages
from dashboard.session.training_jobs import as_typed
from dashboard.tabs.new_run_form import CHECKPOINTS, NAMES, TABLES, NewRunForm
from dashboard.tabs.new_run_state import NewRunView
from models.errors import Cancelled, UserError

TITLE, ID = "New run", "run"
NEEDS = "computes"
SECONDS = 1.5  # between two looks at the runs
DROPPED = "dropped"
"""Folder of dropped files, beside the runs."""
WHOLE = (".pt2", ".onnx", ".keras", ".h5")
"""Types of files that hold a network with its architecture."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(ctx: Context) -> None:
    NewRunTab(ctx).listen()


class NewRunTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, self._jobs, self._pages = ctx, RunJobs(ctx.new_runs), RunPages()
        self._view = gr.State(asdict(NewRunView()))
        with gr.Row(elem_classes="vt-main vt-train"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._form = NewRunForm(ctx.device)
                first = self._form.values([control.value for control in self._form.inputs])
                self._typed = gr.Textbox(
                    as_typed(run_words(first, self._jobs.folder)),
                    interactive=False,
                    label="Equivalent command",
                    lines=3,
                    buttons=["copy"],
                    elem_id="vt-run-typed",
                )
                self._buttons()
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._list = clickable(run_list([], str(self._jobs.folder), {}, ""), "vt-run-list")
                self._checked = clickable(not_checked(), "vt-check")
        self._clock = gr.Timer(SECONDS, active=False)

    def _buttons(self) -> None:
        with gr.Row():
            self._check = gr.Button("Check", size="md", elem_id="vt-run-check")
            self._stop = gr.Button("Cancel check", visible=False, size="md", elem_id="vt-run-stop")
            self._start = gr.Button("Start run", variant="primary", size="md", elem_id="vt-run-start")

    def listen(self) -> None:
        form, view, inputs = self._form, self._view, self._form.inputs
        runs, runs_quiet = [self._list, self._clock], {**QUIET, "concurrency_id": "runs"}
        panel = [view, self._checked]
        changes = [control.change for control in inputs]
        ordered = {**QUIET, "concurrency_id": "view"}  # each begins with the view that the one before left
        typed = {**ordered, "trigger_mode": "always_last"}
        gr.on(changes, self.typed, [view, *inputs], [self._typed, *panel], **typed)
        self._start.click(self.start, [view, *inputs], runs, **runs_quiet)
        checks = self._check.click(
            self.check, [view, *inputs], [*panel, self._check, self._stop], concurrency_id="check", **QUIET
        )
        checks.then(self.ready, None, [self._check, self._stop], **QUIET)
        checks.then(self.typed, [view, *inputs], [self._typed, *panel], **ordered)
        self._stop.click(self.stop, None, None, concurrency_limit=None, **QUIET)
        correcting = {**ordered, "trigger_mode": "multiple"}
        self._checked.select(self.correct, [view, *inputs], [*panel, self._typed, *inputs], **correcting)
        self._list.select(self.act, None, runs, trigger_mode="multiple", **runs_quiet)
        self._clock.tick(self.show, None, runs, **runs_quiet)
        files = [form.controls["model"], form.controls["weights"], form.checkpoint]
        form.checkpoint.upload(self.drop_checkpoint, [form.checkpoint], files, **QUIET)
        form.table.upload(self.drop_table, [form.table], [form.controls["data"], form.table], **QUIET)
        names = [form.controls["class_names"], form.names]
        form.names.upload(self.drop_names, [form.names], names, **QUIET)
        self._ctx.on_tab(ID, self.opened, None, [form.controls["model"], *runs], concurrency_id="runs")

    def _values(self, view: NewRunView, values: tuple[Any, ...]) -> dict[str, str]:
        """The fields of the form; where classes were corrected, with the file of the corrections."""
        form = self._form.values(values)
        if view.corrected(form):
            form["classes"] = str(classes_file(self._jobs.folder, checked_name(form)))
        return form

    def _write_corrections(self, view: NewRunView, form: Mapping[str, str]) -> None:
        path = classes_file(self._jobs.folder, checked_name(form))
        if form["classes"] == str(path) and view.corrections:
            write_classes(path, view.rows, view.checked["outputs"])

    def _runs(self) -> list[Any]:
        """The list, and whether it is to be looked at again."""
        found, pages = self._jobs.all(), dict[str, str | None]()
        for run in found:
            if self._ctx.runs is not None and self._jobs.folder.resolve() == self._ctx.runs.resolve():
                pages[run.job.name] = f"{self._ctx.home}runs/{quote(run.job.name)}/"
                continue
            try:
                pages[run.job.name] = self._pages.address(self._jobs.folder / run.job.name)
            except UserError as ended:
                gr.Warning(message_text(str(ended)))
        serve = as_typed(["serve", "--run"]) if self._ctx.shared else ""
        busy = any(run.state == "running" for run in found) or "" in pages.values()
        listed = run_list(found, str(self._jobs.folder), pages, serve)
        return [listed, gr.Timer(active=busy)]

    @error_boundary
    def show(self) -> list[Any]:
        self._ctx.access.require_compute()
        return self._runs()

    @error_boundary
    def opened(self) -> list[Any]:
        self._ctx.access.require_compute()
        from models.registry import names  # torch is imported by now

        return [gr.Dropdown(choices=names()), *self._runs()]

    @error_boundary
    def typed(self, keys: dict[str, Any], *values: Any) -> list[Any]:
        """The command, and the check where it is of other settings now, or of these again."""
        self._ctx.access.require_compute()
        view, form = NewRunView(**keys), self._form.values(values)
        now, panel = view.compared(form), [gr.skip()] * 2
        if now.outdated != view.outdated:
            panel = [asdict(now), self._result(now, form)]
        return [as_typed(run_words(self._values(view, values), self._jobs.folder)), *panel]

    @error_boundary
    def start(self, keys: dict[str, Any], *values: Any) -> list[Any]:
        self._ctx.access.require_compute()
        view = NewRunView(**keys)
        form = self._values(view, values)
        run_words(form, self._jobs.folder)  # before anything is written
        self._write_corrections(view, form)
        self._jobs.start(form)
        return self._runs()

    @error_boundary
    def check(self, request: gr.Request, keys: dict[str, Any], *values: Any) -> Iterator[list[Any]]:
        """What the process says, then what it found."""
        self._ctx.access.require_compute()
        view, cancellation, who = NewRunView(**keys), self._ctx.cancellation, str(request.session_hash)
        form = self._values(view, values)
        words = check_words(form)
        self._write_corrections(view, form)
        cancellation.begin(who)
        yield [gr.skip(), under_way(""), gr.Button(interactive=False), gr.Button(visible=True)]
        kept = [gr.skip()] * 2
        try:
            for step in check_in_steps(words, lambda: cancellation.raise_if_cancelled(who)):
                if isinstance(step, str):
                    yield [gr.skip(), under_way(step), *kept]
                else:
                    view = view.of(self._form.values(values), step, as_typed(words))
                    yield [asdict(view), self._result(view, form), *kept]
        except Cancelled:
            yield [gr.skip(), under_way("cancelled"), *kept]

    def _result(self, view: NewRunView, form: Mapping[str, str]) -> str:
        name = form.get("name", "")
        written = str(classes_file(self._jobs.folder, name)) if view.corrections else ""
        return check_result(
            view.checked, view.rows, view.command, written, view.outdated, view.found_by if written else ""
        )

    def ready(self) -> list[Any]:
        self._ctx.access.require_compute()
        return [gr.Button(interactive=True), gr.Button(visible=False)]

    def stop(self, request: gr.Request) -> None:
        self._ctx.access.require_compute()
        self._ctx.cancellation.stop(str(request.session_hash))

    @error_boundary
    def correct(self, event: gr.SelectData, keys: dict[str, Any], *values: Any) -> list[Any]:
        """Another output for a class, or the fields of another reading."""
        self._ctx.access.require_compute()
        action, value, view = str(event.index), str(event.value), NewRunView(**keys)
        form = self._form.values(values)
        shown: list[Any] = [gr.skip()] * len(values)
        if action == "use" and value in map(str, range(len(view.checked.get("readings", [])))):
            form = filled_in(form, view.checked["readings"][int(value)]["words"])
            shown = self._form.shown(form, values)
            gr.Info("The form is filled in. Check again to see the result.")
        view = view.apply(action, value).compared(form)
        named = {**form}
        if view.corrected(form):
            named["classes"] = str(classes_file(self._jobs.folder, checked_name(form)))
        command = as_typed(run_words(named, self._jobs.folder))
        return [asdict(view), self._result(view, form), command, *shown]

    @error_boundary
    def act(self, event: gr.SelectData) -> list[Any]:
        self._ctx.access.require_compute()
        action, name = str(event.index), str(event.value)
        if action == "cancel":
            self._jobs.cancel(name)
            gr.Info(message_text(f"{name} stops after this batch. Results so far are kept."))
        elif action == "resume":
            self._jobs.resume(name)
        elif action == "open" and not self._ctx.shared:
            self._pages.open(self._jobs.run_folder(name))
        return self._runs()

    @error_boundary
    def drop_checkpoint(self, path: str | None) -> list[Any]:
        """The path of its copy as model, where the file says its architecture, or as weights."""
        self._ctx.access.require_compute()
        kept = keep_upload(str(path or ""), self._jobs.folder / DROPPED, CHECKPOINTS)
        fields = [str(kept), ""] if _whole(kept) else [gr.skip(), str(kept)]
        return [*fields, gr.File(None)]

    @error_boundary
    def drop_table(self, path: str | None) -> list[Any]:
        """The path of its copy as data; an archive of images is unpacked."""
        self._ctx.access.require_compute()
        kept, note = keep_upload(str(path or ""), self._jobs.folder / DROPPED, TABLES), ""
        if kept.suffix == SUFFIX:
            kept, note = unpacked(kept)
        if note:
            gr.Info(message_text(note))
        return [str(kept), gr.File(None)]

    @error_boundary
    def drop_names(self, path: str | None) -> list[Any]:
        self._ctx.access.require_compute()
        kept = keep_upload(str(path or ""), self._jobs.folder / DROPPED, NAMES)
        return [str(kept), gr.File(None)]


def _whole(path: Path) -> bool:
    """Whether a file needs no architecture's name."""
    from models.sources.torchscript import is_torchscript
    from models.training.trained import described

    return path.suffix in WHOLE or bool(described(path).get("architecture")) or is_torchscript(path)
