"""Which images of a run are looked at, and for which class: errors and hits of every class in turn."""

from collections.abc import Iterable, Sequence, Set

import numpy as np

from explain.run.outputs.label_sets import LabelRun
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData


def targets(run: RunData, rows: Iterable[int]) -> list[int]:
    """The output whose score is explained for each row: the predicted class; of several labels per image the
    most probable one, or the one that is asked for; of numbers the output that is asked for, else the
    first."""
    if isinstance(run, LabelRun | NumbersRun):
        return [max(run.index, 0) for _ in rows]
    return [shown if (shown := run.shown_class(int(row))) is not None else 0 for row in rows]


def target_name(run: RunData) -> str:
    """What the maps explain: a label or an output by its name, or '' for the predicted class of each
    image, or its most probable label."""
    if isinstance(run, LabelRun):
        return run.classes[1]
    return run.outputs[run.index] if isinstance(run, NumbersRun) else ""


def stratified(run: RunData, most: int, before: Set[str] = frozenset()) -> list[int]:
    """At most `most` rows that have an answer. Groups, which are right and wrong images of each class, take
    turns; within a group they are evenly spread over the run. Images with numbers are one group. Of a group
    those whose id is in `before` are taken first, so that what is measured later is of the same images."""
    known = run.ok.index.to_numpy()
    spread = [group[_spread(len(group), most)] for group in _groups(run, known)]
    counts = np.bincount([g for g, _ in _turns(list(map(len, spread)), most)], minlength=len(spread))
    ids = run.table["id"].astype(str)
    each = []
    for group, even, count in zip(_groups(run, known), spread, counts, strict=True):
        old = group[ids[group].isin(before)]
        first = [*old[_spread(len(old), count)], *even]
        chosen = list(dict.fromkeys(first))[:count]
        listed = set(chosen)
        others = [row for row in chosen if row not in set(even)]
        each.append([*others, *(row for row in even if row in listed)])
    return [int(each[g][k]) for g, k in _turns(list(map(len, each)), most)]


def _turns(sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """(group, number within it) of groups that take turns until `most` are taken."""
    turns = [(g, k) for k in range(max(sizes, default=0)) for g, size in enumerate(sizes) if k < size]
    return turns[:most]


def _groups(run: RunData, known: np.ndarray) -> Iterable[np.ndarray]:
    if run.numbers:
        yield known
        return
    if run.all_labels and run.label_sets is not None:
        label = np.array(targets(run, known), int)
        right = run.label_sets.truth[known, label]
    else:
        label = run.table.loc[known, "label"].to_numpy()
        right = label == run.table.loc[known, "pred"].to_numpy()
    for c in np.unique(label):
        for side in (False, True):
            yield known[(label == c) & (right == side)]


def _spread(count: int, most: int) -> np.ndarray:
    """Places of at most `most` of `count`, evenly spread, in an order whose beginning is spread too (J. G.
    van der Corput's sequence, 1935)."""
    places = np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)) if count else np.zeros(0, int)
    return places[sorted(range(len(places)), key=lambda i: f"{i:032b}"[::-1])]
