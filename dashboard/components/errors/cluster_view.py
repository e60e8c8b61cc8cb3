"""Clusters of the maps of a class, the smallest first."""

from markupsafe import Markup

from dashboard.components.cards import Shown, cards, tile
from dashboard.components.controls import select
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from dashboard.components.toolbar import map_controls, one_target
from dashboard.components.trust.trust_line import verdict_note
from dashboard.tabs.errors_state import View
from explain.analysis.clusters import MOST, Cluster
from explain.analysis.findings import AT_ONCE, Findings
from explain.analysis.groups import asked_cluster
from explain.analysis.on_maps import not_said_of
from explain.analysis.ranking import by_recall
from explain.formatting import be, counted, percent
from explain.run.images import mean_picture
from explain.run.reader import RunData
from models.errors import UserError

EXAMPLES = 4
LISTED = 100  # classes that a drop-down list can hold
OF_MAPS = "clusters of maps"


def cluster_view(findings: Findings, view: View) -> Markup:
    """Clusters of the view's class, or of the class with the lowest recall."""
    run, target = findings.run, one_target(view)
    if not run.present:
        return panel("Clusters", empty("No image has a prediction."))
    label = _label(run, view)
    classes = {str(i): run.classes[i] for i in run.present}
    choice = select("class", "class", classes, str(label)) if len(classes) <= LISTED else NOTHING
    title, controls = f"Clusters of {run.classes[label]}’s maps", map_controls(run, view, first=choice)
    if unsaid := not_said_of(run, view.method, OF_MAPS):
        return panel(title, controls + empty(unsaid))
    if text := to_come(findings, view):
        return panel(title, controls + empty(text))
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


def _label(run: RunData, view: View) -> int:
    first = 1 if run.label_sets is not None and 1 in run.present else by_recall(run)[0]
    return first if view.label is None else view.label


def shown_clusters(run: RunData, view: View) -> tuple[int, str, str] | None:
    """(class, method, target) of the clusters that a view shows, or lists the images of one of; None for
    others."""
    if view.lens == "images":
        kind, _, name = view.group.partition(":")
        asked = asked_cluster(run, name) if kind == "cluster" else None
        return asked and (asked[0], *asked[2:])
    if view.lens != "clusters" or not run.present or not_said_of(run, view.method, OF_MAPS):
        return None
    return _label(run, view), view.method, one_target(view)


def missing_clusters(findings: Findings, view: View) -> tuple[int, str, str] | None:
    """Those of `shown_clusters` that a page does not wait for: nobody has computed them yet, and the run has
    many images."""
    shown = shown_clusters(findings.run, view) if len(findings.run.table) > AT_ONCE else None
    return None if shown is None or findings.has_clusters(*shown) else shown


def to_come(findings: Findings, view: View) -> str:
    """What the page says instead of `missing_clusters`; empty where none are missing."""
    if (missing := missing_clusters(findings, view)) is None:
        return ""
    images = int((findings.run.ok["label"] == missing[0]).sum())
    maps = counted(images, "map") if images <= MOST else f"about {MOST:,} of {counted(images, 'map')}"
    return f"Clusters of {maps} are being computed. They are shown here when they are ready."


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
