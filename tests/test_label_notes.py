"""Notes that correct sets of labels: how they are chosen, kept, exported and applied, and what bad lines
cost."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.components.note_editor import TOGGLES, note_editor, notes_view
from dashboard.server.permissions import Access
from dashboard.session.context import Context
from dashboard.session.notes_handler import write
from explain.analysis.findings import Findings
from explain.analysis.groups import group
from explain.export.table import everything
from explain.run.engine import run
from explain.run.outputs.label_sets import LabelSets
from explain.run.people.notes import NOTES, UNKNOWN, Note, add, as_table, corrections_of, labels_table, read
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.corrections import Corrected, corrected, read_corrections
from models.data.source import Item
from models.errors import UserError
from tests.command import launch, one_line
from tests.label_runs import drawn, label_sets
from tests.test_label_sets import NAMES, Patches, net, patches

__all__ = ["net", "patches"]  # fixtures


@pytest.fixture
def sets(net: Classifier, patches: Patches, tmp_path: Path) -> LabelSets:
    run(net, patches, tmp_path / "run", ["grad_cam"], batch_size=8)
    opened = open_run(tmp_path / "run").label_sets
    assert isinstance(opened, LabelSets)
    return opened


def names(truth: np.ndarray) -> list[str]:
    return [name for name, has in zip(NAMES, truth, strict=True) if has]


def note_of(sets: LabelSets, row: int) -> Note:
    image = str(sets.table.at[row, "id"])
    return read(sets.folder).get(image, Note(image))


# -- what is kept --------------------------------------------------------------------------------


def test_each_label_is_a_toggle(sets: LabelSets) -> None:
    """Pressed: the labels of the image, and once corrected the right ones."""
    ctx, row = Context(sets.whole), 3
    for k in range(4):
        text = str(note_editor(sets.label(0), read(sets.folder), row))
        assert f'data-action="labels 3 {k}"{" checked" * bool(sets.truth[row, k])}>' in text
    changed = sets.truth[row].copy()
    for k, on in ((1, not sets.truth[row, 1]), (2, not sets.truth[row, 2])):
        write(ctx, f"labels {row} {k}", str(on).lower(), "me")
        changed[k] = on
        assert note_of(sets, row).labels == tuple(names(changed))
    assert (note_of(sets, row).wrong, note_of(sets, row).by) == (True, "me")
    text = str(note_editor(sets.whole, read(sets.folder), row))
    for k in range(4):
        assert f'data-action="labels 3 {k}"{" checked" * bool(changed[k])}>' in text
    write(ctx, f"labels {row} 2", "true", "me")
    write(ctx, f"labels {row} 2", "true", "me")  # twice the same is the same
    assert ("blue" in (note_of(sets, row).labels or ())) or sets.truth[row, 2]


def test_labels_that_are_right_again_correct_nothing(sets: LabelSets) -> None:
    ctx, has = Context(sets.whole), bool(sets.truth[0, 1])
    write(ctx, "labels 0 1", str(not has).lower(), "me")
    write(ctx, "labels 0 1", str(has).lower(), "me")
    assert read(sets.folder) == {}
    write(ctx, "tags 0", "odd", "me")
    assert note_of(sets, 0).labels is None


def test_labels_that_are_not_known(sets: LabelSets) -> None:
    ctx = Context(sets.whole)
    write(ctx, f"labels 0 {UNKNOWN}", "true", "me")
    assert note_of(sets, 0).labels == (UNKNOWN,)
    assert "labels wrong" in str(note_editor(sets.whole, read(sets.folder), 0))
    write(ctx, f"labels 0 {UNKNOWN}", "false", "me")
    assert read(sets.folder) == {}
    write(ctx, f"labels 0 {UNKNOWN}", "true", "me")
    write(ctx, "labels 0 3", "true", "me")
    assert note_of(sets, 0).labels == ("grey",)


def test_many_labels_are_typed(tmp_path: Path) -> None:
    count = TOGGLES + 1
    made = label_sets(tmp_path, *drawn(30, [0.1] * count))
    given = [f"label {k}" for k in np.flatnonzero(made.truth[4])]
    text = str(note_editor(made.whole, {}, 4))
    assert f'data-action="labels 4" value="{" | ".join(given)}"' in text
    ctx = Context(made.whole, asked=0)
    write(ctx, "labels 4", " Label 7|label 2 ", "me")
    assert note_of(made, 4).labels == ("label 2", "label 7")
    write(ctx, "labels 4", "", "me")
    assert note_of(made, 4).labels == (() if given else None)
    write(ctx, "labels 4", UNKNOWN, "me")
    assert note_of(made, 4).labels == (UNKNOWN,)
    write(ctx, "labels 4", '["label 3", "label 5"]', "me")
    assert note_of(made, 4).labels == ("label 3", "label 5")
    write(ctx, "labels 4", UNKNOWN, "me")
    with pytest.raises(UserError, match="No label 'label 99'"):
        write(ctx, "labels 4", "label 2 | label 99", "me")
    assert note_of(made, 4).labels == (UNKNOWN,)
    write(ctx, "labels 4", " | ".join(given), "me")
    assert note_of(made, 4).labels is None


@pytest.mark.parametrize("name", ["labels 0 9", "labels 0 x", "labels 0 -1", "labels 99 0", "label 0"])
def test_what_no_click_sends_changes_nothing(name: str, sets: LabelSets) -> None:
    with pytest.raises(UserError, match="reload the page"):
        write(Context(sets.whole), name, "true", "me")
    assert read(sets.folder) == {}


def test_visitors_write_no_sets(sets: LabelSets) -> None:
    with pytest.raises(UserError):
        write(Context(sets.whole, access=Access.VISITOR), "labels 0 1", "true", "me")
    assert read(sets.folder) == {}


def test_runs_of_one_label_have_no_sets(small_run: RunData) -> None:
    with pytest.raises(UserError, match="A run of one label per image has no field 'labels'"):
        write(Context(small_run), "labels 0 1", "true", "me")


def test_lines_of_others_cost_nothing(tmp_path: Path) -> None:
    """What is no set is passed over. Readers of earlier versions pass over sets: their notes have no such
    field."""
    add(tmp_path, "a", "labels", ["red", "blue", "red"], "ann", NAMES)
    add(tmp_path, "b", "labels", [], "ann", NAMES)
    lines = [json.loads(line) for line in (tmp_path / NOTES).read_text().splitlines()]
    assert [(x["field"], x["value"]) for x in lines] == [("labels", ["red", "blue"]), ("labels", [])]
    with (tmp_path / NOTES).open("a") as file:
        for value in ("red", 3, {"red": 1}, True):
            file.write(json.dumps({"id": "a", "field": "labels", "value": value, "by": "", "at": ""}) + "\n")
        file.write('{"id": "a", "field": "mood", "value": "x", "by": "", "at": ""}\n')
        file.write('{"id": "a", "field": "labels", "value": ["gre')
    assert read(tmp_path)["a"].labels == ("red", "blue")
    assert read(tmp_path)["b"].labels == ()
    assert (read(tmp_path)["a"].corrected, read(tmp_path)["b"].corrected) == ("red | blue", "none")
    for value in (["pink"], ["red", UNKNOWN]):
        with pytest.raises(UserError, match="No label '"):
            add(tmp_path, "a", "labels", value, "ann", NAMES)
    add(tmp_path, "a", "labels", None, "ann", NAMES)
    assert set(read(tmp_path)) == {"b"}


# -- what comes of it ----------------------------------------------------------------------------


def correct(sets: LabelSets) -> dict[str, set[str]]:
    """Four notes: another set, none of the labels, not known, and a text."""
    ids = sets.table["id"].tolist()
    add(sets.folder, ids[1], "labels", ["red", "grey"], "me", NAMES)
    add(sets.folder, ids[5], "labels", [], "me", NAMES)
    add(sets.folder, ids[2], "labels", [UNKNOWN], "me", NAMES)
    add(sets.folder, ids[7], "text", "dark", "me", NAMES)
    return {ids[1]: {"grey", "red"}, ids[5]: set()}


@pytest.mark.slow
def test_corrections_are_applied_to_the_data(
    sets: LabelSets, patches: Patches, net: Classifier, tmp_path: Path
) -> None:
    right, file = correct(sets), tmp_path / "labels.csv"
    printed = launch("notes", sets.folder, "--labels", file, "--out", tmp_path / "notes.csv")
    assert "4 images, 3 images with labels marked as wrong" in printed
    assert "run ... --labels" in printed
    made = corrected(patches, read_corrections(file))
    assert made.multi_label
    before = {item.id: set(item.labels or ()) for item in patches.items}
    changed = sum(before[image] != labels for image, labels in right.items())  # one may be right already
    assert made.note == f"{changed} images with corrected labels, 1 image left out by labels.csv"
    expected = before | right
    del expected[sets.table["id"][2]]
    assert {item.id: set(item.labels or ()) for item in made.items} == expected
    assert all(item == Item.of_set(item.id, item.labels or (), NAMES) for item in made.items)
    run(net, made, tmp_path / "again", ["grad_cam"])
    again = open_run(tmp_path / "again").label_sets
    assert isinstance(again, LabelSets)
    for row, image in enumerate(again.table["id"]):
        assert set(names(again.truth[row])) == expected[image]
    table = pd.read_csv(tmp_path / "notes.csv", keep_default_na=False).set_index("id")
    assert table["corrected"].tolist() == ["red | grey", UNKNOWN, "none", ""]
    assert table["true"].tolist() == [" | ".join(names(sets.truth[row])) for row in (1, 2, 5, 7)]


def test_a_cell_of_names_between_bars_is_read_too(patches: Patches, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(
        'image,label\n0.png,Red | blue\n1.png,green\n2.png,"[""red"", ""grey""]"\n3.png,[]\n4.png,\n'
    )
    made = Corrected(patches, read_corrections(tmp_path / "l.csv"))
    found = {item.id: item.labels for item in made.items}
    assert [found.get(f"{k}.png") for k in range(5)] == [
        ("red", "blue"),
        ("green",),
        ("red", "grey"),
        (),
        None,
    ]
    assert made.left_out == 1
    cells = [["red", "blue"], ["green"], ["grey", "red"], [], None]
    lists = pd.DataFrame({"image": [f"{k}.png" for k in range(5)], "label": cells})
    lists.to_parquet(tmp_path / "l.parquet")
    again = Corrected(patches, read_corrections(tmp_path / "l.parquet"))
    assert again.items == made.items
    (tmp_path / "l.csv").write_text("image,label\n0.png,red;blue\n")
    assert Corrected(patches, read_corrections(tmp_path / "l.csv")).items[0] == made.items[0]
    (tmp_path / "l.csv").write_text("image,label\n0.png,red|pink\n")
    with pytest.raises(
        UserError, match=r"names class 'pink', which patches lacks: it has red, green, blue, grey"
    ):
        Corrected(patches, read_corrections(tmp_path / "l.csv"))


def test_a_name_with_a_bar_stays_whole(patches: Patches, tmp_path: Path) -> None:
    odd = ("a|b", "green", "blue", "grey")
    renamed = {"red": "a|b"}
    patches.classes = odd
    patches.items = [
        Item.of_set(i.id, [renamed.get(n, n) for n in i.labels or ()], odd) for i in patches.items
    ]
    (tmp_path / "l.csv").write_text('image,label\n0.png,"[""a|b"", ""grey""]"\n1.png,a|b\n')
    made = Corrected(patches, read_corrections(tmp_path / "l.csv"))
    assert [item.labels for item in made.items[:2]] == [("a|b", "grey"), ("a|b",)]


def test_labels_that_the_run_lacks_are_left_out_and_counted(sets: LabelSets, tmp_path: Path) -> None:
    """Notes of an earlier run of other labels."""
    ids = sets.table["id"].tolist()
    add(sets.folder, ids[0], "labels", ["pink"], "me", ("pink", "red"))
    add(sets.folder, ids[3], "labels", ["pink", "red"], "me", ("pink", "red"))
    add(sets.folder, ids[4], "labels", ["grey"], "me", NAMES)
    fitting, missing = corrections_of(sets.whole, read(sets.folder))
    assert [note.id for note in fitting] == [ids[4]]
    assert missing == {"pink": 2}
    assert labels_table(sets.whole, read(sets.folder))["image"].tolist() == [ids[4]]
    printed = launch("notes", sets.folder, "--labels", tmp_path / "l.csv")
    assert "left out   2 corrections name labels that the run lacks: pink 2" in printed
    assert as_table(sets.whole, read(sets.folder))["corrected"].tolist() == ["pink", "pink | red", "grey"]
    (sets.folder / NOTES).unlink()
    add(sets.folder, ids[0], "labels", ["pink"], "me", ("pink",))
    assert "nothing to correct" in one_line("notes", sets.folder, "--labels", tmp_path / "l.csv")


def test_the_page_lists_and_filters_them(sets: LabelSets) -> None:
    right = correct(sets)
    findings, notes = Findings(sets.label(1)), read(sets.folder)
    shown = group(findings, notes, "corrected")
    assert shown is not None
    assert set(sets.table["id"][shown.rows]) == {*right, sets.table["id"][2]}
    noted = group(findings, notes, "notes")
    assert noted is not None
    assert len(noted.rows) == 4
    text = str(notes_view(findings, notes))
    assert "3 sets of labels corrected" in text
    assert "<code>train --labels labels.csv</code> trains on them" in text
    assert "<td>red | grey</td>" in text
    assert f"<td>{' | '.join(names(sets.truth[7]))}</td>" in text


def test_the_table_of_an_export_has_the_right_set(sets: LabelSets) -> None:
    correct(sets)
    one = sets.label(0)
    entries = [{"row": row, "result": "", "original": [], "overlays": [], "maps": []} for row in (1, 5, 7)]
    assert everything(one, entries, ["grad_cam"])["corrected"].tolist() == ["red | grey", "none", ""]
