"""Labels of one class that are another's: planted pairs are found, and nothing is said of classes that are
hard, rare or alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.synthetic import Faults, synthetic_run
from explain.analysis.findings import Findings
from explain.analysis.label_errors.sure_predictions import sure_counts, sure_rows
from explain.analysis.proposals.exchanged import exchanges
from explain.run.reader import RunData, open_run
from models.measures.evaluation import wilson_interval


def made(folder: Path, faults: Faults, images: int = 1600, apart: float = 2.5, seed: int = 0) -> RunData:
    synthetic_run(folder, images, 8, faults, apart, seed)
    return open_run(folder)


@pytest.mark.parametrize("expected", [False, True], ids=["unseen", "learned"])
def test_a_planted_pair_is_named_with_its_counts(tmp_path: Path, expected: bool) -> None:
    run = made(tmp_path / "run", Faults(exchanged=(2, 5, 0.3), expected=expected))
    (found,) = exchanges(run)
    assert (found.true, found.label) == (2, 5)
    rows = sure_rows(run, 2, 5)
    assert len(rows) == found.count
    truth = rows % 8
    assert (truth == 2).mean() > 0.9
    assert found.low < 0.3 < found.high
    assert (found.low, found.high) == wilson_interval(found.count, found.sure)
    proposal = next(p for p in Findings(run).proposals if p.kind == "exchanged")
    assert proposal.title == "Images of class 2 may have the label class 5."
    assert f"Of the {found.sure} images" in proposal.text
    assert f"{found.count} have the label class 5" in proposal.text
    assert f"{found.back} of {found.back_sure}" in proposal.text
    assert proposal.option == "--labels labels.csv"
    assert proposal.rows.tolist() == rows.tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("faults", "images", "apart"),
    [
        (Faults(), 3000, 1.5),
        (Faults(pair=(1, 5)), 3000, 2.5),
        (Faults(pair=(1, 5), confidence=1.6), 1600, 2.5),
        (Faults(blurred=2), 3000, 2.0),
        (Faults(starved=4), 3000, 2.0),
        (Faults(dark=True), 3000, 2.0),
        (Faults(confidence=2.0), 3000, 2.0),
        (Faults(flipped=0.1), 3000, 2.5),
        (Faults(flipped=0.05, blurred=2, border=3, starved=4), 1600, 3.0),
    ],
    ids=["clean", "alike", "alike and sure", "hard", "rare", "dark", "too sure", "at random", "four faults"],
)
def test_nothing_is_said_without_a_pair(
    tmp_path: Path, faults: Faults, images: int, apart: float, seed: int
) -> None:
    assert exchanges(made(tmp_path / "run", faults, images, apart, seed)) == []


def test_counts_and_p_are_those_of_a_loop(tmp_path: Path) -> None:
    run = made(tmp_path / "run", Faults(exchanged=(2, 5, 0.2), flipped=0.03))
    table = run.ok[["label", "pred", "confidence"]]
    counts = np.zeros((8, 8), int)
    for k in range(8):
        chosen = sorted(table[table["pred"] == k].itertuples(), key=lambda r: -r.confidence)
        for r in chosen[: len(chosen) // 2]:
            counts[k, r.label] += 1
    ours, sure = sure_counts(run)
    np.testing.assert_array_equal(ours, counts)
    np.testing.assert_array_equal(sure, counts.sum(1))
    (found,) = exchanges(run)
    there, back = counts[2, 5], counts[5, 2]
    frame = pd.DataFrame([[there, sure[2] - there], [back, sure[5] - back]])
    row, column = counts[2].sum() - counts[2, 2], counts[:, 5].sum() - counts[5, 5]
    share = max(1 / 7, sure[2] / (sure.sum() - sure[5]))
    p = max(
        stats.fisher_exact(frame, alternative="greater").pvalue,
        stats.binomtest(there, there + back, 0.5, alternative="greater").pvalue,
        stats.binomtest(there, row, 1 / 7, alternative="greater").pvalue,
        stats.binomtest(there, column, share, alternative="greater").pvalue,
    )
    tests = sum(counts[a, b] > counts[b, a] for a in range(8) for b in range(8))
    assert found.p == pytest.approx(min(1, 2 * tests * p), rel=1e-6)  # the smallest by Holm


def test_one_class_or_two_say_nothing(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "two", 800, 2, Faults(exchanged=(0, 1, 0.3)), 2.5)
    run = open_run(tmp_path / "two")
    assert exchanges(run) == []
    assert exchanges(replace(run, table=run.table.assign(label=0))) == []
