"""What a run tells beyond its numbers, worked out once and kept in its folder: labels that look wrong, near
duplicates, slices, differences between the maps of right and wrong answers."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from explain.analysis.chance import inconclusive
from explain.analysis.clusters import Clustering, cluster_maps
from explain.analysis.contrasts import Contrast, contrasts
from explain.analysis.duplicates import DuplicatePair, near_duplicates
from explain.analysis.labels import Fit, checked, fit
from explain.analysis.mean_maps import MeanMaps, mean_maps
from explain.analysis.ranking import by_recall
from explain.analysis.slices import Slice, slices
from explain.run.format import TARGETS, map_column, write_json
from explain.run.parquet import read, write
from explain.run.reader import RunData
from models.errors import UserError
from models.json_files import build, read_object

if TYPE_CHECKING:
    from explain.analysis.proposal import Proposal

FILE, ABOUT, CONTRASTS = "analysis.parquet", "analysis.json", "contrasts.parquet"
VERSION = 2
T = TypeVar("T")


class Findings:
    """Of one run. What is slow is read from the run's folder where `analyze` left it there, and worked out
    otherwise."""

    def __init__(self, run: RunData):
        self.run = run
        self.ready = self.kept
        """Whether nothing slow is left to be worked out."""
        self._slices: dict[str, list[Slice]] = {}
        self._clusters: dict[tuple[int, str, str], Clustering] = {}
        self._means: dict[tuple[str, str], MeanMaps] = {}

    @property
    def stamp(self) -> dict[str, object]:
        """What the kept files must have been made from: these images and this network, by this version."""
        request = self.run.manifest.request
        return {
            "version": VERSION,
            "images": len(self.run.table),
            "data": request.data_fingerprint,
            "weights": request.weights_hash,
        }

    @cached_property
    def _about(self) -> dict[str, object]:
        try:
            about = read_object(self.run.folder / ABOUT)
        except (OSError, ValueError):
            return {}
        return about if all(about.get(k) == v for k, v in self.stamp.items()) else {}

    @property
    def kept(self) -> bool:
        """Whether the folder holds what `analyze` writes, of this very run."""
        return bool(self._about)

    def _kept_or_anew(self, kept: Callable[[], T], anew: Callable[[], T]) -> T:
        """What the folder keeps; worked out anew where it keeps nothing, or what it keeps is damaged."""
        if self.kept:
            try:
                return kept()
            except Exception as error:  # pyarrow, pandas and JSON each have their own kinds
                logging.getLogger("vitrine").warning(
                    "the analysis in %s is damaged (%s): worked out anew",
                    self.run.folder,
                    type(error).__name__,
                )
        return anew()

    @cached_property
    def checked(self) -> pd.DataFrame:
        """As `labels.checked`, in the rows of `run.ok`."""

        def kept() -> pd.DataFrame:
            return (
                read(self.run.folder / FILE, ["quality", "suggested", "issue"])
                .to_pandas()
                .set_axis(self.run.ok.index)
            )

        return self._kept_or_anew(kept, lambda: checked(self.run))

    @cached_property
    def fit(self) -> Fit:
        return self._kept_or_anew(lambda: build(Fit, self._about["fit"]), lambda: fit(self.run))  # type: ignore[arg-type]

    @cached_property
    def duplicates(self) -> list[DuplicatePair]:
        return self._kept_or_anew(lambda: self._kept_duplicates(), lambda: near_duplicates(self.run))

    def _kept_duplicates(self) -> list[DuplicatePair]:
        found, rows = [build(DuplicatePair, t) for t in self._about["twins"]], set(self.run.ok.index)  # type: ignore[attr-defined]
        if any(t.row not in rows or t.other not in rows for t in found):
            raise ValueError("rows that the run does not have")
        return found

    @cached_property
    def _contrasts(self) -> pd.DataFrame:
        def kept() -> pd.DataFrame:
            found = read(self.run.folder / CONTRASTS).to_pandas()
            if len(found):
                _ = [
                    Contrast(**row)
                    for row in found.drop(columns=["method", "target"]).head(1).to_dict("records")
                ]  # type: ignore[misc]
            return found

        def anew() -> pd.DataFrame:
            sets = [(m, t) for m in self.run.manifest.request.methods for t in TARGETS]
            return pd.concat(
                [
                    pd.DataFrame(map(asdict, contrasts(self.run, m, t))).assign(method=m, target=t)
                    for m, t in sets
                ],
                ignore_index=True,
            )

        return self._kept_or_anew(kept, anew)

    def contrasts(self, method: str, target: str = "pred") -> list[Contrast]:
        """As `contrasts.contrasts`."""
        table = self._contrasts
        chosen = table[(table["method"] == method) & (table["target"] == target)] if len(table) else table
        return [
            Contrast(**row)
            for row in chosen.drop(columns=["method", "target"], errors="ignore").to_dict("records")
        ]  # type: ignore[misc]

    def slices(self, method: str) -> list[Slice]:
        """As `slices.slices`."""
        if method not in self._slices:
            self._slices[method] = slices(self.run, method)
        return self._slices[method]

    def means(self, method: str, target: str) -> MeanMaps:
        """As `mean_maps.mean_maps`."""
        if (method, target) not in self._means:
            self._means[method, target] = mean_maps(self.run, method, target)
        return self._means[method, target]

    def clusters(
        self,
        label: int,
        method: str,
        target: str,
        raise_if_cancelled: Callable[[], None] = lambda: None,
    ) -> Clustering:
        """Of the maps of a class's images, as `clusters.cluster_maps`."""
        key = (label, method, target)
        if key not in self._clusters:
            rows = self.run.ok.index[self.run.ok["label"] == label].to_numpy()
            self._clusters[key] = cluster_maps(
                self.run, rows, method, target, raise_if_cancelled=raise_if_cancelled
            )
        return self._clusters[key]

    @cached_property
    def inconclusive(self) -> str:
        """As `chance.inconclusive`."""
        return inconclusive(self.run)

    @cached_property
    def proposals(self) -> list["Proposal"]:
        """As `proposals.proposals`."""
        from explain.analysis.proposals import proposals

        return proposals(self)

    @cached_property
    def method(self) -> str:
        """The run's method whose maps are seldom empty; of equals the first."""
        missing = {
            m: int(self.run.ok[f"{map_column(m, 'pred')}.border_mass"].isna().sum())
            for m in self.run.manifest.request.methods
        }
        return min(missing, key=lambda m: missing[m])


