"""The page that lists the runs of a folder."""

from dataclasses import asdict
from typing import Any

import gradio as gr

from dashboard.app import QUEUE
from dashboard.components.clickable import clickable
from dashboard.components.header import SCRIPTS, list_header
from dashboard.components.listed.runs_table import runs_table
from dashboard.error_boundary import error_boundary
from dashboard.page import Page
from dashboard.session.run_index import RunIndex
from dashboard.tabs.runs_state import RunsView, from_query

SECONDS = 3.0  # between two looks at the folder
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build_list(index: RunIndex, at: str, hidden: tuple[str, ...] | None) -> Page:
    """`at`: the path of the pages of runs, with a slash at its end; `hidden`: as of `Page`."""
    with Page(title="Vitrine", fill_width=True, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        page.hidden = hidden
        clickable(list_header(), "vt-top", SCRIPTS)
        RunsPage(page, index, at)
    page.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)
    return page


class RunsPage:
    """The components of the page and its handlers."""

    def __init__(self, page: Page, index: RunIndex, at: str):
        self._index, self._at = index, at
        self._view = gr.State(asdict(RunsView()))
        first = self._drawn(RunsView())
        self._shown = gr.State(str(hash(first)))
        with gr.Row(elem_classes="vt-main"), gr.Column(min_width=330, elem_classes="vt-right"):
            self._list = clickable(first, "vt-runs")
        clock, all_of = gr.Timer(SECONDS), [self._view, self._shown, self._list]
        several = {**QUIET, "trigger_mode": "multiple"}
        self._list.select(self.act, [self._view], all_of, **several)
        clock.tick(self.look, [self._view, self._shown], [self._shown, self._list], **QUIET)
        page.load(self.arrive, None, all_of, concurrency_limit=None, **QUIET)

    def _drawn(self, view: RunsView) -> str:
        return runs_table(self._index.runs(), view, self._at)

    def _values(self, view: RunsView) -> list[Any]:
        drawn = self._drawn(view)
        return [asdict(view), str(hash(drawn)), drawn]

    @error_boundary
    def arrive(self, request: gr.Request) -> list[Any]:
        """The view that a link asks for."""
        return self._values(from_query(dict(request.query_params)))

    @error_boundary
    def act(self, keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        return self._values(RunsView(**keys).apply(str(event.index), str(event.value)))

    @error_boundary
    def look(self, keys: dict[str, Any], shown: str) -> list[Any]:
        """What is new in the folder."""
        drawn = self._drawn(RunsView(**keys))
        key = str(hash(drawn))
        return [gr.skip()] * 2 if key == shown else [key, drawn]
