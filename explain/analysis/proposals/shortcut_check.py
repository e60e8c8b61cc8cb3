"""The check of shortcuts: classes recognized by a column of the data, and where their maps lie then."""

from collections.abc import Iterator
from shlex import quote

import numpy as np

from explain.analysis.map_places import NINTHS, fractions, ninths
from explain.analysis.on_maps import may_say
from explain.analysis.proposals.evidence import Evidence
from explain.analysis.proposals.proposal import Proposal, Side
from explain.analysis.shortcuts import SIGNIFICANT, Shortcut
from explain.analysis.statistics.significance import difference
from explain.formatting import be, chance, counted, percent
from explain.run.reader import RunData

MOST, FEWEST = 300, 10
"""Images of either side whose maps are read, and how many of them must have one."""
UNLIKE = 0.5  # Cliff's delta from which the maps of a shortcut lie elsewhere than others
LARGER = 0.1  # of a map's mass, by which they do


def recognized_by_column(evidence: Evidence) -> Iterator[Proposal]:
    """Classes that are predicted where a column has a value (`shortcuts`). Where their maps lie otherwise
    than those of other predictions is said besides, if they pass."""
    for s in evidence.shortcuts:
        name = evidence.run.classes[s.label]
        maps = _place(evidence, s, name) if may_say(evidence) else ""
        yield Proposal(
            "shortcut",
            f"{name} may be recognized by {s.name}.",
            f"{_figures(s, name)}{maps}",
            "Look for a mark that these images share; draw every value as often within each class.",
            f"--balance sampler --balance-by {quote(s.attribute)}",
            _errors(evidence.run, s),
            len(s.alarms) + len(s.outside) - s.hits_outside,
            on_maps=bool(maps),
            sides=_sides(evidence.run, s, name),
        )


def _figures(s: Shortcut, name: str) -> str:
    """'With studio: North, 24 of 25 images of anger are recognized and 61 % of all others are predicted as
    anger; without it 15 of 75 and 2 %.'"""
    rate, rest = len(s.alarms) / len(s.others), s.alarms_outside / s.others_outside
    there = f"{s.hits} of {counted(len(s.inside), 'image')} of {name} {be(s.hits)} recognized"
    return (
        f"With {s.name}, {there}, and {percent(rate)} of the other classes' images are predicted as {name}; "
        f"without it {s.hits_outside} of {len(s.outside)}, and {percent(rest)} ({chance(s.p)})."
    )


def _place(evidence: Evidence, s: Shortcut, name: str) -> str:
    """Where the maps of the class differ most from those of other predictions, of nine parts of the
    picture; empty where they do not differ."""
    ok = evidence.run.ok
    called = ok["pred"].to_numpy() == s.label
    there = ok.index.isin(np.concatenate([s.inside, s.alarms]))
    mine, rest = (
        ninths(fractions(evidence.run.maps(evidence.method, "pred", _some(ok.index[which]))))
        for which in (called & there, ~called)
    )
    if min(np.isfinite(group[:, 0]).sum() for group in (mine, rest)) < FEWEST:
        return ""
    found = [difference(mine[:, i], rest[:, i]) for i in range(len(NINTHS))]
    best = int(np.argmax([d.mean_a - d.mean_b for d in found]))
    d = found[best]
    if d.delta < UNLIKE or d.p * len(NINTHS) >= SIGNIFICANT or d.mean_a - d.mean_b < LARGER:
        return ""
    return (
        f" There the maps for {name} have {percent(d.mean_a)} of their mass in the {NINTHS[best]} of the "
        f"picture (a ninth of it), those of other predictions {percent(d.mean_b)} "
        f"({chance(min(1.0, d.p * len(NINTHS)))})."
    )


def _some(rows: np.ndarray) -> list[int]:
    """At most `MOST` of them, evenly spread."""
    return [int(r) for r in rows[:: max(1, -(-len(rows) // MOST))]]


def _errors(run: RunData, s: Shortcut) -> np.ndarray:
    """Images of other classes that are predicted as this one, and its own images that are not recognized
    elsewhere; the most confident first."""
    missed = s.outside[~run.ok.loc[s.outside, "correct"].to_numpy()]
    rows = np.concatenate([s.alarms, missed])
    order = np.argsort(-run.ok.loc[rows, "confidence"].to_numpy(float), kind="stable")
    return np.asarray(rows[order])


def _sides(run: RunData, s: Shortcut, name: str) -> tuple[Side, ...]:
    """The class with the value, the class without it, the missed images first, and what it takes from
    others."""
    right = run.ok.loc[s.outside, "correct"].to_numpy()
    outside = np.concatenate([s.outside[~right], s.outside[right]])
    return (
        Side(f"{name}, {s.name}", f"{s.hits} of {len(s.inside)} recognized", s.inside),
        Side(f"{name}, without it", f"{s.hits_outside} of {len(s.outside)} recognized", outside),
        Side(f"others, {s.name}", f"{len(s.alarms)} of {len(s.others)} predicted as {name}", s.alarms),
    )
