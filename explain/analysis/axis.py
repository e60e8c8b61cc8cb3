"""An axis with round numbers: its ends, its ticks and how its numbers are written. NumPy only."""

import math
from dataclasses import dataclass

import numpy as np

NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
WHOLE = (1.0, 2.0, 5.0, 10.0)
LARGEST = 1e300  # beyond it, sums of two numbers overflow
STRETCHED = 4  # an axis that is so many times longer than the middle of the numbers leaves some outside
MIDDLE = (0.005, 0.995)


def round_step(least: float, whole: bool = False) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least` > 0; `whole`: one that is a
    whole number."""
    power = math.floor(math.log10(least))
    if whole:
        power = max(power, 0)
    steps = WHOLE if whole else NICE
    for exponent in (power, power + 1):
        for factor in steps:
            step = factor * 10.0**exponent
            if step >= least * (1 - 1e-9):
                return step
    raise AssertionError(least)


def decimals_of(step: float) -> int:
    """How many decimals a multiple of `step` needs; negative for steps of tens, hundreds ..."""
    digits = -math.floor(math.log10(step) + 1e-9)
    return digits if round(step * 10.0**digits, 6) == round(step * 10.0**digits) else digits + 1


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, both multiples of `step`, the side of a cell. Numbers outside are drawn at the
    ends."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, values: np.ndarray, cells: int, whole: bool = False) -> "Axis":
        """Around finite `values`, in at most `cells` cells. A few values that are so far away that all others
        would lie in one place are left outside."""
        low, high = _ends(np.clip(values, -LARGEST, LARGEST))
        step = round_step((high - low) / max(cells - 2, 1), whole)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        last = max(last, first + 1)
        return cls(_multiple(first, step), _multiple(last, step), step)

    @property
    def span(self) -> float:
        return self.high - self.low

    @property
    def cells(self) -> int:
        return round(self.span / self.step)

    @property
    def edges(self) -> np.ndarray:
        """(cells + 1,): multiples of the step, each the float that its text stands for."""
        first = round(self.low / self.step)
        return np.array([_multiple(first + k, self.step) for k in range(self.cells + 1)])

    @property
    def resolution(self) -> int:
        """Decimals that are told apart: a thousandth of the axis."""
        return -math.floor(math.log10(self.span / 1000))

    def ticks(self, most: int = 6) -> list[float]:
        """At most `most` round numbers on the axis."""
        step = round_step(self.span / (most - 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [_multiple(k, step) for k in range(first, last + 1)]

    def place(self, values: np.ndarray) -> np.ndarray:
        """Where values lie, from 0 to 1."""
        return (np.clip(values, self.low, self.high) - self.low) / self.span

    def text(self, value: float, step: float = 0.0) -> str:
        """A number as it stands at a tick, or at an edge of cells of `step`."""
        return number_text(value, decimals_of(step or round_step(self.span / 5)))


def number_text(value: float, decimals: int) -> str:
    """With thousands separators and a typographic minus; very large and very small ones by powers of ten."""
    if value and not 1e-4 <= abs(value) < 1e9:
        text = f"{value:.4g}"
    else:
        text = f"{value:,.{max(decimals, 0)}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text.replace("-", "−")


def _ends(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    near, far = (float(v) for v in np.quantile(values, MIDDLE))
    if far > near and high - low > STRETCHED * (far - near):
        low, high = near, far
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        half = 0.5 * max(abs(low), 1.0)
        return low - half, high + half
    return low, high


def _multiple(k: int, step: float) -> float:
    return round(k * step, decimals_of(step)) + 0.0
