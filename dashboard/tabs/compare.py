"""Compare: two runs of the same images, before and after a training, or two networks."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from cachetools import LRUCache

from dashboard.components.clickable import clickable
from dashboard.components.compare_view import chooser, class_changes, flips, shortcuts_view, summary
from dashboard.components.label_compare_view import label_list, label_overview, label_summary, opened_label
from dashboard.components.number_runs.compare_view import changed_images, number_summary
from dashboard.components.placeholders import waiting
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, in_inspect
from dashboard.session.context import Context
from dashboard.tabs.compare_state import ID, OF_ERRORS, Choice, from_query
from dashboard.tabs.errors_state import View, read_thresholds, thresholds_text
from dashboard.tabs.label_link import label_of_link
from dashboard.tabs.number_compare_link import number_query, of_link, output_of
from explain.analysis.binary.measures import PRESETS
from explain.quality.known import Stamp, stamp_of, stamp_of_folder
from explain.run.format import CALLED
from explain.run.outputs.number_run import NumbersRun
from models.errors import UserError

if TYPE_CHECKING:
    from explain.analysis.compare import Comparison
    from explain.analysis.multi_label.compare import LabelChanges, LabelComparison
    from explain.analysis.numbers.compare import NumbersComparison

TITLE = "Compare"
KEPT = 3  # comparisons
ONE_BY_ONE: dict[str, Any] = {"concurrency_id": "compare"}  # a comparison that several want is made once
Thresholds = Mapping[str, float]
"""Of labels, by their numbers as text."""


class Comparisons:
    """The last few comparisons, by number of the other run; of runs of several labels per image also those of
    single labels, by label and thresholds."""

    def __init__(self, ctx: Context):
        self._ctx, self._kept = ctx, LRUCache[int, "Comparison"](KEPT)
        self._of_labels = LRUCache[int, "LabelComparison"](KEPT)
        self._of_numbers = LRUCache[int, "NumbersComparison"](KEPT)
        self._changes = LRUCache[tuple[Any, ...], "LabelChanges"](KEPT)
        self._opened = LRUCache[tuple[Any, ...], "Comparison"](KEPT)
        self._measured = dict[int, tuple[Stamp, Stamp]]()

    @property
    def names(self) -> list[str]:
        return [folder.name for folder in self._ctx.others]

    def known(self, other: int) -> bool:
        """Whether it is compared; anew where more is known of the maps of one of the two runs."""
        if 0 <= other < len(self._ctx.others):
            stamps = stamp_of(self._ctx.run), stamp_of_folder(self._ctx.others[other])
            if self._measured.setdefault(other, stamps) != stamps:
                self._measured[other] = stamps
                self._kept.pop(other, None)
                for key in [key for key in self._opened if key[0] == other]:
                    del self._opened[key]
        return any(other in kept for kept in (self._kept, self._of_labels, self._of_numbers))

    def of(self, other: int) -> "Comparison":
        """Raises UserError for a number that is no run's, and where the two cannot be compared."""
        from explain.analysis.compare import compare

        if other not in self._kept:
            self._kept[other] = compare(self._ctx.run, self._run(other))
        return self._kept[other]

    def of_labels(self, other: int) -> "LabelComparison":
        """As `of`, of runs of several labels per image."""
        from explain.analysis.multi_label.compare import compare_labels

        if other not in self._of_labels:
            self._of_labels[other] = compare_labels(self._ctx.run, self._run(other))
        return self._of_labels[other]

    def of_numbers(self, other: int) -> "NumbersComparison":
        """As `of`, of runs of numbers. Raises UserError also where the other run is one of classes."""
        from explain.analysis.numbers.compare import compare_numbers

        if other not in self._of_numbers:
            here, there = self._ctx.run, self._run(other)
            if not isinstance(here, NumbersRun) or not isinstance(there, NumbersRun):
                raise UserError(
                    f"The run {there.folder.name} has classes, this one numbers: choose a run of numbers."
                )
            self._of_numbers[other] = compare_numbers(here, there)
        return self._of_numbers[other]

    def changes(self, choice: Choice, of_errors: Thresholds) -> "LabelChanges":
        """At the thresholds of the choice."""
        found = self.of_labels(choice.other)
        a, b = thresholds_of(found, choice, of_errors)
        key = (choice.other, a.tobytes(), b.tobytes())
        if key not in self._changes:
            self._changes[key] = found.at(a, b)
        return self._changes[key]

    def opened(self, other: int, k: int, changes: "LabelChanges") -> "Comparison":
        """Label k of both, as two runs of two classes."""
        key = (other, k, *(float(c.thresholds[k]) for c in (changes.counts_a, changes.counts_b)))
        if key not in self._opened:
            self._opened[key] = changes.of.of_label(k, changes)
        return self._opened[key]

    def _run(self, other: int) -> Any:
        from explain.run.reader import open_run

        if not 0 <= other < len(self._ctx.others):
            raise UserError(f"No run number {other}: choose one of the list.")
        return open_run(self._ctx.others[other])


def pieces(comparisons: Comparisons, choice: Choice) -> list[str]:
    """Choice of the run, metrics, classes, images."""
    if choice.other < 0:
        return [chooser(comparisons.names, choice), "", "", ""]
    comparison = comparisons.of(choice.other)
    return [
        chooser(comparisons.names, choice),
        summary(comparison) + shortcuts_view(comparison),
        class_changes(comparison, choice),
        flips(comparison, choice),
    ]


