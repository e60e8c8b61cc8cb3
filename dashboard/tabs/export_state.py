"""What the Export tab's form asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from dashboard.session.training_jobs import as_typed
from dashboard.tabs.errors_state import View
from explain.export.gallery import ExportOptions
from explain.run.reader import RunData

OF_VIEW = "view"
SELECTIONS = {
    OF_VIEW: "current view of Errors",
    "": "a few images of every class",
    "errors": "all errors",
    "correct": "all correct images",
}


@dataclass(frozen=True)
class ExportView:
    """`select`: one of `SELECTIONS`; `per_class` 0: two of every class, or the whole list; `raw`: maps as
    numbers."""

    select: str = OF_VIEW
    per_class: float | None = 0
    methods: Sequence[str] | None = ()
    originals: bool = True
    raw: bool = True
    blur_eyes: bool = False

    def options(self, run: RunData, view: View) -> ExportOptions:
        """`view`: of Errors."""
        of_view, known, plain = self.select == OF_VIEW, run.manifest.request.methods, ExportOptions()
        methods = tuple(m for m in known if m in (self.methods or ()))
        return ExportOptions(
            view.selection(run) if of_view else str(self.select),
            int(self.per_class) if self.per_class else None,
            () if methods == tuple(known[:1]) else methods,
            (view.sort if of_view else "") or plain.sort,
            bool(self.originals),
            bool(self.raw),
            bool(self.blur_eyes),
        )


FORM = tuple(f.name for f in fields(ExportView))
"""The controls, in the order in which handlers get their values."""


def typed(run: RunData, options: ExportOptions) -> str:
    """The equivalent command."""
    plain, words = ExportOptions(), ["export", str(run.folder), "--out", f"{run.folder.name}.zip"]
    words += ["--select", options.select] if options.select else []
    words += ["--per-class", str(options.per_class)] if options.per_class else []
    words += ["--methods", ",".join(options.methods)] if options.methods else []
    words += ["--sort", options.sort] if options.sort != plain.sort else []
    words += [] if options.originals else ["--no-originals"]
    words += [] if options.raw else ["--no-maps"]
    if run.label_sets is not None:
        words += ["--label", run.classes[1]]
    if run.threshold != 0.5:
        words += ["--threshold", str(run.threshold)]
    if run.positive != 1:
        words += ["--positive", run.classes[run.positive]]
    words += ["--blur-eyes"] if options.blur_eyes else []
    return as_typed(words)
