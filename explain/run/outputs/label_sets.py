"""A run of several labels per image, read as one run of two classes for each label: has the image this label,
or not? All of them share images, thumbnails and answers; each has its own errors, threshold and maps."""

import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from cachetools import LRUCache

from explain.run.format import BY_LABEL, CALLED, OF_CLASS, OTHER, TARGETS, Manifest, map_column
from explain.run.outputs.kept_maps import KeptMaps
from explain.run.run_data import RunData
from models.classes.names import find_class, names_by_data
from models.data.source import label_set
from models.errors import UserError
from models.measures.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEVERAL = ("labels", "prob", "logit")
"""Columns of the answers to every class."""
KEPT = 16
"""Runs of single labels that are kept, at about 20 MB each for 50,000 images."""
NEGATIVE = "no map: maps show what speaks for {name}, not what speaks against it"
NOT_KEPT = f"no map: the run keeps those of labels that are true, or called at {CALLED}"


@dataclass(eq=False)
class LabelSets:
    """`table`: one row an image: id, error, facts, and where its thumbnail is. `truth` (n, K) bool: which
    labels it has; `prob`, `logit` (n, K) float32: the answers, NaN for unreadable images. `kept`: its
    maps."""

    folder: Path
    manifest: Manifest
    table: pd.DataFrame
    truth: np.ndarray
    prob: np.ndarray
    logit: np.ndarray
    kept: KeptMaps
    damaged: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)  # several pages ask at once

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, table: pd.DataFrame, damaged: int) -> "LabelSets":
        """`table`: as `explain.run.reader` reads it, with `SEVERAL`."""
        request, n = manifest.request, len(table)
        k = len(request.classes)
        truth, prob = np.zeros((n, k), bool), np.full((n, k), np.nan, np.float32)
        for row, labels in enumerate(table["labels"]):
            truth[row, [] if labels is None else labels] = True
        logit, good = prob.copy(), table["error"].isna().to_numpy()
        if good.any():
            prob[good], logit[good] = (np.stack(table.loc[good, name]) for name in ("prob", "logit"))
        light = table.drop(columns=list(SEVERAL))
        kept = KeptMaps.of(folder, request, light)
        return cls(folder, manifest, light, truth, prob, logit, kept, damaged + kept.damaged)

    @property
    def places(self) -> pd.DataFrame:
        return self.kept.places

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.request.classes

    @cached_property
    def errors(self) -> np.ndarray:
        """How many images each label is missed or called in error of, (K,)."""
        good = self.table["error"].isna().to_numpy()
        return np.asarray(((self.prob >= CALLED) != self.truth)[good].sum(0))

    @property
    def most_errors(self) -> int:
        """Of the labels that some images have and some have not, if there are any."""
        good = self.table["error"].isna().to_numpy()
        count = self.truth[good].sum(0)
        decides = (count > 0) & (count < good.sum())
        return int(np.where(decides | ~decides.any(), self.errors, -1).argmax())

    def number(self, name: str) -> int:
        """Of a label. Raises UserError for a name that is none."""
        index = find_class(name, self.classes)
        if index is None:
            shown = ", ".join(self.classes[:12])
            raise UserError(f"No label '{name[:60]}': the run has {shown}.")
        return index

    @cached_property
    def whole(self) -> "LabelSetsRun":
        """All labels at once."""
        answers = {"labels": self._texts(self.truth), "called": self._texts(self.prob >= CALLED)}
        return LabelSetsRun(self.folder, self.manifest, self.table.assign(**answers), self.damaged, sets=self)

    def names(self, row: int) -> tuple[str, ...]:
        """The labels of a row of the table."""
        return tuple(np.array(self.classes, object)[self.truth[row]])

    def _texts(self, chosen: np.ndarray) -> list[str]:
        """The labels of each image as one text; `chosen` (n, K) bool."""
        names = np.array(self.classes, object)
        return [label_set(names[row]) for row in chosen]

    @cached_property
    def _opened(self) -> "LRUCache[int, LabelRun]":
        return LRUCache(KEPT)

    def label(self, index: int) -> "LabelRun":
        """The run of two classes that asks for this label; the last few are kept."""
        with self._lock:
            if index not in self._opened:
                name = self.classes[index]
                request = replace(self.manifest.request, classes=(f"no {name}", name), outputs={})
                manifest, table = replace(self.manifest, request=request), self._table(index)
                self._opened[index] = LabelRun(
                    self.folder, manifest, table, self.damaged, sets=self, index=index
                )
            return self._opened[index]

    def _table(self, index: int) -> pd.DataFrame:
        """The columns of a run of two classes."""
        truth, prob, z = self.truth[:, index], self.prob[:, index], self.logit[:, index].astype(float)
        called, bad = prob >= CALLED, self.table["error"].notna().to_numpy()
        with np.errstate(invalid="ignore"):  # NaN of unreadable images
            loss = np.logaddexp(0, np.where(truth, -z, z)).astype(np.float32)
        answers = {
            "label": truth.astype(np.int64),
            "pred": np.where(bad, np.nan, called.astype(float)),
            "confidence": np.where(called, prob, 1 - prob),
            "loss": loss,
        }
        return self.table.assign(**answers, **self._statistics(index, truth, called))

    def _statistics(self, index: int, truth: np.ndarray, called: np.ndarray) -> dict[str, np.ndarray]:
        """Of the maps of each target, where its class is the label; NaN elsewhere."""
        is_label = {TARGETS[0]: called, TARGETS[1]: truth, OTHER: ~called}
        columns = dict[str, np.ndarray]()
        for method in self.manifest.request.methods:
            for statistic in self.manifest.request.statistics:
                known = self.kept.statistic(f"{map_column(method, OF_CLASS)}.{statistic}", index)
                for target, yes in is_label.items():
                    columns[f"{map_column(method, target)}.{statistic}"] = np.where(yes, known, np.nan)
        return columns

    def maps(self, method: str, index: int, rows: "Sequence[int]") -> np.ndarray:
        """Raw maps (n, h, w) float32 of a label for rows of the table; NaN where none is kept."""
        return self.kept.maps(method, index, rows)

    def has_map(self, index: int, row: int) -> bool:
        return self.kept.has_map(index, row)


