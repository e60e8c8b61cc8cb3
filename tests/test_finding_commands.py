"""analyze, compare and notes as a person types them; and corrected labels on their way through `run`."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.synthetic import Faults, synthetic_run
from explain.run.people.notes import add
from explain.run.reader import open_run
from tests.command import launch, one_line

FAULTS = Faults(flipped=0.05, border=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    synthetic_run(root / "a", 800, 8, FAULTS)
    synthetic_run(root / "b", 800, 8, apart=2.5)
    synthetic_run(root / "other", 40, 2, seed=3)
    return root


@pytest.mark.slow
def test_analyze(folder: Path) -> None:
    text = launch("analyze", folder / "a")
    for word in ("labels look wrong", "class 3 may be recognized by its border", "train --labels labels.csv"):
        assert word in text
    assert launch("analyze", folder / "a") == text  # read from the folder this time
    assert "No significant finding. Checked: probable label errors," in launch(
        "analyze", folder / "other"
    ).replace("\n", " ")


@pytest.mark.slow
def test_compare(folder: Path, tmp_path: Path) -> None:
    text = launch("compare", folder / "a", folder / "b", "--out", tmp_path / "table.csv")
    for word in (
        "accuracy",
        "macro F1",
        "95 % interval",
        "McNemar p",
        "map correlation",
        "with another image",
        "whose labels differ left out",
    ):
        assert word in text
    table = pd.read_csv(tmp_path / "table.csv")
    a = open_run(folder / "a").ok.set_index("id").loc[table["id"]]
    assert table["right_a"].tolist() == a["correct"].tolist()
    assert "No method 'lime' in both runs: A has layer_cam, B layer_cam" in one_line(
        "compare", folder / "a", folder / "b", "--method", "lime"
    )
    assert "nowhere" in one_line("compare", folder / "a", folder / "nowhere")


def test_notes_and_the_labels_that_run_takes(folder: Path, tmp_path: Path) -> None:
    assert "No label is marked as wrong" in one_line(
        "notes", folder / "b", "--labels", tmp_path / "labels.csv"
    )
    add(folder / "a", "000003.png", "label", "class 5", classes=("class 5",))
    add(folder / "a", "000004.png", "tags", ["odd"])
    text = launch("notes", folder / "a", "--out", tmp_path / "notes.csv", "--labels", tmp_path / "labels.csv")
    assert "2 images, 1 label marked as wrong; tags: odd 1" in text
    assert pd.read_csv(tmp_path / "notes.csv")["id"].tolist() == ["000003.png", "000004.png"]
    assert pd.read_csv(tmp_path / "labels.csv")[["image", "label"]].to_numpy().tolist() == [
        ["000003.png", "class 5"]
    ]


@pytest.mark.slow
def test_a_run_is_measured_against_corrected_labels(tmp_path: Path) -> None:
    words = [
        "run",
        "--model",
        "tiny_conv:toon_studios",
        "--data",
        "toon_studios",
        "--limit",
        32,
        "--methods",
        "layer_cam",
    ]
    launch(*words, "--out", tmp_path / "plain")
    run = open_run(tmp_path / "plain")
    wrong = run.ok[~run.ok["correct"]].iloc[0]
    called = run.classes[int(wrong["pred"])]
    add(tmp_path / "plain", wrong["id"], "label", called, classes=run.classes)
    launch("notes", tmp_path / "plain", "--labels", tmp_path / "labels.csv")
    text = launch(*words, "--labels", tmp_path / "labels.csv", "--out", tmp_path / "corrected")
    assert "1 label corrected by labels.csv" in text
    corrected = open_run(tmp_path / "corrected").ok
    assert corrected["correct"].sum() == run.ok["correct"].sum() + 1
    assert "holds another run" in one_line(
        *words, "--labels", tmp_path / "labels.csv", "--out", tmp_path / "plain"
    )
