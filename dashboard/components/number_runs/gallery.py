"""Images of a run of numbers: some of each group, one group, or a region of the plane."""

from markupsafe import Markup

from dashboard.components.controls import pager, pages_of, segments, select
from dashboard.components.errors.gallery import CARDS_A_PAGE, OUTCOMES_A_PAGE
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.note_editor import Notes, note_editor, notes_of
from dashboard.components.number_runs.cards import number_cards, signed_controls
from dashboard.components.panel import empty
from dashboard.components.toolbar import controls_row
from dashboard.components.trust.trust_line import method_options
from dashboard.links import linked
from dashboard.tabs.numbers_state import NumbersView
from explain.analysis.numbers.groups import GROUPS, SORTS, NumberGroup, number_group
from explain.analysis.numbers.proposals import NOTED, SUSPICIOUS, group_of
from explain.analysis.numbers.run_numbers import plane_of
from explain.formatting import counted
from explain.quality.known import methods_by_verdict
from explain.run.outputs.number_run import NumbersRun

SHORT = {
    "": "overview",
    "over": "over-estimates",
    "under": "under-estimates",
    "nearest": "nearest",
    SUSPICIOUS: "suspicious",
    **NOTED,
}


def number_gallery(run: NumbersRun, notes: Notes, view: NumbersView, editable: bool = True) -> Markup:
    """`editable`: with a note editor below each image of a list."""
    if not view.group:
        return _overview(run, view)
    found = group_of(run, view.output, view.group, view.sort)
    if found is None:
        return _panel(run, view, "No such images", "", 1, empty("This run lacks them: choose others."))
    rows, asked = found.rows.tolist(), run.output(view.output)
    page, pages = pages_of(len(rows), CARDS_A_PAGE, view.page)
    shown = rows[page * CARDS_A_PAGE : (page + 1) * CARDS_A_PAGE]
    items = join(
        html('<div class="vt-item">{}{}</div>', card, note_editor(asked, notes, row) if editable else NOTHING)
        for card, row in zip(
            number_cards(run, shown, view.output, view.method, view.shared), shown, strict=True
        )
    )
    note = f"{counted(len(rows), 'image')}; {found.note}"
    body = html('<div class="vt-pairs">{}</div>', items) if shown else empty("No images.")
    panel = _panel(run, view, found.title[:1].upper() + found.title[1:], note, pages, body)
    return panel + notes_of(run, notes, editable) if view.group in NOTED else panel


def _overview(run: NumbersRun, view: NumbersView) -> Markup:
    """The first of each group, side by side."""
    plane = plane_of(run, view.output)
    found = {key: group for key in GROUPS if (group := number_group(plane, key, view.sort)) is not None}
    _, pages = pages_of(max(len(g.rows) for g in found.values()), OUTCOMES_A_PAGE)
    columns = join(_column(run, view, key, group) for key, group in found.items())
    body = html('<div class="vt-sides vt-three">{}</div>', columns)
    note = "the largest errors, and the smallest; click an image to inspect it"
    return _panel(run, view, run.outputs[view.output], note, pages, body)


def _column(run: NumbersRun, view: NumbersView, key: str, group: NumberGroup) -> Markup:
    page, _ = pages_of(len(group.rows), OUTCOMES_A_PAGE, view.page)
    rows = group.rows[page * OUTCOMES_A_PAGE : (page + 1) * OUTCOMES_A_PAGE].tolist()
    cards = number_cards(run, rows, view.output, view.method, view.shared)
    return html(
        '<div><button class="vt-link vt-class-name" {}><b class="vt-{}">{}</b> <small>{:,}</small></button>'
        '<div class="vt-strip">{}</div></div>',
        action("group", key),
        "ok" if key == "nearest" else "bad",
        group.title,
        len(group.rows),
        join(cards) or empty("none"),
    )


def _panel(run: NumbersRun, view: NumbersView, title: str, note: str, pages: int, body: str) -> Markup:
    page = min(view.page, pages - 1)
    method = method_options(run, methods_by_verdict(run))
    controls = controls_row(
        segments("group", SHORT, view.group, "images"),
        select("method", "method", method, view.method),
        signed_controls(),
        select("sort", "sort", {"": "as listed"} | {name: name for name in SORTS}, view.sort),
        html(
            '<label class="vt-check" title="all maps on this page share one scale">'
            '<input type="checkbox" data-action="shared"{}> one scale</label>',
            " checked" if view.shared else "",
        ),
        pager(page, pages),
    )
    return html(
        '<section class="vt-panel vt-gallery"><h2>{title} <small>{note}</small><span class="vt-space"></span>'
        "{link}</h2>{controls}{body}</section>",
        title=title,
        note=note,
        link=linked(view.query(run)),
        controls=controls,
        body=body,
    )
