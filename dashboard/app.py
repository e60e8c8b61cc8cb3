"""Build the page from TABS."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from dashboard import endpoints
from dashboard.components.clickable import clickable
from dashboard.components.header import BLEND, header
from dashboard.components.note_editor import class_names
from dashboard.context import Context
from dashboard.tabs import open_to
from dashboard.uploads import only_uploads

QUEUE = 64  # clicks that wait; more are told to try again


class Page(gr.Blocks):
    """Blocks that refuse every payload which names a file outside the upload folder, whatever its form."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False) -> Any:
        if not explicit_call:
            only_uploads(inputs)
        return await super().preprocess_data(block_fn, inputs, state, explicit_call)


def build(ctx: Context) -> gr.Blocks:
    """The whole page; nothing is computed but what the run already holds."""
    loads: list[tuple[Callable[..., Any], Any, Any]] = []
    selections: dict[str, tuple[Callable[..., Any], Any, Any]] = {}

    def gone(request: gr.Request) -> None:
        """Nobody waits any more for what was asked for on this page."""
        ctx.stops.stop(str(request.session_hash))
        ctx.forget(str(request.session_hash))

    ctx.on_load = lambda *event: loads.append(event)
    ctx.on_tab = lambda name, *event: selections.__setitem__(name, event)
    with Page(title="Vitrine", fill_width=True, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        endpoints.build(ctx)
        clickable(header(ctx.run) + class_names(ctx.run), "vt-top", BLEND)
        ctx.opened = gr.State(None)
        with gr.Tabs(elem_id="vt-tabs") as ctx.tabs:
            for tab in open_to(ctx.access):
                with gr.Tab(tab.TITLE, id=tab.ID) as item:
                    tab.build(ctx)
                if tab.ID in selections:
                    item.select(*selections[tab.ID], api_visibility="private", concurrency_id="model", show_progress="hidden")
        for event in loads:
            page.load(*event, api_visibility="private", show_progress="hidden", concurrency_limit=None)
        page.unload(gone)
    page.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)
    return page
