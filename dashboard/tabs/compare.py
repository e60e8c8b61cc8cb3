"""Compare: two runs of the same images, before and after a training, or two networks."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.compare_view import Choice, chooser, class_changes, flips, summary
from dashboard.components.panel import empty, panel
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, in_inspect
from dashboard.session.context import Context
from models.errors import UserError

if TYPE_CHECKING:
    from explain.analysis.compare import Comparison

TITLE, ID = "Compare", "compare"
KEPT = 3  # comparisons


class Comparisons:
    """Those that were worked out last, by number of the other run."""

    def __init__(self, ctx: Context):
        self._ctx, self._kept = ctx, OrderedDict[int, "Comparison"]()

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
            raise UserError(f"No run number {other} beside this one: choose one of the list.")
        if other not in self._kept:
            self._kept[other] = compare(self._ctx.run, open_run(self._ctx.others[other]))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(other)
        return self._kept[other]


def pieces(comparisons: Comparisons, choice: Choice) -> list[str]:
    """Choice of the run, metrics, classes, images as HTML."""
    if choice.other < 0:
        return [chooser(comparisons.names, choice), "", "", ""]
    found = comparisons.of(choice.other)
    return [
        chooser(comparisons.names, choice),
        summary(found),
        class_changes(found, choice),
        flips(found, choice),
    ]


def build(ctx: Context) -> None:
    comparisons = Comparisons(ctx)
    first = Choice(other=0 if ctx.against else -1)
    state = gr.State(asdict(first))
    with gr.Row(elem_classes="vt-main vt-compare"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            which = clickable(chooser(comparisons.names, first), "vt-against")
            numbers, classes = clickable("", "vt-metrics"), clickable("", "vt-changes")
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            cards = clickable("", "vt-flips")
    areas = [which, numbers, classes, cards]

    def shown(choice: Choice) -> Iterator[list[Any]]:
        """The choice's pieces; a word before, where they take a while."""
        if choice.other >= 0 and not comparisons.known(choice.other):
            waiting = panel("Images", empty("The two runs are being compared …"))
            yield [asdict(choice), chooser(comparisons.names, choice), "", "", waiting, gr.skip(), gr.skip()]
        yield [asdict(choice), *pieces(comparisons, choice), gr.skip(), gr.skip()]

    @error_boundary
    def act(keys: dict[str, Any], event: gr.SelectData) -> Iterator[list[Any]]:
        name, value = str(event.index), str(event.value)
        if name == "open":
            yield [gr.skip()] * 5 + in_inspect(ctx.run, value)
            return
        yield from shown(Choice(**keys).apply(name, value))

    @error_boundary
    def seen(keys: dict[str, Any]) -> Iterator[list[Any]]:
        """The choice that was there before the tab was opened."""
        if Choice(**keys).other >= 0:
            yield from shown(Choice(**keys))

    @error_boundary
    def arrive(request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """The run that a link names."""
        asked = request.query_params
        if asked.get(TAB) != ID or asked.get("against") not in comparisons.names:
            return [gr.skip()] * 2
        return [
            asdict(Choice(**keys).apply("other", str(comparisons.names.index(asked["against"])))),
            gr.Tabs(selected=ID),
        ]

    results = [state, *areas, ctx.opened, ctx.tabs]
    gr.on(
        [area.select for area in areas],
        act,
        [state],
        results,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )
    ctx.on_load(arrive, [state], [state, ctx.tabs])
    ctx.on_tab(ID, seen, [state], results)
