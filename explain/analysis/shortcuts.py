"""Shortcuts: a class that is predicted where a column of the data has a value, whatever else the image
shows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from explain.analysis.other_labels import other_labels
from explain.analysis.slices import FEWEST, groups
from explain.analysis.statistics.significance import holm, more_errors, within_strata
from explain.run.reader import RunData

SIGNIFICANT = 1e-3
MOST = 3  # shortcuts of a run
TWICE, APART, ALARMS = 2.0, 0.1, 5
"""A shortcut has at least twice the false alarms of other images, a recall that is larger by this, and so
many false alarms more than its classes explain."""


@dataclass(frozen=True, eq=False)
class Shortcut:
    """Class `label` where `attribute` is `value`. Rows: `inside`, its images there; `outside`, its images
    elsewhere; `others`, images of other classes there; `alarms`, those of them that are predicted as it.
    Counts: `others_outside`, images of other classes elsewhere, of which `alarms_outside` are predicted as
    it; `hits` and `hits_outside`, right answers in `inside` and `outside`. `p`: of the weaker of the two
    differences, adjusted for everything that was tested."""

    label: int
    attribute: str
    value: str
    inside: np.ndarray
    outside: np.ndarray
    others: np.ndarray
    alarms: np.ndarray
    alarms_outside: int
    others_outside: int
    hits: int
    hits_outside: int
    p: float

    @property
    def name(self) -> str:
        return f"{self.attribute}: {self.value}"


@dataclass(frozen=True, eq=False)
class _Candidate:
    attribute: str
    value: str
    chosen: np.ndarray


def shortcuts(run: RunData) -> list[Shortcut]:
    """At most `MOST`, the surest first. Both must hold: among images of other classes the class is predicted
    more often with the value than without (Fisher's exact test, and Cochran-Mantel-Haenszel within the
    classes, one-sided), and its own images are recognized more often with it (Fisher). p is that of the
    weakest test, corrected (Holm) for all classes and values. Each further shortcut is sought in the images
    without the values of those before, as a class that takes images from others changes their figures."""
    if run.metadata is None or len(run.present) < 2:
        return []
    candidates = list(_candidates(run))
    left, found = np.ones(len(run.ok), bool), list[Shortcut]()
    while len(found) < MOST and (surest := _surest(run, candidates, left)) is not None:
        shortcut, chosen = surest
        found.append(shortcut)
        left &= ~chosen
    return found


def _candidates(run: RunData) -> Iterator[_Candidate]:
    assert run.metadata is not None
    labels = other_labels(run)
    for column in (name for name in run.metadata if str(name) not in labels):
        values = run.metadata[column].loc[run.ok.index]
        for value, chosen in groups(str(column), values):
            if FEWEST <= chosen.sum() <= len(chosen) - FEWEST:
                yield _Candidate(str(column), value, chosen)


def _surest(
    run: RunData, candidates: list[_Candidate], left: np.ndarray
) -> tuple[Shortcut, np.ndarray] | None:
    """Among the images `left`, with the images of its value; None where nothing is significant."""
    label, pred = (run.ok[name].to_numpy()[left] for name in ("label", "pred"))
    tested = [c for c in candidates if FEWEST <= (c.chosen & left).sum() <= left.sum() - FEWEST]
    if not tested:
        return None
    p = np.stack([_p(label, pred, c.chosen[left], len(run.classes)) for c in tested])
    if run.label_sets is not None:
        p[:, 0] = 1.0  # the other side of the label
    for i, k in zip(*np.nonzero(p < SIGNIFICANT), strict=True):
        of_others = label != k
        within = within_strata((pred == k)[of_others], tested[i].chosen[left][of_others], label[of_others])
        p[i, k] = max(p[i, k], within.p)
    adjusted = holm(p.ravel()).reshape(p.shape)
    i, k = np.unravel_index(int(adjusted.argmin()), adjusted.shape)
    if adjusted[i, k] >= SIGNIFICANT:
        return None
    chosen = tested[i].chosen
    return _shortcut(run, tested[i], chosen & left, left & ~chosen, int(k), float(adjusted[i, k])), chosen


def _p(label: np.ndarray, pred: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """(classes,): p of the weaker difference, 1 where one of them is small."""

    def counts(which: np.ndarray) -> tuple[np.ndarray, ...]:
        own, hits = (np.bincount(label[w], minlength=classes) for w in (which, which & (pred == label)))
        alarms = np.bincount(pred[which & (pred != label)], minlength=classes)
        return own, hits, alarms, which.sum() - own

    own, hits, alarms, others = counts(chosen)
    all_own, all_hits, all_alarms, all_others = counts(np.ones(len(label), bool))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, rest = alarms / others, (all_alarms - alarms) / (all_others - others)
        recall, rest_recall = hits / own, (all_hits - hits) / (all_own - own)
        large = (rate >= TWICE * rest) & (recall - rest_recall >= APART)
        large &= alarms - all_alarms * others / all_others >= ALARMS
    of_alarms = more_errors(alarms, others, all_alarms, all_others)
    of_hits = more_errors(hits, own, all_hits, all_own)
    return np.where(large, np.maximum(of_alarms, of_hits), 1.0)


def _shortcut(
    run: RunData, c: _Candidate, inside: np.ndarray, outside: np.ndarray, k: int, p: float
) -> Shortcut:
    ok = run.ok
    own, called = (ok[name].to_numpy() == k for name in ("label", "pred"))
    order = np.argsort(-ok["confidence"].to_numpy(float), kind="stable")

    def rows(which: np.ndarray) -> np.ndarray:
        return np.asarray(ok.index.to_numpy()[order[which[order]]])

    return Shortcut(
        k,
        c.attribute,
        c.value,
        rows(inside & own),
        rows(outside & own),
        rows(inside & ~own),
        rows(inside & ~own & called),
        alarms_outside=int((outside & ~own & called).sum()),
        others_outside=int((outside & ~own).sum()),
        hits=int((inside & own & called).sum()),
        hits_outside=int((outside & own & called).sum()),
        p=p,
    )
