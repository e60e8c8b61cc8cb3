"""The figures of trust as lines for a terminal."""

from collections.abc import Sequence

import numpy as np

from explain.quality.comparison import Comparison
from explain.quality.verdict import FIGURES, SHORT, Trust, Verdict, recommendation
from explain.text_table import columns


def format_trust(trust: Trust) -> str:
    """One table for each figure, methods against controls; then likenesses, and the recommendation."""
    lines = [f"{trust.images:,} images, layer {trust.layer or '(none)'}"]
    for name in trust.figures:
        figure = FIGURES[name]
        lines += ["", f"{figure.title}: {figure.meaning}", _figures(trust.verdicts, name)]
    lines += ["", _likenesses(trust.verdicts), "", recommendation(trust)]
    return "\n".join(lines)


def format_layers(found: Sequence[Trust]) -> str:
    """One row a layer: its best method."""
    rows: list[Sequence[str]] = [
        ("layer", "best method", "value", "best control", "difference", "p", "verdict")
    ]
    for trust in found:
        if trust.verdicts:
            best = trust.verdicts[0]
            c = best.decisive
            rows.append((trust.layer, best.title, *_numbers(c), best.text))
    return columns(rows, right=range(2, 6))


def _figures(verdicts: Sequence[Verdict], figure: str) -> str:
    """Every mean, then the comparison with the best control."""
    controls = list(dict.fromkeys(c for v in verdicts for c in v.figures[figure].means))
    heading = ("method", "mean", *(SHORT[c] for c in controls), "difference", "95 % interval", "p", "wins")
    rows: list[Sequence[str]] = [heading]
    for v in verdicts:
        found = v.figures[figure]
        means = (number(found.means.get(c, np.nan)) for c in controls)
        interval = "" if np.isnan(found.interval[0]) else "{:+.3f} to {:+.3f}".format(*found.interval)
        wins = "" if np.isnan(found.wins) else f"{100 * found.wins:.0f} %"
        rows.append(
            (v.title, number(found.mean), *means, _signed(found.difference), interval, p_text(found.p), wins)
        )
    return columns(rows, right=range(1, len(heading)))


def _likenesses(verdicts: Sequence[Verdict]) -> str:
    """Rank correlations of the maps, and what a map costs."""
    controls = list(dict.fromkeys(c for v in verdicts for c in v.alike))
    heading = (
        "rank correlation with",
        *(SHORT[c] for c in controls),
        "other methods",
        "ms per image",
        "verdict",
    )
    rows: list[Sequence[str]] = [heading]
    for v in verdicts:
        alike = (number(v.alike.get(c, np.nan), 2) for c in controls)
        rows.append((v.title, *alike, number(v.agreement, 2), f"{1000 * v.seconds:.1f}", v.text))
    return columns(rows, right=range(1, len(heading) - 1))


def _numbers(found: Comparison) -> tuple[str, ...]:
    control = f"{number(found.means.get(found.best, np.nan))} {SHORT.get(found.best, '')}".strip()
    return number(found.mean), control, _signed(found.difference), p_text(found.p)


def number(value: float, digits: int = 3) -> str:
    """Empty for NaN."""
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def _signed(value: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f}"


def p_text(p: float) -> str:
    """Of a probability; empty for NaN."""
    return "" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