def analyze(findings: Findings, clicks: bool = True) -> Iterator[float]:
    """Work everything out and write it into the run's folder, `ABOUT` last; yields the share that is done.
    Where the folder cannot be written, what was found lives as long as `findings`. `clicks`: also what the
    dashboard's first clicks would wait for."""
    if not findings.kept:
        for fraction, name in ((0.1, "fit"), (0.6, "checked"), (0.8, "duplicates"), (0.95, "_contrasts")):
            getattr(findings, name)
            yield fraction
        with suppress(OSError):
            _write(findings.run.folder, findings)
    findings.ready = True
    if clicks:
        _soon_asked_for(findings)
    yield 1.0


def _soon_asked_for(findings: Findings) -> None:
    """What the first clicks would wait for."""
    run, method = findings.run, findings.run.manifest.request.methods[0]
    _ = findings.proposals, run.margin, findings.means(method, "label")
    if run.present:
        with suppress(UserError):  # too few maps
            findings.clusters(by_recall(run)[0], method, "label")


def _write(folder: Path, findings: Findings) -> None:
    for name, table in ((FILE, findings.checked), (CONTRASTS, findings._contrasts)):
        write(pa.Table.from_pandas(table.reset_index(drop=True), preserve_index=False), folder / name)
    write_json(
        folder / ABOUT,
        findings.stamp | {"fit": asdict(findings.fit), "twins": [asdict(t) for t in findings.duplicates]},
    )


def rows_of(duplicates: list[DuplicatePair], agree: bool = False) -> np.ndarray:
    """Rows of near duplicates, those of a pair next to each other."""
    return np.array([row for t in duplicates if t.agree == agree for row in (t.row, t.other)], int)
