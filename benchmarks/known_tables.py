"""The tables of known effects: methods ranked beside their controls, and which figure ranks maps as their
known answers do."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from explain.analysis.statistics.intervals import percentiles, resamples
from explain.analysis.statistics.significance import signed_rank
from explain.methods.registry import METHODS
from explain.quality.comparison import Comparison, compare, mean_interval
from explain.quality.controls import IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK
from explain.quality.format_text import number, p_text
from explain.quality.verdict import SHORT

Values = Callable[[pd.DataFrame], pd.Series]

FIGURES: dict[str, Values] = {
    "insertion − deletion": lambda r: r["insertion"] - r["deletion"],
    "insertion": lambda r: r["insertion"],
    "deletion (negative)": lambda r: -r["deletion"],
    "ROAD": lambda r: (r["least_relevant_first"] - r["most_relevant_first"]) / 2,
    "insertion − deletion, logits": lambda r: r["insertion.logit"] - r["deletion.logit"],
    "insertion, logits": lambda r: r["insertion.logit"],
    "deletion (negative), logits": lambda r: -r["deletion.logit"],
    "ROAD, logits": lambda r: (r["least_relevant_first.logit"] - r["most_relevant_first.logit"]) / 2,
    "unlike the random network's map": lambda r: r["unlike_random"],
    "smooth MPRT": lambda r: r["smooth_mprt"],
    "efficient MPRT": lambda r: r["efficient_mprt"],
    "agreement with other methods": lambda r: r["agreement"],
    "max-sensitivity (negative)": lambda r: r["max_sensitivity"],
    "entropy (negative)": lambda r: r["simple"],
    "Gini index": lambda r: r["gini"],
    "likeness to the center": lambda r: r["like_center"],
}
"""Figures of maps that need no known answer, larger is better; the last is no figure of quality, and stands
for what any figure must exceed."""


def wide(rows: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """One row a face, a column for each (method, variant)."""
    made = rows.assign(value=values)
    table = made.pivot_table(index="id", columns=["method", "variant"], values="value", dropna=False)
    return table.dropna(axis=1, how="all")


def of_methods(table: pd.DataFrame) -> list[str]:
    return [method for method, variant in table.columns if not variant]


def against_controls(table: pd.DataFrame, names: Sequence[str]) -> dict[str, Comparison]:
    """Each method against the best of the controls `names`."""
    methods = of_methods(table)
    controls = {m: {v: table["" if v in IMAGE_CONTROLS else m, v].to_numpy() for v in names} for m in methods}
    return compare({m: table[m, ""].to_numpy() for m in methods}, controls)


def title(method: str) -> str:
    return METHODS[method].title if method in METHODS else method


def _cell(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    low, high = mean_interval(known)
    return f"{known.mean():.3f} ({low:.3f} to {high:.3f})"


def ranking_table(rows: pd.DataFrame, group: str) -> str:
    """Methods and controls by how well their maps follow the true effects of the things of `group`."""
    table = wide(rows, rows[group]).dropna()
    others = {reading: wide(rows, rows[group + reading]) for reading in (".positive", ".sum")}
    compared = against_controls(table, [*IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK])
    lines = [
        f"Removed: {group}; {len(table)} faces. Mean correlation over faces with its interval of 95 %.",
        "",
        "| map | correlation | difference to its best control | p | better on | positive part | sum |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    chosen = [(m, "") for m in of_methods(table)] + [("", c) for c in IMAGE_CONTROLS]
    for variant in (OTHER_IMAGE, RANDOM_NETWORK):  # the best of all methods
        chosen.append(max(((m, variant) for m in of_methods(table)), key=lambda pair: table[pair].mean()))
    for pair in sorted(chosen, key=lambda pair: -table[pair].mean()):
        method, variant = pair
        against = [""] * 3
        if not variant:
            against = _against(compared[method])
        name = title(method) if not variant else _control(pair)
        readings = [number(float(t[pair].mean())) for t in others.values()]
        lines.append("| " + " | ".join([name, _cell(table[pair].to_numpy()), *against, *readings]) + " |")
    return "\n".join(lines)


def _control(pair: tuple[str, str]) -> str:
    method, variant = pair
    return f"*{SHORT[variant]}*" + (f" (best: {title(method)})" if method else "")


def _against(found: Comparison) -> list[str]:
    low, high = found.interval
    difference = f"{found.difference:+.3f} ({low:+.3f} to {high:+.3f}), {SHORT[found.best]}"
    return [difference, p_text(found.p), f"{100 * found.wins:.0f} %"]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation over the last axis of (..., n), NaN where one of the two has no order."""
    x, y = (stats.rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (a, b))
    lengths = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    result: np.ndarray = np.divide(
        (x * y).sum(-1), lengths, out=np.full(np.shape(lengths), np.nan), where=lengths > 0
    )
    return result


