"""Map statistics: how maps of wrong predictions differ from those of correct ones, and a table of every map
that can be sorted and filtered."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from dashboard.components.controls import pager, pages_of, segments
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel, row, table
from dashboard.components.toolbar import ONE_TARGET, controls_row, method_choice, one_target
from dashboard.tabs.errors_state import AUDITED, View
from explain.analysis.contrasts import Contrast
from explain.analysis.findings import Findings
from explain.analysis.on_maps import not_said_of, said_of
from explain.formatting import counted, decimal, p_value
from explain.run.format import area_column, map_column
from explain.run.map_stats import UNIFORM_BORDER_MASS
from explain.run.reader import RunData

A_PAGE, CONTRASTS = 20, 14
LEVEL = 0.05  # of p
TITLE = "Map statistics of wrong and correct predictions"
HEADS_OF_DIFFERENCES = (
    ("class", ""),
    ("statistic", ""),
    ("correct", "mean; and number of images"),
    ("wrong", "mean; and number of images"),
    (
        "difference",
        "Cliff's delta: fraction of pairs in which the wrong image's value is larger, minus the fraction in "
        "which it is smaller",
    ),
    ("p", "Mann-Whitney, Benjamini-Hochberg over all classes and statistics"),
)
HEADS = {"id": "image", "label": "true", "pred": "predicted", "center_x": "center x", "center_y": "center y"}


def audit(findings: Findings, view: View) -> Markup:
    """Both tables, of the view's class or of all."""
    return _differences(findings, view) + _statistics(findings, view)


def _label(name: str) -> str:
    return HEADS.get(name, name.replace("_", " "))


def _differences(findings: Findings, view: View) -> Markup:
    run, target = findings.run, "label" if view.target == "label" else "pred"
    found = [
        c
        for c in findings.contrasts(view.method, target)
        if c.p == c.p and (view.label is None or c.label == view.label)
    ]
    found.sort(key=lambda c: (c.p >= LEVEL, -abs(c.delta)))
    none = html('<tr><td colspan="6">Too few wrong or correct images to compare.</td></tr>')
    rows = join(_contrast(run, c) for c in found[:CONTRASTS]) or none
    controls = controls_row(method_choice(run, view), segments("target", ONE_TARGET, target, "map for"))
    if unsaid := not_said_of(run, view.method, "differences of maps"):
        return panel(TITLE, controls + empty(unsaid))
    border = html('<button class="vt-link" {}>errors at the border</button>', action("group", "border"))
    return panel(
        TITLE,
        controls + table(HEADS_OF_DIFFERENCES, rows),
        f"the largest significant differences first; {said_of(run, view.method)}",
        border,
    )


def _contrast(run: RunData, c: Contrast) -> Markup:
    bar = html(
        '<span class="vt-delta"><i class="{}" style="left:{:.0f}%;width:{:.0f}%"></i></span>'
        '<span class="vt-number">{:+.2f}</span>',
        "vt-more" if c.delta > 0 else "",
        50 + min(0.0, 50 * c.delta),
        abs(50 * c.delta),
        c.delta,
    )
    cells = [
        "all classes" if c.label < 0 else run.classes[c.label],
        _label(c.statistic),
        html("{} <small>{:,}</small>", decimal(c.right), c.n_right),
        html("{} <small>{:,}</small>", decimal(c.wrong), c.n_wrong),
        bar,
        p_value(c.p),
    ]
    attributes = html(
        'class="{}" tabindex="0" role="button" {}',
        "" if c.p < LEVEL else "vt-unsure",
        action("overview") if c.label < 0 else action("class", c.label),
    )
    return row(cells, attributes)


