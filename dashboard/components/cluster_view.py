"""Clusters of the maps of a class, the smallest first."""

from markupsafe import Markup

from dashboard.components.cards import Shown, cards, tile
from dashboard.components.controls import select
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from dashboard.components.toolbar import map_controls, one_target
from dashboard.components.trust_line import verdict_note
from dashboard.tabs.errors_state import View
from explain.analysis.clusters import Cluster
from explain.analysis.findings import Findings
from explain.analysis.on_maps import not_said_of
from explain.analysis.ranking import by_recall
from explain.formatting import be, counted, percent
from explain.run.images import mean_picture
from models.errors import UserError

EXAMPLES = 4
LISTED = 100  # classes that a drop-down list can hold


def cluster_view(findings: Findings, view: View) -> Markup:
    """Clusters of the view's class, or of the class with the lowest recall."""
    run, target = findings.run, one_target(view)
    if not run.present:
        return panel("Clusters", empty("No image has a prediction."))
    first = 1 if run.label_sets is not None and 1 in run.present else by_recall(run)[0]
    label = first if view.label is None else view.label
    classes = {str(i): run.classes[i] for i in run.present}
    choice = select("class", "class", classes, str(label)) if len(classes) <= LISTED else NOTHING
    title, controls = f"Clusters of {run.classes[label]}’s maps", map_controls(run, view, first=choice)
    if unsaid := not_said_of(run, view.method, "clusters of maps"):
        return panel(title, controls + empty(unsaid))
    try:
        found = findings.clusters(label, view.method, target)
    except UserError as error:
        return panel(title, controls + empty(str(error)))
    top = max(float(c.mean.max()) for c in found.clusters)
    body = join(
        _cluster(findings, view, c, f"cluster:{label}:{k}:{view.method}:{target}", top)
        for k, c in enumerate(found.clusters)
    )
    many = (
        f"{counted(len(found.clusters), 'cluster')}, the smallest first; silhouette {found.apart:.2f}, a "
        f"single cluster of the same spread {found.control:.2f}"
    )
    note = many if len(found.clusters) > 1 else "these maps do not form clusters"
    left = (
        f"; {counted(found.left_out, 'map')} without positive evidence {be(found.left_out)} excluded"
        if found.left_out
        else ""
    )
    note = "; ".join(filter(None, [note, found.sampled])) + left
    return panel(title, controls + verdict_note(run, view.method) + body, note)


def _cluster(findings: Findings, view: View, c: Cluster, key: str, top: float) -> Markup:
    run, rows = findings.run, c.rows[:EXAMPLES].tolist()
    low, high = c.interval
    shown = Shown(c.mean, "mean map", "mean map of the cluster")
    return html(
        '<div class="vt-class"><button class="vt-link vt-class-name" {click}><b>{count}</b> '
        "<small>{wrong} wrong (95 % interval {low} to {high}) · show images</small></button>"
        '<div class="vt-cluster">{mean}{examples}</div></div>',
        click=action("group", key),
        count=counted(len(c.rows), "image"),
        wrong=percent(c.error_rate),
        low=percent(low),
        high=percent(high),
        mean=tile(mean_picture(run, c.rows), shown, top, enlarge=8),
        examples=join(cards(run, rows, view.method, one_target(view), view.shared)),
    )
