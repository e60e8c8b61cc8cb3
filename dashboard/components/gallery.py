"""What stands to the right: the overview of all classes, or one class or confusion with its images."""

from collections.abc import Sequence

import numpy as np

from dashboard.components.cards import Shown, cards, tile
from dashboard.components.clickable import action, esc, share
from dashboard.components.toolbar import toolbar
from dashboard.view import View
from explain import render
from explain.errors import mean_map, overview, select
from explain.pictures import mean_picture
from explain.run_data import RunData

CLASSES_A_PAGE, CARDS_A_PAGE = 8, 12
FEWEST = 4  # images that are worth a mean


def gallery(run: RunData, view: View) -> str:
    """The HTML of the view."""
    if view.label is None:
        return _overview(run, view)
    return _class(run, view) if view.pred is None else _pair(run, view, view.label, view.pred)


def _pages(n: int, size: int) -> int:
    return max(1, -(-n // size))


def _page(rows: Sequence[int] | np.ndarray, page: int, size: int) -> list[int]:
    return [int(r) for r in rows[page * size : (page + 1) * size]]


def _panel(run: RunData, view: View, title: str, note: str, pages: int, body: str) -> str:
    back = "" if view.label is None else f'<button class="vt-link" {action("overview")}>all classes</button>'
    link = f'<button class="vt-link" data-link="{esc(view.query(run))}">copy link</button>'
    return (f'<section class="vt-panel vt-gallery"><h2>{title} <small>{note}</small><span class="vt-space"></span>{back}{link}</h2>'
            f"{toolbar(run, view, pages)}{body}</section>")  # fmt: skip


def _overview(run: RunData, view: View) -> str:
    samples = overview(run, sort=view.sort)
    pages = _pages(len(samples), CLASSES_A_PAGE)
    shown = samples[view.page * CLASSES_A_PAGE : (view.page + 1) * CLASSES_A_PAGE]
    rows = []
    for sample in shown:
        e, name = run.evaluation, esc(run.classes[sample.index])
        wrong = cards(run, sample.wrong.tolist(), view.method, view.target, view.shared)
        right = cards(run, sample.right.tolist(), view.method, view.target, view.shared)
        wrong += ['<p class="vt-empty">no errors</p>'] if not wrong else []
        right += ['<p class="vt-empty">never right</p>'] if not right else []
        errors = int(e.support[sample.index] - e.confusion[sample.index, sample.index])
        rows.append(f'<div class="vt-class"><button class="vt-link vt-class-name" {action("class", sample.index)}><b>{name}</b> '
                    f"<small>recall {share(e.recall[sample.index])} · {errors} wrong of {e.support[sample.index]}</small></button>"
                    f'<div class="vt-sides vt-{view.target}"><div class="vt-strip">{"".join(wrong)}</div>'
                    f'<div class="vt-strip">{"".join(right)}</div></div></div>')  # fmt: skip
    head = f'<div class="vt-sides vt-{view.target} vt-head"><span class="vt-bad">misclassified</span><span class="vt-ok">correct</span></div>'
    note = "two wrong and two right of each, the worst class first; click an image to inspect it"
    return _panel(run, view, "Every class", note, pages, head + "".join(rows))


def _class(run: RunData, view: View) -> str:
    wrong, right = (select(run, view.label, correct=c, sort=view.sort) for c in (False, True))
    pages = _pages(max(len(wrong), len(right)), CARDS_A_PAGE)
    name = esc(run.classes[view.label or 0])
    sides = "".join(
        f'<div><h3 class="vt-{kind}">{name}, {title} <small>{len(rows)}</small></h3>'
        f'<div class="vt-strip">{_strip(run, view, rows, empty)}</div></div>'
        for kind, title, rows, empty in (("bad", "misclassified", wrong, "no errors"), ("ok", "correct", right, "never right"))
    )
    body = f'<div class="vt-sides vt-wide vt-{view.target}">{sides}</div>'
    return _panel(run, view, name, f"{view.sort} first", pages, body) + _means(run, view, wrong, right)


def _strip(run: RunData, view: View, rows: np.ndarray, empty: str) -> str:
    shown = cards(run, _page(rows, view.page, CARDS_A_PAGE), view.method, view.target, view.shared)
    return "".join(shown) or f'<p class="vt-empty">{empty if not len(rows) else "no more on this page"}</p>'


def _pair(run: RunData, view: View, label: int, pred: int) -> str:
    rows = select(run, label, pred, sort=view.sort)
    shown = cards(run, _page(rows, view.page, CARDS_A_PAGE), view.method, view.target, view.shared, bars=True)
    title = f'{esc(run.classes[label])} → <span class="vt-bad">{esc(run.classes[pred])}</span>'
    body = f'<div class="vt-pairs">{"".join(shown)}</div>' if shown else '<p class="vt-empty">No image was confused this way.</p>'
    return _panel(run, view, title, f"{len(rows)} images, {view.sort} first", _pages(len(rows), CARDS_A_PAGE), body)


def _means(run: RunData, view: View, wrong: np.ndarray, right: np.ndarray) -> str:
    """Where the maps for the true class lie on average, when wrong and when right, on one scale."""
    target = "pred" if view.target == "pred" else "label"
    maps = [(rows, mean_map(run, rows, view.method, target), when) for rows, when in ((wrong, "wrong"), (right, "right"))]
    found = [m for _, m, _ in maps if m is not None]
    if not found or len(wrong) + len(right) < FEWEST:
        return ""
    top = max(float(m.max()) for m in found)
    pictures = {when: mean_picture(run, rows) for rows, m, when in maps if m is not None}
    tiles = [tile(pictures[when], Shown(m, f"when {when} <small>{len(rows)}</small>", f"mean map when {when}"), top, enlarge=8)
             for rows, m, when in maps if m is not None]  # fmt: skip
    if len(found) == 2:
        gap = found[1] - found[0]
        change = render.difference_png(gap / max(float(np.abs(gap).max()), 1e-9))
        tiles.append(f'<figure class="vt-tile"><div class="vt-stack"><img class="vt-photo" src="{pictures["right"]}" alt="">'
                     f'<img class="vt-difference" src="{change}" alt="right minus wrong"></div>'
                     '<figcaption>difference <small><span class="vt-ok">more when right</span>, <span class="vt-bad">when wrong</span></small>'
                     "</figcaption></figure>")  # fmt: skip
    name = esc(run.classes[view.label or 0])
    which = "predicted" if target == "pred" else "true"
    return (f'<section class="vt-panel"><h2>Where it looks on {name}, on average <small>maps for the {which} class, one scale, '
            f'over the mean picture</small></h2><div class="vt-means">{"".join(tiles)}</div></section>')  # fmt: skip
