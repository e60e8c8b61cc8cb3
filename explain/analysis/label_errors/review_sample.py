"""Which image a reviewer sees next: a stratified random sample, and between its images the most suspicious
ones.

The sample is drawn without replacement in strata by suspicion: the most suspicious tenth of the images, the
next fifth, and the rest. Each stratum has a random order that is fixed by the run alone, and a sample of m
images is the first m of it; so any stop is a simple random sample of the stratum, whatever was answered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from explain.run.people.review import SAMPLE, SUSPICIOUS, Answer

FRACTIONS = (0.1, 0.2, 0.7)
"""Of the images, by suspicion."""
SHARES = (1, 1, 2)
"""Of the sample: for fractions of wrong labels that fall with suspicion, near to the allocation with the
smallest variance (J. Neyman, 1934)."""
EVERY = 3
"""Each image of this number is one of the most suspicious."""


@dataclass(frozen=True)
class Shown:
    """An image to be reviewed: its row in the run, and its place, as `Answer` has them."""

    row: int
    part: str
    stratum: int
    position: int
    size: int

    @property
    def probability(self) -> float:
        return self.position / self.size


@dataclass(frozen=True, eq=False)
class Sample:
    """`orders`: rows (n,) of each stratum in their random order."""

    orders: tuple[np.ndarray, ...]

    @cached_property
    def places(self) -> dict[int, tuple[int, int]]:
        """Row -> its stratum, and its position from 1."""
        return {row: (h, i) for h, rows in enumerate(self._rows) for i, row in enumerate(rows, 1)}

    @property
    def sizes(self) -> list[int]:
        return [len(order) for order in self.orders]

    def drawn(self, answered: "set[int] | frozenset[int]") -> list[int]:
        """Of each stratum, how many images at the start of its order are answered: the sample so far."""
        return [next((i for i, r in enumerate(o) if r not in answered), len(o)) for o in self._rows]

    @cached_property
    def _rows(self) -> list[list[int]]:
        """`orders` as lists, which Python walks through in a third of the time."""
        return [order.tolist() for order in self.orders]

    def shown(self, row: int, part: str) -> Shown:
        stratum, position = self.places[row]
        return Shown(row, part, stratum, position, len(self.orders[stratum]))


def sample_of(suspicion: pd.Series, seed: int = 0) -> Sample:
    """Strata and orders for the rows of a run, from their suspicion (any order of the images will do). The
    same for the same values and seed."""
    rows = suspicion.index.to_numpy()[np.argsort(-suspicion.to_numpy(float), kind="stable")]
    ends = np.round(np.cumsum(FRACTIONS) * len(rows)).astype(int)
    rng = np.random.default_rng(seed)
    parts = np.split(rows, ends[:-1])
    return Sample(tuple(rng.permutation(part) for part in parts if len(part)))


def next_image(sample: Sample, answered: Sequence[int], ranking: Callable[[], pd.Series]) -> Shown | None:
    """What a reviewer sees who answered these rows; None where all are answered. `ranking`: makes the
    suspicion of each row as it is known by now. Each third image is the most suspicious one; the others are
    the next of the stratum whose sample lags most behind its share. Images of the sample that were answered
    as suspicious ones count as drawn when it reaches them."""
    done = set(answered)
    if len(done) % EVERY == EVERY - 1:
        row = _most_suspicious(ranking(), answered)
        if row is not None:
            return sample.shown(row, SUSPICIOUS)
    drawn = sample.drawn(done)
    open_ones = [h for h, size in enumerate(sample.sizes) if drawn[h] < size]
    if not open_ones:
        return None
    shares = SHARES if len(sample.orders) == len(SHARES) else (1,) * len(sample.orders)
    h = min(open_ones, key=lambda k: ((drawn[k] + 1) / shares[k], k))
    return sample.shown(int(sample.orders[h][drawn[h]]), SAMPLE)


def _most_suspicious(ranking: pd.Series, answered: Sequence[int]) -> int | None:
    """The row of the largest value, the first of equal ones, of those that are not answered."""
    rows, values = ranking.index.to_numpy(), ranking.to_numpy(float)  # pandas takes ten times as long
    left = np.isin(rows, np.asarray(answered, int), invert=True, kind="table")
    left &= values == values
    return int(rows[np.where(left, values, -np.inf).argmax()]) if left.any() else None


def rows_by_id(ids: pd.Series) -> dict[str, int]:
    """Image -> its row."""
    return {str(name): int(str(row)) for row, name in ids.items()}


def answered_rows(answers: Sequence[Answer], rows: Mapping[str, int]) -> list[int]:
    """Rows of the images that were answered, without those that the run lacks."""
    return [rows[one.id] for one in answers if one.id in rows]