def between(known: np.ndarray, figure: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Correlation over maps M of the means over faces of (N, M), with the interval of 95 % by bootstrap
    samples of the faces."""
    counts = np.concatenate(list(resamples(len(known)))).astype(float)
    draws = rank_correlation(counts @ known, counts @ figure)
    low, high = percentiles(draws[:, None])[0]
    return float(rank_correlation(known.mean(0), figure.mean(0))), (float(low), float(high))


def _estimate(value: float, interval: tuple[float, float]) -> str:
    return "" if np.isnan(value) else f"{value:+.2f} ({interval[0]:+.2f} to {interval[1]:+.2f})"


def _mean(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return _estimate(float(known.mean()), mean_interval(known)) if len(known) else ""


def _within_methods(known: np.ndarray, figure: np.ndarray) -> str:
    """Over faces of one method, the mean over methods; faces are drawn anew for the interval."""
    counts = np.concatenate(list(resamples(len(known))))
    drawn = np.stack([np.repeat(np.arange(len(c)), c) for c in counts])
    a, b = (values[drawn].transpose(0, 2, 1) for values in (known, figure))
    draws = np.nan_to_num(rank_correlation(a, b)).mean(1)
    low, high = percentiles(draws[:, None])[0]
    return _estimate(float(np.nanmean(rank_correlation(known.T, figure.T))), (float(low), float(high)))


def paired(rows: pd.DataFrame, group: str, figure: str, controls: bool) -> tuple[np.ndarray, np.ndarray]:
    """(N, M) twice: known answers and the figure of the faces and maps for which both are known."""
    known, measured = wide(rows, rows[group]), wide(rows, FIGURES[figure](rows))
    pairs = [(m, "") for m in of_methods(known)]
    pairs = [pair for pair in pairs if pair in measured.columns]
    pairs += [("", c) for c in IMAGE_CONTROLS] if controls else []
    both = pd.concat([known[pairs], measured[pairs]], axis=1).replace([np.inf, -np.inf], np.nan).dropna()
    values = both.to_numpy()
    return values[:, : len(pairs)], values[:, len(pairs) :]


def _difference(rows: pd.DataFrame, group: str, figure: str) -> str:
    """By how much the correlation between methods of one face exceeds that of the first of `FIGURES`, on the
    same faces and methods; with Wilcoxon's p, not adjusted."""
    first = next(iter(FIGURES))
    if figure == first:
        return ""
    known, measured = paired(rows, group, figure, controls=False)
    kept = rows[FIGURES[figure](rows).notna()]
    reference = paired(kept, group, first, controls=False)
    if reference[0].shape != known.shape:
        return ""
    differences = rank_correlation(known, measured) - rank_correlation(*reference)
    differences = differences[np.isfinite(differences)]
    return f"{_mean(differences)}, {p_text(signed_rank(differences))}" if len(differences) else ""


def figure_table(rows: pd.DataFrame, group: str, answer: str) -> str:
    """How well each figure ranks maps as their known answers in the column `group` do."""
    lines = [
        f"Rank correlation of each figure with the known answer ({answer}), interval of 95 %.",
        "",
        "| figure | faces × methods | between methods | with the controls center, noise and edges | "
        "between methods of one face | difference to insertion − deletion, p | between faces of one method |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in FIGURES:
        known, figure = paired(rows, group, name, controls=False)
        if not known.size:
            continue
        curves = "insertion" in name or "deletion" in name or "ROAD" in name
        more = paired(rows, group, name, controls=True) if curves else None
        cells = [
            name,
            f"{known.shape[0]} × {known.shape[1]}",
            _estimate(*between(known, figure)),
            _estimate(*between(*more)) if more else "",
            _mean(rank_correlation(known, figure)),
            _difference(rows, group, name),
            _within_methods(known, figure),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def outcome_table(rows: pd.DataFrame, group: str) -> str:
    """Whether each method is better than the controls that see the image alone, by the known answer and by
    figures that need none."""
    by = {"known answer": against_controls(wide(rows, rows[group]).dropna(), list(IMAGE_CONTROLS))}
    for name in ("insertion − deletion", "ROAD", "insertion − deletion, logits", "ROAD, logits"):
        by[name] = against_controls(wide(rows, FIGURES[name](rows)), list(IMAGE_CONTROLS))
    lines = [
        f"Against the best of center, noise and edges (removed: {group}):",
        "",
        "| method | " + " | ".join(by) + " |",
        "| --- |" + " --- |" * len(by),
    ]
    for method in sorted(by["known answer"], key=lambda m: -by["known answer"][m].mean):
        lines.append(f"| {title(method)} | " + " | ".join(_outcome(c, method) for c in by.values()) + " |")
    equal = [_agreeing(by["known answer"], by[name]) for name in by]
    return "\n".join([*lines, "| same as the known answer | " + " | ".join(equal) + " |"])


def _outcome(of: Mapping[str, Comparison], method: str) -> str:
    found = of[method]
    return f"{found.outcome} ({found.difference:+.3f}, {SHORT[found.best]})"


def _agreeing(known: Mapping[str, Comparison], other: Mapping[str, Comparison]) -> str:
    return f"{sum(known[m].outcome == other[m].outcome for m in known)} of {len(known)}"
