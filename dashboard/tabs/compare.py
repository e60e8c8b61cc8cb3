"""Compare: two runs of the same images, before and after a training, or two networks."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr
from cachetools import LRUCache

from dashboard.components.clickable import clickable
from dashboard.components.compare_view import chooser, class_changes, flips, summary
from dashboard.components.placeholders import waiting
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, in_inspect
from dashboard.session.context import Context
from dashboard.tabs.compare_state import ID, Choice, from_query
from models.errors import UserError

if TYPE_CHECKING:
    from explain.analysis.compare import Comparison

TITLE = "Compare"
KEPT = 3  # comparisons


class Comparisons:
    """The last few comparisons, by number of the other run."""

    def __init__(self, ctx: Context):
        self._ctx, self._kept = ctx, LRUCache[int, "Comparison"](KEPT)

    @property
    def names(self) -> list[str]:
        return [folder.name for folder in self._ctx.others]

    def known(self, other: int) -> bool:
        return other in self._kept

    def of(self, other: int) -> "Comparison":
        """Raises UserError for a number that is no run's, and where the two cannot be compared."""
        from explain.analysis.compare import compare
        from explain.run.reader import open_run

        if not 0 <= other < len(self._ctx.others):
            raise UserError(f"No run number {other}: choose one of the list.")
        if other not in self._kept:
            self._kept[other] = compare(self._ctx.run, open_run(self._ctx.others[other]))
        return self._kept[other]


def pieces(comparisons: Comparisons, choice: Choice) -> list[str]:
    """Choice of the run, metrics, classes, images."""
    if choice.other < 0:
        return [chooser(comparisons.names, choice), "", "", ""]
    comparison = comparisons.of(choice.other)
    return [
        chooser(comparisons.names, choice),
        summary(comparison),
        class_changes(comparison, choice),
        flips(comparison, choice),
    ]


def build(ctx: Context) -> None:
    CompareTab(ctx).listen()


class CompareTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, self._comparisons = ctx, Comparisons(ctx)
        first = Choice(other=0 if ctx.against else -1)
        self._view = gr.State(asdict(first))
        with gr.Row(elem_classes="vt-main vt-compare"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                which = clickable(chooser(self._comparisons.names, first), "vt-against")
                numbers, classes = clickable("", "vt-metrics"), clickable("", "vt-changes")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                cards = clickable("", "vt-flips")
        self._areas = [which, numbers, classes, cards]

    def listen(self) -> None:
        ctx, results = self._ctx, [self._view, *self._areas, self._ctx.opened, self._ctx.tabs]
        gr.on(
            [area.select for area in self._areas],
            self.act,
            [self._view],
            results,
            show_progress="hidden",
            trigger_mode="multiple",
            api_visibility="private",
        )
        ctx.on_load(self.arrive, [self._view], [self._view, ctx.tabs])
        ctx.on_tab(ID, self.opened, [self._view], results)

    def _shown(self, choice: Choice) -> Iterator[list[Any]]:
        """The pieces of a choice; a message before, where they take a while."""
        names, skipped = self._comparisons.names, [gr.skip(), gr.skip()]
        if choice.other >= 0 and not self._comparisons.known(choice.other):
            message = waiting("Images", "Comparing the two runs …")
            yield [asdict(choice), chooser(names, choice), "", "", message, *skipped]
        yield [asdict(choice), *pieces(self._comparisons, choice), *skipped]

    @error_boundary
    def act(self, keys: dict[str, Any], event: gr.SelectData) -> Iterator[list[Any]]:
        action, value = str(event.index), str(event.value)
        if action == "open":
            yield [gr.skip()] * (len(self._areas) + 1) + in_inspect(self._ctx.run, value)
            return
        yield from self._shown(Choice(**keys).apply(action, value))

    @error_boundary
    def opened(self, keys: dict[str, Any]) -> Iterator[list[Any]]:
        """The choice that was there before the tab was opened."""
        if Choice(**keys).other >= 0:
            yield from self._shown(Choice(**keys))

    @error_boundary
    def arrive(self, request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """The run that a link names."""
        names, before = self._comparisons.names, Choice(**keys)
        parameters = dict(request.query_params)
        if parameters.get(TAB) != ID or parameters.get("against") not in names:
            return [gr.skip()] * 2
        return [asdict(from_query(parameters, names, before)), gr.Tabs(selected=ID)]
