"""The list of the runs of a folder: one row each, with a link to its page."""

from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup

from dashboard.components.controls import pager, pages_of
from dashboard.components.markup import NOTHING, action, html, join, verbatim
from dashboard.components.panel import empty, panel
from dashboard.components.toolbar import controls_row
from dashboard.links import linked
from dashboard.session.run_index import ListedRun
from dashboard.tabs.runs_state import RunsView
from explain.formatting import counted

A_PAGE = 50
HEADS = {"name": "run", "figure": "result"}
MEANINGS = {
    "date": "when the run ended, or began where it has not (UTC)",
    "figure": "accuracy; of several labels per image mean average precision, of numbers the first measure",
}


def runs_table(runs: Sequence[ListedRun], view: RunsView, at: str) -> Markup:
    """`at`: the path of the page of runs, with a slash at its end."""
    found = chosen(runs, view)
    page, pages = pages_of(len(found), A_PAGE, view.page)
    search = html(
        '<input class="vt-search" type="search" data-action="find" value="{}" placeholder="search runs" '
        'aria-label="search for runs by name, network, data or state">',
        verbatim(view.find),
    )
    shown = found[page * A_PAGE : (page + 1) * A_PAGE]
    body = _table(shown, view, at) if shown else empty(_nothing(runs, view))
    note = counted(len(runs), "run") if len(found) == len(runs) else f"{len(found):,} of {len(runs):,} runs"
    return panel("Runs", controls_row(search, pager(page, pages)) + body, note, linked(view.query()))


def chosen(runs: Sequence[ListedRun], view: RunsView) -> list[ListedRun]:
    """Those that the search finds, in the order of the view; those without a value last, equals by name."""
    words = view.find.lower().split()
    found = [run for run in runs if all(word in _searched(run) for word in words)]
    found.sort(key=lambda run: run.entry.name.lower())
    known = [run for run in found if _value(run, view.sort) is not None]
    known.sort(key=lambda run: _value(run, view.sort), reverse=view.down)  # type: ignore[arg-type,return-value]
    return known + [run for run in found if _value(run, view.sort) is None]


def _searched(run: ListedRun) -> str:
    e = run.entry
    return f"{e.name}\n{e.network}\n{e.data}\n{e.status}\n{e.date[:16].replace('T', ' ')}".lower()


def _value(run: ListedRun, column: str) -> object:
    """What a column is sorted by; None where the run has nothing there."""
    if column == "figure":
        known = run.figure is not None and run.figure.value == run.figure.value
        return (run.figure.name, run.figure.value) if run.figure is not None and known else None
    if column == "images":
        return _images(run)
    text = str(getattr(run.entry, column))
    return text.lower() or None


def _images(run: ListedRun) -> int | None:
    return run.figure.images if run.figure is not None else run.entry.images


def _nothing(runs: Sequence[ListedRun], view: RunsView) -> str:
    return (
        f"No run has '{view.find}' in its name, network, data or state."
        if runs
        else "There are no runs here."
    )


def _table(runs: Sequence[ListedRun], view: RunsView, at: str) -> Markup:
    heads = join(_head(name, view) for name in ("name", "date", "figure", "network", "data", "images"))
    return html(
        '<div class="vt-scroll"><table class="vt-classes vt-runs"><thead><tr>{}<th>state</th></tr></thead>'
        "<tbody>{}</tbody></table></div>",
        heads,
        join(_row(run, at) for run in runs),
    )


def _head(name: str, view: RunsView) -> Markup:
    sorted_by = name == view.sort
    order = "descending" if view.down else "ascending"
    return html(
        '<th title="{}"{}><button class="vt-sort{}" {}>{}{}</button></th>',
        MEANINGS.get(name, ""),
        html(' aria-sort="{}"', order) if sorted_by else NOTHING,
        " vt-on" if sorted_by else "",
        action("sort", name),
        HEADS.get(name, name),
        (" ▾" if view.down else " ▴") if sorted_by else "",
    )


def _row(run: ListedRun, at: str) -> Markup:
    e, images = run.entry, _images(run)
    if e.problem:
        return html(
            '<tr><td class="vt-name"><b>{}</b></td><td>{}</td><td colspan="4" class="vt-problem">{}</td>'
            "<td>{}</td></tr>",
            e.name,
            _date(e.date),
            e.problem,
            e.status,
        )
    return html(
        '<tr><td class="vt-name"><a class="vt-link" href="{link}">{name}</a></td><td>{date}</td>'
        '<td>{figure}</td><td title="{network}">{network}</td><td title="{data}">{data}</td>'
        "<td>{images}</td><td>{status}</td></tr>",
        link=f"{at}{quote(e.name)}/",
        name=e.name,
        date=_date(e.date),
        network=e.network,
        data=e.data,
        images="" if images is None else f"{images:,}",
        figure=_figure(run),
        status=e.status,
    )


def _date(text: str) -> str:
    return text[:16].replace("T", " ")


def _figure(run: ListedRun) -> Markup:
    if run.figure is None:
        return html("<small>…</small>")
    f = run.figure
    caution = html('<br><small class="vt-bad">{}</small>', f.caution) if f.caution else NOTHING
    return html("<b>{}</b> <small>{}</small>{}", f.text, f.name, caution)