@dataclass(frozen=True, eq=False)
class LabelSetsRun(RunData):
    """All labels of a run of several labels per image: `classes` are the labels, and the probabilities do
    not sum to 1. `table` has the texts `labels` and `called`, and neither a class nor a prediction: what is
    right and wrong, and why, is a question of one label (`label_sets.label(number)`)."""

    sets: LabelSets | None = None

    @property
    def label_sets(self) -> LabelSets:
        assert self.sets is not None
        return self.sets

    @property
    def all_labels(self) -> bool:
        return True

    @property
    def binary(self) -> bool:
        return False

    @cached_property
    def ok(self) -> pd.DataFrame:
        return self.table[self.table["error"].isna()].copy()

    @cached_property
    def evaluation(self) -> Evaluation:
        self.require_one_class("An evaluation")
        raise AssertionError

    def prob(self, row: int) -> np.ndarray:
        return np.asarray(self.label_sets.prob[row])

    def shown_class(self, row: int) -> int | None:
        """The most probable label."""
        prob = self.prob(row)
        return None if np.isnan(prob).any() else int(prob.argmax())

    def maps_of(self, method: str, label: int, rows: "Sequence[int]") -> np.ndarray:
        """Raw maps (n, h, w) of one label; NaN where none is kept."""
        return self.label_sets.maps(method, label, rows)

    def maps(self, method: str, target: str, rows: "Sequence[int]") -> np.ndarray:
        """Those of the most probable label of each row, whatever the target."""
        shown = ((row, self.shown_class(row)) for row in rows)
        return np.concatenate([self.maps_of(method, c or 0, [row]) for row, c in shown])


@dataclass(frozen=True, eq=False)
class LabelRun(RunData):
    """A run of two classes, 'no X' and 'X', of the images of `sets`, a run of several labels: whether each
    has label number `index`. Its maps are those of the label; the class 'no X' has none."""

    sets: LabelSets | None = None
    index: int = 0

    @property
    def label_sets(self) -> LabelSets:
        assert self.sets is not None
        return self.sets

    @property
    def derived(self) -> Path:
        return self.folder / BY_LABEL / f"{self.index:04d}"

    @cached_property
    def data_names(self) -> tuple[str, ...]:
        name = names_by_data(self.label_sets.classes, self.label_sets.manifest.request.outputs)[self.index]
        return f"no {name}", name

    def prob(self, row: int) -> np.ndarray:
        p = self.label_sets.prob[row, self.index]
        return np.array([1 - p, p], np.float32)

    def probabilities(self) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        rows = self.ok.index.to_numpy()
        p = self.label_sets.prob[rows, self.index]
        yield rows, np.stack([1 - p, p], 1)

    def no_map(self, row: int, target: str) -> str:
        if not self._is_label(target, [row])[0]:
            return NEGATIVE.format(name=self.classes[1])
        return self.no_own_map(row)

    def no_own_map(self, row: int) -> str:
        """Why the run has no map of the label itself for a row; empty where it has one."""
        return "" if self.label_sets.has_map(self.index, row) else NOT_KEPT

    def _is_label(self, target: str, rows: "Sequence[int]") -> np.ndarray:
        """Whether the class of a target is the label, (n,) bool."""
        name, wanted = ("label", 1) if target == TARGETS[1] else ("pred", int(target == TARGETS[0]))
        return np.asarray(self.table[name].to_numpy()[list(rows)] == wanted)

    def maps(self, method: str, target: str, rows: "Sequence[int]") -> np.ndarray:
        if method not in self.manifest.request.methods:
            return super().maps(method, target, rows)  # it says so
        wanted = list(rows)
        maps = self.label_sets.maps(method, self.index, wanted)
        maps[~self._is_label(target, wanted)] = np.nan
        return maps