def _statistics(findings: Findings, view: View) -> Markup:
    run, target = findings.run, one_target(view) if view.target == "label" else "pred"
    statistics, found = run.manifest.request.statistics, _rows(findings.run, view, target)
    columns = {f"{map_column(view.method, target)}.{s}": s for s in statistics}
    page = run.ok.loc[found[view.page * A_PAGE : (view.page + 1) * A_PAGE]].rename(columns=columns)
    _, pages = pages_of(len(found), A_PAGE)
    heads = [(_head(name, view), _meaning(run, name)) for name in (*AUDITED, *statistics)]
    rows = join(_row(run, at, item, statistics) for at, item in page.iterrows())
    whose = "" if view.label is None else f" of {run.classes[view.label]}"
    return panel(
        "Map statistics of every image",
        controls_row(_limits(view, statistics), pager(view.page, pages)) + table(heads, rows),
        f"{counted(len(found), 'image')}{whose}; click a column to sort, a row to inspect; "
        f"{said_of(run, view.method)}",
    )


def _limits(view: View, statistics: tuple[str, ...]) -> Markup:
    """Boxes for the minimum and the maximum of the column, and a button for its images."""
    if view.by in ("id", "label", "pred"):
        return NOTHING
    boxes = join(
        html(
            '<label>{} <input class="vt-limit" inputmode="decimal" data-action="{}" value="{}"></label>',
            text,
            name,
            getattr(view, name),
        )
        for name, text in (("low", f"{_label(view.by)} from"), ("high", "to"))
    )
    if view.by not in statistics:
        return boxes
    key = f"where:{view.by}:{view.low}:{view.high}"
    return boxes + html('<button class="vt-link" {}>show images</button>', action("group", key))


def _rows(run: RunData, view: View, target: str) -> np.ndarray:
    """Rows of the run's table, sorted and filtered by the view's column; those without a value last."""
    statistics = run.manifest.request.statistics
    name = f"{map_column(view.method, target)}.{view.by}" if view.by in statistics else view.by
    chosen = np.arange(len(run.ok)) if view.label is None else np.flatnonzero(run.ok["label"] == view.label)
    values = run.ok[name].iloc[chosen]
    if view.by in ("label", "pred"):  # by name
        rank = np.argsort(np.argsort(np.array(run.classes), kind="stable"))
        values = pd.Series(rank[values.to_numpy()])
    if view.low or view.high:
        keep = ((values >= float(view.low or "-inf")) & (values <= float(view.high or "inf"))).to_numpy()
        chosen, values = chosen[keep], values[keep]
    order = values.reset_index(drop=True).sort_values(
        ascending=not view.down, kind="stable", na_position="last"
    )
    return run.ok.index.to_numpy()[chosen[order.index.to_numpy()]]


def _head(name: str, view: View) -> Markup:
    mark = (" ▾" if view.down else " ▴") if name == view.by else ""
    on = " vt-on" if mark else ""
    return html('<button class="vt-sort{}" {}>{}{}</button>', on, action("by", name), _label(name), mark)


def _meaning(run: RunData, name: str) -> str:
    if name.startswith("in_") and (area := area_column(name.removeprefix("in_"))) in run.ok:
        return f"a uniform map: {run.ok[area].mean():.2f}"
    return f"a uniform map: {UNIFORM_BORDER_MASS:.2f}" if name == "border_mass" else ""


def _row(run: RunData, at: object, item: pd.Series, statistics: tuple[str, ...]) -> Markup:
    name = str(item["id"])
    return html(
        '<tr tabindex="0" role="button" {click} title="{name}"><td>{short}</td><td>{label}</td>'
        '<td class="{kind}">{pred}</td><td>{loss:.2f}</td>{numbers}</tr>',
        click=action("open", at),
        name=name,
        short="…" + name[-21:] if len(name) > 22 else name,
        label=run.classes[int(item["label"])],
        kind="vt-ok" if item["correct"] else "vt-bad",
        pred=run.classes[int(item["pred"])],
        loss=float(item["loss"]),
        numbers=join(html("<td>{}</td>", decimal(float(item[s]))) for s in ("confidence", *statistics)),
    )
