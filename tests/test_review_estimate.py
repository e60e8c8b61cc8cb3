"""A review as a whole: which images it shows, what it estimates, and what it learns, against plain loops and
simulated reviewers who know the truth."""

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, cohen_kappa_score

from explain.analysis.label_errors.review_estimate import (
    IN_EACH,
    NEEDED,
    Stratum,
    agreements,
    estimated,
    kappa,
    missing,
    strata_of,
)
from explain.analysis.label_errors.review_ranking import learned
from explain.analysis.label_errors.review_sample import EVERY, Sample, Shown, next_image, sample_of
from explain.run.people.review import AGREE, OTHER, SAMPLE, SUSPICIOUS, UNSURE, Answer

ROWS = {f"{i}.png": i for i in range(10_000)}


def population(seed: int, images: int, rate: float) -> tuple[pd.Series, np.ndarray]:
    """Suspicion, and which labels are wrong: more often where suspicion is high, at the rate in all."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(images) < rate
    logit = rng.normal(np.where(wrong, 1.0, -1.0), 1.3)
    return pd.Series(1 / (1 + np.exp(-logit))), wrong


def answered(shown: Shown, wrong: bool, by: str = "ann") -> Answer:
    kind = OTHER if wrong else AGREE
    return Answer(
        f"{shown.row}.png", by, kind, "a", "b", shown.part, shown.stratum, shown.position, shown.size
    )


def reviewed(
    sample: Sample, ranking: pd.Series, wrong: np.ndarray, count: int
) -> dict[tuple[str, str], Answer]:
    """Answers of one who knows the truth."""
    found: dict[tuple[str, str], Answer] = {}
    rows: list[int] = []
    for _ in range(count):
        shown = next_image(sample, rows, lambda: ranking)
        assert shown is not None
        rows.append(shown.row)
        one = answered(shown, bool(wrong[shown.row]))
        found[one.by, one.id] = one
    return found


# -- what is shown ---------------------------------------------------------------------------------


def test_every_third_image_is_the_most_suspicious_and_the_order_is_the_same_again() -> None:
    suspicion, wrong = population(0, 500, 0.15)
    first, second = (reviewed(sample_of(suspicion), suspicion, wrong, 60) for _ in range(2))
    assert list(first) == list(second)
    parts = [one.part for one in first.values()]
    assert [part == SUSPICIOUS for part in parts] == [i % EVERY == EVERY - 1 for i in range(60)]
    assert len({one.id for one in first.values()}) == 60
    other = reviewed(sample_of(suspicion, seed=1), suspicion, wrong, 60)
    assert list(first) != list(other)
    assert all(one.position / one.size <= 1 for one in first.values())


def test_the_sample_is_the_start_of_each_stratums_order_whatever_was_answered() -> None:
    suspicion, wrong = population(1, 400, 0.2)
    sample = sample_of(suspicion)
    assert sample.sizes == [40, 80, 280]
    values = suspicion.to_numpy()
    assert values[sample.orders[0]].min() >= values[sample.orders[1]].max()
    answers = reviewed(sample, suspicion, wrong, 90)
    rows = {ROWS[one.id] for one in answers.values()}
    drawn = sample.drawn(rows)
    for order, count in zip(sample.orders, drawn, strict=True):
        assert all(int(row) in rows for row in order[:count])
        assert count == len(order) or int(order[count]) not in rows
    shown = [one for one in answers.values() if one.part == SAMPLE]
    assert len(shown) == 60
    assert 30 <= sum(one.stratum == 2 for one in shown) <= 40  # of the first, suspicious ones count as drawn
    first = sample.orders[0][: drawn[0]].tolist()
    reversed_ = reviewed(sample, 1 - suspicion, ~wrong, 90)  # other answers, another ranking: the same order
    again = [ROWS[o.id] for o in reversed_.values() if o.part == SAMPLE and o.stratum == 0]
    assert again == [row for row in sample.orders[0] if row in again]
    assert len(set(first) & set(again)) > 5


def test_a_review_ends_when_everything_is_answered() -> None:
    suspicion, wrong = population(2, 23, 0.2)
    sample = sample_of(suspicion)
    answers = reviewed(sample, suspicion, wrong, 23)
    assert next_image(sample, [ROWS[one.id] for one in answers.values()], lambda: suspicion) is None
    found = estimated(strata_of(sample, ROWS, answers))
    assert found.low == found.fraction == found.high == pytest.approx(wrong.mean())
    assert found.variance == 0


# -- the estimate ----------------------------------------------------------------------------------


def test_the_estimate_is_that_of_a_loop() -> None:
    """Horvitz and Thompson's sum over the images of the sample, and the variance of stratified sampling."""
    suspicion, wrong = population(3, 900, 0.2)
    sample = sample_of(suspicion)
    answers = reviewed(sample, suspicion, wrong, 120)
    rows = {ROWS[one.id] for one in answers.values()}
    total = variance = 0.0
    for order in sample.orders:
        drawn = []
        for row in order:
            if int(row) not in rows:
                break
            drawn.append(float(wrong[row]))
        probability = len(drawn) / len(order)
        total += sum(y / probability for y in drawn)
        variance += len(order) ** 2 * (1 - probability) * np.var(drawn, ddof=1) / len(drawn)
    found = estimated(strata_of(sample, ROWS, answers))
    assert found.fraction == pytest.approx(total / 900)
    assert found.variance == pytest.approx(variance / 900**2)
    assert found.low < found.fraction < found.high


