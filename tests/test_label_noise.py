"""Which labels are exchanged for which, and the order of probable label errors: loops, cleanlab, and planted
errors."""

from pathlib import Path

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint
from sklearn.metrics import average_precision_score

from benchmarks.synthetic import Faults, synthetic_run
from explain.analysis.findings import Findings
from explain.analysis.groups import group
from explain.analysis.label_errors.noise import confident_joint, noise_matrix, wrong_probability
from explain.run.reader import RunData, open_run

CLASSES = 8


def made(folder: Path, faults: Faults, apart: float = 2.5, seed: int = 0, images: int = 1600) -> RunData:
    synthetic_run(folder, images, CLASSES, faults, apart, seed)
    return open_run(folder)


def answers(run: RunData) -> tuple[np.ndarray, np.ndarray]:
    prob = np.concatenate([p for _, p in run.probabilities()])
    return prob.astype(float), run.ok["label"].to_numpy()


def test_the_confident_joint_is_that_of_a_loop_and_of_cleanlab(tmp_path: Path) -> None:
    run = made(tmp_path / "run", Faults(flipped=0.1, exchanged=(2, 5, 0.2)), apart=1.5)
    prob, label = answers(run)
    thresholds = [prob[label == k, k].mean() for k in range(CLASSES)]
    counts = np.zeros((CLASSES, CLASSES))
    for p, given in zip(prob, label, strict=True):
        confident = [k for k in range(CLASSES) if p[k] >= thresholds[k] - 1e-6]
        if confident:
            counts[given, max(confident, key=lambda k: p[k])] += 1
    scaled = [row / row.sum() * (label == k).sum() for k, row in enumerate(counts)]
    joint = confident_joint(run)
    np.testing.assert_allclose(joint, scaled, rtol=1e-9)
    theirs = compute_confident_joint(label, prob, calibrate=True)
    assert np.abs(joint - theirs).max() < 4  # whole numbers; of several confident classes any other may count
    assert np.abs(joint - theirs).mean() < 0.7


def surest(prob: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Of each predicted class, the labels of its surer half, times the predictions of the class."""
    pred, joint = prob.argmax(1), np.zeros((CLASSES, CLASSES))
    for k in range(CLASSES):
        rows = sorted(np.flatnonzero(pred == k), key=lambda i: (-np.float32(prob[i, k]), i))
        half = rows[: len(rows) // 2]
        counts = [max(sum(label[i] == j for i in half), int(j == k)) for j in range(CLASSES)]
        joint[:, k] = np.array(counts) / sum(counts) * max(1, len(rows))
    return joint


def test_wrong_probability_is_bayes_rule(tmp_path: Path) -> None:
    run = made(tmp_path / "run", Faults(exchanged=(2, 5, 0.3)), apart=1.5)
    prob, label = answers(run)
    joint = surest(prob, label)
    given = noise_matrix(joint)
    for j in range(CLASSES):
        column = [joint[k, j] + 1 for k in range(CLASSES)]
        np.testing.assert_allclose(given[:, j], np.array(column) / sum(column))
    expected = []
    for p, y in zip(prob, label, strict=True):
        weights = [p[j] * given[y, j] for j in range(CLASSES)]
        expected.append(1 - weights[y] / sum(weights))
    np.testing.assert_allclose(wrong_probability(run).to_numpy(), expected, atol=1e-9)


def test_classes_without_images_are_never_true(tmp_path: Path) -> None:
    run = made(tmp_path / "run", Faults(), images=CLASSES - 2)  # one image each, none of the last two
    joint = confident_joint(run)
    assert joint[-2:].sum() == 0
    assert (wrong_probability(run) < 1).all()
    assert joint[:, -2:].sum() == 0
    assert np.isfinite(wrong_probability(run)).all()


@pytest.mark.parametrize("expected", [False, True], ids=["unseen", "learned"])
def test_exchanged_labels_come_first(tmp_path: Path, expected: bool) -> None:
    """A fifth of class 2 is labeled 5: much better than by the probability of the label alone."""
    run = made(tmp_path / "run", Faults(exchanged=(2, 5, 0.2), expected=expected))
    prob, label = answers(run)
    wrong = label != np.arange(len(label)) % CLASSES
    assert 20 < wrong.sum() < 60
    ours = average_precision_score(wrong, wrong_probability(run))
    alone = average_precision_score(wrong, 1 - prob[np.arange(len(label)), label])
    assert ours > alone + 0.08


@pytest.mark.slow
@pytest.mark.parametrize("apart", [2.0, 3.0])
def test_labels_flipped_at_random_are_found_as_well_as_before(tmp_path: Path, apart: float) -> None:
    found = []
    for seed in range(3):
        run = made(tmp_path / str(seed), Faults(flipped=0.05), apart, seed)
        prob, label = answers(run)
        wrong = label != np.arange(len(label)) % CLASSES
        ours = average_precision_score(wrong, wrong_probability(run))
        found.append(ours - average_precision_score(wrong, 1 - prob[np.arange(len(label)), label]))
    assert np.mean(found) > -0.01


def test_the_list_has_the_most_probable_error_first(tmp_path: Path) -> None:
    run = made(tmp_path / "run", Faults(flipped=0.05, exchanged=(2, 5, 0.2)))
    findings = Findings(run)
    listed = group(findings, {}, "labels")
    assert listed is not None
    assert set(listed.rows) == set(findings.checked.index[findings.checked["issue"]])
    assert (np.diff(wrong_probability(run).loc[listed.rows]) <= 0).all()
    proposal = next(p for p in findings.proposals if p.kind == "labels")
    assert proposal.rows.tolist() == listed.rows.tolist()
