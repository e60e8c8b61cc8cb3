"""The runs that were started from the page: how far each is, and what can be done with it."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from dashboard.components.command import command_words
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel, warning
from dashboard.session.run_jobs import RunState
from explain.formatting import counted


def run_list(found: Sequence[RunState], folder: str, pages: Mapping[str, str | None], serve: str) -> Markup:
    """One row per run. `pages`: name -> address of the page of a complete run, empty while it starts, None
    where it is not open; `serve`: the command that opens a run, up to its folder, where the page cannot do
    so; else empty."""
    rows = join(_row(run, folder, pages.get(run.job.name), serve) for run in found)
    body = rows or empty("No runs were started here yet. Choose a model and data, check, and start one.")
    return panel("Runs", html('<div class="vt-trainings">{}</div>', body), f"in {folder}")


def _row(run: RunState, folder: str, page: str | None, serve: str) -> Markup:
    return html(
        '<div class="vt-training"><div class="vt-open"><b>{name}</b><small>{about}</small>'
        '<span class="vt-state" role="status">{state}</span>{bar}</div>{end}</div>{below}',
        name=run.job.name,
        about=f"{run.job.values.get('model', '')} · {run.job.values.get('data', '')}",
        state=state(run),
        bar=_bar(run),
        end=_end(run, page, bool(serve)),
        below=_below(run, f"{serve} {folder}/{run.job.name}" if serve else ""),
    )


def _below(run: RunState, command: str) -> Markup:
    """What is too long for a row: the reason of a failure, the step before the first image, a command."""
    if run.state == "failed":
        return warning(run.progress.error)
    if run.state == "running" and not run.progress.total and run.progress.message:
        return empty(run.progress.message)
    return (
        html('<pre class="vt-command">{}</pre>', command_words(command))
        if command and run.state == "complete"
        else NOTHING
    )


def state(run: RunState) -> str:
    """Progress or result in a few words."""
    p = run.progress
    done = f"{p.done:,} of {counted(p.total, 'image')}"
    if run.state == "running":
        if not p.total:
            return "starting"
        if p.done == p.total:
            return f"{done}, analyzing"
        rate = f", {p.rate:.3g} images/s" if p.rate else ""
        return f"{done}{rate}" + (f", {_time(p.left)} left" if p.left is not None else "")
    if run.state == "failed":
        return "failed"
    if run.state == "complete":
        return f"complete, {counted(p.total, 'image')}" if p.total else "complete"
    if run.state == "cancelled":
        return f"cancelled at {done}" if p.total else "cancelled"
    return f"ended without a result: see {run.job.name}.log"


def _time(seconds: int) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds} s"


def _bar(run: RunState) -> Markup:
    p = run.progress
    if run.state != "running" or not p.total:
        return NOTHING
    return html(
        '<span class="vt-bar vt-long"><i style="width:{:.1f}%"></i></span>', 100 * min(1.0, p.done / p.total)
    )


def _end(run: RunState, page: str | None, shared: bool) -> Markup:
    """The button that cancels, resumes or opens it, or the link to its page."""
    name = run.job.name
    if run.state == "running":
        return _button("cancel", name, "vt-link vt-negative")
    if run.state != "complete":
        return _button("resume", name)
    if shared:
        return NOTHING
    if page is None:
        return _button("open", name)
    if not page:
        return html('<span class="vt-state">opening …</span>')
    return html(
        '<a class="vt-link" href="{}" target="_blank" rel="noopener" aria-label="page of {}">{}</a>',
        page,
        name,
        page,
    )


def _button(word: str, name: str, kind: str = "vt-link") -> Markup:
    label = f"{word} {name}"
    return html('<button class="{}" aria-label="{}" {}>{}</button>', kind, label, action(word, name), word)
