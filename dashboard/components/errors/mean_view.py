"""Mean maps: of each class, for wrong and for correct predictions, and their difference, over the mean image
and all on one scale. The verdict on the maps stands above them."""

from weakref import WeakKeyDictionary

import numpy as np
from markupsafe import Markup

from dashboard.components.cards import Shown, tile
from dashboard.components.controls import pages_of
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from dashboard.components.toolbar import map_controls, one_target
from dashboard.components.trust.trust_line import verdict_note
from dashboard.tabs.errors_state import View
from explain import render
from explain.analysis.findings import AT_ONCE, Findings
from explain.analysis.mean_maps import MeanMaps, mean_maps_of
from explain.analysis.on_maps import may_say_of
from explain.analysis.ranking import by_recall
from explain.formatting import TARGET_NAMES, decimal
from explain.run.images import mean_picture

FEWEST = 4  # images that are worth a mean
A_PAGE = 6
_TILES: WeakKeyDictionary[MeanMaps, dict[tuple[int, float, bool], Markup]] = WeakKeyDictionary()


def _picture(findings: Findings, label: int, correct: bool) -> str:
    key, ok = (label, correct), findings.run.ok
    with findings.draws:
        if (found := findings.pictures.get(key)) is None:
            rows = ok.index[(ok["label"] == label) & (ok["correct"] == correct)].to_numpy()
            found = findings.pictures[key] = mean_picture(findings.run, rows)
    return found


def tiles(findings: Findings, means: MeanMaps, label: int, top: float, method: str) -> Markup:
    """Three tiles of a class: wrong, correct, difference; fewer where there is no such image. The difference
    says where errors look instead: it is left out where the maps of `method` do not pass. Drawn once of the
    same means."""
    with_difference = may_say_of(findings.run, method)
    drawn, key = _TILES.setdefault(means, {}), (label, top, with_difference)
    if key not in drawn:
        drawn[key] = _drawn(findings, means, label, top, with_difference)
    return drawn[key]


def _drawn(findings: Findings, means: MeanMaps, label: int, top: float, with_difference: bool) -> Markup:
    made = []
    for correct, when in ((0, "wrong"), (1, "correct")):
        if n := int(means.count[label, correct]):
            caption = html("{} <small>{:,}</small>", when, n)
            shown = Shown(means.maps[label, correct], caption, f"mean map of {when} predictions")
            made.append(tile(_picture(findings, label, bool(correct)), shown, top, enlarge=8))
    if with_difference and means.count[label].all():
        made.append(_difference(_picture(findings, label, True), means, label))
    return html('<div class="vt-means">{}</div>', join(made))


def _difference(picture: str, means: MeanMaps, label: int) -> Markup:
    return html(
        '<figure class="vt-tile"><div class="vt-stack"><img class="vt-photo" src="{}" alt="">'
        '<img class="vt-difference" src="{}" alt="correct minus wrong"></div>'
        '<figcaption>difference <small><span class="vt-ok">more when correct</span>, '
        '<span class="vt-bad">when wrong</span></small></figcaption></figure>',
        picture,
        render.difference_png(means.difference(label) / means.largest_change),
    )


def class_means(findings: Findings, view: View) -> Markup:
    """Of the view's class; nothing where it has too few images."""
    label, target = view.label or 0, one_target(view)
    many = len(findings.run.table) > AT_ONCE
    if many and not findings.ready:  # reading the maps of a class would take long
        return panel(f"Mean maps of {findings.run.classes[label]}", empty("They are being computed."))
    if findings.run.binary or many:
        means = findings.means(view.method, target)
    else:  # of many classes, this one alone
        means = mean_maps_of(findings.run, view.method, target, label)
    if means.count[label].sum() < FEWEST:
        return NOTHING
    return panel(
        f"Mean maps of {findings.run.classes[label]}",
        verdict_note(findings.run, view.method)
        + tiles(findings, means, label, float(np.nanmax(means.maps[label])), view.method),
        f"for the {TARGET_NAMES[target]} class, on one scale, over the mean image",
    )


def mean_view(findings: Findings, view: View) -> Markup:
    """Every class, lowest recall first; or the view's class alone."""
    run = findings.run
    means = findings.means(view.method, one_target(view))
    order = [i for i in by_recall(run) if means.count[i].sum()] if view.label is None else [view.label]
    _, pages = pages_of(len(order), A_PAGE)
    rows = join(
        _row(findings, means, i, view.method) for i in order[view.page * A_PAGE : (view.page + 1) * A_PAGE]
    )
    note = (
        f"for the {TARGET_NAMES[one_target(view)]} class, every map with the same weight, all classes on one "
        "scale, over the mean image"
    )
    body = rows or empty("No map of this method has any positive evidence.")
    return panel("Mean maps", map_controls(run, view, pages) + verdict_note(run, view.method) + body, note)


def _row(findings: Findings, means: MeanMaps, i: int, method: str) -> Markup:
    run = findings.run
    return html(
        '<div class="vt-class"><button class="vt-link vt-class-name" {}><b>{}</b> <small>recall {}</small>'
        "</button>{}</div>",
        action("class", i),
        run.classes[i],
        decimal(run.evaluation.recall[i]),
        tiles(findings, means, i, means.top, method),
    )
