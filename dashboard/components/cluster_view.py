"""Clusters of a class's maps: the different ways in which the network sees it, the rare ones first."""

from dashboard.components.cards import Shown, cards, tile
from dashboard.components.clickable import action, choices, esc
from dashboard.components.panel import empty, panel
from dashboard.components.toolbar import map_controls, one_target
from dashboard.tabs.errors_state import View
from explain.analysis.clusters import Cluster
from explain.analysis.findings import Findings
from explain.analysis.ranking import by_recall
from explain.formatting import percent
from explain.run.images import mean_picture
from models.errors import UserError

EXAMPLES = 4


def cluster_view(findings: Findings, view: View) -> str:
    """Of the view's class, or of the worst one."""
    run, target = findings.run, one_target(view)
    label = by_recall(run)[0] if view.label is None else view.label
    which = (
        choices("class", "class", {str(i): run.classes[i] for i in run.present}, str(label))
        if len(run.present) <= 100
        else ""
    )
    title = f"Clusters of {esc(run.classes[label])}’s maps"
    controls = map_controls(run, view).replace(
        '<div class="vt-toolbar">', f'<div class="vt-toolbar">{which}', 1
    )
    try:
        found = findings.clusters(label, view.method, target)
    except UserError as error:
        return panel(title, controls + empty(esc(error)))
    top = max(float(c.mean.max()) for c in found.clusters)
    body = "".join(
        _cluster(findings, view, c, f"cluster:{label}:{k}:{view.method}:{target}", top)
        for k, c in enumerate(found.clusters)
    )
    apart = f"silhouette {found.apart:.2f}, one crowd of the same spread {found.control:.2f}"
    many = f"{len(found.clusters)} ways of looking at it, the rarest first; {apart}"
    one = many if len(found.clusters) > 1 else "its maps do not fall into groups"
    left = f"; {found.left_out} without positive evidence left out" if found.left_out else ""
    return panel(title, controls + body, one + left)


def _cluster(findings: Findings, view: View, c: Cluster, key: str, top: float) -> str:
    run, rows = findings.run, c.rows[:EXAMPLES].tolist()
    low, high = c.interval
    mean = tile(
        mean_picture(run, c.rows), Shown(c.mean, "mean map", "mean map of the cluster"), top, enlarge=8
    )
    examples = "".join(cards(run, rows, view.method, one_target(view), view.shared))
    return (
        '<div class="vt-class"><button class="vt-link vt-class-name" '
        f"{action('group', key)}><b>{len(c.rows):,} images</b> "
        f"<small>{percent(c.error_rate)} wrong (95 % interval {percent(low)} to {percent(high)}) · show "
        "them</small></button>"
        f'<div class="vt-cluster">{mean}{examples}</div></div>'
    )
