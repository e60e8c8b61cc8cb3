"""Two runs side by side: metrics with intervals, classes, and images that only one of the two predicts
correctly, with both maps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from dashboard.components.cards import Shown, probability_bar, tile
from dashboard.components.controls import pager, pages_of, segments, select
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel, row, table
from dashboard.components.toolbar import blend_controls, controls_row
from dashboard.links import linked
from dashboard.tabs.compare_state import LISTS, TARGETS, Choice
from explain import render
from explain.analysis.compare import Comparison
from explain.analysis.compare_shortcuts import shortcut_changes
from explain.analysis.on_maps import said_of_both
from explain.analysis.statistics.bootstrap import Metric
from explain.formatting import be, counted, decimal, evidence, p_value, percent
from explain.run.outputs.label_sets import LabelRun
from explain.run.reader import RunData
from models.program import program

A_PAGE, CLASSES, DRIFT = 12, 60, "drift"
HEADS_OF_METRICS = (("metric", ""), ("A", ""), ("B", ""), ("B − A", "95 % interval, by the paired bootstrap"))
HEADS_OF_CLASSES = (
    ("class", ""),
    ("n", ""),
    ("A", "recall"),
    ("B", "recall"),
    ("p", "McNemar, Holm over all classes"),
    (
        "map similarity",
        "median rank correlation of the maps for the true class; beside it that of maps of different images "
        "of the class",
    ),
)


HEADS_OF_SHORTCUTS = (
    ("images", ""),
    ("n", ""),
    ("predicted as", "the class that A recognizes by a column of the data"),
    ("A", "fraction that is predicted as this class"),
    ("B", "fraction that is predicted as this class"),
    ("p", "McNemar, Holm over all rows"),
)


def chooser(names: Sequence[str], choice: Choice, query: str = "") -> Markup:
    """Which run to compare with. `query`: of the link to the view (default: that of the choice alone)."""
    if not names:
        text = html(
            "Runs beside this one on the same images are listed here; for others use "
            "<code>{} serve --run A --against B</code>.",
            program(),
        )
        return panel("Compare", empty(text))
    link = linked(query or choice.query(names)) if choice.other >= 0 else NOTHING
    options = {"-1": "choose …"} | {str(i): name for i, name in enumerate(names)}
    controls = controls_row(select("other", "with", options, str(choice.other)))
    return panel("Compare", controls, "this run is A, the other one B", link)


def summary(c: Comparison) -> Markup:
    """Metrics, McNemar's test, and what the two runs are."""
    only = f"correct in A only {len(c.only_a):,}, in B only {len(c.only_b):,}: McNemar p {p_value(c.p)}"
    body = html(
        "{}{}{}",
        of_runs(c.a, c.b),
        table(HEADS_OF_METRICS, join(map(metric_row, c.metrics)), "vt-intervals"),
        empty(only),
    )
    left = f"; {c.relabeled:,} with different labels {be(c.relabeled)} excluded" if c.relabeled else ""
    return panel("Metrics", body, f"{counted(len(c.matched), 'image')} in both{left}")


def of_runs(a: RunData, b: RunData) -> Markup:
    """What the two runs are."""
    lines = join(
        html("<dt>{}</dt><dd>{} · {}</dd>", letter, run.manifest.network, run.folder.name)
        for letter, run in (("A", a), ("B", b))
    )
    return html('<dl class="vt-known">{}</dl>', lines)


def metric_row(m: Metric) -> Markup:
    """Both values and their difference, with intervals."""
    values = [
        html("{}<small>{}–{}</small>", _three(value), _three(low), _three(high))
        for value, (low, high) in ((m.a, m.interval_a), (m.b, m.interval_b))
    ]
    difference = html(
        '<b class="{}">{}</b><small>{}</small>',
        ("vt-ok" if m.difference * m.better > 0 else "vt-bad") if m.sure else "",
        _three(m.difference, "+"),
        " to ".join(_three(limit, "+") for limit in m.interval),
    )
    return row([m.name, *values, difference])


def _three(value: float, sign: str = "") -> str:
    """.693, +.050, −.012, 1.204, or a dash."""
    return (
        "–"
        if value != value
        else f"{value:{sign}.3f}".replace("0.", ".", 1 if abs(value) < 1 else 0).replace("-", "−")
    )


def class_changes(c: Comparison, choice: Choice) -> Markup:
    """Recall of both and the similarity of their maps, the largest change first."""
    change = (c.by_class["recall_b"] - c.by_class["recall_a"]).abs()
    found = c.by_class.loc[change.sort_values(ascending=False, kind="stable").index].head(CLASSES)
    rows = join(
        _class(c.classes[int(str(label))], int(str(label)), r, label == choice.label)
        for label, r in found.iterrows()
    )
    note = (
        f"the {CLASSES} that changed most of {len(c.by_class):,}"
        if len(c.by_class) > CLASSES
        else "the largest change first; click a class"
    )
    body = html('<div class="vt-tall">{}</div>', table(HEADS_OF_CLASSES, rows))
    return panel("Classes", body + _maps_note(c), note)


def shortcuts_view(c: Comparison) -> Markup:
    """What became of the shortcuts of A; nothing where it has none."""
    changes = shortcut_changes(c)
    if not changes:
        return NOTHING
    rows = join(
        row([x.title, f"{x.images:,}", c.classes[x.label], percent(x.a), percent(x.b), p_value(x.p)])
        for x in changes
    )
    return panel(
        "Shortcuts of A", table(HEADS_OF_SHORTCUTS, rows, "vt-wide-first"), "the same images in A and B"
    )


