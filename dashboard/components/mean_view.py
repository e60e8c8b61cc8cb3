"""Mean maps: class by wrong and right, and their difference, over the mean picture, all on one scale."""

from functools import lru_cache

import numpy as np

from dashboard.components.cards import Shown, tile
from dashboard.components.clickable import action, esc
from dashboard.components.panel import empty, panel
from dashboard.components.toolbar import map_controls, one_target
from dashboard.tabs.errors_state import View
from explain import render
from explain.analysis.findings import Findings
from explain.analysis.mean_maps import MeanMaps, mean_maps
from explain.analysis.ranking import by_recall
from explain.formatting import decimal
from explain.run.images import mean_picture

FEWEST = 4  # images that are worth a mean
A_PAGE = 6
CALLED = {"pred": "predicted", "label": "true"}


@lru_cache(maxsize=256)
def _picture(findings: Findings, label: int, correct: bool) -> str:
    ok = findings.run.ok
    return mean_picture(
        findings.run, ok.index[(ok["label"] == label) & (ok["correct"] == correct)].to_numpy()
    )


def tiles(findings: Findings, means: MeanMaps, label: int, top: float) -> str:
    """Three tiles of a class: wrong, right, difference; fewer where there is nothing."""
    made = []
    for correct, when in ((0, "wrong"), (1, "right")):
        if n := int(means.count[label, correct]):
            shown = Shown(
                means.maps[label, correct], f"when {when} <small>{n:,}</small>", f"mean map when {when}"
            )
            made.append(tile(_picture(findings, label, bool(correct)), shown, top, enlarge=8))
    if means.count[label].all():
        change = render.difference_png(means.difference(label) / means.largest_change)
        picture = _picture(findings, label, True)
        made.append(
            f'<figure class="vt-tile"><div class="vt-stack"><img class="vt-photo" src="{picture}" alt="">'
            f'<img class="vt-difference" src="{change}" alt="right minus wrong"></div>'
            '<figcaption>difference <small><span class="vt-ok">more when right</span>, <span '
            'class="vt-bad">when wrong</span></small>'
            "</figcaption></figure>"
        )
    return f'<div class="vt-means">{"".join(made)}</div>'


def class_means(findings: Findings, view: View) -> str:
    """Of the view's class, below its images."""
    label, target = view.label or 0, one_target(view)
    means = mean_maps(findings.run, view.method, target, label)
    if means.count[label].sum() < FEWEST:
        return ""
    name = esc(findings.run.classes[label])
    note = f"maps for the {CALLED[target]} class, one scale, over the mean picture"
    return panel(
        f"Where it looks on {name}, on average",
        tiles(findings, means, label, float(np.nanmax(means.maps[label]))),
        note,
    )


def mean_view(findings: Findings, view: View) -> str:
    """Every class, the worst first; or the view's class alone."""
    run, e = findings.run, findings.run.evaluation
    means = findings.means(view.method, one_target(view))
    order = [i for i in by_recall(run) if means.count[i].sum()] if view.label is None else [view.label]
    pages = max(1, -(-len(order) // A_PAGE))
    rows = "".join(
        '<div class="vt-class"><button class="vt-link vt-class-name" '
        f"{action('class', i)}><b>{esc(run.classes[i])}</b> "
        f"<small>recall {decimal(e.recall[i])}</small></button>{tiles(findings, means, i, means.top)}</div>"
        for i in order[view.page * A_PAGE : (view.page + 1) * A_PAGE]
    )
    note = (
        f"maps for the {CALLED[one_target(view)]} class, each of the same weight; one scale for all "
        "classes, over the mean picture"
    )
    return panel(
        "Mean maps",
        map_controls(run, view, pages) + (rows or empty("No map of this method has any positive evidence.")),
        note,
    )
