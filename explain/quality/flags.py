"""What is wrong with a map on its face, in plain words."""

from dataclasses import dataclass

from torch import Tensor

from explain.quality.similarity import is_flat
from explain.run.map_stats import UNIFORM_BORDER_MASS, attention_statistics

SATURATED = 0.999999
ONE_CELL = 0.99
"""From so large a fraction of the positive values in one position on."""


@dataclass(frozen=True)
class Flag:
    """`name`: not finite, flat, all negative, saturated, one cell or border; `reason`: one line."""

    name: str
    reason: str


def flags(raw: Tensor, probability: float | None = None) -> tuple[Flag, ...]:
    """What is wrong with a raw map (h, w), where anything is. `probability`: the network's, of the class that
    the map explains; without it saturation is not looked for."""
    found = [_of_values(raw), *_of_positions(raw), _of_probability(probability)]
    return tuple(flag for flag in found if flag is not None)


def _of_values(raw: Tensor) -> Flag | None:
    bad = int((~raw.isfinite()).sum())
    if bad:
        return Flag("not finite", f"{bad} of {raw.numel()} values are NaN or infinite.")
    if bool(is_flat(raw)):
        zero = "zero" if not raw.any() else "the same value"
        return Flag("flat", f"Every position has {zero}: the map prefers no part of the image.")
    if not bool((raw > 0).any()):
        return Flag("all negative", "No value is positive: no part of the image is evidence for this class.")
    return None


def _of_positions(raw: Tensor) -> list[Flag | None]:
    """Of maps with positive values somewhere."""
    if not raw.isfinite().all() or bool(is_flat(raw)) or not bool((raw > 0).any()):
        return []
    positive = raw.double().clamp_min(0)
    largest = float(positive.max() / positive.sum())
    border = float(attention_statistics(positive.cpu().numpy()[None])["border_mass"][0])
    return [
        Flag("one cell", f"{100 * largest:.0f} % of the positive sum lie in one position of {raw.numel()}.")
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
        f"The probability is above {SATURATED}: its gradient is almost zero, so maps and small changes of "
        "the probability show nothing. Explain the logit.",
    )
