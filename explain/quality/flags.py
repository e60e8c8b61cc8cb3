"""What is wrong with a map on its face, in plain words. NumPy only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explain.run.map_stats import UNIFORM_BORDER_MASS, attention_statistics

if TYPE_CHECKING:
    from torch import Tensor

SATURATED = 0.999999
FLAT = 1e-6
"""A map whose values differ by less than so much of the largest magnitude is flat: what is left is
rounding."""
ONE_CELL = 0.99
"""From so large a fraction of the positive values in one position on."""
NO_ORDER = ("not finite", "flat")
"""Flags of maps that prefer no part of the image to another."""


@dataclass(frozen=True)
class Flag:
    """`name`: not finite, flat, all negative, saturated, one cell or border; `reason`: one line."""

    name: str
    reason: str


def flags(
    raw: "np.ndarray | Tensor", probability: float | None = None, numbers: bool = False
) -> tuple[Flag, ...]:
    """What is wrong with a raw map (h, w), where anything is. `probability`: the network's, of the class that
    the map explains; without it saturation is not looked for. `numbers`: the map explains a number, and no
    class."""
    values = (raw if isinstance(raw, np.ndarray) else raw.cpu().numpy()).astype(np.float64)
    found = [_of_values(values, numbers), *_of_positions(values), _of_probability(probability)]
    return tuple(flag for flag in found if flag is not None)


def _is_flat(values: np.ndarray) -> bool:
    return bool(values.max() - values.min() <= FLAT * np.abs(values).max())


def _of_values(values: np.ndarray, numbers: bool) -> Flag | None:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        return Flag("not finite", f"{bad} of {values.size} values are NaN or infinite.")
    if _is_flat(values):
        zero = "the same value" if values.any() else "zero"
        return Flag("flat", f"Every position has {zero}: the map prefers no part of the image.")
    if not (values > 0).any():
        missing = "makes the number larger" if numbers else "is evidence for this class"
        return Flag("all negative", f"No value is positive: no part of the image {missing}.")
    return None


def _of_positions(values: np.ndarray) -> list[Flag | None]:
    """Of maps with positive values somewhere."""
    if not np.isfinite(values).all() or _is_flat(values) or not (values > 0).any():
        return []
    positive = np.maximum(values, 0)
    largest = float(positive.max() / positive.sum())
    border = float(attention_statistics(positive[None])["border_mass"][0])
    return [
        Flag("one cell", f"{100 * largest:.0f} % of the positive sum lie in one position of {values.size}.")
        if largest >= ONE_CELL
        else None,
        Flag(
            "border",
            f"{100 * border:.0f} % of the positive sum lie in the outer eighth of the image, which is "
            f"{100 * UNIFORM_BORDER_MASS:.0f} % of its area.",
        )
        if border >= 2 * UNIFORM_BORDER_MASS
        else None,
    ]


def _of_probability(probability: float | None) -> Flag | None:
    if probability is None or not probability > SATURATED:
        return None
    return Flag(
        "saturated",
        f"The probability is above {SATURATED}: its gradient is almost zero, so small changes of it show "
        "nothing, nor do maps of it; maps of the logit do.",
    )
