"""Classes that are recognized by a column of the data: found where they are planted, with the images behind
them; nothing where a column says nothing, or says something else."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components.errors.gallery import gallery
from dashboard.components.errors.proposals_panel import proposals_panel
from dashboard.tabs.errors_state import first_view
from explain.analysis.findings import Findings
from explain.analysis.other_labels import other_labels
from explain.analysis.proposals.next_training import command_of, tried
from explain.analysis.shortcuts import shortcuts
from explain.run.reader import RunData, open_run
from models.data.tables.votes import ENTROPY, SECOND

LEAK, PLACE = 2, "North"


def planted(
    folder: Path, seed: int = 0, missed: float = 0.8, taken: float = 0.5, images: int = 800
) -> RunData:
    """A run in which class 2 is recognized by the studio: outside of North a fraction `missed` of its images
    is called another class, and in North a fraction `taken` of all others is called class 2."""
    rng = np.random.default_rng(seed)
    synthetic_run(folder, images, 8, Faults(), 3.0, seed)
    studio = rng.choice(["North", "East", "South", "West"], images)
    row = 0
    for part in sorted((folder / "samples").glob("*.parquet")):
        table = pd.read_parquet(part)
        here = studio[row : row + len(table)] == PLACE
        own, row = table["label"].to_numpy() == LEAK, row + len(table)
        lost = own & ~here & (rng.random(len(table)) < missed)
        gained = ~own & here & (rng.random(len(table)) < taken)
        pred = table["pred"].to_numpy().copy()
        pred[lost], pred[gained] = (table["label"].to_numpy()[lost] + 1) % 8, LEAK
        _rewritten(part, pred)
    ids = pd.concat(
        pd.read_parquet(p, columns=["id"]) for p in sorted((folder / "samples").glob("*.parquet"))
    )
    pd.DataFrame({"id": ids["id"].to_numpy(), "studio": studio}).to_parquet(folder / "metadata.parquet")
    return open_run(folder)


def _rewritten(part: Path, pred: np.ndarray) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(part)
    column = table.schema.get_field_index("pred")
    pq.write_table(table.set_column(column, "pred", pa.array(pred.astype(np.int16))), part)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_shortcut_is_named_first_with_its_images(tmp_path: Path, seed: int) -> None:
    run = planted(tmp_path / "run", seed)
    findings, ok = Findings(run), run.ok
    first = findings.proposals[0]
    assert (first.kind, first.title) == ("shortcut", "class 2 may be recognized by studio: North.")
    assert first.option == "--balance sampler --balance-by studio"
    assert run.metadata is not None
    here = (run.metadata["studio"] == PLACE).to_numpy()
    own, called = (ok["label"] == LEAK).to_numpy(), (ok["pred"] == LEAK).to_numpy()
    sides = [set(side.rows) for side in first.sides]
    expected = (own & here, own & ~here, ~own & here & called)
    assert sides == [set(ok.index[which]) for which in expected]
    missed = list(~ok.loc[first.sides[1].rows, "correct"])
    assert missed == sorted(missed, reverse=True)  # first
    assert set(first.rows) == set(ok.index[(~own & here & called) | (own & ~here & ~called)])
    assert first.errors == len(first.rows)
    assert not any(p.title.startswith("Worse where studio: North") for p in findings.proposals)


def test_figures_by_plain_counts_and_scipy(tmp_path: Path) -> None:
    run = planted(tmp_path / "run", 5)
    (s,) = shortcuts(run)
    assert run.metadata is not None
    table = run.ok.assign(here=run.metadata["studio"] == PLACE, called=run.ok["pred"] == LEAK)
    own, others = table[table["label"] == LEAK], table[table["label"] != LEAK]
    assert (s.label, s.name) == (LEAK, "studio: North")
    assert (len(s.others), s.others_outside) == (others["here"].sum(), (~others["here"]).sum())
    assert (len(s.alarms), s.alarms_outside) == (
        (others["here"] & others["called"]).sum(),
        (~others["here"] & others["called"]).sum(),
    )
    assert (s.hits, s.hits_outside) == (
        (own["here"] & own["called"]).sum(),
        (~own["here"] & own["called"]).sum(),
    )
    fisher = [
        stats.fisher_exact(pd.crosstab(~part["here"], ~part["called"]), alternative="greater").pvalue
        for part in (own, others)
    ]
    # Holm: 4 studios and 8 classes are tested, the smallest p is multiplied by their number
    assert s.p == pytest.approx(32 * max(fisher), rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_columns_without_a_shortcut_are_silent(tmp_path: Path, seed: int) -> None:
    """Random columns; one that follows the class; and one in which all classes are worse alike."""
    run = planted(tmp_path / "run", seed, missed=0.0, taken=0.0)
    assert shortcuts(run) == []
    rng, ok = np.random.default_rng(seed), run.ok
    follows = np.where(rng.random(len(ok)) < 0.9, ok["label"].astype(str), "x")
    worse = np.where(ok["correct"] & (rng.random(len(ok)) < 0.9), "good", "bad")
    table = {"id": ok["id"], "set": follows, "camera": worse, "size": rng.normal(size=len(ok))}
    pd.DataFrame(table).to_parquet(run.folder / "metadata.parquet")
    assert shortcuts(open_run(run.folder)) == []


@pytest.mark.slow
def test_half_of_the_signature_is_no_shortcut(tmp_path: Path) -> None:
    """A class that takes images of others, but is recognized elsewhere as well; and one that is missed
    elsewhere, but takes no others."""
    assert shortcuts(planted(tmp_path / "takes", missed=0.0)) == []
    assert shortcuts(planted(tmp_path / "missed", taken=0.0)) == []


@pytest.mark.slow
def test_two_shortcuts_of_one_column(tmp_path: Path) -> None:
    run = planted(tmp_path / "run", 1, images=1600)
    assert run.metadata is not None
    rng = np.random.default_rng(0)
    east = (run.metadata["studio"] == "East").to_numpy()
    own = (run.ok["label"] == 6).to_numpy()
    north = (run.metadata["studio"] == PLACE).to_numpy()
    pred = run.ok["pred"].to_numpy().copy()
    pred[own & ~east & ~north & (rng.random(len(pred)) < 0.6)] = 7
    pred[~own & east & (rng.random(len(pred)) < 0.5)] = 6
    start = 0
    for part in sorted((run.folder / "samples").glob("*.parquet")):
        rows = len(pd.read_parquet(part, columns=["id"]))
        _rewritten(part, pred[start : start + rows])
        start += rows
    found = {(s.label, s.name) for s in shortcuts(open_run(run.folder))}
    assert found == {(2, "studio: North"), (6, "studio: East")}


def test_one_click_shows_the_images_side_by_side(tmp_path: Path) -> None:
    run = planted(tmp_path / "run")
    findings = Findings(run)
    card = str(proposals_panel(findings.proposals, tried={findings.proposals[0].option: ["second"]}))
    assert 'data-action="group" data-value="proposal:0">compare ' in card
    assert 'href="?tab=compare&amp;against=second"' in card
    view = first_view(run).apply("group", "proposal:0", run)
    shown = str(gallery(findings, {}, view))
    assert shown.count('class="vt-side"') == 3
    for title in ("class 2, studio: North", "class 2, without it", "others, studio: North"):
        assert f"<h3>{title} <small>" in shown


RECIPE = {
    "balance": "sampler",
    "balance_by": "studio",
    "mixup": 0.2,
    "augmentation": {"blur": 0.5, "zoom": 0.1},
}


@pytest.mark.parametrize(
    ("option", "has"),
    [
        ("--balance sampler --balance-by studio", True),
        ("--balance sampler --balance-by camera", False),
        ("--balance weights", False),
        ("--mixup 0.2", True),
        ("--mixup 0.4", False),
        ("--augment blur=0.5", True),
        ("--augment blur=0.5,zoom=0.3", False),
        ("--labels labels.csv", False),
        ("", False),
    ],
)
def test_what_was_tried(option: str, has: bool) -> None:
    assert tried(option, RECIPE) == has


def test_nothing_is_known_of_a_network_without_a_checkpoint(tmp_path: Path) -> None:
    assert command_of(planted(tmp_path / "run"), "--mixup 0.2") == ""


def _described_by(run: RunData, columns: dict[str, Any]) -> RunData:
    pd.DataFrame({"id": run.table["id"].to_numpy(), **columns}).to_parquet(run.folder / "metadata.parquet")
    return open_run(run.folder)


def test_votes_and_other_labels_are_no_shortcuts(tmp_path: Path) -> None:
    """The same values under other names are: what people see in an image is no mark in it."""
    run = planted(tmp_path / "run")
    assert run.metadata is not None
    here = (run.metadata["studio"] == PLACE).to_numpy()
    votes, number = here * 10, np.where(here, 0, 9)
    seen = np.where(here, "Class_2", "class 5")
    assert len(shortcuts(_described_by(run, {"mark": votes, "other": number}))) == 1
    one = _described_by(run, {"class 2": votes, "other": number})  # one column alone may be anything
    assert other_labels(one) == frozenset()
    two = _described_by(run, {"class 2": votes, "class_5": number})
    assert other_labels(two) == {"class 2", "class_5"}
    rest = {"class 2": votes, "age": number, "class_5": 5 - number, "unknown": 15 - votes}
    assert other_labels(_described_by(run, {**rest, "size": number})) == {*rest}
    assert other_labels(_described_by(run, {**rest, "unknown": number})) == {"class 2", "class_5"}
    text = _described_by(run, {"seen": seen, ENTROPY: here * 1.5, SECOND: seen})
    assert other_labels(text) == {"seen", ENTROPY, SECOND}
    for found in (two, text):
        assert shortcuts(found) == []
        kinds = {p.kind for p in Findings(found).proposals}
        assert not kinds & {"shortcut", "slice"}
    assert other_labels(_described_by(run, {"studio": np.where(here, "North", "class 5")})) == frozenset()


def test_a_worse_slice_of_votes_is_nothing_to_collect(tmp_path: Path) -> None:
    run = planted(tmp_path / "run", missed=0.0, taken=0.0)
    wrong = ~run.ok["correct"].to_numpy()
    chosen = np.where(wrong & (np.arange(len(wrong)) % 4 > 0), 1.9, 0.1)
    titles = [p.title for p in Findings(_described_by(run, {"fog": chosen})).proposals]
    assert any("fog" in title for title in titles)
    titles = [p.title for p in Findings(_described_by(run, {ENTROPY: chosen})).proposals]
    assert not any("entropy" in title for title in titles)
