"""The benchmark of changed copies of faces, and of people's agreement."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.fer_copies import COPIES, agreement, majority, of_people, table
from models.data.tables.votes import VoteColumns

VOTES = np.array([[6, 3, 1, 0], [0, 8, 0, 2], [4, 4, 0, 2], [0, 0, 3, 7], [2, 1, 1, 0]], float)


def test_copies_change_what_they_say() -> None:
    ramp = Image.fromarray(np.arange(0, 256, dtype=np.uint8).reshape(16, 16))
    pixels = {name: np.asarray(change(ramp)).astype(int) for name, change in COPIES.items()}
    plain = pixels["as it is"]
    np.testing.assert_array_equal(pixels["mirrored"], plain[:, ::-1])
    np.testing.assert_array_equal(pixels["brighter"], np.minimum(plain + 40, 255))
    np.testing.assert_array_equal(pixels["darker"], np.maximum(plain - 40, 0))
    assert abs(pixels["half of the contrast"] - (128 + (plain - 128) / 2)).max() <= 0.5
    dark = Image.fromarray((plain // 4).astype(np.uint8)).resize((64, 64))  # few pixels stay as they are
    assert np.asarray(COPIES["equalized"](dark)).max() == 255


def test_agreement_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    assert majority(VOTES).tolist() == [0, 1, -1, 3, 0]
    right = total = 0
    for row in VOTES:
        people = [column for column, count in enumerate(row) for _ in range(int(count))]
        for i, said in enumerate(people):
            others = [other for j, other in enumerate(people) if j != i]
            count = [n if (n := others.count(column)) > 1 else 0 for column in range(4)]
            if max(count) > sum(count) / 2 and (top := count.index(max(count))) < 3:
                total, right = total + 1, right + (said == top)
    shares = [6 / 10, 8 / 10, 2 / 4]  # the fourth label is none of the three classes
    assert agreement(VOTES, 3) == pytest.approx((np.mean(shares), right / total))
    frame = pd.DataFrame(VOTES, columns=list("abcu")).assign(image=[f"{i}.png" for i in range(5)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    said = of_people(tmp_path / "t.csv", VoteColumns(("a", "b", "c"), ("u",)), ["0.png"])
    assert f"the label has {100 * np.mean(shares):.1f} % of the votes" in said


def test_changes_are_of_the_same_images() -> None:
    truth = np.array([0, 1, 1, 0])
    right = np.eye(2)[truth] * 0.8 + 0.1
    wrong = right[::-1].copy()
    wrong[0] = [0.2, 0.8]
    lines = table({"as it is": right, "darker": wrong}, truth).splitlines()
    assert lines[2].startswith("| as it is | 100.0 % |")
    assert "| +0.0 |" in lines[2]
    assert lines[3].startswith("| darker | 75.0 % |")
    assert "| -25.0 |" in lines[3]
