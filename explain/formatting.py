"""How numbers are written, on the page, in reports and in the terminal."""

from collections.abc import Sequence

_DIRECTION = {
    ord(letter): "\ufffd"
    for letter in "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
}


def decimal(value: float) -> str:
    """.66, 1.0, or a dash for what could not be measured."""
    return "–" if value != value else f"{value:.2f}".removeprefix("0") if value < 0.995 else "1.0"


def percent(value: float) -> str:
    """86 %, 2.5 %, 0 %, or a dash; with a space that no line breaks at."""
    if value != value:
        return "–"
    return f"{100 * value:.0f}\u00a0%" if value >= 0.0995 or value == 0 else f"{100 * value:.1f}\u00a0%"


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


def without_turns(text: str) -> str:
    """Without letters that turn the direction of reading: a name must not make the line around it read
    otherwise."""
    return text.translate(_DIRECTION)
