"""What to try for runs of several labels per image: planted faults are found and named, every figure is that
of a plain loop, SciPy, scikit-learn or cleanlab, and nothing is said of clean numbers."""

from pathlib import Path

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from scipy import stats
from sklearn.metrics import average_precision_score

from dashboard.tabs.errors import proposed
from dashboard.tabs.errors_state import first_view
from explain.analysis.findings import Findings, analyze
from explain.analysis.format_text import format_label_sets
from explain.analysis.groups import group, lists_of
from explain.analysis.label_errors.quality import image_quality
from explain.analysis.multi_label.pairs import called_instead, together
from explain.analysis.multi_label.proposals import LabelSetFindings, label_set_findings
from explain.analysis.proposals.proposal import Proposal
from tests.label_runs import drawn, label_sets, logit, sigmoid


def of_kind(found: list[Proposal], kind: str) -> list[Proposal]:
    return [p for p in found if p.kind == kind]


# -- label errors --------------------------------------------------------------------------------


def test_quality_of_an_image_is_the_moving_average_of_its_answers() -> None:
    """A. Thyagarajan et al. 2023, equation by equation."""
    truth, prob = drawn(60, [0.3, 0.1, 0.5, 0.2, 0.4], apart=1.0)
    truth[0], truth[1] = False, True
    expected = []
    for labels, p in zip(truth, prob, strict=True):
        confidence = sorted((q if has else 1 - q for has, q in zip(labels, p, strict=True)), reverse=True)
        average = confidence[0]
        for value in confidence[1:]:
            average = 0.8 * value + 0.2 * average
        expected.append(average)
    np.testing.assert_allclose(image_quality(truth, prob), expected, rtol=1e-12)
    # by hand: 0.8 * 0.4 + 0.2 * (0.8 * 0.8 + 0.2 * 0.9)
    by_hand = image_quality(np.array([[True, False, True]]), np.array([[0.8, 0.1, 0.4]]))
    assert by_hand[0] == pytest.approx(0.484)
    np.testing.assert_allclose(
        image_quality(truth[:, :1], prob[:, :1]), np.where(truth, prob, 1 - prob)[:, 0]
    )
    assert image_quality(truth[:0], prob[:0]).shape == (0,)


def test_suspect_answers_of_each_label_are_cleanlabs(tmp_path: Path) -> None:
    truth, prob = drawn(1500, [0.3, 0.1, 0.5])
    flipped = np.random.default_rng(1).random(truth.shape) < 0.05
    found = LabelSetFindings(label_sets(tmp_path, truth ^ flipped, prob))
    for k in range(3):
        both = np.stack([1 - prob[:, k], prob[:, k]], 1)
        given = (truth ^ flipped)[:, k].astype(int)
        theirs = find_label_issues(given, both, filter_by="low_self_confidence", n_jobs=1)
        ours = found.suspect[:, k]
        assert (ours == theirs).mean() > 0.995
        assert flipped[ours, k].mean() > 0.5


@pytest.mark.slow
def test_flipped_labels_are_found_and_counted(tmp_path: Path) -> None:
    truth, prob = drawn(2000, [0.3] * 5, apart=3.5)
    flipped = np.zeros_like(truth)
    flipped[:, 2] = np.random.default_rng(1).random(2000) < 0.06
    sets = label_sets(tmp_path, truth ^ flipped, prob)
    found = LabelSetFindings(sets)
    (p,) = of_kind(found.proposals, "labels")
    assert p.label == 2
    assert p.option == "--labels labels.csv"
    number = int(p.title.split()[1])
    assert p.title == f"About {number} labels look wrong (label 2)."
    (own,) = of_kind(Findings(sets.label(2)).proposals, "labels")
    assert "that have label 2" in own.text
    assert "that lack label 2" in own.text
    assert abs(number - flipped.sum()) < 0.25 * flipped.sum()
    lack = int((found.suspect[:, 2] & ~found.scores.truth[:, 2]).sum())
    have = int((found.suspect[:, 2] & found.scores.truth[:, 2]).sum())
    assert f"label 2 about {number} of 2,000" in p.text
    assert f"suspect are {lack} images that lack it and {have} that have it" in p.text
    assert sorted(p.rows) == np.flatnonzero(found.suspect[:, 2]).tolist()
    quality = image_quality(truth ^ flipped, prob)
    assert (np.diff(quality[p.rows]) >= -1e-6).all()
    assert flipped[p.rows[:40], 2].mean() > 0.8
    listed = group(Findings(sets.label(0)), {}, "label-sets")
    assert listed is not None
    assert sorted(listed.rows) == np.flatnonzero(found.suspect.any(1)).tolist()
    assert "label-sets" in lists_of(sets.label(0))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("prevalence", "bias"), [([0.3] * 6, 0), ([0.1] * 8, 0), ([0.5, 0.2, 0.3], 2)])