@lru_cache(maxsize=1)
def of_two_thousand(rate: float) -> list[tuple[Sample, np.ndarray, dict[tuple[str, str], Answer]]]:
    """200 reviews with 150 answers: what is shown next follows from the answers before it, so that the first
    ones are the review that ended there."""
    made = []
    for seed in range(200):
        suspicion, wrong = population(seed, 2000, rate)
        sample = sample_of(suspicion, seed)
        made.append((sample, wrong, reviewed(sample, suspicion, wrong, 150)))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("count", [NEEDED, 150])
@pytest.mark.parametrize("rate", [0.03, 0.15, 0.35])
def test_the_interval_covers_the_truth(rate: float, count: int) -> None:
    """Of 200 reviews of 2,000 images each."""
    covered, errors = [], []
    for sample, wrong, answers in of_two_thousand(rate):
        found = estimated(strata_of(sample, ROWS, dict(list(answers.items())[:count])))
        covered.append(found.low <= wrong.mean() <= found.high)
        errors.append(found.fraction - wrong.mean())
    assert np.mean(covered) >= 0.9
    assert abs(np.mean(errors)) < 3 * np.std(errors) / len(errors) ** 0.5 + 1e-9  # unbiased
    assert np.std(errors) < (rate * (1 - rate) / (2 * count / 3)) ** 0.5  # than a simple random sample


@pytest.mark.slow
def test_the_variance_is_that_of_repeated_samples() -> None:
    suspicion, wrong = population(4, 600, 0.2)
    found = []
    for seed in range(300):
        sample = sample_of(suspicion, seed)
        found.append(estimated(strata_of(sample, ROWS, reviewed(sample, suspicion, wrong, 90))))
    assert np.mean([f.fraction for f in found]) == pytest.approx(wrong.mean(), abs=0.01)
    assert np.mean([f.variance for f in found]) == pytest.approx(
        np.var([f.fraction for f in found]), rel=0.25
    )


def test_unsure_images_are_left_out_and_what_is_missing_is_counted() -> None:
    strata = [Stratum(10, 5, 4, 2), Stratum(20, 6, 6, 0), Stratum(70, 12, 10, 1)]
    found = estimated(strata)
    assert found.fraction == pytest.approx(0.1 * 2 / 4 + 0.2 * 0 + 0.7 * 1 / 10)
    assert missing(strata, 25) == NEEDED - 25
    assert missing(strata, 45) == 0
    assert missing([Stratum(10, 1, 1, 0), *strata[1:]], 45) == IN_EACH - 1
    assert missing([Stratum(2, 2, 2, 0), Stratum(4, 4, 4, 0), Stratum(9, 9, 9, 1)], 15) == 0
    small = [Stratum(4, 4, 4, 1), Stratum(8, 8, 7, 0), Stratum(28, 28, 27, 2)]  # one unsure, one skipped
    assert missing(small, 38) == 0
    assert missing([small[0], small[1], Stratum(28, 27, 26, 2)], 37) == 1
    assert missing([Stratum(4, 4, 0, 0), *small[1:]], 34) == 1  # of all unsure nothing is known
    with pytest.raises(ValueError, match="without answers"):
        estimated([Stratum(10, 0, 0, 0)])
    sample = Sample((np.array([0, 1, 2]),))
    shown = [sample.shown(row, SAMPLE) for row in (0, 1)]
    answers = {("ann", f"{s.row}.png"): answered(s, True) for s in shown}
    answers["ann", "1.png"] = Answer("1.png", "ann", UNSURE, "a")
    assert strata_of(sample, ROWS, answers) == [Stratum(3, 2, 1, 1)]


