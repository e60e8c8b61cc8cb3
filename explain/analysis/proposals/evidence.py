"""Results of the analysis of a run that the checks read: labels that look wrong, near duplicates, slices,
differences between the maps of right and wrong answers. Slow results are read from the run's folder."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from cachetools import LRUCache

from explain.analysis.clusters import Clustering, cluster_maps
from explain.analysis.contrasts import Contrast, contrasts
from explain.analysis.duplicates import DuplicatePair, near_duplicates
from explain.analysis.label_errors.confident_learning import Fit, checked, fit
from explain.analysis.label_errors.noise import wrong_probability
from explain.analysis.label_errors.suspicion import Suspicion, kept_suspicion
from explain.analysis.mean_maps import MeanMaps, mean_maps, means_in
from explain.analysis.on_maps import method_of_findings
from explain.analysis.once import Once
from explain.analysis.shortcuts import Shortcut, shortcuts
from explain.analysis.slices import Slice, slices
from explain.run.format import TARGETS, map_column
from explain.run.parquet import names_in, read
from explain.run.reader import RunData
from models.errors import UserError
from models.files.json_files import build, read_object

FILE, ABOUT, CONTRASTS = "analysis.parquet", "analysis.json", "contrasts.parquet"
MEANS = "means.parquet"
CHECKED = ("quality", "suggested", "issue")
VERSION = 2
PICTURES = 256
T = TypeVar("T")


def _renamed(pair: dict[str, object]) -> dict[str, object]:
    """A pair as it is in the file, where `similarity` has its earlier name."""
    return {"similarity" if key == "alike" else key: value for key, value in pair.items()}


class Evidence:
    """Of one run. Slow results are read from the run's folder if `findings.analyze` wrote them there, and
    computed otherwise."""

    def __init__(self, run: RunData):
        self.run = run
        self._slices: dict[str, list[Slice]] = {}
        self._clusters: dict[tuple[int, str, str], Clustering | UserError] = {}
        self._means: dict[tuple[str, str], MeanMaps] = {}
        self._slow: dict[str, Any] = {}
        self._once = Once()
        self.pictures: LRUCache[tuple[int, bool], str] = LRUCache(PICTURES)
        """Mean pictures of (class, whether they are correct), as they are drawn; hold `draws` for it."""
        self.draws = threading.Lock()

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
            about = read_object(self.run.derived / ABOUT)
        except (OSError, ValueError):
            return {}
        return about if all(about.get(k) == v for k, v in self.stamp.items()) else {}

    @property
    def kept(self) -> bool:
        """Whether the folder holds what `analyze` writes, of this very run."""
        return bool(self._about)

    def _read_or_compute(self, name: str, kept: Callable[[], T], compute: Callable[[], T]) -> T:
        """The result in the folder; computed if there is none, or if the file is damaged, by one thread for
        all that ask."""
        found: T = self._once.get(self._slow, name, lambda: self._found(kept, compute))
        return found

    def _found(self, kept: Callable[[], T], compute: Callable[[], T]) -> T:
        if self.kept:
            try:
                return kept()
            except Exception as error:  # pyarrow, pandas and JSON each have their own kinds
                logging.getLogger("vitrine").warning(
                    "the analysis in %s is damaged (%s): it is computed again",
                    self.run.folder,
                    type(error).__name__,
                )
        return compute()

    @property
    def checked(self) -> pd.DataFrame:
        """As `confident_learning.checked`, in the rows of `run.ok`."""
        return self._read_or_compute("checked", lambda: self._columns(*CHECKED), lambda: checked(self.run))

    def _columns(self, *names: str) -> pd.DataFrame:
        """Of the file of single images."""
        return read(self.run.derived / FILE, names).to_pandas().set_axis(self.run.ok.index)

    def _column(self, name: str, compute: Callable[[], pd.Series]) -> pd.Series:
        """Of the file of single images, which earlier versions wrote without it."""

        def kept() -> pd.Series:
            there = name in names_in(self.run.derived / FILE)
            return self._columns(name)[name].rename(None) if there else compute()

        return self._read_or_compute(name, kept, compute)

    @cached_property
    def several(self) -> Suspicion | None:
        """What several networks say of the labels, if the run's folder has it."""
        return kept_suspicion(self.run, self.stamp)

    @property
    def suspicion(self) -> pd.Series:
        """As `noise.wrong_probability`, in the rows of `run.ok`: the order of probable label errors; of
        several networks where `analyze --also` was given them."""
        return self.own_suspicion if self.several is None else self.several.values

    @property
    def own_suspicion(self) -> pd.Series:
        """Of the run's network alone."""
        return self._column("suspicion", lambda: wrong_probability(self.run))

    @property
    def fit(self) -> Fit:
        return self._read_or_compute("fit", lambda: build(Fit, self._about["fit"]), lambda: fit(self.run))  # type: ignore[arg-type]

    @property
    def suspects(self) -> np.ndarray:
        """Rows of probable label errors (`checked`), the most suspicious first."""
        issues = self.checked.index[self.checked["issue"]]
        return np.asarray(self.suspicion.loc[issues].sort_values(ascending=False, kind="stable").index)

    @property
    def shortcuts(self) -> list[Shortcut]:
        """As `shortcuts.shortcuts`."""
        return self._once.get(self._slow, "shortcuts", lambda: shortcuts(self.run))

    @property
    def duplicates(self) -> list[DuplicatePair]:
        return self._read_or_compute("duplicates", self._kept_duplicates, lambda: near_duplicates(self.run))

    def _kept_duplicates(self) -> list[DuplicatePair]:
        rows = set(self.run.ok.index)
        pairs = [build(DuplicatePair, _renamed(raw)) for raw in self._about["twins"]]  # type: ignore[attr-defined]
        if any(pair.row not in rows or pair.other not in rows for pair in pairs):
            raise ValueError("rows that the run does not have")
        return pairs

    @property
    def _contrasts(self) -> pd.DataFrame:
        def kept() -> pd.DataFrame:
            found = read(self.run.derived / CONTRASTS).to_pandas()
            if len(found):
                _ = [
                    Contrast(**row)
                    for row in found.drop(columns=["method", "target"]).head(1).to_dict("records")
                ]  # type: ignore[misc]
            return found

        def compute() -> pd.DataFrame:
            sets = [(m, t) for m in self.run.manifest.request.methods for t in TARGETS]
            return pd.concat(
                [
                    pd.DataFrame(map(asdict, contrasts(self.run, m, t))).assign(method=m, target=t)
                    for m, t in sets
                ],
                ignore_index=True,
            )

        return self._read_or_compute("contrasts", kept, compute)

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
        return self._once.get(self._slices, method, lambda: slices(self.run, method))

    def means(self, method: str, target: str) -> MeanMaps:
        """As `mean_maps.mean_maps`."""

        def kept() -> MeanMaps:
            return means_in(read(self.run.derived / MEANS), self.run, method, target)

        def found() -> MeanMaps:
            there = (self.run.derived / MEANS).is_file()
            compute = partial(mean_maps, self.run, method, target)
            return self._found(kept, compute) if there else compute()

        return self._once.get(self._means, (method, target), found)

    def clusters(
        self,
        label: int,
        method: str,
        target: str,
        raise_if_cancelled: Callable[[], None] = lambda: None,
    ) -> Clustering:
        """Of the maps of a class's images, as `clusters.cluster_maps`. That there are too few is kept,
        too."""

        def compute() -> Clustering | UserError:
            rows = self.run.ok.index[self.run.ok["label"] == label].to_numpy()
            try:
                return cluster_maps(self.run, rows, method, target, raise_if_cancelled=raise_if_cancelled)
            except UserError as error:
                return error

        found = self._once.get(self._clusters, (label, method, target), compute)
        if isinstance(found, UserError):
            raise UserError(found)
        return found

    def has_clusters(self, label: int, method: str, target: str) -> bool:
        """Whether `clusters` answers at once."""
        return (label, method, target) in self._clusters

    @property
    def method(self) -> str:
        """As `on_maps.method_of_findings`."""
        return method_of_findings(self.run, self._without_map)

    @cached_property
    def _without_map(self) -> dict[str, int]:
        """Method -> images whose map for the prediction is empty."""
        return {
            m: int(self.run.ok[f"{map_column(m, 'pred')}.border_mass"].isna().sum())
            for m in self.run.manifest.request.methods
        }