def label_pieces(comparisons: Comparisons, choice: Choice, of_errors: Thresholds) -> list[str]:
    """The same of runs of several labels per image: choice of the run, metrics, labels, and all labels beside
    each other or the images of one. `of_errors`: thresholds of the Errors tab."""
    if choice.other < 0:
        return [chooser(comparisons.names, choice), "", "", ""]
    found, changes = comparisons.of_labels(choice.other), comparisons.changes(choice, of_errors)
    shared = np.flatnonzero(found.numbers[:, 0] == choice.asked)
    name = found.a.classes[choice.asked] if len(shared) else ""
    query = choice.query(comparisons.names, name, thresholds_text(_chosen(of_errors)))
    if len(shared):
        comparison = comparisons.opened(choice.other, int(shared[0]), changes)
        right = opened_label(comparison, choice)
    else:
        right = label_overview(changes)
    return [
        chooser(comparisons.names, choice, query),
        label_summary(changes, choice),
        label_list(changes, choice),
        right,
    ]


def number_pieces(comparisons: Comparisons, run: NumbersRun, choice: Choice) -> list[str]:
    """The same of runs of numbers: choice of the run, measures of every output, nothing, and the images that
    changed most in one output."""
    if choice.other < 0:
        return [chooser(comparisons.names, choice), "", "", ""]
    found, output = comparisons.of_numbers(choice.other), output_of(choice, run)
    return [
        chooser(comparisons.names, choice, number_query(choice, comparisons.names, run)),
        number_summary(found, output),
        "",
        changed_images(found, output, choice),
    ]


def thresholds_of(
    found: "LabelComparison", choice: Choice, of_errors: Thresholds
) -> tuple[np.ndarray, np.ndarray]:
    """Of the labels that both have, in A and in B (K,): a preset in each run by itself; those of Errors, or
    of a link, are the same in both."""
    from explain.analysis.multi_label.scores import chosen_thresholds

    if choice.thresholds in PRESETS:
        return found.scores_a.thresholds(choice.thresholds), found.scores_b.thresholds(choice.thresholds)
    sets = found.a.label_sets
    of_link = read_thresholds(choice.thresholds, len(sets.classes))
    chosen = of_errors if choice.thresholds == OF_ERRORS else of_link
    same = chosen_thresholds(sets, chosen)[found.numbers[:, 0]]
    return same, same


def _chosen(thresholds: Thresholds) -> Thresholds:
    return {k: value for k, value in thresholds.items() if value != CALLED}


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
            [self._view, ctx.view],
            results,
            show_progress="hidden",
            trigger_mode="multiple",
            api_visibility="private",
            **ONE_BY_ONE,
        )
        ctx.on_load(self.arrive, [self._view], [self._view, ctx.tabs])
        ctx.on_tab(ID, self.opened, [self._view, ctx.view], results, **ONE_BY_ONE)

    def _shown(self, choice: Choice, errors: dict[str, Any]) -> Iterator[list[Any]]:
        """The pieces of a choice; a message before, where they take a while. `errors`: the view of Errors."""
        names, skipped = self._comparisons.names, [gr.skip(), gr.skip()]
        if choice.other >= 0 and not self._comparisons.known(choice.other):
            message = waiting("Images", "Comparing the two runs …")
            yield [asdict(choice), chooser(names, choice), "", "", message, *skipped]
        try:
            shown = self._pieces(choice, errors)
        except UserError as error:
            message = waiting("Images", str(error))
            yield [asdict(choice), chooser(names, choice), "", "", message, *skipped]
            raise
        yield [asdict(choice), *shown, *skipped]

    def _pieces(self, choice: Choice, errors: dict[str, Any]) -> list[str]:
        if isinstance(self._ctx.run, NumbersRun):
            return number_pieces(self._comparisons, self._ctx.run, choice)
        if self._ctx.run.label_sets is None:
            return pieces(self._comparisons, choice)
        return label_pieces(self._comparisons, choice, View(**errors).label_thresholds)

    @error_boundary
    def act(self, keys: dict[str, Any], errors: dict[str, Any], event: gr.SelectData) -> Iterator[list[Any]]:
        action, value, choice = str(event.index), str(event.value), Choice(**keys)
        if action == "open":
            run, label = self._ctx.run, choice.asked if choice.asked >= 0 else None
            label = output_of(choice, run) if isinstance(run, NumbersRun) else label
            yield [gr.skip()] * (len(self._areas) + 1) + in_inspect(run, value, label)
            return
        yield from self._shown(choice.apply(action, value), errors)

    @error_boundary
    def opened(self, keys: dict[str, Any], errors: dict[str, Any]) -> Iterator[list[Any]]:
        """The choice that was there before the tab was opened."""
        if Choice(**keys).other >= 0:
            yield from self._shown(Choice(**keys), errors)

    @error_boundary
    def arrive(self, request: gr.Request, keys: dict[str, Any]) -> list[Any]:
        """The run that a link names."""
        names, before = self._comparisons.names, Choice(**keys)
        parameters, run = dict(request.query_params), self._ctx.run
        if parameters.get(TAB) == ID and isinstance(run, NumbersRun):
            return [asdict(of_link(parameters, names, run, before)), gr.Tabs(selected=ID)]
        if parameters.get(TAB) != ID or parameters.get("against") not in names:
            return [gr.skip()] * 2
        asked = label_of_link(parameters, run)
        choice = from_query(parameters, names, before)
        choice = choice if asked is None else replace(choice, asked=asked)
        return [asdict(choice), gr.Tabs(selected=ID)]
