"""Images of the view: the overview of all classes, one class, one confusion, or a list."""

from collections.abc import Sequence

import numpy as np

from dashboard.components.cards import cards
from dashboard.components.clickable import action, esc
from dashboard.components.mean_view import class_means
from dashboard.components.note_editor import Notes, note_editor
from dashboard.components.toolbar import toolbar
from dashboard.links import linked
from dashboard.tabs.errors_state import View
from explain.analysis.findings import Findings
from explain.analysis.groups import group
from explain.analysis.ranking import by_recall, ordered, overview, select
from explain.formatting import decimal
from explain.run.reader import RunData

CLASSES_A_PAGE, CARDS_A_PAGE = 8, 12


def gallery(findings: Findings, notes: Notes, view: View, editable: bool = True) -> str:
    """The HTML of the view. `editable`: with a place for notes below each image of a list."""
    run = findings.run
    if view.group:
        return _group(findings, notes, view, editable)
    if view.label is None:
        return _overview(run, view)
    return (
        _class(findings, view)
        if view.pred is None
        else _pair(run, notes, view, view.label, view.pred, editable)
    )


def _pages(n: int, size: int) -> int:
    return max(1, -(-n // size))


def _page(rows: Sequence[int] | np.ndarray, page: int, size: int) -> list[int]:
    return [int(r) for r in rows[page * size : (page + 1) * size]]


def _panel(run: RunData, view: View, title: str, note: str, pages: int, body: str) -> str:
    back = (
        ""
        if view.label is None and not view.group
        else f'<button class="vt-link" {action("overview")}>all classes</button>'
    )
    end = f'<span class="vt-space"></span>{back}{linked(view.query(run))}'
    return (
        f'<section class="vt-panel vt-gallery"><h2>{title} <small>{note}</small>{end}</h2>'
        f"{toolbar(run, view, pages)}{body}</section>"
    )


def _overview(run: RunData, view: View) -> str:
    order = by_recall(run)
    pages = _pages(len(order), CLASSES_A_PAGE)
    shown = overview(run, sort=view.sort or "most confident", classes=_page(order, view.page, CLASSES_A_PAGE))
    rows = []
    for sample in shown:
        e, name = run.evaluation, esc(run.classes[sample.index])
        wrong = cards(run, sample.wrong.tolist(), view.method, view.target, view.shared)
        right = cards(run, sample.right.tolist(), view.method, view.target, view.shared)
        wrong += ['<p class="vt-empty">no errors</p>'] if not wrong else []
        right += ['<p class="vt-empty">never right</p>'] if not right else []
        errors = int(e.support[sample.index] - e.confusion[sample.index, sample.index])
        rows.append(
            '<div class="vt-class"><button class="vt-link vt-class-name" '
            f"{action('class', sample.index)}><b>{name}</b> "
            f"<small>recall {decimal(e.recall[sample.index])} · {errors} wrong of "
            f"{e.support[sample.index]}</small></button>"
            f'<div class="vt-sides vt-{view.target}"><div class="vt-strip">{"".join(wrong)}</div>'
            f'<div class="vt-strip">{"".join(right)}</div></div></div>'
        )
    head = (
        f'<div class="vt-sides vt-{view.target} vt-head"><span class="vt-bad">misclassified</span><span '
        'class="vt-ok">correct</span></div>'
    )
    note = "two wrong and two right of each, the worst class first; click an image to inspect it"
    return _panel(run, view, "Every class", note, pages, head + "".join(rows))


def _class(findings: Findings, view: View) -> str:
    run = findings.run
    wrong, right = (
        select(run, view.label, correct=c, sort=view.sort or "most confident") for c in (False, True)
    )
    pages = _pages(max(len(wrong), len(right)), CARDS_A_PAGE)
    name = esc(run.classes[view.label or 0])
    sides = "".join(
        f'<div><h3 class="vt-{kind}">{name}, {title} <small>{len(rows)}</small></h3>'
        f'<div class="vt-strip">{_strip(run, view, rows, empty)}</div></div>'
        for kind, title, rows, empty in (
            ("bad", "misclassified", wrong, "no errors"),
            ("ok", "correct", right, "never right"),
        )
    )
    body = f'<div class="vt-sides vt-wide vt-{view.target}">{sides}</div>'
    return _panel(run, view, name, f"{view.sort} first", pages, body) + class_means(findings, view)


def _strip(run: RunData, view: View, rows: np.ndarray, empty: str) -> str:
    shown = cards(run, _page(rows, view.page, CARDS_A_PAGE), view.method, view.target, view.shared)
    return "".join(shown) or f'<p class="vt-empty">{empty if not len(rows) else "no more on this page"}</p>'


def _pair(run: RunData, notes: Notes, view: View, label: int, pred: int, editable: bool) -> str:
    rows = select(run, label, pred, sort=view.sort or "most confident")
    title = f'{esc(run.classes[label])} → <span class="vt-bad">{esc(run.classes[pred])}</span>'
    return _cards(
        run,
        notes,
        view,
        rows,
        title,
        f"{len(rows)} images, {view.sort} first",
        "No image was confused this way.",
        editable,
    )


def _group(findings: Findings, notes: Notes, view: View, editable: bool) -> str:
    found = group(findings, notes, view.group)
    if found is None:
        return _panel(
            findings.run,
            view,
            "No such list",
            "",
            1,
            '<p class="vt-empty">This run has no such list any more: choose another.</p>',
        )
    rows = ordered(findings.run, found.rows, view.sort) if view.sort else found.rows
    note = f"{len(rows):,} image{'s' * (len(rows) != 1)}{'; ' + found.note if found.note else ''}"
    return _cards(findings.run, notes, view, rows, esc(found.title), esc(note), "None.", editable)


def _cards(
    run: RunData,
    notes: Notes,
    view: View,
    rows: np.ndarray,
    title: str,
    note: str,
    empty: str,
    editable: bool,
) -> str:
    """Each with both maps, probabilities and a place for its note."""
    page = _page(rows, view.page, CARDS_A_PAGE)
    shown = cards(run, page, view.method, view.target, view.shared, bars=True)
    items = [
        f'<div class="vt-item">{card}{note_editor(run, notes, row) if editable else ""}</div>'
        for card, row in zip(shown, page, strict=True)
    ]
    body = f'<div class="vt-pairs">{"".join(items)}</div>' if items else f'<p class="vt-empty">{empty}</p>'
    return _panel(run, view, title, note, _pages(len(rows), CARDS_A_PAGE), body)