def _maps_note(c: Comparison) -> Markup:
    """What is known of the maps that are compared."""
    return html('<p class="vt-advice vt-maps-note">{}</p>', c.maps_note) if c.maps_note else NOTHING


def _class(name: str, label: int, r: pd.Series, chosen: bool) -> Markup:
    attributes = html(
        'class="{}" tabindex="0" role="button" {}', "vt-on" if chosen else "", action("label", label)
    )
    similarity = html("{} <small>{}</small>", decimal(r["similarity"]), decimal(r["control"]))
    numbers = (f"{int(r['images']):,}", decimal(r["recall_a"]), decimal(r["recall_b"]), p_value(r["p"]))
    return row([name, *numbers, similarity], attributes)


def flips(c: Comparison, choice: Choice) -> Markup:
    """Cards of a list, each with A's and B's map."""
    found = {"a": c.only_a, "b": c.only_b, DRIFT: c.drifts}[choice.which]
    if choice.label >= 0:
        found = found[found["label"] == choice.label]
    part = found[choice.page * A_PAGE : (choice.page + 1) * A_PAGE]
    whose = f" of {c.classes[choice.label]}" if 0 <= choice.label < len(c.classes) else ""
    of_label = c.a.label_sets is not None
    controls = controls_row(
        segments("which", LISTS, choice.which, "which images"),
        NOTHING if of_label else segments("target", TARGETS, choice.target, "map for"),
        blend_controls(),
        pager(choice.page, pages_of(len(found), A_PAGE)[1]),
    )
    cards = html('<div class="vt-pairs">{}</div>', join(_cards(c, part, choice.target)))
    none = (choice.which == DRIFT and c.maps_note) or "None."
    note = f"{counted(len(found), 'image')}{whose}; each map scaled to sum 1, both of a pair on one scale"
    verdicts = said_of_both(c.a, c.b, c.method)
    about = empty(verdicts) if verdicts else NOTHING
    return panel(LISTS[choice.which], controls + about + (cards if len(part) else empty(none)), note)


def _cards(c: Comparison, part: pd.DataFrame, target: str) -> list[Markup]:
    rows_a, rows_b = part["row_a"].to_numpy(), part["row_b"].to_numpy()
    pictures = c.a.thumbnails(rows_a.tolist())
    maps = [_fractions(run, c.method, target, rows) for run, rows in ((c.a, rows_a), (c.b, rows_b))]
    return [
        _card(c, item, render.jpeg_url(pictures[k]), {"a": maps[0][k], "b": maps[1][k]}, target)
        for k, (_, item) in enumerate(part.iterrows())
    ]


def _fractions(run: RunData, method: str | None, target: str, rows: np.ndarray) -> np.ndarray:
    """Raw maps scaled so that their positive part sums to 1: values of two networks are not comparable
    otherwise."""
    if method is None:
        return np.full((len(rows), *run.manifest.request.map_shape), np.nan)
    maps = _raw(run, method, target, rows.tolist())
    total = np.maximum(np.nan_to_num(maps), 0).mean(
        (1, 2), keepdims=True
    )  # the mean: maps of other sizes stay comparable
    return np.divide(maps, total, out=maps.copy(), where=total > 0)


def _raw(run: RunData, method: str, target: str, rows: list[int]) -> np.ndarray:
    """Raw maps (n, h, w); of a run of one label those of the label, whatever is true or predicted."""
    if isinstance(run, LabelRun):
        return run.label_sets.maps(method, run.index, rows)
    return run.maps(method, target, rows)


def _card(c: Comparison, item: pd.Series, url: str, maps: dict[str, np.ndarray], target: str) -> Markup:
    top = max(float(np.nanmax(np.nan_to_num(m), initial=0)) for m in maps.values()) or None
    label = c.classes[int(item["label"])]
    similarity = html(" <small>map similarity {}</small>", decimal(item["similarity"]))
    return html(
        '<div class="vt-card vt-of-2" tabindex="0" role="button" aria-label="{id}, open in Inspect" '
        'title="{id}" {click}><div class="vt-two">{tiles}</div>'
        '<div class="vt-caption">{label}{similarity}</div>{bars}</div>',
        id=item["id"],
        click=action("open", int(item["row_a"])),
        tiles=join(_tile(c, item, letter, url, raw, target, top) for letter, raw in maps.items()),
        label=label,
        similarity=similarity if item["similarity"] == item["similarity"] else NOTHING,
        bars=join(_bar(c, item, letter) for letter in maps),
    )


def _tile(
    c: Comparison, item: pd.Series, letter: str, url: str, raw: np.ndarray, target: str, top: float | None
) -> Markup:
    run, missing = c.a if letter == "a" else c.b, ""
    name = c.classes[int(item["label"] if target == "label" else item[f"pred_{letter}"])]
    caption = evidence(name, target)
    if isinstance(run, LabelRun):
        name, missing = c.classes[1], run.no_own_map(int(item[f"row_{letter}"]))
        caption = f"evidence for {name}"
    shown = Shown(raw, f"{letter.upper()}: {caption}", f"run {letter.upper()}, for {name}", missing)
    return tile(url, shown if c.method else None, top)


def _bar(c: Comparison, item: pd.Series, letter: str) -> Markup:
    pred, kind = c.classes[int(item[f"pred_{letter}"])], "hit" if item[f"right_{letter}"] else "miss"
    return probability_bar(f"{letter.upper()}: {pred}", float(item[f"confidence_{letter}"]), kind)