# -- reviewers -------------------------------------------------------------------------------------


def test_agreement_is_cohens_kappa() -> None:
    rng = np.random.default_rng(0)
    first = rng.choice(list("abc"), 60)
    second = np.where(rng.random(60) < 0.6, first, rng.choice(list("abc"), 60))
    answers = {}
    for name, given in (("bob", second), ("ann", first)):
        for i, label in enumerate(given):
            kind = AGREE if label == "a" else OTHER
            answers[name, f"{i}.png"] = Answer(f"{i}.png", name, kind, "a", "" if label == "a" else label)
    answers["ann", "90.png"] = answers["bob", "91.png"] = Answer("90.png", "", AGREE, "a")
    answers["bob", "3.png"] = Answer("3.png", "bob", UNSURE, "a")
    (found,) = agreements(answers)
    kept = np.arange(60) != 3
    assert (found.first, found.second, found.images) == ("ann", "bob", 59)
    assert found.same == (first == second)[kept].sum()
    assert found.kappa == pytest.approx(cohen_kappa_score(first[kept], second[kept]))
    assert np.isnan(kappa([("a", "a"), ("a", "a")]))


def test_of_two_reviewers_the_majority_counts() -> None:
    sample = Sample((np.array([0, 1, 2]),))
    answers = {}
    for name, wrong in (
        ("ann", (True, True, False)),
        ("bob", (True, False, False)),
        ("cy", (True, True, True)),
    ):
        for row, value in enumerate(wrong):
            answers[name, f"{row}.png"] = answered(sample.shown(row, SAMPLE), value, name)
    assert strata_of(sample, ROWS, answers) == [Stratum(3, 3, 3, 2)]
    del answers["cy", "1.png"]  # one for, one against: undecided
    assert strata_of(sample, ROWS, answers) == [Stratum(3, 3, 2, 1)]


# -- what it learns --------------------------------------------------------------------------------


def test_without_answers_the_ranking_is_the_suspicion_and_a_class_that_is_often_wrong_comes_up() -> None:
    rng = np.random.default_rng(5)
    label, suggested = pd.Series(rng.integers(0, 4, 2000)), pd.Series(rng.integers(0, 4, 2000))
    rate = np.where(label == 2, 0.5, 0.05)
    wrong = rng.random(2000) < rate
    suspicion = pd.Series(1 / (1 + np.exp(-rng.normal(np.where(wrong, 0.5, -0.5), 1.0))))
    pd.testing.assert_series_equal(learned(suspicion, label, suggested, {}), suspicion)
    known = {row: bool(wrong[row]) for row in range(120)}
    ranking = learned(suspicion, label, suggested, known | {999_999: True})
    rest = np.arange(2000) >= 120
    before = average_precision_score(wrong[rest], suspicion[rest])
    assert average_precision_score(wrong[rest], ranking[rest]) > before + 0.1
    assert ranking[rest].mean() == pytest.approx(wrong[rest].mean(), abs=0.06)  # calibrated


@pytest.mark.slow
def test_the_regression_is_the_maximum_of_a_grid() -> None:
    """All images have one label and one suggestion: level and offsets are one coefficient."""
    rng = np.random.default_rng(6)
    label, suggested = pd.Series(np.zeros(300, int)), pd.Series(np.ones(300, int))
    logit = rng.normal(0, 1.5, 300)
    wrong = rng.random(300) < 1 / (1 + np.exp(-(logit - 1)))
    suspicion = pd.Series(1 / (1 + np.exp(-logit)))
    ours = learned(suspicion, label, suggested, dict(enumerate(map(bool, wrong))))
    level = (3.0**2 + 1 + 1) ** 0.5  # standard deviation of the sum
    slope, shift = np.meshgrid(np.linspace(0.5, 1.5, 101), np.linspace(-2, 0.5, 126))
    z = slope[..., None] * logit + shift[..., None]
    posterior = (wrong * z - np.logaddexp(0, z)).sum(-1)
    posterior -= ((slope - 1) / 0.5) ** 2 / 2 + (shift / level) ** 2 / 2
    best = np.unravel_index(posterior.argmax(), posterior.shape)
    expected = 1 / (1 + np.exp(-(slope[best] * logit + shift[best])))
    np.testing.assert_allclose(ours, expected, atol=0.01)
