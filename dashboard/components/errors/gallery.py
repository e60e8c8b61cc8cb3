"""Images of the view: an overview of all classes, one class, one confusion, or a list."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from dashboard.components.cards import cards, strips
from dashboard.components.controls import pages_of
from dashboard.components.errors.mean_view import class_means
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.note_editor import Notes, note_editor
from dashboard.components.panel import empty
from dashboard.components.toolbar import toolbar
from dashboard.links import linked
from dashboard.tabs.errors_state import View
from explain.analysis.findings import Findings
from explain.analysis.groups import OUTCOMES, Group, group
from explain.analysis.ranking import ClassSample, by_recall, ordered, overview, select
from explain.formatting import counted, decimal
from explain.run.reader import RunData

CLASSES_A_PAGE, CARDS_A_PAGE, OUTCOMES_A_PAGE = 8, 12, 6
NO_ERRORS, NO_CORRECT = "no errors", "none correct"


def gallery(findings: Findings, notes: Notes, view: View, editable: bool = True) -> Markup:
    """`editable`: with a note editor below each image of a list."""
    run = findings.run
    if view.group:
        return _group(findings, notes, view, editable)
    if view.label is None:
        return _outcomes(findings, view) if run.binary else _overview(run, view)
    if view.pred is None:
        return _class(findings, view)
    return _pair(run, notes, view, view.label, view.pred, editable)


def _page(rows: Sequence[int] | np.ndarray, page: int, size: int) -> list[int]:
    return [int(r) for r in rows[page * size : (page + 1) * size]]


def _panel(run: RunData, view: View, title: str, note: str, pages: int, body: str) -> Markup:
    back = html('<button class="vt-link" {}>all classes</button>', action("overview"))
    return html(
        '<section class="vt-panel vt-gallery"><h2>{title} <small>{note}</small><span class="vt-space"></span>'
        "{back}{link}</h2>{controls}{body}</section>",
        title=title,
        note=note,
        back=NOTHING if view.label is None and not view.group else back,
        link=linked(view.query(run)),
        controls=toolbar(run, view, pages),
        body=body,
    )


def _overview(run: RunData, view: View) -> Markup:
    order = by_recall(run)
    _, pages = pages_of(len(order), CLASSES_A_PAGE)
    shown = overview(run, sort=view.sort or "most confident", classes=_page(order, view.page, CLASSES_A_PAGE))
    head = html(
        '<div class="vt-sides vt-{} vt-head"><span class="vt-bad">misclassified</span>'
        '<span class="vt-ok">correct</span></div>',
        view.target,
    )
    note = (
        "two misclassified and two correct images of each class, lowest recall first; click an image to "
        "inspect it"
    )
    sides = [side.tolist() for sample in shown for side in (sample.wrong, sample.right)]
    strip = iter(strips(run, sides, view.method, view.target, view.shared))
    samples = join(_sample(run, view, sample, next(strip), next(strip)) for sample in shown)
    return _panel(run, view, "All classes", note, pages, head + samples)


def _outcomes(findings: Findings, view: View) -> Markup:
    """Of two classes: false alarms, misses and hits, side by side."""
    run, sort = findings.run, view.sort or "most confident"
    found = {key: group(findings, {}, key) for key in OUTCOMES}
    rows = {key: ordered(run, g.rows, sort) for key, g in found.items() if g}
    _, pages = pages_of(max(map(len, rows.values())), OUTCOMES_A_PAGE)
    columns = join(
        html(
            '<div><button class="vt-link vt-class-name" {}><b class="vt-{}">{}</b> <small>{:,}</small>'
            '</button><div class="vt-strip">{}</div></div>',
            action("group", key),
            "ok" if key == "hits" else "bad",
            OUTCOMES[key],
            len(rows[key]),
            _strip(run, view, rows[key], "none", OUTCOMES_A_PAGE),
        )
        for key in OUTCOMES
    )
    note = f"positive: {run.classes[run.positive]}; {sort} first; click an image to inspect it"
    body = html('<div class="vt-sides vt-three vt-{}">{}</div>', view.target, columns)
    return _panel(run, view, "False alarms, misses and hits", note, pages, body)


def _sample(
    run: RunData, view: View, sample: ClassSample, wrong: list[Markup], right: list[Markup]
) -> Markup:
    """A class of the overview, with cards of its misclassified and its correct images side by side."""
    e, i = run.evaluation, sample.index
    return html(
        '<div class="vt-class"><button class="vt-link vt-class-name" {click}><b>{name}</b> '
        "<small>recall {recall} · {errors} wrong of {support}</small></button>"
        '<div class="vt-sides vt-{target}"><div class="vt-strip">{wrong}</div>'
        '<div class="vt-strip">{right}</div></div></div>',
        click=action("class", i),
        name=run.classes[i],
        recall=decimal(e.recall[i]),
        errors=int(e.support[i] - e.confusion[i, i]),
        support=e.support[i],
        target=view.target,
        wrong=join(wrong) or empty(NO_ERRORS),
        right=join(right) or empty(NO_CORRECT),
    )


def _class(findings: Findings, view: View) -> Markup:
    run = findings.run
    wrong, right = (
        select(run, view.label, correct=c, sort=view.sort or "most confident") for c in (False, True)
    )
    _, pages = pages_of(max(len(wrong), len(right)), CARDS_A_PAGE)
    name = run.classes[view.label or 0]
    sides = join(
        html(
            '<div><h3 class="vt-{}">{}, {} <small>{}</small></h3><div class="vt-strip">{}</div></div>',
            kind,
            name,
            title,
            len(rows),
            _strip(run, view, rows, none),
        )
        for kind, title, rows, none in (
            ("bad", "misclassified", wrong, NO_ERRORS),
            ("ok", "correct", right, NO_CORRECT),
        )
    )
    body = html('<div class="vt-sides vt-wide vt-{}">{}</div>', view.target, sides)
    return _panel(run, view, name, f"{view.sort} first", pages, body) + class_means(findings, view)


def _strip(run: RunData, view: View, rows: np.ndarray, none: str, size: int = CARDS_A_PAGE) -> Markup:
    shown = cards(run, _page(rows, view.page, size), view.method, view.target, view.shared)
    return join(shown) or empty("no more on this page" if len(rows) else none)


def _pair(run: RunData, notes: Notes, view: View, label: int, pred: int, editable: bool) -> Markup:
    rows = select(run, label, pred, sort=view.sort or "most confident")
    title = html('{} → <span class="vt-bad">{}</span>', run.classes[label], run.classes[pred])
    note = f"{counted(len(rows), 'image')}, {view.sort} first"
    return _cards(run, notes, view, rows, title, note, "No image was confused this way.", editable)


def _group(findings: Findings, notes: Notes, view: View, editable: bool) -> Markup:
    found = group(findings, notes, view.group)
    if found is None:
        body = empty("This run no longer has this list: choose another.")
        return _panel(findings.run, view, "No such list", "", 1, body)
    if found.sides:
        return _sides(findings.run, view, found)
    rows = ordered(findings.run, found.rows, view.sort) if view.sort else found.rows
    note = "; ".join(filter(None, [counted(len(rows), "image"), found.note, found.maps]))
    return _cards(findings.run, notes, view, rows, found.title, note, "None.", editable)


def _sides(run: RunData, view: View, found: Group) -> Markup:
    """Images that a finding compares, a column each."""
    rows = [ordered(run, side.rows, view.sort) if view.sort else side.rows for side in found.sides]
    _, pages = pages_of(max(map(len, rows)), OUTCOMES_A_PAGE)
    columns = join(
        html(
            '<div class="vt-side"><h3>{} <small>{}</small></h3><div class="vt-strip">{}</div></div>',
            side.title,
            side.note,
            _strip(run, view, ordered_rows, "none", OUTCOMES_A_PAGE),
        )
        for side, ordered_rows in zip(found.sides, rows, strict=True)
    )
    body = html('<div class="vt-sides vt-three vt-{}">{}</div>', view.target, columns)
    return _panel(run, view, found.title, found.note, pages, body)


def _cards(
    run: RunData,
    notes: Notes,
    view: View,
    rows: np.ndarray,
    title: str,
    note: str,
    none: str,
    editable: bool,
) -> Markup:
    """Each with both maps, probabilities and a note editor."""
    page = _page(rows, view.page, CARDS_A_PAGE)
    shown = cards(run, page, view.method, view.target, view.shared, bars=True)
    items = join(
        html('<div class="vt-item">{}{}</div>', card, note_editor(run, notes, row) if editable else NOTHING)
        for card, row in zip(shown, page, strict=True)
    )
    body = html('<div class="vt-pairs">{}</div>', items) if items else empty(none)
    return _panel(run, view, title, note, pages_of(len(rows), CARDS_A_PAGE)[1], body)
