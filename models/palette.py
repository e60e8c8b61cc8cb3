"""The colors that page, report, sheets and charts share, for light and dark: they are changed here only."""

from typing import NamedTuple


class Shade(NamedTuple):
    """One color on a light ground and on a dark one, as #rrggbb."""

    light: str
    dark: str


CORRECT = Shade("#0d7068", "#3fb8ab")  # results: cards, cells, bars and names of what was predicted correctly
WRONG = Shade("#ab4116", "#ef8a5a")  # and of what was misclassified
ACCENT = Shade("#0d7068", "#3fb8ab")  # controls, links and the first line of a chart
WARNING = Shade("#ab4116", "#ef8a5a")  # warnings and the second line of a chart

VARIABLES = {"correct": CORRECT, "wrong": WRONG, "acc": ACCENT, "bad": WARNING}


def css_variables(prefix: str, dark: bool = False) -> str:
    """`VARIABLES` as declarations of CSS, in the light or the dark shade; `prefix` is for example `--vt-`."""
    return " ".join(
        f"{prefix}{name}: {shade.dark if dark else shade.light};" for name, shade in VARIABLES.items()
    )
