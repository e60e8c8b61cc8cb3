"""Notes that correct numbers: how they are typed, kept, exported and applied."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.components.note_editor import BOXES, note_editor
from dashboard.components.number_runs.gallery import number_gallery
from dashboard.server.permissions import Access
from dashboard.session.context import Context
from dashboard.session.notes_handler import write
from dashboard.tabs.numbers_state import first_view
from explain.analysis.numbers.proposals import group_of
from explain.run.outputs.number_run import NumbersRun
from explain.run.people.notes import NOTES, UNKNOWN, Note, add, as_table, labels_table, read
from explain.run.reader import RunData
from models.data.corrections import Corrected, Corrections, corrected, read_corrections
from models.data.open import open_data
from models.data.parts import open_parts
from models.data.tensors import truth
from models.errors import UserError
from models.outputs.task import REGRESSION
from tests.command import launch
from tests.number_runs import made_up
from tests.number_source import OUTPUTS, Tinted, answering, opened


@pytest.fixture
def tinted(tmp_path: Path) -> Tinted:
    return Tinted(tmp_path / "tinted", 10)


@pytest.fixture
def run(tinted: Tinted, tmp_path: Path) -> NumbersRun:
    return opened(answering(tinted), tinted, tmp_path / "numbers")


def note_of(run: NumbersRun, row: int) -> Note:
    image = str(run.table.at[row, "id"])
    return read(run.folder).get(image, Note(image))


def test_each_number_has_a_box(run: NumbersRun) -> None:
    ctx = Context(run)
    text = str(note_editor(run, {}, 3))
    for k, name in enumerate(OUTPUTS):
        assert f'data-action="numbers 3 {k}" value=""' in text
        assert f"correct {name} (now {run.truth[3, k]:.6g}), or ? if unknown" in text
    write(ctx, "numbers 3 1", " -2.5 ", "me")
    write(ctx, "numbers 3 2", "?", "me")
    assert note_of(run, 3).numbers == {"blue": -2.5, "light": None}
    assert (note_of(run, 3).wrong, note_of(run, 3).by) == (True, "me")
    assert note_of(run, 3).corrected == "blue -2.5, light ?"
    text = str(note_editor(run, read(run.folder), 3))
    assert 'data-action="numbers 3 1" value="-2.5"' in text
    assert "numbers: blue -2.5, light ?</summary>" in text
    write(ctx, "numbers 3 2", "", "me")
    assert note_of(run, 3).numbers == {"blue": -2.5}
    write(ctx, "numbers 3 1", repr(float(run.truth[3, 1])), "me")  # right again
    assert read(run.folder) == {}


def test_of_many_outputs_the_one_that_is_shown_has_a_box() -> None:
    made = made_up(5, tuple(f"o{k}" for k in range(BOXES + 1))).output(4)
    text = str(note_editor(made, {made.table["id"][2]: Note(made.table["id"][2], numbers={"o7": 1.0})}, 2))
    assert [f"numbers 2 {k}" in text for k in range(BOXES + 1)] == [k in (4, 7) for k in range(BOXES + 1)]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("numbers 3 1", "much", "'much' is no number: type one such as 31.5"),
        ("numbers 3 1", "nan", "nan is no right number of blue: give a finite one"),
        ("numbers 3 9", "1", "no output number '9': reload the page"),
        ("numbers 99 1", "1", "reload the page"),
        ("label 3", "red", "A run of numbers has no field 'label' in a note"),
        ("labels 3 1", "true", "A run of numbers has no field 'labels' in a note"),
    ],
)
def test_what_is_no_number_changes_nothing(name: str, value: str, message: str, run: NumbersRun) -> None:
    with pytest.raises(UserError, match=message):
        write(Context(run), name, value, "me")
    assert read(run.folder) == {}


def test_others_write_no_numbers(run: NumbersRun, small_run: RunData) -> None:
    with pytest.raises(UserError):
        write(Context(run, access=Access.VISITOR), "numbers 3 1", "1", "me")
    with pytest.raises(UserError, match="A run of classes has no field 'numbers'"):
        write(Context(small_run), "numbers 0 1", "1", "me")


def test_lines_of_others_cost_nothing(tmp_path: Path) -> None:
    add(tmp_path, "a", "numbers", {"red": 0.5, "blue": None}, "ann", OUTPUTS)
    with (tmp_path / NOTES).open("a") as file:
        for value in (3, ["red"], {"red": "x"}, {"red": float("nan")}, None):
            file.write(json.dumps({"id": "a", "field": "numbers", "value": value, "by": "", "at": ""}) + "\n")
    assert read(tmp_path)["a"].numbers == {"red": 0.5, "blue": None}
    with pytest.raises(UserError, match="No output 'pink': the run has red, blue, light"):
        add(tmp_path, "a", "numbers", {"pink": 1.0}, "ann", OUTPUTS)
    add(tmp_path, "a", "numbers", {}, "ann", OUTPUTS)
    assert read(tmp_path) == {}


@pytest.mark.slow
def test_corrections_are_applied_to_data_and_training(
    run: NumbersRun, tinted: Tinted, tmp_path: Path
) -> None:
    ids, file = run.table["id"].tolist(), tmp_path / "labels.csv"
    add(run.folder, ids[1], "numbers", {"blue": -2.5}, "me", OUTPUTS)
    add(run.folder, ids[5], "numbers", {"red": 0.25, "light": 90.0}, "me", OUTPUTS)
    add(run.folder, ids[2], "numbers", {"red": None}, "me", OUTPUTS)
    add(run.folder, ids[7], "text", "dark", "me", OUTPUTS)
    printed = launch("notes", run.folder, "--labels", file, "--out", tmp_path / "notes.csv")
    assert "4 images, 3 images with numbers marked as wrong" in printed
    assert "train ... --labels" in printed
    expected = {item.id: list(item.numbers or ()) for item in tinted.items}
    expected[ids[1]][1] = -2.5
    expected[ids[5]][0], expected[ids[5]][2] = 0.25, 90.0
    del expected[ids[2]]
    made = corrected(tinted, read_corrections(file))
    assert made.note == "2 images with corrected numbers, 1 image left out by labels.csv"
    assert {item.id: list(item.numbers or ()) for item in made.items} == expected
    np.testing.assert_allclose(truth(made, OUTPUTS), list(expected.values()), rtol=1e-6)
    again = opened(answering(tinted), made, tmp_path / "again")  # type: ignore[arg-type]
    assert dict(zip(again.table["id"], again.truth.tolist(), strict=True)) == expected
    table = pd.read_csv(tmp_path / "notes.csv", keep_default_na=False).set_index("id")
    assert table["corrected"].tolist() == ["blue -2.5", f"red {UNKNOWN}", "red 0.25, light 90", ""]


def test_a_training_uses_them(tinted: Tinted, tmp_path: Path) -> None:
    """Of a table: each split has the right numbers."""
    data = tinted.table(tmp_path / "t.csv")
    whole = open_data(str(data), label_col="red", labels_as=REGRESSION)
    rows = [(item.id, -1.5 - k) for k, item in enumerate(whole.items)]
    cells = {"image": [image for image, _ in rows], "label": [f"'{value}" for _, value in rows]}
    pd.DataFrame(cells).to_csv(tmp_path / "l.csv", index=False)  # as a table that is no formula
    parts = open_parts(str(data), label_col="red", labels=tmp_path / "l.csv")
    for part in (parts.training, parts.validation, parts.test):
        assert part is not None
        assert [item.numbers for item in part.items] == [(dict(rows)[item.id],) for item in part.items]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("old", "has 'old' as the numbers of image '0.png': write a number, or"),
        ("1.5", "has '1.5' as the numbers"),  # an image has three
        ('{"red": "x"}', "as the numbers of image"),
        ('{"red": true}', "as the numbers of image"),
        ("[1, 2]", "as the numbers of image"),
        ('{"pink": 1}', "names number 'pink', which tinted lacks: it has red, blue, light"),
    ],
)
def test_cells_that_are_no_numbers_are_refused(cell: str, message: str, tinted: Tinted) -> None:
    with pytest.raises(UserError, match=message):
        Corrected(tinted, Corrections("l.csv", {("", "0.png"): cell}))
    listed = Corrected(tinted, Corrections("l.csv", {("", "0.png"): "[1, 2, 3.5]"}))
    assert listed.items[0].numbers == (1.0, 2.0, 3.5)


def test_one_number_is_written_alone_and_the_page_lists_it(tmp_path: Path) -> None:
    run = made_up(60, ("age",))
    notes = {str(run.table["id"][k]): Note(str(run.table["id"][k]), numbers={"age": -3.0}) for k in (4, 9)}
    assert labels_table(run, notes)["label"].tolist() == ["-3.0", "-3.0"]
    assert as_table(run, notes)["corrected"].tolist() == ["age -3", "age -3"]
    named = made_up(60, ("age",))
    named.__dict__["folder"] = tmp_path
    add(tmp_path, str(run.table["id"][4]), "numbers", {"age": 3.0}, "me", ("age",))
    add(tmp_path, str(run.table["id"][6]), "tags", ["dark"], "me", ("age",))
    found = {key: group_of(named, 0, key) for key in ("notes", "corrected")}
    assert {key: group.rows.tolist() for key, group in found.items() if group} == {
        "notes": [4, 6],
        "corrected": [4],
    }
    view = first_view(named).apply("group", "corrected", named)
    shown = str(number_gallery(named, read(tmp_path), view))
    assert "1 image with corrected numbers: <code>" in shown
    assert "<code>train --labels labels.csv</code> trains on them" in shown
    assert 'download="labels.csv"' in shown
    assert "dark <b>1</b>" in shown