def test_clean_labels_bring_no_alarm(prevalence: list[float], bias: float, seed: int, tmp_path: Path) -> None:
    """Also not where the network was trained with a weight on positive images, so that all its logits are too
    large: only its thresholds are wrong then."""
    truth, prob = drawn(1500, prevalence, 2.5, seed)
    found = LabelSetFindings(label_sets(tmp_path, truth, sigmoid(logit(prob) + bias)))
    assert {p.kind for p in found.proposals} <= {"threshold"}
    assert not found.inconclusive


# -- chance and few images -----------------------------------------------------------------------


def test_a_label_at_chance_is_said_and_nothing_concluded(tmp_path: Path) -> None:
    truth, prob = drawn(900, [0.3, 0.3, 0.2])
    prob[:, 1] = np.random.default_rng(2).random(900)
    sets = label_sets(tmp_path, truth, prob)
    found = LabelSetFindings(sets)
    assert found.at_chance == (1,)
    (p,) = of_kind(found.proposals, "chance")
    low, high = found.scores.average_precision_interval[1]
    assert low < truth[:, 1].mean() < high
    assert p.title == "label 1 is not above chance."
    value = average_precision_score(truth[:, 1], sets.prob[:, 1])
    assert f"label 1 {value:.2f} ({low:.2f} to {high:.2f}; ".replace("0.", ".") in p.text
    assert sorted(p.rows) == np.flatnonzero(truth[:, 1]).tolist()
    one = Findings(sets.label(1))
    assert one.inconclusive.startswith(
        f"At chance: the average precision of label 1, {value:.3f} (95 % interval "
    )
    assert one.proposals == []
    assert not Findings(sets.label(0)).inconclusive


