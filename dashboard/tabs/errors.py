"""Errors: where the network is wrong, the maps of its errors, and what to try next."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from dashboard.components.clickable import clickable
from dashboard.components.controls import lens_bar
from dashboard.components.errors.audit import audit
from dashboard.components.errors.class_table import class_table
from dashboard.components.errors.cluster_view import cluster_view, missing_clusters, shown_clusters, to_come
from dashboard.components.errors.confusion import confusion
from dashboard.components.errors.gallery import gallery
from dashboard.components.errors.label_table import label_table
from dashboard.components.errors.mean_view import mean_view
from dashboard.components.errors.proposals_panel import proposals_panel
from dashboard.components.errors.slice_view import slice_view
from dashboard.components.errors.threshold_view import threshold_panel
from dashboard.components.headline import numbers
from dashboard.components.note_editor import Notes, notes_view
from dashboard.components.panel import empty, panel
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, in_inspect
from dashboard.server.event_queue import READS
from dashboard.session.context import Context
from dashboard.session.notes_handler import keep_notes
from dashboard.tabs.errors_state import LENSES, View, first_view, from_query, is_view
from dashboard.tabs.label_link import label_of_link
from dashboard.tabs.trust_panel import TrustPanel
from explain.analysis.binary.text import proposals_note
from explain.analysis.findings import AT_ONCE, Findings
from explain.analysis.groups import lists_of
from explain.analysis.multi_label.proposals import OF_ALL, label_set_findings
from explain.analysis.on_maps import maps_note
from explain.analysis.proposals.next_training import command_of, runs_that_tried
from explain.analysis.proposals.registry import checks_of
from explain.quality.known import first_method
from explain.run.people.notes import read
from models.errors import UserError

TITLE, ID = "Errors", "errors"
EVERY = 0.3  # seconds between two looks whether findings are computed
FOLLOWING = ("labels", "label-sets", "duplicates", "similar", "proposal", "slice", "all")
"""Lists that follow from findings."""
WAITS = (
    "This follows from findings, which are being computed: 'What to try' shows how far that is. Click again "
    "when they are there."
)
_LENS: dict[str, Callable[[Findings, Notes, View, bool], Markup]] = {
    "images": gallery,
    "attention": lambda findings, notes, view, editable: audit(findings, view),
    "means": lambda findings, notes, view, editable: mean_view(findings, view),
    "clusters": lambda findings, notes, view, editable: cluster_view(findings, view),
    "slices": lambda findings, notes, view, editable: slice_view(findings, view),
    "notes": lambda findings, notes, view, editable: notes_view(findings, notes, editable),
}


def lens(findings: Findings, view: View, editable: bool, ready: bool = True) -> Markup:
    """The right side: the bar, and the images in the way that was chosen."""
    if not ready and waits(findings, view):
        content = panel(LENSES[view.lens], empty(WAITS))
    elif view.lens == "images" and (text := to_come(findings, view)):
        content = panel(LENSES[view.lens], empty(text))
    else:
        content = _LENS[view.lens](findings, read(findings.run.folder), view, editable)
    return lens_bar(LENSES, view.lens, lists_of(findings.run), view.group, content)


def waits(findings: Findings, view: View) -> bool:
    """Whether a view of a run of many images follows from findings, which a click does not wait for."""
    follows = view.lens not in ("images", "clusters", "notes") or view.group.partition(":")[0] in FOLLOWING
    return len(findings.run.table) > AT_ONCE and follows


def pieces(
    findings: Findings, view: View, ready: bool = True, editable: bool = True, others: Sequence[Path] = ()
) -> list[str]:
    """Headline numbers, proposals, confusion matrix, class table and images; then, of two classes, the
    threshold, which all of them follow. `ready`: whether the findings are computed; `editable`: whether notes
    can be written; `others`: runs to compare with."""
    return [draw() for draw in _drawers(findings, view, ready, editable, others)]


def _drawers(
    findings: Findings, view: View, ready: bool, editable: bool, others: Sequence[Path]
) -> list[Callable[[], str]]:
    findings = findings.at(view.threshold, view.positive)
    run = findings.run
    drawers: list[Callable[[], str]] = [
        lambda: numbers(run, view.method),
        lambda: proposed(findings, view, ready, others),
        lambda: confusion(run, view),
        lambda: class_table(run, view),
        lambda: lens(findings, view, editable, ready),
        *([lambda: threshold_panel(findings, view)] if run.binary else []),
    ]
    if (sets := run.label_sets) is not None:
        drawers.append(lambda: label_table(sets, view))
    return drawers


def proposed(
    findings: Findings, view: View, ready: bool, others: Sequence[Path] = (), done: float = 0.0
) -> Markup:
    """What to try: of the network's own predictions, at any threshold. Of several labels per image, for the
    label that is asked for, then for all of them. `done`: the fraction that is computed, where it is not
    `ready`."""
    run, found = findings.run, findings.proposals if ready else None
    shown, note = (found, view.group, findings.inconclusive, proposals_note(run)), ""
    if found is not None and not findings.inconclusive:
        note = maps_note(findings, checks_of(run), found)
    if run.label_sets is None:
        commands = {p.option: command_of(run, p.option) for p in found or ()}
        tried = runs_that_tried(run, found or (), others)
        return proposals_panel(*shown, maps=note, commands=commands, tried=tried, done=done)
    every = label_set_findings(run.label_sets)
    of_all = every.proposals if ready or every.ready else None
    one = proposals_panel(*shown, of=f": {run.classes[1]}", checks=checks_of(run), maps=note, done=done)
    return one + proposals_panel(
        of_all,
        view.group,
        every.inconclusive if of_all is not None else "",
        of=", all labels",
        checks=OF_ALL,
        of_all=True,
        maps=maps_note(every, OF_ALL, of_all or ()) if of_all is not None else "",
    )


def changed(
    findings: Findings, before: View, view: View, editable: bool = True, others: Sequence[Path] = ()
) -> list[Any]:
    """The pieces that look different after a click."""
    drawers = _drawers(findings, view, findings.ready, editable, others)
    decides = _decision_of(before) == _decision_of(view)
    same = [decides and before.method == view.method, decides and before.group == view.group]
    same += [decides and _matrix_of(before) == _matrix_of(view)] * 2
    labels = _labels_of(before) == _labels_of(view)
    unchanged = [*same, False, decides, labels][: len(drawers)]
    return [gr.skip() if kept else draw() for draw, kept in zip(drawers, unchanged, strict=True)]


def _matrix_of(view: View) -> tuple[Any, ...]:
    return view.label, view.pred, view.norm, view.order, view.find


def _decision_of(view: View) -> tuple[float, int, int]:
    return view.threshold, view.positive, view.asked


def _labels_of(view: View) -> tuple[Any, ...]:
    return view.label_thresholds, view.asked, view.pairs


def build(ctx: Context) -> None:
    ErrorsTab(ctx).listen()


class ErrorsTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, run = ctx, ctx.findings.run
        self._first = replace(first_view(run, ctx.asked), threshold=ctx.threshold, positive=ctx.positive)
        self._editable = ctx.access.computes
        self._known = ctx.findings.ready  # what the page says before anyone arrives
        ctx.view = self._view = gr.State(asdict(self._first))
        shown = pieces(ctx.findings, self._first, self._known, self._editable, ctx.others)
        labels = [clickable(html, "vt-labels") for html in shown[6:]]
        top, proposals = clickable(shown[0], "vt-numbers"), clickable(shown[1], "vt-what")
        with gr.Row(elem_classes="vt-main"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                threshold = [clickable(html, "vt-threshold") for html in shown[5:6]]
                matrix, table = clickable(shown[2], "vt-confusion"), clickable(shown[3], "vt-table")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._trust = TrustPanel(ctx, self._first.method)
                self._cards = clickable(shown[4], "vt-gallery")
        self._clickable = [top, proposals, matrix, table, self._cards, *threshold, *labels]
        self._missing = gr.State(0)  # another number each time that the view shows clusters that are to come
        self._areas = [*self._clickable, self._missing]

    def listen(self) -> None:
        ctx, areas = self._ctx, self._areas
        clicked = gr.on(
            [area.select for area in self._clickable],
            self.act,
            [self._view],
            [self._view, *areas, self._trust.line, ctx.opened, ctx.tabs],
            show_progress="hidden",
            trigger_mode="multiple",  # "always_last" would send the first of two quick clicks again
            api_visibility="private",
            **READS,
        )
        if ctx.run.label_sets is not None:  # a label that nobody asked for before has no findings yet
            quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
            clicked.then(self.work_out, [self._view], [areas[1]], **quiet)
        self._listen_to_clusters()
        keep_notes(ctx, [self._cards])
        self._trust.listen(self._view, self.redraw, areas)
        ctx.on_load(self.arrive, None, [self._view, *areas, *self._trust.outputs])

    def _listen_to_clusters(self) -> None:
        """The second event is in the order of the clicks, and draws what the visitor sees then."""
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        computed = self._missing.change(
            self.work_out_clusters,
            [self._view],
            None,
            trigger_mode="multiple",
            concurrency_limit=None,
            **quiet,
        )
        outputs = [self._view, self._cards, self._missing]
        show = self.show_clusters
        computed.success(show, [self._view], outputs, trigger_mode="multiple", **quiet, **READS)

    @error_boundary
    def act(self, keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        action, value, before = str(event.index), str(event.value), View(**keys)
        if action == "open":
            label = before.asked if self._ctx.run.label_sets is not None else None
            return [*[gr.skip()] * (len(self._areas) + 2), *in_inspect(self._ctx.run, value, label)]
        view = before.apply(action, value, self._of(before).run)
        missing = self._if_missing(view)
        areas = [*changed(self._of(view), before, view, self._editable, self._ctx.others), missing]
        line = gr.skip() if view.method == before.method else self._trust.drawn(view.method)
        return [asdict(view), *areas, line, gr.skip(), gr.skip()]

    @error_boundary
    def redraw(self, keys: dict[str, Any]) -> list[Any]:
        """All that may follow from what was measured of maps."""
        view = View(**keys)
        return self._pieces(view)

    def _pieces(self, view: View) -> list[Any]:
        missing, found = self._if_missing(view), self._of(view)
        return [*pieces(found, view, found.ready, self._editable, self._ctx.others), missing]

    def _if_missing(self, view: View) -> Any:
        """The value of `_missing` for a view that is drawn next."""
        return time.monotonic_ns() if missing_clusters(self._shown(view), view) else gr.skip()

    def _of(self, view: View) -> Findings:
        """Those of the label that is asked for, of several; otherwise the run's."""
        return self._ctx.findings_of(view.asked)

    def _shown(self, view: View) -> Findings:
        """At the threshold of the view."""
        return self._of(view).at(view.threshold, view.positive)

    def _proposed(self, findings: Findings, view: View, ready: bool = True) -> Markup:
        shown = findings.at(view.threshold, view.positive)
        return proposed(shown, view, ready, self._ctx.others, self._ctx.analyzed)

    async def _computed(self, findings: Findings, view: View) -> AsyncIterator[Markup]:
        """What to try, once it is computed, and until then how far that is. Waiting takes no thread, of which
        the server has few."""
        before = 0.0
        while self._ctx.work_out(findings):
            await asyncio.sleep(EVERY)
            if (done := self._ctx.analyzed) != before:
                before = done
                yield await asyncio.to_thread(self._proposed, findings, view, False)
        yield await asyncio.to_thread(self._proposed, findings, view)

    @error_boundary
    async def work_out(self, keys: dict[str, Any]) -> AsyncIterator[Any]:
        """What to try for the label of the view, once it is computed."""
        view = View(**keys)
        findings = await asyncio.to_thread(self._of, view)
        if findings.ready:
            yield gr.skip()
            return
        async for shown in self._computed(findings, view):
            yield shown

    @error_boundary
    async def work_out_clusters(self, keys: dict[str, Any]) -> None:
        """Until the clusters that the view shows are computed. Waiting takes no thread."""
        view, background = View(**keys), self._ctx.background
        findings = await asyncio.to_thread(self._shown, view)
        if (missing := await asyncio.to_thread(missing_clusters, findings, view)) is None:
            return

        def compute() -> None:
            with suppress(UserError):  # too few maps, which the page says
                findings.clusters(*missing, background.raise_if_ended)

        await background.done((findings, *missing), compute)

    @error_boundary
    def show_clusters(self, keys: dict[str, Any]) -> list[Any]:
        """Clusters that are computed, unless the visitor has gone on to something else."""
        view = View(**keys)
        missing, findings = self._if_missing(view), self._shown(view)
        if shown_clusters(findings.run, view) is None:
            return [gr.skip()] * 3
        return [gr.skip(), lens(findings, view, self._editable, findings.ready), missing]

    @error_boundary
    async def arrive(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """The view that a link asks for; then the proposals, as soon as they are computed."""
        parameters = {} if TAB in request.query_params else dict(request.query_params)
        view, areas = await asyncio.to_thread(self._arrived, parameters)
        yield [*areas, *self._trust.values(view.method)]
        nothing = [gr.skip()] * (len(self._areas) + 1)
        findings = await asyncio.to_thread(self._of, view)
        if self._known and view.asked == self._first.asked:
            return
        async for shown in self._computed(findings, view):
            yield [*nothing[:2], shown, *nothing[3:], *[gr.skip()] * len(self._trust.outputs)]

    def _arrived(self, parameters: dict[str, str]) -> tuple[View, list[Any]]:
        """The view and its areas; nothing that is new where the page shows them already."""
        view = self._first
        if self._trust.changed:
            view = replace(view, method=first_method(self._ctx.run))
        if not is_view(parameters) and not self._trust.changed:
            return view, [gr.skip()] * (len(self._areas) + 1)
        view = self._linked(parameters) if is_view(parameters) else view
        return view, [asdict(view), *self._pieces(view)]

    def _linked(self, parameters: dict[str, str]) -> View:
        """The view that a link asks for."""
        asked = label_of_link(parameters, self._ctx.run)
        asked = self._first.asked if asked is None else asked
        return from_query(parameters, self._ctx.findings_of(asked).run, asked)
