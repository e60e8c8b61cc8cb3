"""What is known of the maps of a run: the verdicts that its folder holds. They are read once, and again when
the folder changes. No torch."""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from cachetools import LRUCache

from explain.quality.comparison import FEWEST
from explain.quality.sample import target_name
from explain.quality.settings import CurveSettings
from explain.quality.store import FOLDER, TrustSettings, TrustStore, stores
from explain.quality.tables import tables
from explain.quality.verdict import Trust, Verdict, by_rank
from explain.run.reader import RunData

KEPT = 16  # runs
State = Literal["passes", "does not pass", "unknown"]
Stamp = tuple[tuple[str, int, int], ...]
Weakness = tuple[bool, bool, bool, bool, bool, int, int]


@dataclass(frozen=True, eq=False)
class Known:
    """One measurement: its `tables`, of the methods of the run (`methods`) and of others; `own`: whether it
    is of the layer of the run's maps, so that the verdicts are on these."""

    settings: TrustSettings
    own: bool
    methods: Sequence[str]
    tables: Sequence[Trust]

    @property
    def layer(self) -> str:
        return self.settings.layer

    @property
    def images(self) -> int:
        """Of the first table."""
        return self.tables[0].images

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Of the methods of the run, the best first."""
        mine = [v for trust in self.tables for v in trust.verdicts if v.method in self.methods]
        return sorted(mine, key=by_rank)

    @cached_property
    def by_method(self) -> dict[str, Verdict]:
        return {v.method: v for v in self.verdicts}


_kept: LRUCache[tuple[Path, str, str, tuple[str, ...]], tuple[Stamp, list[Known]]] = LRUCache(KEPT)


def stamp_of(run: RunData) -> Stamp:
    """Changes whenever something more is measured of a run; empty where nothing is."""
    return stamp_of_folder(run.folder)


def stamp_of_folder(folder: Path) -> Stamp:
    """As `stamp_of`, of a run that is not opened."""
    found = []
    for store in _entries(folder / FOLDER):
        for file in _entries(store.path):
            with suppress(OSError):  # deleted meanwhile
                stat = os.stat(file.path)
                found.append((file.path, stat.st_mtime_ns, stat.st_size))
    return tuple(sorted(found))


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing where there is none. A page asks a dozen times a click: `Path.glob` takes
    five times as long."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def known(run: RunData) -> Known | None:
    """What was measured of the run's methods: at the run's own layer, otherwise at another one; of several
    measurements one with the figure that decides, of enough images, of the label before the most probable
    labels, with the usual curves, in the run's own precision, of the most images, and with the most figures.
    None where nothing was measured, or nothing of it can be read."""
    return next((found for found in _ranked(run) if found.verdicts), None)


def known_of_own(run: RunData) -> Known | None:
    """As `known`, at the run's own layer alone, and where none of the run's methods was measured there, of
    others."""
    return next((found for found in _ranked(run) if found.own), None)


def _ranked(run: RunData) -> list[Known]:
    request, stamp = run.manifest.request, stamp_of(run)
    if not stamp:
        return []
    key = (run.folder, request.layer, target_name(run), tuple(request.methods))
    before = _kept.get(key)
    if before is None or before[0] != stamp:
        before = _kept[key] = stamp, _read(run)
    return before[1]


def _read(run: RunData) -> list[Known]:
    layer, target, found = run.manifest.request.layer, target_name(run), list[tuple[Weakness, Known]]()
    for store in stores(run.folder):
        if store.settings.target not in (target, ""):  # of another label or output
            continue
        try:
            one = _of(store, run)
            if one.tables:
                found.append((_weakness(one, target, run.manifest.request.precision), one))
        except Exception as error:  # files of other versions, and damaged ones: it is measured again
            name = type(error).__name__
            logging.getLogger("vitrine").warning("%s is left out (%s)", store.folder, name)
    # stores come newest first, and sorting keeps that order among equals
    return [one for _, one in sorted(found, key=lambda f: (f[1].layer != layer, not f[1].verdicts, f[0]))]


def _weakness(found: Known, target: str, precision: str) -> Weakness:
    """Why a measurement is not the one to show, the worst reason first; the smallest of several is shown."""
    decides = all(v.decided for v in found.tables[0].verdicts)
    few, other = found.images < FEWEST, found.settings.target != target
    unusual, rounded = found.settings.curves != CurveSettings(), found.settings.precision != precision
    return not decides, few, other, unusual, rounded, -found.images, -len(found.settings.kinds)


def _of(store: TrustStore, run: RunData) -> Known:
    methods, own = run.manifest.request.methods, store.settings.layer == run.manifest.request.layer
    return Known(store.settings, own, methods, tables(store, methods))


def verdict_of(run: RunData, method: str) -> Verdict | None:
    """On the run's maps of a method; None where it is not measured at the run's layer."""
    found = known(run)
    return found.by_method.get(method) if found is not None and found.own else None


def state_of(run: RunData, method: str) -> State:
    """Whether findings may rest on the run's maps of a method; "unknown" where it is not measured, or on too
    few images."""
    verdict = verdict_of(run, method)
    if verdict is None or not verdict.decided or verdict.decisive.outcome == "too few images":
        return "unknown"
    return "passes" if verdict.passes else "does not pass"


def methods_by_verdict(run: RunData) -> list[str]:
    """The run's methods: those that pass, the best first; then those of which nothing is known, in the order
    of the run; then those that do not pass."""
    methods, found = list(run.manifest.request.methods), known(run)
    if found is None or not found.own:
        return methods
    ranked = [v.method for v in found.verdicts]
    states = {m: state_of(run, m) for m in methods}
    unknown = [m for m in methods if states[m] == "unknown"]
    passing, failing = ([m for m in ranked if states[m] == s] for s in ("passes", "does not pass"))
    return [*passing, *unknown, *failing]


def first_method(run: RunData) -> str:
    """The method that is shown first: the best that passes, otherwise the run's first."""
    best = methods_by_verdict(run)[0]
    return best if state_of(run, best) == "passes" else run.manifest.request.methods[0]


def shared_method(a: RunData, b: RunData) -> str | None:
    """The method whose maps of two runs are compared: the best of A that passes in both, otherwise the first
    that both have; None where they share none."""
    shared = [m for m in a.manifest.request.methods if m in b.manifest.request.methods]
    passing = (m for m in methods_by_verdict(a) if m in shared and state_of(a, m) == "passes")
    return next((m for m in passing if state_of(b, m) == "passes"), next(iter(shared), None))
