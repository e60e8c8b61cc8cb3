"""Errors: where the network is wrong, and where it looked when it was."""

import time
from dataclasses import asdict
from typing import Any

import gradio as gr

from dashboard.components.class_table import class_table
from dashboard.components.clickable import clickable
from dashboard.components.confusion import confusion
from dashboard.components.gallery import gallery
from dashboard.components.numbers import numbers
from dashboard.context import Context
from dashboard.guard import said
from dashboard.view import View, first_view, from_query
from explain.run_data import RunData

TITLE, ID = "Errors", "errors"


def pieces(run: RunData, view: View) -> list[str]:
    """Numbers, confusion matrix, class table and gallery as HTML."""
    return [numbers(run, view.method), confusion(run, view.label, view.pred), class_table(run, view.label), gallery(run, view)]


def build(ctx: Context) -> None:
    run, first = ctx.run, first_view(ctx.run)
    state = gr.State(asdict(first))
    shown = pieces(run, first)
    top = clickable(shown[0], "vt-numbers")
    with gr.Row(elem_classes="vt-main"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            matrix, table = clickable(shown[1], "vt-confusion"), clickable(shown[2], "vt-table")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            cards = clickable(shown[3], "vt-gallery")
    areas = [top, matrix, table, cards]

    @said
    def act(keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        name, value = str(event.index), str(event.value)
        if name == "open":
            return [gr.skip()] * 5 + [{"row": int(value), "click": time.monotonic_ns()}, gr.Tabs(selected="inspect")]
        view = View(**keys).apply(name, value, run)
        return [asdict(view), *pieces(run, view), gr.skip(), gr.skip()]

    gr.on([area.select for area in areas], act, [state], [state, *areas, ctx.opened, ctx.tabs],
          show_progress="hidden", trigger_mode="always_last", api_visibility="private")  # fmt: skip

    @said
    def arrive(request: gr.Request) -> list[Any]:
        asked = dict(request.query_params)
        if not {"class", "as", "method", "target", "sort", "page"} & set(asked):
            return [gr.skip()] * 5
        view = from_query(asked, run)
        return [asdict(view), *pieces(run, view)]

    ctx.on_load(arrive, None, [state, *areas])
