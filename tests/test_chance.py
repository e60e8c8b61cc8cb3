"""At chance nothing is concluded: no labels that look wrong, nothing to try, and the reason on every page."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.synthetic import Faults, synthetic_run
from explain.analysis.chance import inconclusive
from explain.analysis.findings import Findings, analyze
from explain.analysis.format_text import format_proposals, format_text
from explain.analysis.groups import group
from explain.run.reader import RunData, open_run
from models.measures.chance import chance_level, p_of_chance
from models.measures.evaluation import evaluate


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    synthetic_run(folder, 1200, 6)
    return open_run(folder)


def told(run: RunData, label: np.ndarray, pred: np.ndarray) -> str:
    """Of a run whose rows say this."""
    table = run.table.iloc[: len(label)].assign(label=label.astype(np.int16), pred=pred.astype(np.int16))
    return inconclusive(RunData(run.folder, run.manifest, table))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 5, 6])
def test_guesses_are_at_chance_and_a_network_is_not(classes: int, whole: RunData) -> None:
    rng = np.random.default_rng(classes)
    label = rng.integers(0, classes, 1000)
    silent = 0
    for _ in range(40):
        silent += told(whole, label, rng.permutation(label)) == ""
    assert silent <= 3  # the interval is of 95 %, and only its lower end counts
    assert told(whole, label, np.where(rng.random(1000) < 0.3, label, rng.integers(0, classes, 1000))) == ""


def test_below_chance_is_no_better(whole: RunData) -> None:
    label = np.arange(600) % 6
    assert "accuracy 0.0 %" in told(whole, label, (label + 1) % 6)


def test_one_predicted_class(whole: RunData) -> None:
    label = np.arange(1200) % 2
    collapsed = np.where(np.arange(1200) < 96, label, 0)  # better than chance, beyond doubt
    assert "96.0 % of the images are predicted as 'class 0', which 50.0 % are" in told(
        whole, label, collapsed
    )
    rare = (np.arange(1200) % 33 == 0).astype(int)  # a defect that is rare, and found every other time
    assert told(whole, rare, rare * (np.arange(1200) % 2)) == ""
    assert "At chance" in told(whole, rare, np.zeros(1200, int))  # 97 % accurate, and knows nothing


@pytest.mark.parametrize(
    ("images", "rare", "found"), [(100, 3, 2), (240, 9, 3), (30, 1, 1), (60, 2, 2), (1000, 10, 2)]
)
def test_few_hits_of_a_rare_class_are_not_chance(images: int, rare: int, found: int, whole: RunData) -> None:
    """97 % of the images are of one class, and no alarm is false."""
    label = (np.arange(images) < rare).astype(int)
    assert told(whole, label, (np.arange(images) < found).astype(int)) == ""
    missed = (np.arange(images) >= images - found).astype(int)  # as many alarms, all false
    assert "At chance" in told(whole, label, missed)


def test_p_of_chance_is_that_of_permutations(whole: RunData) -> None:
    rng = np.random.default_rng(1)
    for classes, n, skill in ((2, 60, 0.1), (4, 200, 0.05), (6, 90, 0.1), (3, 400, 0.02)):
        label = rng.choice(classes, n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
        pred = np.where(rng.random(n) < skill, label, rng.integers(0, classes, n))
        hits = (label == pred).sum()
        dealt = np.array([(label == rng.permutation(pred)).sum() for _ in range(4000)])
        simulated = (dealt >= hits).mean() / 2 + (
            dealt > hits
        ).mean() / 2  # mid-p: the normal distribution has no steps
        assert p_of_chance(evaluate(label, pred, np.ones(n), classes)) == pytest.approx(simulated, abs=0.03)


def test_one_class_of_images(whole: RunData) -> None:
    label = np.zeros(300, int)
    assert told(whole, label, label) == ""
    assert "the 16.7 % that guessing reaches" in told(whole, label, np.arange(300) % 6)


def test_many_outputs_and_few_classes_of_images(whole: RunData) -> None:
    """Right once in ten is much for guesses over a thousand outputs."""
    label = np.arange(500) % 2
    pred = np.where(np.arange(500) % 10 == 0, label, 2 + np.arange(500) % 4)
    assert told(whole, label, pred) == ""
    e = evaluate(label, pred, np.ones(500), 6)
    assert chance_level(e) == pytest.approx(sum((label == k).mean() * (pred == k).mean() for k in range(6)))


@pytest.mark.slow
def test_nothing_is_concluded_anywhere(tmp_path: Path) -> None:
    from dashboard.components.errors.slice_view import slice_view
    from dashboard.tabs.errors import pieces
    from dashboard.tabs.errors_state import first_view
    from explain.export.report import report
    from explain.export.selection import selected
    from models.errors import UserError

    synthetic_run(tmp_path / "run", 1600, 8, Faults(flipped=0.3, blurred=2, starved=4), apart=0.02)
    findings = Findings(open_run(tmp_path / "run"))
    for _ in analyze(findings):
        pass
    text = "At chance: accuracy"
    assert findings.inconclusive.startswith(text)
    assert "--input-size, --resize, --mean, --std" in findings.inconclusive
    assert findings.proposals == []
    assert format_proposals(findings) == [f"warning    {findings.inconclusive}"]
    assert format_text(findings).startswith(text)
    assert "train --" not in format_text(findings)
    labels = group(findings, {}, "labels")
    assert labels is not None
    assert (len(labels.rows), labels.note) == (0, findings.inconclusive)
    page = report(findings)
    assert text in page
    assert "train --" not in page.split("How it was made")[0]
    shown = pieces(findings, first_view(findings.run))
    assert text in shown[1]
    assert "<code>--input-size</code>" in shown[1]
    assert "train" not in shown[1]
    assert text in slice_view(findings, first_view(findings.run))
    with pytest.raises(UserError, match="nothing to export"):
        selected(findings, "labels")


def test_the_same_faults_are_found_above_chance(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "run", 1600, 8, Faults(flipped=0.1, blurred=2, starved=4))
    findings = Findings(open_run(tmp_path / "run"))
    assert findings.inconclusive == ""
    assert {p.kind for p in findings.proposals} >= {"labels", "unlike"}
    assert isinstance(findings.checked, pd.DataFrame)
