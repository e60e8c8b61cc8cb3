"""Errors: where the network is wrong, where it looked when it was, and what to try next."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import gradio as gr
from markupsafe import Markup

from dashboard.components.audit import audit
from dashboard.components.class_table import class_table
from dashboard.components.clickable import clickable
from dashboard.components.cluster_view import cluster_view
from dashboard.components.confusion import confusion
from dashboard.components.controls import lens_bar
from dashboard.components.gallery import gallery
from dashboard.components.mean_view import mean_view
from dashboard.components.note_editor import Notes, notes_view
from dashboard.components.numbers import numbers
from dashboard.components.proposals_panel import proposals_panel
from dashboard.components.slice_view import slice_view
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, in_inspect
from dashboard.session.context import Context
from dashboard.session.notes_handler import keep_notes
from dashboard.tabs.errors_view import LENSES, View, first_view, from_query, is_view
from explain.analysis.findings import Findings
from explain.analysis.groups import LISTS
from explain.run.notes import read

TITLE, ID = "Errors", "errors"
_LENS: dict[str, Callable[[Findings, Notes, View, bool], Markup]] = {
    "images": gallery,
    "attention": lambda findings, notes, view, editable: audit(findings, view),
    "means": lambda findings, notes, view, editable: mean_view(findings, view),
    "clusters": lambda findings, notes, view, editable: cluster_view(findings, view),
    "slices": lambda findings, notes, view, editable: slice_view(findings, view),
    "notes": lambda findings, notes, view, editable: notes_view(findings, notes, editable),
}


def lens(findings: Findings, view: View, editable: bool) -> Markup:
    """What stands to the right: the choice of a lens, and its view."""
    shown = _LENS[view.lens](findings, read(findings.run.folder), view, editable)
    return lens_bar(LENSES, view.lens, LISTS, view.group, shown)


def pieces(findings: Findings, view: View, ready: bool = True, editable: bool = True) -> list[str]:
    """Numbers, what to try, confusion matrix, class table and images as HTML. `ready`: whether the findings
    are worked out; `editable`: whether notes may be taken."""
    run = findings.run
    what = proposals_panel(findings.proposals if ready else None, view.group, findings.inconclusive)
    return [
        numbers(run, view.method),
        what,
        confusion(run, view),
        class_table(run, view),
        lens(findings, view, editable),
    ]


def changed(findings: Findings, before: View, view: View, editable: bool = True) -> list[Any]:
    """The pieces that look different after a click."""
    new = pieces(findings, view, findings.ready, editable)
    same = [before.method == view.method, before.group == view.group] + [
        _matrix_of(before) == _matrix_of(view)
    ] * 2
    return [gr.skip() if unchanged else html for html, unchanged in zip(new, [*same, False], strict=True)]


def _matrix_of(view: View) -> tuple[Any, ...]:
    return view.label, view.pred, view.norm, view.order, view.find


def build(ctx: Context) -> None:
    run, findings, first = ctx.run, ctx.findings, first_view(ctx.run)
    ctx.view = state = gr.State(asdict(first))
    known = findings.ready  # what the page says before anyone arrives
    editable = ctx.access.computes
    shown = pieces(findings, first, known, editable)
    top = clickable(shown[0], "vt-numbers")
    what = clickable(shown[1], "vt-what")
    with gr.Row(elem_classes="vt-main"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            matrix, table = clickable(shown[2], "vt-confusion"), clickable(shown[3], "vt-table")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            cards = clickable(shown[4], "vt-gallery")
    areas = [top, what, matrix, table, cards]

    @error_boundary
    def act(keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        name, value = str(event.index), str(event.value)
        nothing = [gr.skip()] * (len(areas) + 3)
        if name == "open":
            return [*nothing[:-2], *in_inspect(run, value)]
        before = View(**keys)
        view = before.apply(name, value, run)
        return [asdict(view), *changed(findings, before, view, editable), gr.skip(), gr.skip()]

    gr.on(
        [area.select for area in areas],
        act,
        [state],
        [state, *areas, ctx.opened, ctx.tabs],
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )

    keep_notes(ctx, [cards])

    @error_boundary
    def arrive(request: gr.Request) -> Iterator[list[Any]]:
        """The view that a link asks for; and what to try, as soon as it is worked out."""
        asked = {} if TAB in request.query_params else dict(request.query_params)
        view = from_query(asked, run) if is_view(asked) else first
        yield (
            [asdict(view), *pieces(findings, view, findings.ready, editable)]
            if is_view(asked)
            else [gr.skip()] * (len(areas) + 1)
        )
        while ctx.work_out():
            time.sleep(0.3)
        yield [
            gr.skip(),
            gr.skip(),
            gr.skip() if known else proposals_panel(findings.proposals, view.group, findings.inconclusive),
            *[gr.skip()] * 3,
        ]

    ctx.on_load(arrive, None, [state, *areas])
