"""What describes maps as tables of text: known regions, and how concentrated, stable and dependent on the
weights maps are."""

from collections.abc import Iterator, Sequence

import numpy as np

from explain.quality.described.description import LOCALIZATION, Described, Description, Region, localized_text
from explain.quality.format_text import controls_of, interval_text, number, p_text, signed
from explain.quality.settings import REPEATED_IMAGES
from explain.text_table import TextTable, printable
from models.counts import counted

QUALITY = "This describes maps and says nothing of their quality: a wrong map may be simple and stable."
CURVE = "smooth MPRT"
CURVED = (
    "rank correlation of maps with the network's own map while its layers become random, from the output on; "
    "1: the map does not depend on them"
)


def tables_of(description: Description) -> list[TextTable]:
    """Of each known region a line, and of each figure two tables, methods and controls; then the description.
    Empty where nothing was measured."""
    found = [table for region in description.regions for table in _of_region(description, region)]
    return [*found, *_described(description)]


def _of_region(description: Description, region: Region) -> Iterator[TextTable]:
    yield TextTable(
        "Where the maps lie",
        f"{printable(region.name)}, {100 * region.area:.1f} % of the image on average, known in "
        f"{counted(region.images, 'image')}. This does not decide the verdicts.",
        (),
    )
    for figure, (title, meaning) in LOCALIZATION.items():
        found = region.figures[figure]
        shown = [v for v in description.verdicts if v.method in found]
        rows: list[Sequence[str]] = [
            ("method", "images", "mean", "difference", "95 % interval", "p", "in the region")
        ]
        for v in shown:
            one = found[v.method]
            values = number(one.mean), signed(one.difference), interval_text(one), p_text(one.p)
            rows.append((v.title, f"{one.images:,}", *values, localized_text(v, one)))
        yield TextTable(title, meaning, rows, range(1, 6))
        controls = controls_of([(v.title, found[v.method]) for v in shown])
        yield TextTable("", "", controls, range(1, len(controls[0])))


def _described(description: Description) -> Iterator[TextTable]:
    made = description.methods
    if not made:
        return
    heading, values = ["method"], [[one.title] for one in made]
    for name, cells in _columns(made).items():
        if any(cells):
            heading.append(name)
            for row, cell in zip(values, cells, strict=True):
                row.append(cell)
    verdicts = [[*row, one.verdict] for row, one in zip(values, made, strict=True)]
    yield TextTable(_title(description), QUALITY, [[*heading, "verdict"], *verdicts], range(1, len(heading)))
    fractions = sorted({f for one in made for f in one.similarity})
    if fractions:
        rows = [["random layers", *(f"{100 * f:.0f} %" for f in fractions), "mean"]]
        for one in made:
            curve = [one.similarity.get(f, np.nan) for f in fractions]
            rows.append([one.title, *(number(v, 2) for v in (*curve, float(np.mean(curve))))])
        yield TextTable(CURVE, CURVED, rows, range(1, len(rows[0])))


def _columns(made: Sequence[Described]) -> dict[str, list[str]]:
    """Heading -> the cells of all methods; empty cells where nothing was measured."""
    return {
        "entropy": [number(one.entropy) for one in made],
        "at most": [number(one.entropy_most) for one in made],
        "Gini": [number(one.gini) for one in made],
        "efficient MPRT": [number(one.efficient_mprt) for one in made],
        "max-sensitivity": [number(one.max_sensitivity) for one in made],
    }


def _title(description: Description) -> str:
    """With the number of images of each kind of figure."""
    names = {"maps": "entropy and Gini", "mprt": "MPRT", "stability": "max-sensitivity"}
    counts = description.images
    parts = [f"{names[k]} of {counted(n, 'image')}" for k, n in counts.items() if n]
    again = counts["mprt"] or counts["stability"]
    most = f"; figures that make maps many times take at most {REPEATED_IMAGES}" if again else ""
    return f"Description ({'; '.join(parts)}{most})"
