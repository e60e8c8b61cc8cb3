"""What to try for runs of numbers: every figure against a plain computation, planted faults, and nothing
where nothing is wrong."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from cleanlab.regression.rank import get_label_quality_scores
from scipy import stats

from dashboard.session.context import Context
from dashboard.tabs import numbers
from dashboard.tabs.numbers import changed, proposed
from dashboard.tabs.numbers_state import first_view, from_query
from explain.analysis.duplicates import near_duplicates, similar_pictures
from explain.analysis.format_text import format_numbers
from explain.analysis.numbers.checks import (
    NumberEvidence,
    bias,
    compressed_range,
    disagreeing_duplicates,
    few_images,
    worse_slices,
    wrong_numbers,
    wrong_scale,
)
from explain.analysis.numbers.corrections import held_out, least_squares, shift, slope
from explain.analysis.numbers.outliers import FALSE_ALARMS, outlier_limit, suspects
from explain.analysis.numbers.proposals import CHECKS, group_of, number_findings
from explain.analysis.numbers.text import number
from explain.analysis.statistics.significance import larger
from explain.cli.findings import number_proposals
from explain.export.gallery import ExportOptions
from explain.export.number_gallery import picked
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import open_run
from tests.conftest import TOON_RUN
from tests.number_runs import MadeUp, made_up

Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWN: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "Laplace": lambda rng, n: rng.laplace(size=n),
    "of two spreads": lambda rng, n: rng.normal(size=n) * rng.choice([1, 3], n),
    "one-sided": lambda rng, n: rng.exponential(size=n),
}


def of(truth: np.ndarray, predicted: np.ndarray) -> MadeUp:
    """A run of one output, without data of its own."""
    made = made_up(len(truth), ("age",))
    made.__dict__["metadata"] = None
    found = replace(made, truth=truth[:, None].astype(float), predicted=predicted[:, None].astype(float))
    found.__dict__["metadata"] = None
    return found


def swapped(n: int = 1000, noise: float = 0.15, seed: int = 0) -> tuple[MadeUp, set[int]]:
    """A run of which the true numbers of 2 % of the images are those of others, and these images."""
    rng = np.random.default_rng(seed)
    right = rng.normal(40, 10, n)
    rows, truth = rng.choice(n, n // 50, replace=False), right.copy()
    truth[rows] = right[np.roll(rows, 1)]
    return of(truth, right + 10 * noise * rng.normal(size=n)), set(rows.tolist())


@pytest.mark.parametrize("name", DRAWN)
def test_the_limit_holds_where_all_true_numbers_are_right(name: str) -> None:
    rng = np.random.default_rng(3)
    for n, runs in ((500, 300), (50_000, 8)):
        alarms = [len(suspects(DRAWN[name](rng, n))) for _ in range(runs)]
        assert np.mean(alarms) <= 2 * FALSE_ALARMS + 3 * np.sqrt(2 * FALSE_ALARMS / runs)
        assert max(alarms) < 4


def test_the_limit_is_that_of_an_exponential_tail() -> None:
    grid = (np.arange(1, 4001) - 0.5) / 4000
    residual = np.concatenate([stats.expon.ppf(grid), -stats.expon.ppf(grid)])  # |residual| of Laplace's
    expected = np.log(len(residual) / FALSE_ALARMS)  # n exp(-t) = FALSE_ALARMS
    assert outlier_limit(residual) == pytest.approx(expected, rel=0.01)
    assert outlier_limit(100 * residual + 7) == pytest.approx(100 * outlier_limit(residual))


def test_heavy_tails_and_little_data_say_nothing() -> None:
    rng = np.random.default_rng(0)
    assert outlier_limit(rng.standard_cauchy(2000)) == np.inf
    assert outlier_limit(rng.normal(size=49)) == np.inf
    assert outlier_limit(np.r_[np.zeros(900), rng.normal(size=100)]) == np.inf
    assert len(suspects(np.array([]))) == 0
    alarms = [len(suspects(rng.standard_t(3, 50_000))) >= 250 for _ in range(3)]
    assert not any(alarms)  # the proposal's least fraction


@pytest.mark.slow
def test_swapped_true_numbers_are_found_in_the_order_of_cleanlab() -> None:
    run, planted = swapped()
    (proposal,) = wrong_numbers(NumberEvidence(run, 0))
    rows = proposal.rows.tolist()
    assert set(rows) <= planted
    assert len(rows) >= len(planted) / 2
    assert proposal.title == f"{len(rows)} true numbers may be wrong."
    truth, predicted = run.truth[:, 0], run.predicted[:, 0]
    scale = 1 / np.abs(predicted - truth).max()  # keeps exp(-|residual|) above 0
    score = get_label_quality_scores(truth * scale, predicted * scale, method="residual")
    assert rows == [row for row in np.argsort(score, kind="stable").tolist() if row in set(rows)]
    outre = get_label_quality_scores(truth, predicted, method="outre")
    first = np.argsort(outre)[: len(planted)].tolist()
    by_size = np.argsort(-np.abs(predicted - truth))[: len(planted)].tolist()
    assert abs(len(planted & set(first)) - len(planted & set(by_size))) <= 2  # OUTRE would do no better
    assert group_of(run, 0, "suspicious").rows.tolist() == rows  # type: ignore[union-attr]
    assert f"further than {number(outlier_limit(predicted - truth))}" in proposal.text


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    rng = np.random.default_rng(5)
    error = DRAWN[name](rng, 800)
    truth = rng.normal(0, 20, 800)
    found = number_findings(of(truth, truth + error - error.mean()), 0)
    assert not found.inconclusive
    assert found.proposals == []
    assert "No significant finding. Checked: probably wrong true numbers" in format_numbers(found, "age")


def test_no_better_than_the_mean_says_that_alone() -> None:
    rng = np.random.default_rng(0)
    run = of(rng.normal(size=300), 5 + rng.normal(size=300))
    found = number_findings(run, 0)
    assert "no better than answering the mean" in found.inconclusive
    assert found.proposals == []
    assert number_proposals(run) == []
    assert number_proposals(run, brief=True) == []
    assert proposed(run, first_view(run), compute=True) == ""
    assert group_of(run, 0, "suspicious").rows.tolist() == []  # type: ignore[union-attr]
    few = of(np.arange(12.0), np.arange(12.0))
    assert "12 images" in number_findings(few, 0).inconclusive
    for empty in (of(np.full(60, np.nan), np.ones(60)), of(np.ones(60), np.ones(60))):
        assert number_findings(empty, 0).proposals == []


def test_the_slope_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 10, 200)
    predicted = 3 + 0.4 * truth + rng.normal(size=200) * truth / 5
    found = slope(truth, predicted)
    assert found is not None
    design = np.stack([np.ones(200), truth], 1)
    inverse = np.linalg.inv(design.T @ design)
    a, b = inverse @ design.T @ predicted
    rest = predicted - a - b * truth
    covariance = inverse @ (design.T * rest**2) @ design @ inverse
    assert found.value == pytest.approx(b)
    assert found.error == pytest.approx(np.sqrt(covariance[1, 1]))
    assert slope(np.ones(5), np.arange(5.0)) is None


def test_corrections_are_measured_on_the_other_half() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=101)
    predicted = 2 + 3 * truth + 0.1 * rng.normal(size=101)
    found = held_out(truth, predicted, least_squares, shift)
    order = np.random.default_rng(0).permutation(101)
    before, after = np.empty(101), np.empty(101)
    for own, other in ((order[:51], order[51:]), (order[51:], order[:51])):
        b, a = np.polyfit(predicted[other], truth[other], 1)
        before[own] = predicted[own] - np.mean(predicted[other] - truth[other]) - truth[own]
        after[own] = a + b * predicted[own] - truth[own]
    assert found.before == pytest.approx(np.sqrt((before**2).mean()))
    assert found.after == pytest.approx(np.sqrt((after**2).mean()))
    assert found.line == pytest.approx(np.polyfit(predicted, truth, 1)[::-1])


def test_a_small_range_is_found_with_what_scaling_gains() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 100, 400)
    predicted = 25 + 0.5 * truth + rng.normal(size=400)
    (found,) = compressed_range(NumberEvidence(of(truth, predicted), 0))
    residual = predicted - truth
    low, high = np.quantile(truth, [0.2, 0.8])
    assert f"smallest fifth of the true numbers +{residual[truth <= low].mean():.4g}" in found.text
    b, a = np.polyfit(predicted, truth, 1)
    assert found.advice == f"Replace each prediction p by −{number(-a)} + {number(b)} p."
    rows = set(
        np.flatnonzero(((truth <= low) & (residual > 0)) | ((truth >= high) & (residual < 0))).tolist()
    )
    assert set(found.rows.tolist()) == rows
    assert np.all(np.diff(np.abs(residual[found.rows])) <= 0)
    assert list(wrong_scale(NumberEvidence(of(truth, predicted), 0))) == []
    best = truth + rng.normal(size=400) * 40  # the mean of the truth, given what the network sees
    shrunk = 50 + (best - 50) * np.polyfit(best, truth, 1)[0]
    (found,) = compressed_range(NumberEvidence(of(truth, shrunk), 0))
    assert "does not lower the RMSE" in found.text
    assert found.advice.startswith("Scaling the predictions is not enough")


def test_a_bias_and_a_scale_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    noise = 0.1 * rng.normal(size=400)
    run = of(truth, truth + 0.5 + noise)
    (found,) = bias(NumberEvidence(run, 0))
    mean = float((0.5 + noise).mean())
    assert found.title == "Predicted numbers are too large on average."
    assert f"Mean residual +{mean:.4g} (95 %" in found.text
    assert found.advice.startswith(f"Subtract {mean:.4g},")
    assert len(found.rows) == (noise > -0.5).sum()
    assert list(wrong_scale(NumberEvidence(run, 0))) == []
    (wide,) = wrong_scale(NumberEvidence(of(truth, 1.5 * truth + noise), 0))
    assert wide.title == "Predicted numbers vary too much."
    assert list(bias(NumberEvidence(of(truth, truth + noise - noise.mean()), 0))) == []


def test_rare_numbers_with_larger_errors_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = np.r_[rng.uniform(0, 80, 800), rng.uniform(91, 99, 25)]
    predicted = truth + rng.normal(size=825) * np.where(truth > 85, 20, 3)
    (found,) = few_images(NumberEvidence(of(truth, predicted), 0))
    assert set(found.rows.tolist()) == set(range(800, 825))
    error = np.abs(predicted - truth)
    assert f"25 images, MAE {error[800:].mean():.4g}" in found.text
    assert f"all other images {error[:800].mean():.4g}" in found.text
    assert list(few_images(NumberEvidence(of(truth, truth + rng.normal(size=825)), 0))) == []


def test_slices_with_larger_errors_are_found() -> None:
    rng = np.random.default_rng(0)
    truth, dark = rng.normal(size=400), rng.uniform(size=400)
    predicted = truth + rng.normal(size=400) * np.where(dark < 0.2, 0.8, 0.1)
    run = of(truth, predicted)
    assert list(worse_slices(NumberEvidence(run, 0))) == []
    table = run.table.assign(brightness=dark, contrast=rng.uniform(size=400))
    run = replace(run, table=table)
    run.__dict__["metadata"] = None
    (found,) = worse_slices(NumberEvidence(run, 0))
    inside = dark < np.quantile(dark, 0.2)
    assert set(found.rows.tolist()) == set(np.flatnonzero(inside).tolist())
    assert found.title.startswith("Errors are larger where brightness: lowest fifth")
    error = np.abs(predicted - truth)
    assert (
        f"MAE of 80 images {error[inside].mean():.4g}, of the others {error[~inside].mean():.4g}"
        in found.text
    )
    large = replace(run, predicted=(truth + 0.2 * rng.normal(size=400) * (1 + 9 * (truth > 1)))[:, None])
    large = replace(large, table=run.table.assign(brightness=truth, contrast=0.0))
    large.__dict__["metadata"] = None
    ends = list(worse_slices(NumberEvidence(large, 0)))
    assert ends == []  # what the true number explains is not said of a slice


@pytest.mark.parametrize("ties", [False, True])
def test_larger_is_the_mann_whitney_test(ties: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, 200).astype(float) if ties else rng.normal(size=200)
    masks = [rng.uniform(size=200) < part for part in (0.1, 0.5, 0.9)] + [np.zeros(200, bool)]
    found = larger(values, masks)
    for p, chosen in zip(found[:3], masks, strict=False):
        one, rest = values[chosen], values[~chosen]
        test = stats.mannwhitneyu(one, rest, alternative="greater", method="asymptotic")
        assert p == pytest.approx(test.pvalue)
    assert np.isnan(found[3])
    assert larger(values, []).shape == (0,)


def test_near_duplicates_with_other_numbers_are_found() -> None:
    demo = open_run(TOON_RUN)
    pairs, similarity = similar_pictures(demo)
    known = {(p.row, p.other): p.similarity for p in near_duplicates(demo)}
    assert {tuple(pair): s for pair, s in zip(pairs.tolist(), similarity.tolist(), strict=True)} == known
    rng, n = np.random.default_rng(0), 60
    truth = rng.normal(size=n)
    run = of(truth, truth + 0.1 * rng.normal(size=n))
    assert list(disagreeing_duplicates(NumberEvidence(run, 0))) == []


def test_pairs_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, n = np.random.default_rng(0), 60
    truth = rng.normal(size=n)
    truth[[1, 3, 5, 7]] = truth[[0, 2, 4, 6]] + [3, 4, 5, 0.01]
    run = of(truth, truth + 0.1 * rng.normal(size=n))
    made = np.array([[0, 1], [2, 3], [4, 5], [6, 7]]), np.full(4, 0.99)
    monkeypatch.setattr("explain.analysis.numbers.checks.similar_pictures", lambda _: made)
    (found,) = disagreeing_duplicates(NumberEvidence(run, 0))
    assert found.rows.tolist() == [4, 5, 2, 3, 0, 1]
    assert found.title == "3 pairs of nearly the same picture have different true numbers."
    assert "at most by 5. 4 pairs" in found.text


def test_the_page_shows_what_to_try_and_its_images() -> None:
    run, _ = swapped()
    view = first_view(run)
    assert "Checking labels" in proposed(run, view)
    shown = proposed(run, view, compute=True)
    found = number_findings(run, 0).proposals
    assert [p.title in shown for p in found] == [True] * len(found)
    assert f"show {len(found[0].rows):,} images" in shown
    opened = view.apply("group", "proposal:0", run)
    assert "vt-on" in proposed(run, opened)
    cards = changed(run, view, opened)[3]
    assert [str(run.table.at[row, "id"]) in cards for row in found[0].rows[:4]] == [True] * 4
    query = dict([part.split("=") for part in opened.query(run).lstrip("?").split("&")])
    query["group"] = query["group"].replace("%3A", ":")
    assert from_query(query, run) == opened
    lost = view.apply("group", "proposal:99", run)
    assert "This run lacks them" in changed(run, view, lost)[3]
    assert view.apply("group", "proposal:999", run) == view
    listed = group_of(run, 0, "proposal:0", "smallest true number")
    assert listed is not None
    assert np.all(np.diff(run.truth[listed.rows, 0]) >= 0)
    (one,) = picked(run, ExportOptions(select="suspicious"))
    assert set(one.rows) <= set(group_of(run, 0, "suspicious").rows.tolist())  # type: ignore[union-attr]


def test_the_page_computes_it_on_arrival() -> None:
    run, _ = swapped(seed=4)
    tab_run = run.output(0)
    tab_run.__dict__["metadata"] = None
    assert not number_findings(tab_run, 0).ready
    with gr.Blocks():
        tab = numbers.NumbersTab(Context(tab_run))
    request: Any = type("Request", (), {"query_params": {}})()

    async def arrive() -> list[Any]:
        return [values async for values in tab.arrive(request)]  # type: ignore[attr-defined]

    *_, last = asyncio.run(arrive())
    assert "true numbers may be wrong" in last[-1]
    assert number_findings(tab_run, 0).ready


def test_two_outputs_are_told_apart() -> None:
    run: NumbersRun = made_up(300)
    run.__dict__["metadata"] = None
    text = "\n".join(number_proposals(run))
    assert text.count("What to try: ") == 2
    assert "What to try: age" in text
    only = run.output(1)
    only.__dict__["metadata"] = None
    assert "What to try: age" not in "\n".join(number_proposals(only))
    assert number_proposals(run, brief=True)[0].startswith("try        Large numbers are predicted too small")
    view = first_view(run).apply("group", "proposal:0", run)
    assert view.apply("output", "1", run).group == ""
    assert view.apply("group", "suspicious", run).apply("output", "1", run).group == "suspicious"
    assert len(CHECKS) == 8
