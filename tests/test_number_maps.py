"""Where the maps of numbers lie: the check of the border against SciPy and statsmodels, and nothing where the
statistics do not allow it."""

from dataclasses import dataclass, field, fields

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from explain.analysis.numbers.checks import NumberEvidence
from explain.analysis.numbers.groups import bins
from explain.analysis.numbers.maps import worst_at_the_border
from explain.analysis.numbers.run_numbers import plane_of
from explain.formatting import chance, percent
from tests.number_runs import MadeUp, made_up
from tests.test_number_proposals import of


def crossed(one: np.ndarray, other: np.ndarray, among: np.ndarray) -> list[list[int]]:
    """Two by two counts of images."""
    return [[int((among & (one == a) & (other == b)).sum()) for b in (True, False)] for a in (True, False)]


@dataclass(frozen=True, eq=False)
class AtBorder(MadeUp):
    """Maps of `mass` at the border."""

    mass: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def statistic(self, method: str, name: str, output: int) -> np.ndarray:
        assert name == "border_mass"
        return self.mass


def at_border(mass: np.ndarray, error: np.ndarray, truth: np.ndarray) -> AtBorder:
    made = of(truth, truth + error)
    given = {f.name: getattr(made, f.name) for f in fields(made)}
    return AtBorder(**given, mass=mass)


def test_worst_errors_at_the_border_are_found() -> None:
    rng, n = np.random.default_rng(0), 400
    truth, error, mass = rng.uniform(0, 9, n), rng.normal(size=n), rng.uniform(0, 0.6, n)
    worst = np.abs(error) >= np.quantile(np.abs(error), 0.8)
    mass[worst] += 0.3
    mass[::7] = np.nan
    (found,) = worst_at_the_border(NumberEvidence(at_border(mass, error, truth), 0))
    known, outside = np.isfinite(mass), mass > 0.5
    table = crossed(worst, outside, known)
    p = stats.fisher_exact(table, alternative="greater").pvalue
    edges = np.array([b.low for b in bins(plane_of(at_border(mass, error, truth), 0))][1:])
    which = np.searchsorted(edges, truth, "right")
    strata = [crossed(worst, outside, known & (which == k)) for k in range(len(edges) + 1)]
    filled = [np.array(s) for s in strata if np.sum(s) > 1]
    within = StratifiedTable(filled).test_null_odds(correction=False)
    shown = max(p, within.pvalue / 2)  # one-sided
    assert f"({chance(shown)}, also among images of similar true numbers)" in found.text
    parts = [percent(row[0] / sum(row)) for row in table]
    assert found.text.startswith(f"{parts[0]} of the fifth")
    assert f", {parts[1]} of the others" in found.text
    rows = np.flatnonzero(known & outside & worst)
    assert found.rows.tolist() == rows[np.argsort(-np.abs(error[rows]))].tolist()
    assert found.errors == len(rows)


def test_where_statistics_do_not_allow_it_nothing_is_said_of_the_border() -> None:
    rng, n = np.random.default_rng(1), 400
    truth, error = rng.uniform(0, 9, n), rng.normal(size=n)
    none = at_border(rng.uniform(0, 1, n), error, truth)
    assert list(worst_at_the_border(NumberEvidence(none, 0))) == []
    by_number = at_border((truth > 7).astype(float), error * np.where(truth > 7, 5, 1), truth)
    assert list(worst_at_the_border(NumberEvidence(by_number, 0))) == []  # large numbers have both
    few = at_border(np.full(n, np.nan), error, truth)
    assert list(worst_at_the_border(NumberEvidence(few, 0))) == []
    many = made_up(60, tuple(f"o{k}" for k in range(9)))  # maps are kept where errors are large
    assert list(worst_at_the_border(NumberEvidence(many, 0))) == []