@pytest.mark.parametrize("positives", [3, 10, 40])
def test_noise_is_seldom_above_chance(positives: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(positives)
    truth = np.zeros((300, 40), bool)
    truth[:positives] = True
    found = LabelSetFindings(label_sets(tmp_path, truth, rng.random(truth.shape)))
    assert len(found.at_chance) >= 36


def test_a_rare_label_that_is_never_called_is_not_at_chance(tmp_path: Path) -> None:
    """What is wrong is its threshold."""
    truth, prob = drawn(1500, [0.05, 0.3, 0.3], 3.0)
    prob[:, 0] = prob[:, 0] / 2.1
    sets = label_sets(tmp_path, truth, prob)
    assert not (prob[:, 0] >= 0.5).any()
    one = Findings(sets.label(0))
    assert not one.inconclusive
    assert [p.title.split(" is at")[0] for p in of_kind(one.proposals, "threshold")] == [
        "The best F1 of label 0"
    ]
    perfect = label_sets(tmp_path, truth, np.where(truth, 0.9, 0.1))
    assert LabelSetFindings(perfect).at_chance == ()


def test_all_labels_at_chance(tmp_path: Path) -> None:
    truth, _ = drawn(300, [0.3, 0.2])
    found = LabelSetFindings(label_sets(tmp_path, truth, np.random.default_rng(4).random(truth.shape)))
    assert found.inconclusive.startswith("At chance: of no label (label 0 and label 1)")
    assert found.proposals == []
    assert format_label_sets(found).startswith("At chance")
    nothing = LabelSetFindings(label_sets(tmp_path, np.zeros((20, 2), bool), np.full((20, 2), 0.2)))
    assert "nothing can be concluded" in nothing.inconclusive
    shown = group(Findings(nothing.sets.label(0)), {}, "label-sets")
    assert shown is not None
    assert not len(shown.rows)


def test_labels_of_few_images(tmp_path: Path) -> None:
    truth, prob = drawn(1200, [0.3, 0.3, 0.25, 0.02], 3.0)
    found = LabelSetFindings(label_sets(tmp_path, truth, prob))
    (p,) = of_kind(found.proposals, "few images")
    count = truth.sum(0)
    assert p.title == "label 3 has too few training images."
    assert f"Images here: label 3 {count[3]}; {np.median(count):.0f} with the median label." in p.text
    low, high = found.scores.average_precision_interval[3]
    value = average_precision_score(truth[:, 3], found.sets.prob[:, 3])
    assert (
        f"label 3 {value:.2f} ({low:.2f} to {high:.2f}; ".replace("0.", ".").replace("1.00", "1.0") in p.text
    )
    assert sorted(p.rows) == np.flatnonzero(truth[:, 3]).tolist()
    called = prob >= 0.5
    assert p.errors == int((called != truth)[:, 3].sum())
    assert of_kind(found.of_label(0), "few images") == []
    assert len(of_kind(found.of_label(3), "few images")) == 1


# -- pairs ---------------------------------------------------------------------------------------


def confused(seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Label 0 is taken for label 1 in a third of its images."""
    truth, prob = drawn(1500, [0.3, 0.3, 0.3], 3.5, seed)
    taken = truth[:, 0] & ~truth[:, 1] & (np.random.default_rng(seed).random(1500) < 0.33)
    prob[taken, 0], prob[taken, 1] = 0.1, 0.9
    return truth, prob


def test_labels_that_are_called_instead_of_others(tmp_path: Path) -> None:
    truth, prob = confused()
    found, called = LabelSetFindings(label_sets(tmp_path, truth, prob)), prob >= 0.5
    (pair, *_) = called_instead(found)
    assert (pair.a, pair.b) == (0, 1)
    able = truth[:, 0] & ~truth[:, 1]
    missed, instead = ~called[able, 0], called[able, 1]
    table = [
        [np.sum(missed & instead), np.sum(missed & ~instead)],
        [np.sum(~missed & instead), np.sum(~missed & ~instead)],
    ]
    assert pair.p == pytest.approx(
        min(1, 6 * stats.fisher_exact(table, alternative="greater").pvalue), rel=1e-6
    )
    assert pair.expected == pytest.approx(missed.mean() * instead.mean() * able.sum())
    (p,) = of_kind(found.proposals, "pair")
    assert p.title == "label 1 is often called instead of label 0."
    assert p.errors == len(p.rows) == int((missed & instead).sum())
    shown = group(Findings(found.sets.label(0)), {}, "instead:1")
    assert shown is not None
    assert sorted(p.rows) == sorted(shown.rows)
    assert len(of_kind(found.of_label(1), "pair")) == 1
    assert not of_kind(found.of_label(2), "pair")


def test_labels_that_are_almost_always_together(tmp_path: Path) -> None:
    truth, _ = drawn(1000, [0.2, 0.3, 0.3], seed=2)
    truth[:, 0] = truth[:, 1] & (np.arange(1000) % 2 == 0)
    truth[:7, 0], truth[:7, 1] = True, False  # seven images without
    _, prob = drawn(1000, [0.2, 0.3, 0.3], seed=3)
    prob = np.clip(0.6 * truth + 0.4 * prob, 0.01, 0.99)
    prob[:5, 0] = 0.2  # five of the seven are missed
    found = LabelSetFindings(label_sets(tmp_path, truth, prob))
    (pair,) = together(found)
    n, a, both = 1000, int(truth[:, 0].sum()), int((truth[:, 0] & truth[:, 1]).sum())
    b = int(truth[:, 1].sum())
    p = stats.fisher_exact([[both, a - both], [b - both, n - a - b + both]], alternative="greater").pvalue
    assert pair.p == pytest.approx(min(1, 6 * p), rel=1e-6, abs=1e-200)
    assert (pair.a, pair.b, pair.images, pair.count) == (0, 1, a, both)
    assert pair.expected == pytest.approx(a * b / n)
    (proposal,) = of_kind(found.proposals, "together")
    assert proposal.title == "label 0 is almost always with label 1."
    called = prob[:, 0] >= 0.5
    alone = called[truth[:, 0] & ~truth[:, 1]].mean()
    assert f"and {100 * alone:.0f}\u00a0% of 7 without" in proposal.text
    assert sorted(proposal.rows[:7]) == list(range(7))


# -- page and terminal ---------------------------------------------------------------------------


def test_the_page_shows_those_of_the_label_and_of_all(tmp_path: Path) -> None:
    truth, prob = confused()
    sets = label_sets(tmp_path, truth, prob)
    findings = Findings(sets.label(2))
    view = first_view(findings.run, 2)
    waiting = str(proposed(findings, view, False))
    assert "What to try: label 2" in waiting
    assert waiting.count("Checking labels") == 2
    assert not findings.ready
    sets.maps = lambda method, index, rows: np.zeros((len(rows), 2, 2), np.float32)  # type: ignore[method-assign]
    list(analyze(findings))
    assert findings.ready
    found = label_set_findings(sets).proposals
    number = next(i for i, p in enumerate(found) if p.kind == "pair")
    shown = str(proposed(findings, view, True))
    assert "What to try, all labels" in shown
    assert f'data-action="all" data-value="0,{number}"' in shown
    there = view.apply("all", f"0,{number}", findings.run)
    assert (there.asked, there.group) == (0, f"all:{number}")
    images = group(Findings(sets.label(0)), {}, there.group)
    assert images is not None
    assert images.rows.tolist() == found[number].rows.tolist()
    assert 'class="vt-proposal vt-on"' in str(proposed(Findings(sets.label(0)), there, True))
    for value in ("9,0", "0", "x,1", "-1,0"):
        assert view.apply("all", value, findings.run).group == ""
    assert group(Findings(sets.label(0)), {}, "all:99") is None


@pytest.mark.slow
def test_the_terminal_lists_them(tmp_path: Path) -> None:
    truth, prob = confused()
    found = LabelSetFindings(label_sets(tmp_path, truth, prob))
    text = format_label_sets(found)
    assert "label 1 is often called instead of label 0." in text
    truth, prob = drawn(1500, [0.3] * 6, 2.5)
    assert format_label_sets(LabelSetFindings(label_sets(tmp_path, truth, prob))).startswith(
        "No significant finding. Checked: probable label errors, labels at chance,"
    )
