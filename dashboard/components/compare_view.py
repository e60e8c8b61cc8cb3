"""Two runs side by side: metrics with intervals, classes, and images that one has right and the other wrong,
with both maps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dashboard.components.cards import Shown, probability_bar, tile
from dashboard.components.clickable import action, choices, esc, segments
from dashboard.components.panel import empty, panel, table
from dashboard.components.toolbar import blend_controls, pages_control
from dashboard.links import linked
from dashboard.tabs.compare_state import LISTS, TARGETS, Choice
from explain import render
from explain.analysis.bootstrap import Metric
from explain.analysis.compare import Comparison
from explain.formatting import decimal, p_value
from explain.run.reader import RunData
from models.program import program

A_PAGE, CLASSES = 12, 60


def chooser(names: Sequence[str], choice: Choice) -> str:
    """Which run to compare with."""
    if not names:
        return panel(
            "Compare",
            empty(
                "Another run of the same images stands beside this one when it lies in the same folder, or "
                "is named: "
                f"<code>{program()} serve --run A --against B</code>."
            ),
        )
    link = linked(choice.query(names)) if choice.other >= 0 else ""
    options = {"-1": "choose …"} | {str(i): name for i, name in enumerate(names)}
    with_which = f'<div class="vt-toolbar">{choices("other", "with", options, str(choice.other))}</div>'
    return panel("Compare", with_which, "this run is A, the other one B", link)


def summary(c: Comparison) -> str:
    """Metrics, McNemar's test, and what the two runs are."""
    heads = (("metric", ""), ("A", ""), ("B", ""), ("B − A", "95 % interval, by the paired bootstrap"))
    rows = "".join(map(_metric, c.metrics))
    left = f"; {c.relabeled:,} whose labels differ left out" if c.relabeled else ""
    of = "".join(
        f"<dt>{letter}</dt><dd>{esc(run.manifest.request.model)} · {esc(run.folder.name)}</dd>"
        for letter, run in (("A", c.a), ("B", c.b))
    )
    text = f"right in A alone {len(c.only_a):,}, in B alone {len(c.only_b):,}: McNemar p {p_value(c.p)}"
    body = f'<dl class="vt-known">{of}</dl>{table(heads, rows, "vt-intervals")}{empty(text)}'
    return panel("Metrics", body, f"{len(c.matched):,} images in both{left}")


def _metric(m: Metric) -> str:
    kind = ("vt-ok" if m.difference * m.better > 0 else "vt-bad") if m.sure else ""
    values = "".join(
        f"<td>{_three(value)}<small>{_three(low)}–{_three(high)}</small></td>"
        for value, (low, high) in ((m.a, m.interval_a), (m.b, m.interval_b))
    )
    between = " to ".join(_three(limit, "+") for limit in m.interval)
    return (
        f"<tr><td>{m.name}</td>{values}<td><b "
        f'class="{kind}">{_three(m.difference, "+")}</b><small>{between}</small></td></tr>'
    )


def _three(value: float, sign: str = "") -> str:
    """.693, +.050, −.012, 1.204, or a dash."""
    return (
        "–"
        if value != value
        else f"{value:{sign}.3f}".replace("0.", ".", 1 if abs(value) < 1 else 0).replace("-", "−")
    )


def class_changes(c: Comparison, choice: Choice) -> str:
    """Recall of both and how alike their maps are, the largest change first."""
    change = (c.by_class["recall_b"] - c.by_class["recall_a"]).abs()
    found = c.by_class.loc[change.sort_values(ascending=False, kind="stable").index].head(CLASSES)
    meaning = (
        "median rank correlation of the maps for the true class; beside it that of maps of other "
        "images of the class"
    )
    heads = (
        ("class", ""),
        ("n", ""),
        ("A", "recall"),
        ("B", "recall"),
        ("p", "McNemar, Holm over all classes"),
        ("maps alike", meaning),
    )
    rows = "".join(
        _class(c.classes[int(str(label))], int(str(label)), r, label == choice.label)
        for label, r in found.iterrows()
    )
    some = (
        f"the {CLASSES} that changed most of {len(c.by_class):,}"
        if len(c.by_class) > CLASSES
        else "the largest change first; click a class"
    )
    return panel("Classes", f'<div class="vt-tall">{table(heads, rows)}</div>', some)


