"""The attention audit: how maps of wrong answers differ from those of right ones, and every map as numbers,
to be sorted and filtered."""

import pandas as pd

from dashboard.components.clickable import action, esc, segments
from dashboard.components.panel import panel, table
from dashboard.components.toolbar import method_choice, one_target, pager
from dashboard.tabs.errors_state import AUDITED, TARGETS, View
from explain.analysis.contrasts import Contrast
from explain.analysis.findings import Findings
from explain.formatting import decimal, p_value
from explain.run.format import area_column, map_column
from explain.run.map_stats import UNIFORM_BORDER_MASS
from explain.run.reader import RunData

A_PAGE, CONTRASTS = 20, 14
HEADS_OF_DIFFERENCES = (
    ("class", ""),
    ("statistic", ""),
    ("when right", "mean; and images"),
    ("when wrong", "mean; and images"),
    (
        "difference",
        "Cliff's delta: share of pairs where the wrong answer's is larger, less the share where it is "
        "smaller",
    ),
    ("p", "Mann-Whitney, Benjamini-Hochberg over all classes and statistics"),
)
HEADS = {"id": "image", "label": "true", "pred": "called", "center_x": "center x", "center_y": "center y"}


def audit(findings: Findings, view: View) -> str:
    """Both tables, of the view's class or of all."""
    return _differences(findings, view) + _numbers(findings, view)


def _label(name: str) -> str:
    """A statistic's name as markup: names of regions come from the run folder."""
    return HEADS.get(name, esc(name.replace("_", " ")))


def _differences(findings: Findings, view: View) -> str:
    run, target = findings.run, "label" if view.target == "label" else "pred"
    found = [
        c
        for c in findings.contrasts(view.method, target)
        if c.p == c.p and (view.label is None or c.label == view.label)
    ]
    found.sort(key=lambda c: (c.p >= 0.05, -abs(c.delta)))
    rows = (
        "".join(_contrast(run, c) for c in found[:CONTRASTS])
        or '<tr><td colspan="6">Too few wrong or right images to compare.</td></tr>'
    )
    targets = segments("target", {k: v for k, v in TARGETS.items() if k != "both"}, target, "map for")
    border = f'<button class="vt-link" {action("group", "border")}>errors at the border</button>'
    body = (
        f'<div class="vt-toolbar">{method_choice(run, view)}{targets}</div>'
        f"{table(HEADS_OF_DIFFERENCES, rows)}"
    )
    return panel(
        "How maps differ when it is wrong", body, "the largest significant differences first", border
    )


def _contrast(run: RunData, c: Contrast) -> str:
    name = "all classes" if c.label < 0 else run.classes[c.label]
    place = f"left:{50 + min(0.0, 50 * c.delta):.0f}%;width:{abs(50 * c.delta):.0f}%"
    bar = f'<span class="vt-delta"><i class="{"vt-more" if c.delta > 0 else ""}" style="{place}"></i></span>'
    clicked = action("overview") if c.label < 0 else action("class", c.label)
    return (
        f'<tr class="{"" if c.p < 0.05 else "vt-unsure"}" tabindex="0" role="button" '
        f"{clicked}><td>{esc(name)}</td><td>{_label(c.statistic)}</td>"
        f"<td>{decimal(c.right)} <small>{c.n_right:,}</small></td><td>{decimal(c.wrong)} "
        f"<small>{c.n_wrong:,}</small></td>"
        f'<td>{bar}<span class="vt-number">{c.delta:+.2f}</span></td><td>{p_value(c.p)}</td></tr>'
    )


def _numbers(findings: Findings, view: View) -> str:
    run, target = findings.run, one_target(view) if view.target == "label" else "pred"
    statistics, found = run.manifest.request.statistics, _table(findings.run, view, target)
    pages = max(1, -(-len(found) // A_PAGE))
    heads = [_head(run, name, view) for name in (*AUDITED, *statistics)]
    rows = "".join(
        _row(run, row, item, statistics)
        for row, item in found[view.page * A_PAGE : (view.page + 1) * A_PAGE].iterrows()
    )
    whose = "" if view.label is None else f" of {esc(run.classes[view.label])}"
    body = (
        f'<div class="vt-toolbar">{_limits(view, statistics)}{pager(view, pages)}</div>{table(heads, rows)}'
    )
    return panel(
        "Every map as numbers",
        body,
        f"{len(found):,} images{whose}; click a column to sort, a row to inspect",
    )


def _limits(view: View, statistics: tuple[str, ...]) -> str:
    """Boxes for the least and the most of the column, and its images."""
    if view.by in ("id", "label", "pred"):
        return ""
    boxes = "".join(
        f'<label>{text} <input class="vt-limit" inputmode="decimal" data-action="{name}" '
        f'value="{esc(getattr(view, name))}"></label>'
        for name, text in (("low", f"{_label(view.by)} from"), ("high", "to"))
    )
    key = f"where:{view.by}:{view.low}:{view.high}"
    return boxes + (
        f'<button class="vt-link" {action("group", key)}>show as images</button>'
        if view.by in statistics
        else ""
    )


def _table(run: RunData, view: View, target: str) -> pd.DataFrame:
    """Sorted and filtered by the view's column."""
    statistics = run.manifest.request.statistics
    ok = run.ok if view.label is None else run.ok[run.ok["label"] == view.label]
    name = f"{map_column(view.method, target)}.{view.by}" if view.by in statistics else view.by
    values = ok[name]
    if view.by in ("label", "pred"):
        values = values.map(dict(enumerate(run.classes)))
    if view.low or view.high:
        keep = (values >= float(view.low or "-inf")) & (values <= float(view.high or "inf"))
        ok, values = ok[keep], values[keep]
    picked = ok.loc[values.sort_values(ascending=not view.down, kind="stable", na_position="last").index]
    columns = {f"{map_column(view.method, target)}.{s}": s for s in statistics}
    return picked[[*AUDITED, "correct", *columns]].rename(columns=columns)


def _head(run: RunData, name: str, view: View) -> tuple[str, str]:
    mark = (" ▾" if view.down else " ▴") if name == view.by else ""
    meaning = f"an even map: {UNIFORM_BORDER_MASS:.2f}" if name == "border_mass" else ""
    if name.startswith("in_") and (area := area_column(name.removeprefix("in_"))) in run.ok:
        meaning = f"an even map: {run.ok[area].mean():.2f}"
    return (
        f'<button class="vt-sort{" vt-on" if mark else ""}" '
        f"{action('by', name)}>{_label(name)}{mark}</button>",
        meaning,
    )


def _row(run: RunData, row: object, item: "pd.Series", statistics: tuple[str, ...]) -> str:
    numbers = "".join(f"<td>{decimal(float(item[s]))}</td>" for s in ("confidence", *statistics))
    kind = "vt-ok" if item["correct"] else "vt-bad"
    name = str(item["id"])
    return (
        f'<tr tabindex="0" role="button" {action("open", row)} '
        f'title="{esc(name)}"><td>{esc("…" + name[-21:] if len(name) > 22 else name)}</td>'
        f"<td>{esc(run.classes[int(item['label'])])}</td><td "
        f'class="{kind}">{esc(run.classes[int(item["pred"])])}</td>'
        f"<td>{item['loss']:.2f}</td>{numbers}</tr>"
    )
