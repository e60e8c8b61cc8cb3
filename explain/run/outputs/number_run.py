"""A run whose outputs are numbers: true and predicted ones of each image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from explain.run.format import MOST_OUTPUTS, OF_CLASS, Manifest, map_column
from explain.run.outputs.kept_maps import KeptMaps
from explain.run.run_data import RunData
from models.classes.names import find_class
from models.errors import UserError
from models.measures.evaluation import Evaluation

OF_NUMBERS = ("true", "predicted")
"""Columns of the numbers of every output."""
NOT_KEPT = (
    f"no map: the run keeps those of the {MOST_OUTPUTS} outputs with the largest standardized residual of an "
    "image"
)


@dataclass(frozen=True, eq=False)
class NumbersRun(RunData):
    """`table`: one row an image: id, error, loss (mean squared residual over the outputs), facts, and where
    its thumbnail is. `truth`, `predicted` (n, R) float64, of all rows of `table`: the true numbers, and the
    network's; NaN where the image is unreadable, or the network has no answer. `index`: the output that is
    shown first, or the one that was asked for (`one_output`)."""

    truth: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    predicted: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    kept: KeptMaps | None = None
    index: int = 0
    one_output: bool = False

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, table: pd.DataFrame, damaged: int) -> "NumbersRun":
        """`table`: as `explain.run.reader` reads it, with `OF_NUMBERS`."""
        shape = len(table), len(manifest.request.classes)
        truth, predicted = np.full(shape, np.nan), np.full(shape, np.nan)
        good = table["error"].isna().to_numpy()
        if len(table):
            truth[:] = np.stack(table["true"].to_numpy())
        if good.any():
            predicted[good] = np.stack(table.loc[good, "predicted"].to_numpy())
        light = table.drop(columns=list(OF_NUMBERS))
        kept = KeptMaps.of(folder, manifest.request, light)
        damaged += kept.damaged
        return cls(folder, manifest, light, damaged, truth=truth, predicted=predicted, kept=kept)

    @property
    def numbers(self) -> bool:
        return True

    @property
    def outputs(self) -> tuple[str, ...]:
        """Their names."""
        return self.classes

    def number(self, name: str) -> int:
        """Of an output. Raises UserError for a name that is none."""
        index = find_class(name, self.outputs)
        if index is None:
            raise UserError(f"No output '{name[:60]}': the run has {', '.join(self.outputs[:12])}.")
        return index

    def output(self, index: int) -> "NumbersRun":
        """The same run, of which one output is asked for."""
        return replace(self, index=index, one_output=True)

    @property
    def residuals(self) -> np.ndarray:
        """(n, R): predicted minus true."""
        found: np.ndarray = self.predicted - self.truth
        return found

    @property
    def binary(self) -> bool:
        return False

    @cached_property
    def ok(self) -> pd.DataFrame:
        return self.table[self.table["error"].isna()].copy()

    @property
    def noted(self) -> pd.DataFrame:
        """`labels` and `called` are texts of the true and the predicted numbers."""
        rows = self.ok.index.to_numpy()
        return self.ok.assign(labels=_texts(self.truth[rows]), called=_texts(self.predicted[rows]))

    @cached_property
    def evaluation(self) -> Evaluation:
        self.require_one_class("An evaluation")
        raise AssertionError

    def prob(self, row: int) -> np.ndarray:
        self.require_one_class("A probability")
        raise AssertionError

    def probabilities(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.require_one_class("A probability")
        raise AssertionError

    def shown_class(self, row: int) -> int | None:
        """The output that is shown first."""
        return None if np.isnan(self.predicted[row]).any() else self.index

    def maps_of(self, method: str, output: int, rows: Sequence[int]) -> np.ndarray:
        """Raw maps (n, h, w) float32 of one output for rows of the table; NaN where none is kept."""
        if method not in self.manifest.request.methods:
            return super().maps(method, "pred", rows)  # it says so
        assert self.kept is not None
        return self.kept.maps(method, output, rows)

    def maps(self, method: str, target: str, rows: Sequence[int]) -> np.ndarray:
        """Those of the output that is shown first, whatever the target."""
        return self.maps_of(method, self.index, rows)

    def statistic(self, method: str, name: str, output: int) -> np.ndarray:
        """A statistic of the maps of one output, (n,) float32 for all rows of the table; NaN where none is
        kept."""
        assert self.kept is not None
        return self.kept.statistic(f"{map_column(method, OF_CLASS)}.{name}", output)

    def has_map(self, output: int, row: int) -> bool:
        assert self.kept is not None
        return self.kept.has_map(output, row)

    def no_map(self, row: int, target: str) -> str:
        return "" if self.has_map(self.index, row) else NOT_KEPT


def _texts(numbers: np.ndarray) -> list[str]:
    """The numbers of each image as one text; (n, R)."""
    return [", ".join(f"{value:.6g}" for value in row) for row in numbers.tolist()]
