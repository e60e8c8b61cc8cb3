"""People's votes as labels: majority as in Barsoum et al. 2016, and fractions that a training aims at."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import vitrine
from dashboard.components.cards import cards
from explain.analysis.findings import Findings
from explain.analysis.groups import OF_VOTES, group, lists_of
from explain.analysis.headline import headline
from explain.analysis.votes import people_said, voted_errors
from explain.run.reader import RunData, open_run
from launch import DEMO
from models.architectures.small import small_conv
from models.data.corrections import Corrections, corrected
from models.data.open import open_data
from models.data.parts import open_parts
from models.data.source import ImageSource
from models.data.tables.votes import ENTROPY, SECOND, SPLIT_ENTROPY, VoteColumns, read_votes
from models.data.tensors import PixelDataset, targets, truth
from models.errors import UserError
from models.preprocessing import UNIT, Preprocessing
from models.training.augment import Augmentation
from models.training.recipe import Recipe
from models.training.tasks import Classes
from tests.command import launch, one_line

VOTES = VoteColumns(("b", "a", "c"), ("unknown",))
ROWS = {  # votes for b, a, c, unknown -> the label, and the fractions
    "whole.png": ((10, 0, 0, 0), "b", (1, 0, 0)),
    "single.png": ((6, 1, 2, 1), "b", (0.75, 0, 0.25)),  # answers with one vote count as none
    "even.png": ((5, 5, 0, 0), None, ()),
    "low.png": ((4, 3, 2, 0), None, ()),  # 4 of 9
    "rest.png": ((4, 3, 1, 0), "b", (4 / 7, 3 / 7, 0)),  # 4 of 7, as the one vote does not count
    "unknown.png": ((0, 4, 0, 6), None, ()),
    "partly.png": ((0, 6, 0, 4), "a", (0, 1, 0)),
}


def voted(folder: Path, split: str = "") -> ImageSource:
    for name in ROWS:
        Image.new("L", (8, 8)).save(folder / name)
    frame = pd.DataFrame(
        [(name, *votes) for name, (votes, *_) in ROWS.items()], columns=["image", "b", "a", "c", "unknown"]
    )
    frame["age"] = ["young", "old"] * 3 + ["old"]
    frame.to_csv(folder / "table.csv", index=False)
    return open_data(str(folder / "table.csv"), split or None, votes=VOTES)


def test_labels_are_those_of_the_paper(tmp_path: Path) -> None:
    source = voted(tmp_path)
    kept = {name: row for name, row in ROWS.items() if row[1]}
    assert [(item.id, item.label) for item in source.items] == [(n, row[1]) for n, row in kept.items()]
    np.testing.assert_allclose([i.votes for i in source.items], [row[2] for row in kept.values()])
    assert source.classes == ("b", "a", "c")  # in the order in which they were named
    assert source.empty == ("c",)
    assert "an answer with one vote counts as none" in source.note
    assert "3 rows without image or majority of votes for a class left out" in source.note
    assert source.task == "single-label"


def test_second_choice_and_entropy_group_images(tmp_path: Path) -> None:
    about = voted(tmp_path).metadata
    assert about is not None
    assert about[SECOND].tolist() == ["", "c", "a", ""]
    of = [sum(-p * math.log2(p) for p in row[2] if p) for row in ROWS.values() if row[1]]
    np.testing.assert_allclose(about[ENTROPY], of)
    assert of[1] > SPLIT_ENTROPY > 0.81  # three of four
    assert about["age"].tolist() == ["young", "old", "young", "old"]


def barsoum(row: list[int], classes: int) -> tuple[int | None, list[float]]:
    """`_process_data` of the authors' program in its mode majority, and the distribution of its mode
    crossentropy: a plain loop."""
    votes = [0 if value < 1 + 1e-9 else value for value in row]
    top = max(range(len(votes)), key=lambda i: votes[i])
    if votes[top] <= 0.5 * sum(votes) or top >= classes:
        return None, []
    return top, [value / sum(votes[:classes]) for value in votes[:classes]]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10), min_size=5, max_size=5), min_size=1, max_size=6))
def test_any_votes(rows: list[list[int]]) -> None:
    rows = [*rows, [7, 2, 0, 1, 0]]
    names = ["v", "w", "x", "y", "z"]
    found = read_votes(pd.DataFrame(rows, columns=names), VoteColumns(("v", "w", "x"), ("y", "z")), Path("t"))
    expected = {i: barsoum(row, 3) for i, row in enumerate(rows)}
    kept = {i: pair for i, pair in expected.items() if pair[0] is not None}
    assert found.labels.to_dict() == {i: names[pair[0] or 0] for i, pair in kept.items()}
    np.testing.assert_allclose(found.shares.to_numpy(), [pair[1] for pair in kept.values()])


def test_fractions_are_used_as_they_are() -> None:
    table = pd.DataFrame({"a": [0.7, 0.5, 0.2], "b": [0.3, 0.5, None]})
    found = read_votes(table, VoteColumns(("a", "b")), Path("t.csv"))
    assert found.labels.to_dict() == {0: "a", 2: "a"}
    np.testing.assert_allclose(found.shares.to_numpy(), [[0.7, 0.3], [1, 0]])
    assert "counts as none" not in found.note


@pytest.mark.parametrize(
    ("classes", "others", "message"),
    [
        ("a", "", "--label-columns names a: give a column of votes for each class, two or more"),
        ("", "c", "--label-columns names nothing"),
        ("a,b,a", "", "name 'a' twice"),
        ("a,b", "b", "name 'b' twice"),
    ],
)
def test_columns_that_cannot_be(classes: str, others: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        VoteColumns.parse(classes, others)
    assert VoteColumns.parse(None, " ") is None
    assert VoteColumns.parse(" a, b ,", "c") == VoteColumns(("a", "b"), ("c",))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("b", "d"), "no column 'd', which --label-columns or --other-columns names: it has image, b, a, c"),
        (("b", "image"), "holds 'whole.png', which is no count of votes"),
        (("b", "less"), "holds '-1', which is no count of votes"),
        (("nobody", "zero"), "has a class with more than half of its votes"),
    ],
)
def test_tables_that_cannot_be(columns: tuple[str, ...], message: str, tmp_path: Path) -> None:
    voted(tmp_path)
    file = tmp_path / "table.csv"
    pd.read_csv(file).assign(less=[-1] * 7, nobody=0, zero=0).to_csv(file, index=False)
    with pytest.raises(UserError, match=re.escape(message)):
        open_data(str(file), votes=VoteColumns(columns))


def test_votes_are_no_other_labels(tmp_path: Path) -> None:
    voted(tmp_path)
    table = str(tmp_path / "table.csv")
    with pytest.raises(UserError, match="--label-col age asks for other labels"):
        open_data(table, label_col="age", votes=VOTES)
    with pytest.raises(UserError, match="--task multi-label asks for other labels"):
        open_data(table, labels_as="multi-label", votes=VOTES)
    with pytest.raises(
        UserError, match="--label-columns are columns of a table, and toon_faces/test is none"
    ):
        open_data("toon_faces", votes=VOTES)


def test_a_training_aims_at_fractions_and_is_judged_by_labels(tmp_path: Path) -> None:
    source = voted(tmp_path)
    classes = ("a", "b", "c")  # in another order than the data's
    expected = [[0, 1, 0], [0, 0.75, 0.25], [3 / 7, 4 / 7, 0], [1, 0, 0]]
    torch.testing.assert_close(targets(source, classes), torch.tensor(expected))
    assert truth(source, classes).tolist() == [1, 1, 1, 0]
    assert PixelDataset(source, UNIT, classes)[1][1] == 1
    torch.testing.assert_close(
        PixelDataset(source, UNIT, classes, fitted=True)[1][1], torch.tensor([0, 0.75, 0.25])
    )
    (tmp_path / "single.png").write_bytes(b"no picture")
    assert PixelDataset(source, UNIT, classes, fitted=True)[1][1].isnan().all()


def test_loss_is_the_cross_entropy_of_distributions() -> None:
    torch.manual_seed(0)
    answer, aims = torch.randn(5, 3), torch.rand(5, 3)
    aims /= aims.sum(1, keepdim=True)
    loop = [
        -sum(float(p * q) for p, q in zip(a, x.log_softmax(0), strict=True))
        for a, x in zip(aims, answer, strict=True)
    ]
    task = Classes(("a", "b", "c"))
    assert float(task.loss(answer, aims)) == pytest.approx(float(np.mean(loop)), rel=1e-5)
    aims[2] = torch.nan  # an image that could not be read
    assert float(task.loss(answer, aims)) == pytest.approx(float(np.mean(loop[:2] + loop[3:])), rel=1e-5)
    hard = torch.tensor([0, 2, 1, -1, 1])
    one_hot = torch.eye(3)[hard.clamp(min=0)]
    one_hot[3] = torch.nan
    torch.testing.assert_close(task.loss(answer, hard), task.loss(answer, one_hot))
    kept = torch.tensor([0, 1, 2, 4])
    assert task.batch_measures(answer[kept], one_hot[kept]) == task.batch_measures(answer[kept], hard[kept])


def test_a_corrected_label_is_the_only_one(tmp_path: Path) -> None:
    source = corrected(voted(tmp_path), Corrections("labels.csv", {("", "single.png"): "c"}))
    assert targets(source, source.classes)[1].tolist() == [0, 0, 1]
    assert targets(source, source.classes)[2].tolist() == pytest.approx([4 / 7, 3 / 7, 0])
    assert source.has_votes


def test_other_votes_are_other_data(tmp_path: Path) -> None:
    before = voted(tmp_path).fingerprint()
    file = tmp_path / "table.csv"
    file.write_text(file.read_text().replace("single.png,6,1,2,1", "single.png,6,1,3,1"))
    after = open_data(str(file), votes=VOTES)
    assert [item.label for item in after.items] == ["b", "b", "b", "a"]
    assert after.fingerprint() != before


def test_equalize_is_pillows() -> None:
    from PIL import ImageOps

    torch.manual_seed(0)
    dark = (torch.rand(2, 3, 16, 16) ** 3 * 200).to(torch.uint8)
    made = Augmentation(0, 0, 0, 0, equalize=1)(dark)
    for image, found in zip(dark, made, strict=True):
        expected = ImageOps.equalize(Image.fromarray(image.permute(1, 2, 0).numpy()))
        np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), np.asarray(expected))
    many = Augmentation(0, 0, 0, 0, equalize=0.5)(dark[:1].repeat(200, 1, 1, 1))
    same = (many == dark[:1].float()).flatten(1).all(1)
    assert 60 < int(same.sum()) < 140
    alpha = torch.cat([dark, dark[:, :1]], 1)
    assert torch.equal(Augmentation(0, 0, 0, 0, equalize=1)(alpha)[:, 3], alpha[:, 3].float())


def train_table(folder: Path) -> Path:
    """Dark and light pictures in three parts, with votes that mostly say so."""
    rows = []
    for split, count in (("train", 24), ("validation", 8), ("test", 8)):
        for i in range(count):
            light = i % 2
            name = f"{split}{i}.png"
            Image.new("L", (8, 8), 200 if light else 40).save(folder / name)
            rows.append((name, split, 2 + 6 * light, 8 - 6 * light, 0))
    frame = pd.DataFrame(rows, columns=["image", "split", "light", "dark", "unknown"])
    frame.to_csv(folder / "faces.csv", index=False)
    return folder / "faces.csv"


@pytest.mark.slow
def test_train_and_run_from_the_command_line(tmp_path: Path) -> None:
    table, out = train_table(tmp_path), tmp_path / "net.safetensors"
    columns = ("--label-columns", "light,dark", "--other-columns", "unknown")
    said = launch(
        *("train", "--model", "small_conv", "--data", table, *columns, "--out", out),
        *("--epochs", "1", "--batch-size", "8", "--label-smoothing", "0"),
    )
    assert "loss       cross-entropy of the fractions of votes; validation and test count labels" in said
    assert "--label-columns light,dark --other-columns unknown --split test" in said
    run = ("run", "--model", out, "--data", table, "--split", "test", "--out", tmp_path / "run")
    assert "no column called label" in one_line(*run)
    launch(*run, *columns)
    rows = open_run(tmp_path / "run")
    assert rows.classes == ("light", "dark")
    assert rows.table["label"].tolist() == [1, 0] * 4
    assert "two or more" in one_line("train", "--data", table, "--label-columns", "light", "--out", out)


def test_parts_share_classes_and_recipe(tmp_path: Path) -> None:
    parts = open_parts(str(train_table(tmp_path)), votes=VoteColumns(("light", "dark"), ("unknown",)))
    assert parts.training.has_votes
    assert parts.validation.classes == parts.training.classes == ("light", "dark")
    assert Recipe().of_data(parts.training).task == "classes"


def voted_run(folder: Path) -> RunData:
    """Errors on images with votes: a network that always answers 'dark' to four light and two grey pictures,
    and to two dark ones."""
    rows = [("light", 6, 3, 1), ("light", 9, 1, 0), ("light", 6, 0, 4), ("light", 5, 3, 0)]
    rows += [("grey", 0, 3, 6), ("grey", 3, 0, 7), ("dark", 0, 10, 0), ("dark", 3, 7, 0)]
    named = [(f"{i}.png", *votes) for i, (_, *votes) in enumerate(rows)]
    for name, *_ in named:
        Image.new("L", (32, 32), 90).save(folder / name)
    pd.DataFrame(named, columns=["image", "light", "dark", "grey"]).to_csv(folder / "t.csv", index=False)
    source = open_data(str(folder / "t.csv"), votes=VoteColumns(("light", "dark", "grey")))
    assert [item.label for item in source.items] == [label for label, *_ in rows]
    net = small_conv(3)
    with torch.no_grad():
        net.head.weight.mul_(1e-3)
        net.head.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    wrapped = vitrine.wrap(net.eval(), ["light", "dark", "grey"], Preprocessing((32, 32), None))
    return vitrine.run(wrapped, source, folder / "run", methods=["grad_cam"])


@pytest.mark.slow
def test_errors_that_people_make_too(tmp_path: Path) -> None:
    run = voted_run(tmp_path)
    found = voted_errors(run)
    assert found is not None
    assert found.errors == 6
    ids = run.table["id"]
    # the second choice of image 1 has one vote, and of 2 and 5 it is another class
    assert ids[found.second].tolist() == ["0.png", "3.png", "4.png"]
    assert ids[found.disputed].tolist() == ["0.png", "2.png", "3.png", "4.png", "5.png"]
    assert found.expected == pytest.approx(2 + 1)  # half of each class, as all are called dark
    figure = next(f for f in headline(run, "grad_cam") if f.name == "people's second choice")
    assert (figure.value, figure.note) == ("50\u00a0%", "of 6 errors; 50\u00a0% by chance")
    assert people_said(run, 0) == "people also said dark"
    assert people_said(run, 1) == people_said(run, 6) == ""


@pytest.mark.slow
def test_lists_of_runs_with_votes(tmp_path: Path) -> None:
    run = voted_run(tmp_path)
    findings = Findings(run)
    assert set(OF_VOTES) <= set(lists_of(run))
    shown = {key: group(findings, {}, key) for key in OF_VOTES}
    assert [len(g.rows) for g in shown.values() if g] == [3, 5, 1]
    assert shown["second-choice"].note == "3 of 6 errors; 3 by chance"
    (card, *_) = cards(run, [0], "grad_cam", "both", False)
    assert "people also said dark" in card
    plain = open_run(DEMO)
    assert not set(OF_VOTES) & set(lists_of(plain))
    assert group(Findings(plain), {}, "second-choice") is None
    assert voted_errors(plain) is None
