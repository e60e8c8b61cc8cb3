"""Thresholds, maps, slices and clusters of runs of several labels per image: what is proposed, against plain
loops and SciPy."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from explain.analysis.binary.held_out import better_threshold, cross_decided
from explain.analysis.binary.measures import BinaryScores
from explain.analysis.clusters import cluster_maps
from explain.analysis.findings import Findings
from explain.analysis.multi_label.proposals import LabelSetFindings
from explain.analysis.slices import slices
from tests.label_runs import METHOD, drawn, label_sets, logit, sigmoid
from tests.test_label_findings import of_kind

# -- thresholds ----------------------------------------------------------------------------------


def plain_f1(truth: np.ndarray, called: np.ndarray) -> float:
    hits, wrong = int((truth & called).sum()), int((truth != called).sum())
    return 2 * hits / max(1, 2 * hits + wrong)


def by_hand(truth: np.ndarray, score: np.ndarray) -> float:
    """The threshold from which F1 is largest, by trying all scores."""
    f1 = {float(t): plain_f1(truth, score >= t) for t in np.unique(score)}
    best = max(t for t, value in f1.items() if value == max(f1.values()))
    lower = max((t for t in f1 if t < best), default=0.0)
    for digits in range(1, 16):  # the decimal number of the fewest digits that gives the same predictions
        rounded = float(np.floor(best * 10**digits) / 10**digits)
        if lower < rounded <= best:
            return rounded
    return best


def test_a_threshold_is_measured_on_the_half_that_it_was_not_chosen_on() -> None:
    truth, prob = drawn(240, [0.3], 1.5)
    scores = BinaryScores(truth[:, 0], sigmoid(logit(prob[:, 0]) - 2))
    rng, second = np.random.default_rng(0), np.zeros(240, bool)
    for side in (True, False):
        which = np.flatnonzero(scores.truth == side)
        second[rng.permutation(which)[: len(which) // 2]] = True
    expected = np.zeros(240, bool)
    for half in (second, ~second):
        expected[half] = scores.score[half] >= by_hand(scores.truth[~half], scores.score[~half])
    np.testing.assert_array_equal(cross_decided(scores), expected)
    assert abs(int(scores.truth[second].sum()) - int(scores.truth[~second].sum())) <= 1
    found = better_threshold(scores)
    assert found is not None
    at_half = scores.score >= 0.5
    assert found.held_out == pytest.approx(f1_score(scores.truth, expected))
    assert found.at_half == pytest.approx(f1_score(scores.truth, at_half))
    whole = scores.score >= by_hand(scores.truth, scores.score)
    np.testing.assert_array_equal(scores.score >= found.threshold, whole)
    assert found.best == pytest.approx(f1_score(scores.truth, whole))
    gains, sides = [], [np.flatnonzero(scores.truth == side) for side in (True, False)]
    for _ in range(1000):
        i = np.concatenate([rng.choice(side, len(side)) for side in sides])
        gains.append(plain_f1(scores.truth[i], expected[i]) - plain_f1(scores.truth[i], at_half[i]))
    np.testing.assert_allclose(found.interval, np.quantile(gains, [0.025, 0.975]), atol=0.012)
    z = (found.held_out - found.at_half) / np.std(gains)
    assert stats.norm.isf(found.p) == pytest.approx(z, rel=0.1)


def test_no_halves_of_one_image() -> None:
    assert better_threshold(BinaryScores(np.array([True, False, False]), np.array([0.9, 0.1, 0.2]))) is None


@pytest.mark.slow
def test_a_better_threshold_is_proposed_for_the_label(tmp_path: Path) -> None:
    truth, prob = drawn(1500, [0.3] * 4, 2.5, seed=3)
    prob[:, 1] = sigmoid(logit(prob[:, 1]) - 3)
    sets = label_sets(tmp_path, truth, prob)
    found = LabelSetFindings(sets)
    (p,) = of_kind(found.proposals, "threshold")
    assert (p.kind, p.label) == ("threshold", 1)
    chosen = float(p.title.split()[-1].rstrip("."))
    best = by_hand(truth[:, 1], sets.prob[:, 1].astype(float))
    np.testing.assert_array_equal(sets.prob[:, 1] >= chosen, sets.prob[:, 1] >= best)
    f1 = [f1_score(truth[:, 1], sets.prob[:, 1] >= t) for t in (chosen, 0.5)]
    assert (
        f"F1 {f1[0]:.2f} instead of {f1[1]:.2f} at 0.5".replace("0.", ".").replace("at .5", "at 0.5")
        in p.text
    )
    changed = (prob[:, 1] >= chosen) != (prob[:, 1] >= 0.5)
    assert sorted(p.rows) == np.flatnonzero(changed).tolist()
    repaired = changed & (truth[:, 1] != (prob[:, 1] >= 0.5))
    assert p.errors == repaired.sum()
    assert repaired[p.rows[: p.errors]].all()
    assert of_kind(Findings(sets.label(1)).proposals, "threshold")[0].text == p.text
    assert not of_kind(Findings(sets.label(0)).proposals, "threshold")


def test_more_thresholds_are_counted(tmp_path: Path) -> None:
    truth, prob = drawn(1200, [0.3] * 6, 2.5)
    found = LabelSetFindings(label_sets(tmp_path, truth, sigmoid(logit(prob) - 3)))
    proposals = of_kind(found.proposals, "threshold")
    assert len(proposals) == 3
    assert sum("So do 3 other labels, less." in p.text for p in proposals) == 1


# -- maps ----------------------------------------------------------------------------------------


def test_a_label_that_is_recognized_by_the_border(tmp_path: Path) -> None:
    truth, prob = drawn(800, [0.3] * 4, 3.5)
    border = np.full(truth.shape, 0.3) + 0.01 * np.random.default_rng(0).random(truth.shape)
    border[:, 2] = 0.8
    found = LabelSetFindings(label_sets(tmp_path, truth, prob, border))
    (p,) = of_kind(found.proposals, "border class")
    hits = truth[:, 2] & (prob[:, 2] >= 0.5)
    assert p.title == "label 2 may be recognized by the border."
    assert f"100\u00a0% of the maps of its {hits.sum()} hits" in p.text
    assert sorted(p.rows) == np.flatnonzero(hits).tolist()
    assert not of_kind(found.of_label(1), "border class")


def test_maps_outside_of_the_region_of_the_label(tmp_path: Path) -> None:
    truth, prob = drawn(500, [0.3] * 3, 3.5)
    rng, area = np.random.default_rng(0), np.full(500, 0.2)
    inside = {name: (rng.random(truth.shape) * high, area) for name, high in (("nose", 0.1), ("mouth", 0.9))}
    found = LabelSetFindings(label_sets(tmp_path, truth, prob, inside=inside))
    (p,) = of_kind(found.proposals, "region")
    assert p.title == "The maps of nose lie outside of it."
    hits = truth[:, 0] & (prob[:, 0] >= 0.5)
    mass = inside["nose"][0][hits, 0].astype(np.float32).astype(float)
    assert f"{100 * mass.mean():.1f}\u00a0% of the mass of the maps of its {hits.sum()} hits" in p.text
    assert stats.wilcoxon(mass - 0.2, alternative="less").pvalue * 2 < 1e-3
    assert sorted(p.rows) == np.flatnonzero(hits).tolist()


@pytest.mark.parametrize("of_hits", [0.75, 0.0])
def test_errors_at_the_border_of_a_label_are_false_alarms_against_hits(
    of_hits: float, tmp_path: Path
) -> None:
    """Images that are not called have no map: they say nothing of where errors look."""
    truth, prob = drawn(1500, [0.2, 0.3, 0.3], 1.5)
    prob[:, 0] = sigmoid(logit(prob[:, 0]) + 2)  # many false alarms
    rng = np.random.default_rng(1)
    often = np.where(truth, of_hits, 0.75)
    border = np.where(rng.random(truth.shape) < often, 0.8, 0.2)
    sets = label_sets(tmp_path, truth, prob, border)
    found = of_kind(Findings(sets.label(0)).proposals, "border")
    if of_hits:
        assert found == []
        return
    called = prob[:, 0] >= 0.5
    alarms = border[called & ~truth[:, 0], 0] > 0.5
    assert f"{100 * alarms.mean():.0f}\u00a0% of the false alarms have most of their map" in found[0].text
    assert "0\u00a0% of the hits that have a map" in found[0].text
    assert len(found[0].rows) == alarms.sum()


# -- slices and clusters -------------------------------------------------------------------------


def test_slices_of_a_label_count_its_errors(tmp_path: Path) -> None:
    truth, prob = drawn(1000, [0.3, 0.3], 2.5)
    brightness = np.random.default_rng(0).random(1000)
    dark = brightness < np.quantile(brightness, 0.2)
    prob[dark, 0] = 1 - prob[dark, 0]
    sets = label_sets(tmp_path, truth, prob, facts={"brightness": brightness})
    for k in (0, 1):
        found = next(s for s in slices(sets.label(k), METHOD) if s.value.startswith("lowest"))
        wrong = (prob[:, k] >= 0.5) != truth[:, k]
        assert sorted(found.rows) == np.flatnonzero(dark).tolist()
        assert (found.wrong, found.rest_wrong) == (wrong[dark].sum(), wrong[~dark].sum())
        table = [[wrong[dark].sum(), (~wrong)[dark].sum()], [wrong[~dark].sum(), (~wrong)[~dark].sum()]]
        assert found.exact == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-6)
        assert found.expected == pytest.approx(
            sum(wrong[truth[:, k] == y].mean() * (dark & (truth[:, k] == y)).sum() for y in (True, False))
        )
        assert bool(of_kind(Findings(sets.label(k)).proposals, "slice")) == (k == 0)


def test_clusters_of_a_label_are_of_its_maps(tmp_path: Path) -> None:
    truth, prob = drawn(300, [0.4, 0.3], 1.5)
    sets = label_sets(tmp_path, truth, prob)
    maps = np.full((300, 2, 4, 4), np.nan, np.float32)
    for row, k in sets.places[["row", "class"]].to_numpy():
        maps[row, k] = 0.01
        maps[row, k, 0 if row % 2 else 3] = 1
    sets.maps = lambda method, index, rows: maps[list(rows), index].copy()  # type: ignore[method-assign]
    one = sets.label(0)
    rows = np.flatnonzero(truth[:, 0])
    found = cluster_maps(one, rows, METHOD, "label")
    kept = [row for row in rows if np.isfinite(maps[row, 0]).all()]
    assert sorted(np.concatenate([c.rows for c in found.clusters])) == kept
    assert found.left_out == len(rows) - len(kept)
    assert {frozenset(c.rows % 2) for c in found.clusters} == {frozenset([0]), frozenset([1])}
    for c in found.clusters:
        assert c.wrong == (prob[c.rows, 0] < 0.5).sum()
