"""Numbers and names as text, on the page, in reports and in the terminal."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.counts import be as be
from models.counts import counted as counted
from models.counts import plural as plural

if TYPE_CHECKING:
    import numpy as np

TARGET_NAMES = {"pred": "predicted", "label": "true"}  # of a run's two targets
_DIRECTION = {
    ord(letter): "\ufffd"
    for letter in "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def decimal(value: float) -> str:
    """.66, 1.0, or a dash for what could not be measured."""
    return "–" if value != value else f"{value:.2f}".removeprefix("0") if value < 0.995 else "1.0"


def percent(value: float) -> str:
    """86 %, 2.5 %, 0 %, or a dash; with a space that no line breaks at."""
    if value != value:
        return "–"
    return f"{100 * value:.0f}\u00a0%" if value >= 0.0995 or value == 0 else f"{100 * value:.1f}\u00a0%"


def called_text(classes: Sequence[str], prob: "np.ndarray", threshold: float = 0.5) -> str:
    """Of several labels per image, those that are called: 'red 91.0 % and blue 64.2 %', or the most probable
    one, 'no label (red 31.0 %)'. `prob` (K,): of each label, which do not sum to 1."""
    order = (-prob).argsort(kind="stable").tolist()
    texts = [f"{classes[k]} {100 * prob[k]:.1f} %" for k in order if prob[k] >= threshold]
    return listed(texts) if texts else f"no label ({classes[order[0]]} {100 * prob[order[0]]:.1f} %)"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def p_value(p: float) -> str:
    """.0134, .50, <.0001, or a dash."""
    return (
        "–"
        if p != p
        else "<.0001"
        if p < 1e-4
        else f"{p:.4f}".removeprefix("0")
        if p < 0.1
        else f"{p:.2f}".removeprefix("0")
    )


def chance(p: float) -> str:
    """A p-value in a sentence."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """a, b and c; or the first few of many."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def layer_label(layer: str) -> str:
    """A layer by its name; of several that are put together, 'a,b,c', how many and the last: '3 layers to
    c'."""
    names = layer.split(",")
    return layer if len(names) == 1 else f"{len(names)} layers to {names[-1]}"


def evidence(name: str, target: str) -> str:
    """The caption of a map: 'evidence for fear (predicted)'. `target`: pred or label."""
    return f"evidence for {name} ({TARGET_NAMES[target]})"


def visible_text(text: str) -> str:
    """The text for a page or a report: U+FFFD for control characters, except tabs and line breaks, and for
    characters that change the direction of reading."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub("\ufffd", without_direction_marks(text))


def without_direction_marks(text: str) -> str:
    """The text with U+FFFD for characters that change the direction of reading, so that a name cannot
    rearrange the line around it. Letters of right-to-left scripts stay."""
    return text if text.isascii() else text.translate(_DIRECTION)
