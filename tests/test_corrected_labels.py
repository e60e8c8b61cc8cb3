"""The benchmark of corrected labels: what its reviewer answers, and its intervals."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.corrected_labels import ORIGINAL, REVIEWED, People, interval, print_table
from models.data.open import open_data

VOTES = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def test_the_reviewer_corrects_what_most_people_contradict(tmp_path: Path) -> None:
    rows = {
        "a.png": ("sad", "8,0,0,2,0,0,0,0,0,0"),  # most say neutral
        "b.png": ("sad", "2,0,0,8,0,0,0,0,0,0"),  # most say so, too
        "c.png": ("sad", "5,0,0,5,0,0,0,0,0,0"),  # no majority
        "d.png": ("sad", "1,0,0,1,0,0,0,8,0,0"),  # contempt: no class of FER2013
        "e.png": ("neutral", "0,9,0,0,0,0,0,0,1,0"),  # most say happiness
        "f.png": ("happy", "9,0,0,0,0,0,0,0,1,0"),  # most say neutral; not reviewed
    }
    for name in rows:
        Image.new("L", (8, 8)).save(tmp_path / name)
    table = tmp_path / "labels.csv"
    lines = [f"{name},{label},{votes}" for name, (label, votes) in rows.items()]
    table.write_text("\n".join([f"image,fer2013,{VOTES}", *lines]))
    people = People.read(table)
    assert people.label == {"a.png": "neutral", "b.png": "sad", "e.png": "happy", "f.png": "neutral"}
    source = open_data(str(table), label_col="fer2013")
    found = people.corrections(source, np.arange(5))
    assert found[["image", "label"]].to_numpy().tolist() == [["a.png", "neutral"], ["e.png", "happy"]]
    assert set(found["data"]) == {source.name}


def test_the_interval_of_independent_images_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, (1, 4000))
    low, high = interval(values)
    half = 1.96 * values.std() / np.sqrt(values.size)
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.005)


def test_seeds_that_differ_widen_the_interval() -> None:
    values = np.repeat([[0.0], [1.0]], 500, axis=1)
    assert interval(values) == (0.0, 1.0)


def test_the_table_has_the_difference_of_the_same_images(capsys: pytest.CaptureFixture[str]) -> None:
    truth = np.array([0, 0, 0, 1])
    right = {ORIGINAL: np.array([[1.0, 1, 0, 0]]), REVIEWED: np.array([[1.0, 1, 1, 0]])}
    print_table(right, truth)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows[0] == "| original | 50.0% | 33.3% |  |  |"
    assert rows[1].startswith("| suspicious and sample corrected | 75.0% | 50.0% | +25.0 | +0.0 to ")
