"""Data with any number of labels per image: every form gives the sets that it was written from, images
without a label are kept and counted, and what cannot be known is refused."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from explain.run.engine import match
from models.classifier import Classifier
from models.data.corrections import Corrected, Corrections
from models.data.hints import near_classes
from models.data.holdout import held_out, split_off
from models.data.kind import DataRequest
from models.data.label_sets import set_reading
from models.data.open import open_data
from models.data.registry import register_data_source, unregister_data_source
from models.data.source import ImageSource, Item, Subset
from models.errors import UserError
from models.outputs.task import MULTI, SINGLE
from tests.archives import png, write_tar
from tests.conftest import TINY, TinyNet
from tests.label_forms import CLASSES, FORMS, drawn, found, one_hot, pictures_of

# -- every form ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_sets_that_were_written(form: str, tmp_path: Path) -> None:
    sets = drawn()
    source = open_data(str(FORMS[form](tmp_path / "d", sets)))
    assert found(source) == sets
    assert source.classes == CLASSES
    assert [Path(item.id).name for item in source.items] == [f"{i:02d}.png" for i in range(len(sets))]
    assert [int(np.asarray(source.load(i))[0, 0, 0]) for i in (0, 7, 39)] == [0, 7, 39]
    mean, none = sum(map(len, sets)) / len(sets), sets.count(())
    assert f"{mean:.1f} labels per image on average; {none} images have none of the labels" in source.note
    assert "left out" not in source.note
    assert source.empty == ()


def test_the_note_says_how_labels_were_read(tmp_path: Path) -> None:
    notes = {}
    for form in ("bars", "one-hot", "Sequence", "shards, .cls"):
        notes[form] = open_data(str(FORMS[form](tmp_path / form, [("9",), ("9", "cat"), ("cat",), ()]))).note
    figures = "1.0 labels per image on average; 1 image has none of the labels"
    assert notes == {
        "bars": "images from column 'file_name', labels from column 'labels', several in a cell, separated "
        f"by '|': {figures}",
        "one-hot": "images from column 'image', labels from 5 columns of 0 and 1 (9, 10, cat, crane, bird, "
        f"don't): {figures}; no image of class 10, crane, bird, don't",
        "Sequence": "images from column 'image', labels from column 'labels', several in a cell, as lists: "
        f"{figures}; no image of class 10, crane, bird, don't",
        "shards, .cls": f"1 shard; labels, several in a key, separated by '|': {figures}",
    }


@pytest.mark.parametrize("form", ["bars", "one-hot", "Sequence", "shards, .cls"])
def test_counts_of_a_part_are_those_of_its_images(form: str, tmp_path: Path) -> None:
    """Of the first images of `--limit`, of a split that is held out, and of corrected labels."""
    sets = [[(), ("9",), ("9", "cat"), ("cat",)][k % 4] for k in range(25)]
    path = str(FORMS[form](tmp_path / "d", sets))
    parts = [open_data(path, limit=10), held_out(open_data(path), "train")]
    whole = open_data(path)
    keys = {("", item.id): "cat" for item in whole.items[:4]}
    parts.append(Corrected(whole, Corrections("l.csv", keys)))
    for part in parts:
        sizes = [len(item.labels or ()) for item in part.items]
        figures = (
            f"{sum(sizes) / len(sizes):.1f} labels per image on average; {sizes.count(0)} images have none"
        )
        assert figures in part.note
        assert part.note.count("on average") == 1
    assert parts[0].note.endswith("; 10 of these 25 images are used")


def test_columns_keep_their_order_and_names_of_a_schema_theirs(tmp_path: Path) -> None:
    pictures_of(tmp_path, 2)
    (tmp_path / "t.csv").write_text("image,zebra,ant\n00.png,1,1\n01.png,,\n")
    source = open_data(str(tmp_path / "t.csv"))
    assert (source.classes, found(source)) == (("zebra", "ant"), [("zebra", "ant")])
    assert "1 row without image or label left out" in source.note
    (tmp_path / "t.csv").write_text("image,zebra,ant\n00.png,1,1\n01.png,1,\n")
    assert ", 1 empty cells read as 0: 1.5 labels" in open_data(str(tmp_path / "t.csv")).note
    feature = {"feature": {"names": ["zebra", "ant"], "_type": "ClassLabel"}, "_type": "List"}
    values = pa.array([[1, 0], [-1], None, []], pa.list_(pa.int64()))
    images = pa.array([{"bytes": png(i), "path": None} for i in range(4)])
    table = pa.table({"image": images, "tags": values}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": {"tags": feature}}})}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    source = open_data(str(tmp_path / "x.parquet"))
    assert (source.classes, found(source)) == (("zebra", "ant"), [("zebra", "ant"), (), ()])
    assert "1 row without a label left out" in source.note  # -1: hidden
    pq.write_table(table.set_column(1, "tags", pa.array([[2], [0], [0], [0]])), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="has the label 2, and its schema names 2 classes"):
        open_data(str(tmp_path / "x.parquet"))


# -- what is asked for -----------------------------------------------------------------------------------


def table(folder: Path, rows: Sequence[Sequence[object]], *columns: str) -> str:
    pictures_of(folder, 6)
    pd.DataFrame(rows, columns=["image", *(columns or ("label",))]).to_csv(folder / "t.csv", index=False)
    return str(folder / "t.csv")


def test_cells_of_one_label_are_sets_where_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, [("00.png", "a"), ("01.png", "b"), ("02.png", None), ("03.png", "tench; Tinca")])
    plain = open_data(path)
    assert (plain.multi_label, [item.labels for item in plain.items]) == (False, [None] * 3)
    assert "1 row without image or label left out" in plain.note
    source = open_data(path, labels_as=MULTI, known=("a", "b", "tench; Tinca"))
    assert found(source) == [("a",), ("b",), (), ("tench; Tinca",)]
    assert "labels from column 'label', one in each cell, read as a set: 0.8 labels per image" in source.note
    assert found(open_data(path, labels_as=MULTI))[3] == ("Tinca", "tench")  # without a network's names
    whole = open_data(
        table(tmp_path, [("00.png", "3|7"), ("01.png", "3"), ("02.png", "7")]), labels_as=SINGLE
    )
    assert (whole.multi_label, whole.classes) == (False, ("3", "7", "3|7"))
    both = (
        "as the task single-label each cell is one class, '3|7' too: 3 classes; as the task multi-label it "
        "is a set of 2 labels, several in a cell, separated by '|'"
    )
    assert whole.note.endswith(both)
    net = Classifier("n", TinyNet(2).eval(), ("3", "7"), TINY, "", "")
    with pytest.raises(UserError, match=r"can be read in two ways: as the .*, or give --classes FILE\.$"):
        match(net, whole)
    joined = Classifier("n", TinyNet(3).eval(), ("3|7", "3", "7"), TINY, "", "")
    assert match(joined, whole).outputs == (1, 2, 0)
    with pytest.raises(UserError, match="'multi-label' or 'regression', not as 'both'"):
        open_data(path, labels_as="both")


def test_commas_and_spaces_separate_only_where_sets_are_asked_for(tmp_path: Path) -> None:
    for rows, expected in (
        (["16 0", "0", "16", "3"], [("0", "16"), ("0",), ("16",), ("3",)]),
        (["a, b", "a", "b", "c"], [("a", "b"), ("a",), ("b",), ("c",)]),
        (["red car", "red bus", "car", "bus"], [("red car",), ("red bus",), ("car",), ("bus",)]),
    ):
        path = table(tmp_path, [(f"{i:02d}.png", cell) for i, cell in enumerate(rows)])
        assert found(open_data(path, labels_as=MULTI)) == expected
        assert [item.label for item in open_data(path).items] == rows


def test_a_network_s_own_names_stay_whole(tmp_path: Path) -> None:
    path = table(tmp_path, [("00.png", "a;b"), ("01.png", "a"), ("02.png", "b")])
    assert found(open_data(path)) == [("a", "b"), ("a",), ("b",)]
    known = open_data(path, known=("a;b", "a", "b"))
    assert (known.multi_label, [item.label for item in known.items]) == (False, ["a;b", "a", "b"])
    some = open_data(table(tmp_path, [("00.png", "a;b|c"), ("01.png", "a;b")]), known=("a;b", "c"))
    assert found(some) == [("a;b", "c"), ("a;b",)]
    once = table(tmp_path, [("00.png", "a|b"), ("01.png", "c")])
    assert not open_data(once).multi_label  # no other cell says that these are names
    assert found(open_data(once, known=("a", "b", "c"))) == [("a", "b"), ("c",)]


@pytest.mark.parametrize("kind", ["folder", "toon_faces", "mine"])
def test_data_of_one_class_an_image_as_sets(kind: str, pictures: Path) -> None:
    class Mine(Subset):
        pass

    def opened(request: DataRequest) -> ImageSource:
        assert request.labels_as == MULTI
        return Mine(open_data(str(pictures)), np.arange(3), "mine")

    text = str(pictures) if kind == "folder" else kind
    if kind == "mine":
        register_data_source("mine", opened)
    try:
        source = open_data(text, labels_as=MULTI, limit=8)
    finally:
        if kind == "mine":
            unregister_data_source("mine")
    assert found(source) == [(item.label,) for item in source.items]
    assert "the one label of each image is read as a set" in source.note
    assert source.load(0).mode == "RGB"


def test_columns_of_exactly_one_1_are_classes_unless_sets_are_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, [("00.png", 0, 1), ("01.png", 1, 0)], "zebra", "ant")
    plain = open_data(path)
    assert (plain.multi_label, plain.classes) == (False, ("ant", "zebra"))
    assert [item.label for item in plain.items] == ["ant", "zebra"]
    assert open_data(path, labels_as=SINGLE).items == plain.items
    assert found(open_data(path, labels_as=MULTI)) == [("ant",), ("zebra",)]


# -- images without a label, and images again ------------------------------------------------------------


def test_rows_of_one_image_are_united_in_sets_only(tmp_path: Path) -> None:
    rows = [("00.png", "a"), ("01.png", None), ("00.png", "b"), ("00.png", "a"), ("01.png", "c"), (None, "c")]
    path = table(tmp_path, rows)
    plain = open_data(path)
    assert [(item.id, item.label) for item in plain.items] == [("00.png", "a"), ("01.png", "c")]
    assert "1 image is named under different labels, of which the first is taken (00.png is a and b)" in (
        plain.note
    )
    source, union = open_data(path, labels_as=MULTI), dict[str, set[str]]()
    for image, label in pd.read_csv(path).dropna(subset="image").itertuples(index=False):
        union.setdefault(image, set()).update([label] if isinstance(label, str) else [])
    assert {item.id: set(item.labels or ()) for item in source.items} == union
    assert "3 rows that name an image again are united with its other labels" in source.note
    assert "1 row without image or label left out" in source.note
    shown = open_data(table(tmp_path, [*rows[:4], ("02.png", "a|b"), ("03.png", " ")]))
    assert found(shown) == [("a", "b"), (), ("a", "b"), ()]
    flags = open_data(table(tmp_path, [("00.png", 1, 0), ("01.png", 0, 0), ("00.png", 0, 1)], "a", "b"))
    assert found(flags) == [("a", "b"), ()]


def test_a_part_is_read_as_the_whole_table(tmp_path: Path) -> None:
    rows = [
        ("00.png", "a|b", "train"),
        ("01.png", "a", "test"),
        ("02.png", "b", "test"),
        ("03.png", None, "test"),
    ]
    source = open_data(table(tmp_path, [*rows, ("04.png", None, "val")], "label", "split"), "test")
    assert found(source) == [("a",), ("b",), ()]
    assert source.classes == ("a", "b")
    with pytest.raises(UserError, match="no row with both an image and a label"):  # hidden, not none
        open_data(str(tmp_path / "t.csv"), "validation")


def test_rare_spellings_of_single_names_are_merged(tmp_path: Path) -> None:
    names = ["Cat|dog"] + ["cat|dog", "cat", "dog"] * 8
    path = table(tmp_path, [(f"{i % 6:02d}.png", name) for i, name in enumerate(names)])
    source = open_data(path)
    assert source.classes == ("cat", "dog")
    assert source.merged == {"Cat": "cat"}
    assert found(source)[0] == ("cat", "dog")
    assert "rare spellings merged: Cat → cat" in source.note


# -- what cannot be known --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["[0, 1, 1]", "[1, 0, 0]"], "holds 3 values of 0 and 1 in each cell, and no names of the classes"),
        (["[1. 0.]", "[0. 1.]"], "holds 2 values of 0 and 1 in each cell"),
        (["0|1|1", "1|0|0"], "holds 3 values of 0 and 1 in each cell"),
        (["[0.25, 1]", "[0.5]"], r"holds measured numbers \(0.25 ...\)"),
        (['["a", {"b": 1}]', "[]"], "holds objects .*, and no names of classes"),
        (['[["a"], "b"]', "[]"], "holds objects"),
    ],
)
def test_cells_that_are_no_sets_of_names(labels: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        open_data(table(tmp_path, [(f"{i:02d}.png", cell) for i, cell in enumerate(labels)]))


def test_lists_of_several_are_no_single_label(tmp_path: Path) -> None:
    pictures_of(tmp_path, 3)
    images, path = ["00.png", "01.png", "02.png"], tmp_path / "t.parquet"
    pd.DataFrame({"image": images, "label": [["a"], ["b"], []]}).to_parquet(path)
    assert found(open_data(str(path))) == [("a",), ("b",), ()]
    assert [item.label for item in open_data(str(path), labels_as=SINGLE).items] == ["a", "b"]
    pd.DataFrame({"image": images, "label": [["a"], ["b", "c"], []]}).to_parquet(path)
    with pytest.raises(UserError, match=r"several labels in one cell .* task single-label .* --label-col"):
        open_data(str(path), labels_as=SINGLE)
    pd.DataFrame({"image": images, "label": [{"a": 1}] * 3}).to_parquet(path)
    with pytest.raises(UserError, match="holds objects"):
        open_data(str(path))
    tar = write_tar(tmp_path / "x.tar", {"1.png": png(), "1.json": b'{"label": ["a", "b"]}'})
    with pytest.raises(UserError, match="several labels for one key"):
        open_data(str(tar), labels_as=SINGLE)


def test_uncertain_labels_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [("00.png", 1, 1, -1), ("01.png", 0, 1, 0)], "Edema", "Fracture", "Pneumonia")
    with pytest.raises(UserError, match="column 'Pneumonia' also holds -1: write 0 or 1 instead"):
        open_data(path)
    path = table(tmp_path, [("00.png", 1, 0, -1), ("01.png", 0, 1, 0)], "a", "b", "turn")
    assert open_data(path).classes == ("a", "b")  # one class per image, beside another column


def test_shards_keep_what_they_lack_apart(tmp_path: Path) -> None:
    members = {f"{i}.png": png(i) for i in range(5)} | {
        "0.json": b'{"label": [1, 0]}',
        "1.json": b'{"label": []}',
        "2.json": b'{"size": 3}',
        "3.json": b'{"label": 1}',
    }
    (tmp_path / "classes.txt").write_text("zebra\nant\n")
    source = open_data(str(write_tar(tmp_path / "x.tar", members)))
    assert [(item.id, item.labels) for item in source.items] == [
        ("x.tar/0.png", ("ant", "zebra")),
        ("x.tar/1.png", ()),
        ("x.tar/3.png", ("ant",)),
    ]
    assert "2 images without a label left out" in source.note
    (tmp_path / "classes.txt").write_text("zebra\n0\n")  # in a list, "0" is a name, and 0 a number
    write_tar(tmp_path / "x.tar", members | {"4.json": b'{"label": ["0", 0.0]}', "3.cls": b"0|1"})
    assert [item.labels for item in open_data(str(tmp_path / "x.tar")).items] == [
        ("0", "zebra"),
        (),
        ("0", "zebra"),
        ("0", "zebra"),
    ]
    (tmp_path / "classes.txt").write_text("zebra\nant\n")
    write_tar(tmp_path / "x.tar", members | {"4.json": b'{"label": [2]}'})
    with pytest.raises(UserError, match="has the label '2', and 2 names are beside it"):
        open_data(str(tmp_path / "x.tar"))
    write_tar(tmp_path / "x.tar", members | {"4.json": b'{"label": [0.5]}'})
    with pytest.raises(UserError, match="which is no class: name another key"):
        open_data(str(tmp_path / "x.tar"))


def test_lists_of_numbers_are_read_where_they_share_names() -> None:
    assert set_reading(["1;2", "3;4", "5"]) is None
    assert set_reading(["3|7", "3", "7"]) is not None
    assert set_reading([]) is None


# -- what is done with sets ------------------------------------------------------------------------------


def many(folder: Path) -> ImageSource:
    sets = drawn(200)
    return open_data(str(one_hot(folder / "d", sets)))


def test_splits_hold_the_rarest_labels(tmp_path: Path) -> None:
    source = many(tmp_path)
    parts = {name: held_out(source, name) for name in ("train", "validation", "test")}
    assert sorted(i for part in parts.values() for i in part.kept.tolist()) == list(range(len(source)))
    count = {name: sum(name in (item.labels or ()) for item in source.items) for name in source.classes}
    strata: dict[str, int] = {}
    for item in source.items:
        rarest = min(item.labels or ("",), key=lambda name: count.get(name, 0))
        strata[rarest] = strata.get(rarest, 0) + 1
    for name in ("validation", "test"):
        assert len(parts[name]) == sum(max(1, round(0.15 * n)) if n >= 3 else 0 for n in strata.values())
        assert parts[name].multi_label
        assert parts[name].items == [source.items[i] for i in parts[name].kept]
    rest, taken = split_off(source, "validation")
    assert len(rest) + len(taken) == len(source)
    held = open_data(str(tmp_path / "d" / "t.csv"), "test", limit=5)
    assert (len(held), held.multi_label) == (5, True)


def test_hints_and_empty_classes_of_sets(tmp_path: Path) -> None:
    rows = [(f"{i % 6:02d}.png", "happiness|cat") for i in range(5)] + [("05.png", "hapiness")]
    source = open_data(table(tmp_path, rows), labels_as=MULTI)
    assert "'hapiness' (1 image) is near 'happiness' (5)" in near_classes(source)
    assert source.empty == ()
    assert Item.of_set("x", ["b", "a"], ("a", "b", "c")) == Item("x", "a | b", ("a", "b"))
    assert Subset(source, np.array([5])).empty == ("cat", "happiness")
