"""What became of the shortcuts of run A in run B: the same images, before and after."""

from dataclasses import dataclass

import numpy as np

from explain.analysis.compare import Comparison, mcnemar
from explain.analysis.shortcuts import Shortcut, shortcuts
from explain.analysis.statistics.significance import holm
from explain.formatting import percent
from explain.text_table import columns

HEADS = ("images", "n", "predicted as", "A", "B", "p")


@dataclass(frozen=True)
class Change:
    """Of `images` in both runs the fractions `a` and `b` that each predicts as `label` (number in A). `p`:
    McNemar's test that both do equally often, corrected (Holm) for all groups of all shortcuts."""

    title: str
    label: int
    images: int
    a: float
    b: float
    p: float


def shortcut_changes(c: Comparison) -> list[Change]:
    """Three groups of each shortcut of A: its class with the value and without it, and other classes with
    the value. None for runs of one label, and where A has no shortcut."""
    if c.a.label_sets is not None:
        return []
    found = [change for s in shortcuts(c.a) for change in _groups(c, s)]
    adjusted = holm(np.array([change.p for change in found]))
    return [
        Change(f.title, f.label, f.images, f.a, f.b, float(p)) for f, p in zip(found, adjusted, strict=True)
    ]


def _groups(c: Comparison, s: Shortcut) -> list[Change]:
    assert c.a.metadata is not None
    name, rows = c.a.data_names[s.label], c.matched["row_a"].to_numpy()
    own = c.matched["label"].to_numpy() == s.label
    there = np.isin(rows, np.concatenate([s.inside, s.others]))
    return [
        _change(c, s.label, title, which)
        for title, which in (
            (f"{name}, {s.name}", own & there),
            (f"{name}, without it", own & ~there),
            (f"others, {s.name}", ~own & there),
        )
        if which.any()
    ]


def _change(c: Comparison, label: int, title: str, which: np.ndarray) -> Change:
    a, b = (c.matched.loc[which, f"pred_{run}"].to_numpy() == label for run in "ab")
    return Change(
        title,
        label,
        int(which.sum()),
        float(a.mean()),
        float(b.mean()),
        mcnemar(int((a & ~b).sum()), int((~a & b).sum())),
    )


def shortcut_table(c: Comparison, changes: list[Change]) -> str:
    """For a terminal."""
    rows = [
        (x.title, str(x.images), c.classes[x.label], percent(x.a), percent(x.b), f"{x.p:.2g}")
        for x in changes
    ]
    return columns([HEADS, *rows], right=(1, 3, 4, 5))
