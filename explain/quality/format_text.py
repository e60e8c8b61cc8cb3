"""The figures of trust as lines for a terminal, at most 110 characters wide where names are short."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from explain.quality.comparison import Comparison
from explain.quality.over_depth.depth import Depth, LayerBar
from explain.quality.verdict import FIGURES, SHORT, Trust, Verdict, recommendation
from explain.text_table import TextTable, columns
from models.counts import counted

WIDTH, BAR = 110, 9
HEADINGS = {
    "center": "center",
    "noise": "noise",
    "edges": "edges",
    "other_image": "other image",
    "random_network": "random network",
}
"""Controls, as short as a column takes them."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def format_trust(
    trust: Trust,
    explained: str = "",
    tables: Sequence[TextTable] = (),
    conclusion: str = "",
    size: str = "",
) -> str:
    """Of each figure the methods and their controls; then likenesses, further `tables`, the verdicts, and the
    recommendation, or `conclusion` in its place. `explained`: of what the maps are; `size`: of how many
    images the tables are, and of which methods."""
    about = [size or counted(trust.images, "image"), trust.layer and f"layer {trust.layer}", explained]
    lines = [", ".join(filter(None, about))]
    for name in trust.figures if trust.verdicts else ():
        figure = FIGURES[name]
        lines += ["", *wrapped(f"{figure.title}: {figure.meaning}"), _figures(trust, name)]
        lines += ["", _controls(trust.verdicts, name)]
    if trust.verdicts:
        lines += ["", adjusted(len(trust.verdicts))] if len(trust.verdicts) > 1 else []
        lines += ["", _likenesses(trust.verdicts)]
        for table in tables:
            said = ": ".join(filter(None, [table.title, table.meaning]))
            lines += ["", *wrapped(said)]
            lines += [columns(table.rows, table.right)] if table.rows else []
        lines += ["", _verdicts(trust.verdicts)]
    return "\n".join([*lines, "", *wrapped(conclusion or recommendation(trust))])


def adjusted(methods: int) -> str:
    """How p and the intervals of a table of several methods were computed."""
    return f"p is adjusted for {methods} methods, the intervals are not: the two may say different things."


def wrapped(text: str) -> list[str]:
    """Lines of normal width."""
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def format_depth(depth: Depth) -> str:
    """Faithfulness over depth: one row a layer, with a bar for its best method; from the input to the
    output. The only method that was measured is named above the rows."""
    heading = ("layer", "", "value", "best method", "best control", "p", "verdict")
    rows: list[Sequence[str]] = [heading]
    rows += [(one.name, bar(one.fraction, 1.0), *layer_cells(one, HEADINGS)) for one in depth.bars]
    if depth.method:
        rows = [[*cells[:3], *cells[4:]] for cells in rows]
    text = columns(rows, (2, 4 if depth.method else 5))
    return f"{depth.title}, {depth.images} images; (run): the run's own layer\n{text}"


def layer_cells(one: LayerBar, controls: Mapping[str, str] = SHORT) -> tuple[str, ...]:
    """Of the best method of a layer: value, title, best control by the names of `controls`, p and verdict."""
    found = one.best.decisive
    control = f"{number(found.means.get(found.best, np.nan))} {controls.get(found.best, '')}".strip()
    return number(found.mean), one.best.title, control, p_text(found.p), one.best.text


def bar(value: float, most: float, width: int = BAR) -> str:
    """A bar of `width` characters at `most`; nothing for values that are not positive."""
    eighths = round(8 * width * value / most) if most > 0 and value > 0 else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def named(verdict: Verdict, figure: str, images: int) -> str:
    """The title of a method beside a figure; with the number of images, where not all values of each of the
    `images` of the table are known (maps or answers that are not finite, no other image of the class)."""
    known = verdict.figures[figure].images
    return verdict.title if known == images else f"{verdict.title} ({counted(known, 'image')})"


def _figures(trust: Trust, figure: str) -> str:
    """Every mean, and its comparison with the best control."""
    heading = ("method", "mean", "best control", "difference", "95 % interval", "p", "better on")
    rows: list[Sequence[str]] = [heading]
    for v in trust.verdicts:
        found = v.figures[figure]
        control = f"{number(found.means.get(found.best, np.nan))} {HEADINGS.get(found.best, '')}".strip()
        interval = interval_text(found)
        wins = "" if np.isnan(found.wins) else f"{100 * found.wins:.0f} % of images"
        difference = signed(found.difference)
        cells = number(found.mean), control, difference, interval, p_text(found.p), wins
        rows.append((named(v, figure, trust.images), *cells))
    return columns(rows, right=(1, 3, 4, 5, 6))


def _controls(verdicts: Sequence[Verdict], figure: str) -> str:
    """The means of every control."""
    rows = controls_of([(v.title, v.figures[figure]) for v in verdicts])
    return columns(rows, right=range(1, len(rows[0])))


def controls_of(found: Sequence[tuple[str, Comparison]]) -> list[Sequence[str]]:
    """The means of every control, one row a method; `found`: its title and its comparison."""
    controls = list(dict.fromkeys(c for _, one in found for c in one.means))
    rows: list[Sequence[str]] = [("controls of", *(HEADINGS[c] for c in controls))]
    return rows + [(t, *(number(one.means.get(c, np.nan)) for c in controls)) for t, one in found]


def _likenesses(verdicts: Sequence[Verdict]) -> str:
    """Rank correlations of the maps."""
    controls = list(dict.fromkeys(c for v in verdicts for c in v.alike))
    heading = ("rank correlation of", *(HEADINGS[c] for c in controls), "other methods")
    rows: list[Sequence[str]] = [heading]
    for v in verdicts:
        alike = (number(v.alike.get(c, np.nan), 2) for c in controls)
        rows.append((v.title, *alike, number(v.agreement, 2)))
    return columns(rows, right=range(1, len(heading)))


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    """What the figures say of each method, and what a map costs."""
    rows: list[Sequence[str]] = [("method", "ms per map", "verdict")]
    rows += [(v.title, f"{1000 * v.seconds:.1f}", v.text) for v in verdicts]
    return columns(rows, right=(1,))


def number(value: float, digits: int = 3) -> str:
    """Empty for NaN."""
    return "" if np.isnan(value) else f"{round(value, digits) + 0.0:.{digits}f}"  # never -0.000


def interval_text(found: Comparison) -> str:
    """Of the difference; empty where nothing varies."""
    return "" if np.isnan(found.interval[0]) else "{:+.3f} to {:+.3f}".format(*found.interval)


def signed(value: float) -> str:
    """Empty for NaN."""
    return "" if np.isnan(value) else f"{value:+.3f}"


def p_text(p: float) -> str:
    """Of a probability; empty for NaN."""
    return "" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
