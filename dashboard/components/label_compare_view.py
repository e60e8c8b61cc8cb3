"""Two runs of several labels per image side by side: metrics, and every label, of which one is opened."""

from collections.abc import Sequence

from markupsafe import Markup

from dashboard.components.compare_view import (
    HEADS_OF_METRICS,
    class_changes,
    flips,
    metric_row,
    of_runs,
    summary,
)
from dashboard.components.controls import segments
from dashboard.components.markup import action, html, join
from dashboard.components.panel import empty, panel, table
from dashboard.components.toolbar import controls_row
from dashboard.tabs.compare_state import THRESHOLDS, Choice
from explain.analysis.binary.text import figure
from explain.analysis.compare import Comparison
from explain.analysis.multi_label.compare import LabelChanges
from explain.analysis.multi_label.compare_text import (
    DIFFERENCE,
    TEST,
    as_table,
    correction,
    interval_of,
    shared_text,
    signed,
    sure,
)
from explain.formatting import counted, p_value

MOST = 200
"""Labels that are listed."""


def label_summary(changes: LabelChanges, choice: Choice) -> Markup:
    """Metrics of both, what the two runs are, and the thresholds."""
    c = changes.of
    metrics = table(HEADS_OF_METRICS, join(map(metric_row, changes.metrics)), "vt-intervals")
    chosen = choice.thresholds if choice.thresholds in THRESHOLDS else ""
    of_all = controls_row(
        html("<span>thresholds</span>"),
        segments("thresholds", THRESHOLDS, chosen, "thresholds of all labels"),
    )
    note = empty(_thresholds_note(choice))
    return panel("Metrics", of_runs(c.a, c.b) + of_all + note + metrics, shared_text(c))


def _thresholds_note(choice: Choice) -> str:
    if choice.thresholds == "errors":
        return "both runs at the thresholds of the Errors tab"
    if choice.thresholds not in THRESHOLDS:
        return "both runs at the thresholds of the link"
    if choice.thresholds == "0.5":
        return "both runs at 0.5"
    return f"{THRESHOLDS[choice.thresholds]} of each label, in each run by itself"


def label_list(changes: LabelChanges, choice: Choice) -> Markup:
    """One row a label, the largest change of the average precision first; a click opens it."""
    found = as_table(changes).head(MOST)
    heads = (
        ("label", ""),
        ("n", "images that have it"),
        ("AP: B − A", f"average precision; {DIFFERENCE}"),
        ("p", _test(changes)),
    )
    records = zip(_numbers(changes), found.to_dict("records"), strict=False)
    rows = join(
        _row(r, k, [f"{r['images']:,}", _gained(r), p_value(r["p_holm"])], k == choice.asked)
        for k, r in records
    )
    shown = html('<div class="vt-tall">{}</div>', table(heads, rows, "vt-intervals"))
    return panel("Labels", shown, "the largest change first; click a label")


def _numbers(changes: LabelChanges) -> list[int]:
    """Of the labels in A, in the order of `as_table`."""
    return [int(changes.of.numbers[k, 0]) for k in changes.of.order]


def _gained(r: dict[str, float]) -> Markup:
    """The difference of the average precision with its interval, in color where it leaves zero out."""
    low, high = r["ap_difference_low"], r["ap_difference_high"]
    kind = ("vt-ok" if r["ap_difference"] > 0 else "vt-bad") if sure(low, high) else ""
    interval = interval_of(low, high)
    return html('<b class="{}">{}</b><small>{}</small>', kind, signed(r["ap_difference"]), interval)


def _test(changes: LabelChanges) -> str:
    return f"{TEST}, {correction(changes.of)}"


def label_overview(changes: LabelChanges) -> Markup:
    """All labels with the figures of both runs."""
    heads = (
        ("label", ""),
        ("n", "images that have it"),
        ("AP of A", "average precision"),
        ("AP of B", "average precision"),
        ("B − A", DIFFERENCE),
        ("F1 of A", "at the threshold"),
        ("F1 of B", "at the threshold"),
        ("A alone", "images whose label is decided right in A and wrong in B"),
        ("B alone", "images whose label is decided right in B and wrong in A"),
        ("p", _test(changes)),
    )
    found = as_table(changes)
    records = found.head(MOST).to_dict("records")
    rows = join(_label_row(r, asked) for asked, r in zip(_numbers(changes), records, strict=False))
    more = len(found) - MOST
    left = empty(f"{counted(more, 'label')} that changed less not listed.") if more > 0 else ""
    note = f"p: {_test(changes)}; click a label for its images"
    return panel("All labels", table(heads, rows, "vt-intervals") + left, note)


def _label_row(r: dict[str, float], number: int) -> Markup:
    values = [
        f"{r['images']:,}",
        figure(r["ap_a"]),
        figure(r["ap_b"]),
        _gained(r),
        html('<span title="threshold {}">{}</span>', r["threshold_a"], figure(r["f1_a"])),
        html('<span title="threshold {}">{}</span>', r["threshold_b"], figure(r["f1_b"])),
        f"{r['only_a']:,}",
        f"{r['only_b']:,}",
        p_value(r["p_holm"]),
    ]
    return _row(r, number, values)


def _row(r: dict[str, float], number: int, cells: Sequence[object], chosen: bool = False) -> Markup:
    """A label, which a click opens, and its cells."""
    return html(
        '<tr class="{on}" tabindex="0" role="button" aria-label="compare {name}" {click}>'
        '<td class="vt-name" title="{name}">{name}</td>{cells}</tr>',
        on="vt-on" if chosen else "",
        name=r["label"],
        click=action("asked", number),
        cells=join(html("<td>{}</td>", cell) for cell in cells),
    )


def opened_label(c: Comparison, choice: Choice) -> Markup:
    """One label as two classes: metrics, recall, and the images that only one of the runs decides right."""
    name, decision = c.classes[1], c.a.decision or c.b.decision
    back = html('<button class="vt-run" {}>All labels</button>', action("asked", "-1"))
    note = "as two runs of two classes" + (f"; {_decisions(c)}" if decision else "")
    return panel(name, empty(note), "", back) + flips(c, choice) + summary(c) + class_changes(c, choice)


def _decisions(c: Comparison) -> str:
    """'called from 0.3 in A and from 0.41 in B'."""
    return f"called from {c.a.threshold:g} in A and from {c.b.threshold:g} in B"
