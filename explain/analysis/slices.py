"""Slices: groups of images that have something in common, and whether the network is wrong on them more often
than on the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explain.analysis.statistics.significance import false_discovery, more_errors, within_strata
from explain.run.format import map_column
from explain.run.image_stats import FACTS
from explain.run.reader import RunData

FIFTHS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")
FEWEST, VALUES = 10, 50
"""Images of a slice, and values of a column that are tested, the commonest first."""
_GREY = 2.0  # colorfulness below which a picture counts as grey


@dataclass(frozen=True, eq=False)
class Slice:
    """`rows` where `attribute` is `value`; `kind`: picture, data (the data's own columns) or attention.
    `wrong` of them, and of the `rest`. `expected`: errors that its mix of classes would have. `p`: more
    errors than the rest; `p_within`: more than the rest within each class; both adjusted for the number of
    slices; `exact` and `exact_within` are not. `end`: the lowest or highest fifth, or a value by itself."""

    attribute: str
    value: str
    kind: str
    rows: np.ndarray
    wrong: int
    rest: int
    rest_wrong: int
    expected: float
    p: float
    p_within: float
    exact: float
    exact_within: float

    @property
    def end(self) -> bool:
        return not self.value.startswith(FIFTHS[1:4])

    @property
    def rate(self) -> float:
        return self.wrong / len(self.rows)

    @property
    def rest_rate(self) -> float:
        return self.rest_wrong / self.rest

    @property
    def name(self) -> str:
        return f"{self.attribute}: {self.value}"


def attributes(run: RunData, method: str) -> Iterator[tuple[str, str, pd.Series]]:
    """(kind, name, values) of everything that images can be grouped by: their pictures, the data's columns,
    their maps for the prediction."""
    ok = run.ok
    for name in FACTS:
        if name in ok and name not in ("width", "height"):
            yield "picture", name, ok[name]
    if "width" in ok:
        yield "picture", "size", np.sqrt(ok["width"].astype(float) * ok["height"].astype(float))
    if run.metadata is not None:
        for column in run.metadata:
            yield "data", str(column), run.metadata[column].loc[ok.index]
    if run.label_sets is not None or run.numbers:  # not every image has a map for the prediction
        return
    for statistic in run.manifest.request.statistics:
        yield "attention", statistic.replace("_", " "), ok[f"{map_column(method, 'pred')}.{statistic}"]


def groups(name: str, values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """(value, which) of an attribute: fifths of numbers of more than five values, grey and color, otherwise
    each value."""
    if name == "colour" and 0 < (grey := values < _GREY).sum() < len(values):
        yield from (("grey", grey.to_numpy()), ("colour", (values >= _GREY).to_numpy()))
    elif pd.api.types.is_numeric_dtype(values) and values.nunique() > len(FIFTHS):
        yield from _fifths(values.to_numpy(float))
    else:
        for value in values.value_counts().index[:VALUES]:
            yield str(value), (values == value).to_numpy()


def _fifths(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    edges = np.nanquantile(values, [0.2, 0.4, 0.6, 0.8])
    index = np.where(np.isfinite(values), np.searchsorted(edges, values, side="right"), -1)
    for i, name in enumerate(FIFTHS):
        low, high = (f"{edges[i - 1]:.3g}" if i else ""), (f"{edges[i]:.3g}" if i < len(edges) else "")
        yield (
            f"{name} ({f'{low} to {high}' if low and high else f'from {low}' if low else f'below {high}'})",
            index == i,
        )


def slices(run: RunData, method: str) -> list[Slice]:
    """Every slice of at least `FEWEST` images, the surest first: Fisher's exact test against the rest,
    Benjamini-Hochberg over all slices; and Cochran-Mantel-Haenszel within the classes, so that a slice is not
    to blame for the classes that it holds."""
    wrong, label = ~run.ok["correct"].to_numpy(), run.ok["label"].to_numpy()
    index, total, errors = run.ok.index.to_numpy(), len(wrong), int(wrong.sum())
    found = [
        (kind, name, value, chosen, within_strata(wrong, chosen, label))
        for kind, name, values in attributes(run, method)
        for value, chosen in groups(name, values)
        if FEWEST <= chosen.sum() <= total - FEWEST
    ]
    n, bad = (np.array([f(chosen) for *_, chosen, _ in found]) for f in (np.sum, lambda c: (wrong & c).sum()))
    if not found:
        return []
    exact, exact_within = more_errors(bad, n, errors, total), np.array([within.p for *_, within in found])
    p, p_within = false_discovery(exact), false_discovery(exact_within)
    made = [
        Slice(
            name,
            value,
            kind,
            index[chosen],
            int(bad[i]),
            total - int(n[i]),
            errors - int(bad[i]),
            within.expected,
            float(p[i]),
            float(p_within[i]),
            float(exact[i]),
            within.p,
        )
        for i, (kind, name, value, chosen, within) in enumerate(found)
    ]
    return sorted(made, key=lambda s: (max(s.p, s.p_within), -s.rate))
