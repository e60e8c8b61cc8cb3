"""What the Export tab writes of a run of numbers, as its form and the view of Errors ask for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboard.components.number_runs.contents import number_contents
from dashboard.session.training_jobs import as_typed
from dashboard.tabs.export_state import OF_VIEW, ExportView
from dashboard.tabs.numbers_state import NumbersView
from explain.analysis.numbers.groups import GROUPS, SORTS
from explain.export.gallery import ExportOptions
from explain.export.number_gallery import NumberExport, description, picked
from explain.run.outputs.number_run import NumbersRun

SELECTIONS = {OF_VIEW: "current view of Errors", "": "a few images of each group", **GROUPS}
"""Choices of the form, instead of `export_state.SELECTIONS`."""


def options_of(run: NumbersRun, keys: dict[str, Any], values: Sequence[Any]) -> ExportOptions:
    """`keys`: the view of Errors; `values`: of the form."""
    form, view = ExportView(*values), NumbersView(**keys)
    from_view, known = form.select == OF_VIEW, run.manifest.request.methods
    methods = tuple(m for m in known if m in (form.methods or ()))
    return ExportOptions(
        view.group if from_view else str(form.select),
        int(form.per_class) if form.per_class else None,
        () if methods == tuple(known[:1]) else methods,
        (view.sort if from_view else "") or ExportOptions().sort,
        bool(form.originals),
        bool(form.raw),
        bool(form.blur_eyes),
    )


def of_view(run: NumbersRun, keys: dict[str, Any]) -> NumbersRun:
    """The run of the output that Errors shows, where there are several."""
    return run.output(NumbersView(**keys).output) if len(run.outputs) > 1 else run


def contents_of(run: NumbersRun, keys: dict[str, Any], values: Sequence[Any]) -> list[str]:
    """The command, and what the archive will hold. Raises UserError where no image is left."""
    options, run = options_of(run, keys, values), of_view(run, keys)
    found = picked(run, options)
    methods = options.methods or run.manifest.request.methods[:1]
    return [typed_of(run, options), number_contents(run, found, methods, options, description(run, found))]


def archive_of(run: NumbersRun, out: Path, keys: dict[str, Any], values: Sequence[Any]) -> NumberExport:
    return NumberExport(of_view(run, keys), out, options_of(run, keys, values))


def typed_of(run: NumbersRun, options: ExportOptions) -> str:
    """The equivalent command."""
    words = ["export", str(run.folder), "--out", f"{run.folder.name}.zip"]
    words += ["--select", options.select] if options.select else []
    words += ["--label", run.outputs[run.index]] if run.one_output else []
    words += ["--per-class", str(options.per_class)] if options.per_class else []
    words += ["--methods", ",".join(options.methods)] if options.methods else []
    words += ["--sort", options.sort] if options.sort in SORTS else []
    words += [] if options.originals else ["--no-originals"]
    words += [] if options.raw else ["--no-maps"]
    words += ["--blur-eyes"] if options.blur_eyes else []
    return as_typed(words)