def _class(name: str, label: int, r: "pd.Series", chosen: bool) -> str:
    return (
        f'<tr class="{"vt-on" if chosen else ""}" tabindex="0" role="button" '
        f"{action('label', label)}><td>{esc(name)}</td>"
        f"<td>{int(r['images']):,}</td><td>{decimal(r['recall_a'])}</td><td>{decimal(r['recall_b'])}</td><td>"
        f"{p_value(r['p'])}</td>"
        f"<td>{decimal(r['similarity'])} <small>{decimal(r['control'])}</small></td></tr>"
    )


def flips(c: Comparison, choice: Choice) -> str:
    """Cards of a list, each with A's and B's map."""
    found = {"a": c.only_a, "b": c.only_b, "drift": c.drifts}[choice.which]
    if choice.label >= 0:
        found = found[found["label"] == choice.label]
    pages = max(1, -(-len(found) // A_PAGE))
    part = found[choice.page * A_PAGE : (choice.page + 1) * A_PAGE]
    whose = f" of {esc(c.classes[choice.label])}" if 0 <= choice.label < len(c.classes) else ""
    controls = (
        segments("which", LISTS, choice.which, "which images")
        + segments("target", TARGETS, choice.target, "map for")
        + blend_controls()
        + pages_control(choice.page, pages)
    )
    body = (
        f'<div class="vt-pairs">{"".join(_cards(c, part, choice.target))}</div>'
        if len(part)
        else empty("None.")
    )
    note = f"{len(found):,} images{whose}; each map scaled to sum 1, both of a pair on one scale"
    return panel(LISTS[choice.which], f'<div class="vt-toolbar">{controls}</div>{body}', note)


def _cards(c: Comparison, part: pd.DataFrame, target: str) -> list[str]:
    rows_a, rows_b = part["row_a"].to_numpy(), part["row_b"].to_numpy()
    pictures = c.a.thumbnails(rows_a.tolist())
    maps = [_fractions(run, c.method, target, rows) for run, rows in ((c.a, rows_a), (c.b, rows_b))]
    return [
        _card(c, item, pictures[k], maps[0][k], maps[1][k], target)
        for k, (_, item) in enumerate(part.iterrows())
    ]


def _fractions(run: RunData, method: str | None, target: str, rows: np.ndarray) -> np.ndarray:
    """Raw maps scaled so that what is positive sums to 1: two networks' values have nothing else in
    common."""
    if method is None:
        return np.full((len(rows), *run.manifest.request.map_shape), np.nan)
    maps = run.maps(method, target, rows.tolist())
    total = np.maximum(np.nan_to_num(maps), 0).mean(
        (1, 2), keepdims=True
    )  # the mean: maps of other sizes stay comparable
    return np.divide(maps, total, out=maps.copy(), where=total > 0)


def _card(c: Comparison, item: "pd.Series", picture: bytes, a: np.ndarray, b: np.ndarray, target: str) -> str:
    label = c.classes[int(item["label"])]
    top = max(float(np.nanmax(np.nan_to_num(m), initial=0)) for m in (a, b)) or None
    tiles, bars = "", ""
    for letter, raw in (("a", a), ("b", b)):
        pred = c.classes[int(item[f"pred_{letter}"])]
        why = label if target == "label" else pred
        text = f"run {letter.upper()}, for {why}"
        tiles += tile(
            render.jpeg_url(picture),
            Shown(raw, f"{letter.upper()}: why {esc(why)}", text) if c.method else None,
            top,
        )
        bars += probability_bar(
            f"{letter.upper()}: {pred}",
            float(item[f"confidence_{letter}"]),
            "hit" if item[f"right_{letter}"] else "miss",
        )
    alike = (
        f" <small>maps alike {decimal(item['similarity'])}</small>"
        if item["similarity"] == item["similarity"]
        else ""
    )
    name, caption = esc(item["id"]), f'<div class="vt-caption">{esc(label)}{alike}</div>'
    return (
        f'<div class="vt-card vt-of-2" tabindex="0" role="button" aria-label="{name}, open in Inspect" '
        f'title="{name}" '
        f'{action("open", int(item["row_a"]))}><div class="vt-two">{tiles}</div>{caption}{bars}</div>'
    )
