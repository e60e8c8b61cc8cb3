"""Build the page from TABS."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.header import SCRIPTS, header
from dashboard.components.note_editor import class_names
from dashboard.endpoints import Endpoints, register
from dashboard.number_endpoints import NumberEndpoints
from dashboard.page import Page, folders
from dashboard.server.event_queue import MODEL
from dashboard.session.context import Context
from dashboard.tabs.registry import missing, open_to
from explain.run.outputs.number_run import NumbersRun

QUEUE = 64  # events that wait; further ones are refused


def build(ctx: Context) -> gr.Blocks:
    """The whole page, from what the run already holds; no model runs."""
    loads: list[tuple[Callable[..., Any], Any, Any]] = []
    selections: dict[str, tuple[Any, ...]] = {}

    def closed(request: gr.Request) -> None:
        """The page was closed: cancel its work, forget its photos. The run may be closed by then, or is being
        closed."""
        try:
            ctx.cancellation.stop(str(request.session_hash))
            ctx.forget(str(request.session_hash))
        except AttributeError:
            if not ctx.ended:
                raise

    ctx.on_load = lambda *event: loads.append(event)
    ctx.on_tab = lambda name, *event, **options: selections.__setitem__(name, (event, options))
    with Page(title="Vitrine", fill_width=True, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        page.hidden = None if ctx.access.computes else folders(ctx.server_files)
        run = ctx.run
        register(NumberEndpoints(ctx, run) if isinstance(run, NumbersRun) else Endpoints(ctx), ctx)
        clickable(header(ctx.run, ctx.home) + class_names(ctx.run), "vt-top", SCRIPTS)
        ctx.opened, ctx.layer = gr.State(None), gr.State(None)
        with gr.Tabs(elem_id="vt-tabs") as ctx.tabs:
            for tab in open_to(ctx.access, ctx.run):
                with gr.Tab(tab.TITLE, id=tab.ID) as item:
                    if (instead := missing(tab, ctx.run)) is not None:
                        clickable(instead, f"vt-no-{tab.ID}")
                        continue
                    tab.build(ctx)
                if tab.ID in selections:
                    event, options = selections[tab.ID]
                    item.select(
                        *event, api_visibility="private", show_progress="hidden", **(options or MODEL)
                    )
        for event in loads:
            page.load(*event, api_visibility="private", show_progress="hidden", concurrency_limit=None)
        page.unload(closed)
    page.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)
    return page
