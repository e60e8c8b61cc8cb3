"""Errors of a run of numbers: measures, predicted against true, and the images behind any part of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any

import gradio as gr
from markupsafe import Markup

from dashboard.components.clickable import clickable
from dashboard.components.controls import segments, select
from dashboard.components.errors.proposals_panel import proposals_panel
from dashboard.components.headline import headline_cards
from dashboard.components.markup import join
from dashboard.components.number_runs.error_bars import error_bars
from dashboard.components.number_runs.gallery import number_gallery
from dashboard.components.number_runs.scatter import SCRIPT, scatter_panel
from dashboard.components.panel import empty, panel, warning
from dashboard.components.toolbar import controls_row
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, in_inspect
from dashboard.server.event_queue import READS
from dashboard.session.context import Context
from dashboard.session.notes_handler import keep_notes
from dashboard.tabs.errors import EVERY, WAITS
from dashboard.tabs.numbers_state import OUTPUT, NumbersView, first_view, from_query, is_view
from dashboard.tabs.trust_panel import TrustPanel
from explain.analysis.findings import AT_ONCE
from explain.analysis.numbers.proposals import CHECKS, number_findings
from explain.analysis.numbers.run_numbers import cautions, figures
from explain.quality.known import first_method
from explain.run.outputs.number_run import NumbersRun
from explain.run.people.notes import read

TITLE, ID = "Errors", "errors"
NOTE = "significant findings, those about the most images first"
MOST = 5  # outputs that are buttons; more are a list


def pieces(run: NumbersRun, view: NumbersView, editable: bool = True) -> list[str]:
    """Measures, predicted against true, errors by the true number, images, what to try. `editable`: whether
    notes can be written."""
    return [draw() for draw in _drawers(run, view, editable)]


def _drawers(run: NumbersRun, view: NumbersView, editable: bool) -> list[Callable[[], str]]:
    return [
        lambda: _measures(run, view),
        lambda: scatter_panel(run, view),
        lambda: error_bars(run, view),
        lambda: _images(run, view, editable),
        lambda: proposed(run, view),
    ]


def _images(run: NumbersRun, view: NumbersView, editable: bool) -> str:
    """The images of the view; a view of many images that follows from findings does not wait for them."""
    follows = view.group.startswith("proposal:") and len(run.table) > AT_ONCE
    if follows and not number_findings(run, view.output).ready:
        return panel("Images", empty(WAITS))
    return number_gallery(run, read(run.folder), view, editable)


def proposed(run: NumbersRun, view: NumbersView, compute: bool = False) -> Markup:
    """What to try for the output of the view; `compute`: also where it is not computed yet."""
    findings = number_findings(run, view.output)
    if findings.inconclusive:
        return Markup()  # the cautions below the measures say it
    of = f": {run.outputs[view.output]}" if len(run.outputs) > 1 else ""
    found = findings.proposals if compute or findings.ready else None
    maps = findings.maps_note if found is not None else ""
    return proposals_panel(found, view.group, note=NOTE, of=of, checks=CHECKS, maps=maps)


def _measures(run: NumbersRun, view: NumbersView) -> Markup:
    """The choice of the output, its measures, and what to know before they are read."""
    cards = headline_cards(figures(run, view.output))
    return _outputs(run, view) + cards + join(map(warning, cautions(run, view.output)))


def _outputs(run: NumbersRun, view: NumbersView) -> Markup:
    """The choice of the output; nothing where there is one."""
    names = {str(k): name for k, name in enumerate(run.outputs)}
    if len(names) < 2:
        return Markup()
    if len(names) > MOST:
        return controls_row(select(OUTPUT, OUTPUT, names, str(view.output)))
    return controls_row(segments(OUTPUT, names, str(view.output), OUTPUT))


def changed(run: NumbersRun, before: NumbersView, view: NumbersView, editable: bool = True) -> list[Any]:
    """The pieces that look different after a click."""
    same = before.output == view.output
    chosen = same and before.group == view.group
    unchanged = [same, chosen and before.tool == view.tool, chosen, before == view, chosen]
    drawers = _drawers(run, view, editable)
    return [gr.skip() if kept else draw() for draw, kept in zip(drawers, unchanged, strict=True)]


def build(ctx: Context) -> None:
    NumbersTab(ctx).listen()


class NumbersTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        assert isinstance(ctx.run, NumbersRun)
        self._ctx, self._run = ctx, ctx.run
        self._first = first_view(self._run)
        self._editable = ctx.access.computes
        ctx.view = self._view = gr.State(asdict(self._first))
        shown = pieces(self._run, self._first, self._editable)
        top, what = clickable(shown[0], "vt-numbers"), clickable(shown[4], "vt-what")
        with gr.Row(elem_classes="vt-main vt-of-numbers"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                plane = clickable(shown[1], "vt-plane", SCRIPT)
                bars = clickable(shown[2], "vt-error-bars")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._trust = TrustPanel(ctx, self._first.method)
                self._cards = clickable(shown[3], "vt-gallery")
        self._areas = [top, plane, bars, self._cards, what]

    def listen(self) -> None:
        ctx, areas = self._ctx, self._areas
        clicked = gr.on(
            [area.select for area in areas],
            self.act,
            [self._view],
            [self._view, *areas, self._trust.line, ctx.opened, ctx.tabs],
            show_progress="hidden",
            trigger_mode="multiple",
            api_visibility="private",
            **READS,
        )
        if len(self._run.outputs) > 1:  # an output that nobody asked for before has no findings yet
            quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
            clicked.then(self.work_out, [self._view], [areas[-1]], **quiet)
        keep_notes(ctx, [self._cards])
        self._trust.listen(self._view, self.redraw, areas)
        ctx.on_load(self.arrive, None, [self._view, *self._trust.outputs, *areas])

    @error_boundary
    def act(self, keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        action, value, before = str(event.index), str(event.value), NumbersView(**keys)
        if action == "open":
            return [
                *[gr.skip()] * (len(self._areas) + 2),
                *in_inspect(self._run, value, before.output),
            ]
        view = before.apply(action, value, self._run)
        areas = changed(self._run, before, view, self._editable)
        line = gr.skip() if view.method == before.method else self._trust.drawn(view.method)
        return [asdict(view), *areas, line, gr.skip(), gr.skip()]

    @error_boundary
    def redraw(self, keys: dict[str, Any]) -> list[Any]:
        """All that may follow from what was measured of maps."""
        return pieces(self._run, NumbersView(**keys), self._editable)

    async def _computed(self, view: NumbersView) -> Markup:
        """What to try, once it is computed. Waiting takes no thread, of which the server has few."""
        findings = await asyncio.to_thread(number_findings, self._run, view.output)
        while self._ctx.work_out(findings):
            await asyncio.sleep(EVERY)
        return await asyncio.to_thread(proposed, self._run, view, True)

    @error_boundary
    async def work_out(self, keys: dict[str, Any]) -> AsyncIterator[Any]:
        """What to try for the output of the view, once it is computed."""
        view = NumbersView(**keys)
        yield gr.skip() if number_findings(self._run, view.output).ready else await self._computed(view)

    @error_boundary
    async def arrive(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """The view that a link asks for; then what to try, as soon as it is computed."""
        parameters = {} if TAB in request.query_params else dict(request.query_params)
        view, shown = await asyncio.to_thread(self._arrived, parameters)
        unchanged = [gr.skip()] * (len(self._areas) - 1)
        yield shown
        found = await self._computed(view)
        yield [gr.skip(), *self._trust.values(view.method), *unchanged, found]

    def _arrived(self, parameters: dict[str, str]) -> tuple[NumbersView, list[Any]]:
        """The view, and the values of all components; nothing that is new where the page shows it already."""
        view = self._first
        if self._trust.changed:
            view = replace(view, method=first_method(self._run))
        if is_view(parameters):
            view = from_query(parameters, self._run)
        trust = self._trust.values(view.method)
        if not is_view(parameters) and not self._trust.changed:
            return view, [gr.skip(), *trust, *[gr.skip()] * len(self._areas)]
        return view, [asdict(view), *trust, *pieces(self._run, view, self._editable)]
