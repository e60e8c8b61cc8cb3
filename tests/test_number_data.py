"""Data with numbers for each image, in every form: tables, Parquet files of images, shards, and sources from
outside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.data.open import open_data
from models.data.registry import register_data_source, unregister_data_source
from models.data.source import ImageSource, Item, Subset
from models.errors import UserError
from models.outputs.matching import true_numbers
from models.outputs.task import MULTI, REGRESSION, SINGLE
from tests.archives import png, write_parquet, write_tar
from tests.label_forms import pictures_of
from tests.number_source import Tinted

AGES = [0.5, 31, 17.25, 40]
SCORES = [-1, 2e-3, 3, 1e6]


def numbers_of(source: ImageSource) -> list[tuple[float, ...]]:
    assert source.task == REGRESSION
    assert source.empty == ()
    return [item.numbers or () for item in source.items]


def table(folder: Path, suffix: str = "csv", name: str = "t", **columns: Any) -> Path:
    images = pictures_of(folder, len(next(iter(columns.values()))))
    made, path = pd.DataFrame({"file_name": images, **columns}), folder / f"{name}.{suffix}"
    if suffix == "parquet":
        made.to_parquet(path)
    elif suffix == "jsonl":
        made.to_json(path, orient="records", lines=True)
    else:
        made.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "tsv"])
def test_a_measured_column_of_a_table(suffix: str, tmp_path: Path) -> None:
    if suffix == "tsv":
        path = table(tmp_path, label=AGES)
        text = path.read_text().replace(",", "\t")
        path = path.with_suffix(".tsv")
        path.write_text(text)
    else:
        path = table(tmp_path, suffix, label=AGES)
    source = open_data(str(path))
    assert numbers_of(source) == [(age,) for age in AGES]
    assert (source.classes, source.multi_label) == (("label",), False)
    assert "numbers from column 'label'" in source.note
    assert [item.label for item in source.items] == ["0.5", "31", "17.25", "40"]
    assert source.load(0).size == (8, 6)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_several_columns_named_together(suffix: str, tmp_path: Path) -> None:
    path = table(tmp_path, suffix, age=AGES, score=SCORES, split=["test"] * 4)
    source = open_data(str(path), label_col="score, age")
    assert numbers_of(source) == list(zip(SCORES, AGES, strict=True))
    assert source.classes == ("score", "age")
    assert "numbers from columns 'score', 'age'" in source.note
    assert numbers_of(open_data(str(path), label_col="score,age", split="test"))[0] == (-1, 0.5)


def test_metadata_beside_the_images(tmp_path: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        folder = tmp_path / suffix
        folder.mkdir()
        table(folder, suffix, "metadata", age=AGES)
        assert numbers_of(open_data(str(folder), label_col="age")) == [(age,) for age in AGES]


def test_an_exact_name_comes_before_its_parts(tmp_path: Path) -> None:
    path = table(tmp_path, **{"a,b": AGES, "a": SCORES, "b": SCORES})
    source = open_data(str(path), label_col="a,b")
    assert (source.classes, numbers_of(source)) == (("a,b",), [(age,) for age in AGES])


def test_whole_numbers_are_classes_until_it_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, label=[3, 31, 17, 3])
    assert open_data(str(path)).task == SINGLE
    assert open_data(str(path), labels_as=MULTI).task == MULTI
    source = open_data(str(path), labels_as=REGRESSION)
    assert (numbers_of(source), source.classes) == ([(3,), (31,), (17,), (3,)], ("label",))
    two = table(tmp_path, name="two", a=[1, 0, 1, 1], b=[0, 1, 0, 5])
    with pytest.raises(UserError, match=r"Columns a, b .* hold no measured numbers: read them as num"):
        open_data(str(two), label_col="a,b")
    assert numbers_of(open_data(str(two), label_col="a,b", labels_as=REGRESSION))[3] == (1, 5)
    with pytest.raises(UserError, match=r"holds measured numbers \(0.5 ...\), not classes"):
        open_data(str(table(tmp_path, name="m", label=AGES)), labels_as=SINGLE)


def test_which_columns_where_none_is_named(tmp_path: Path) -> None:
    one = table(tmp_path, who=["a", "b", "c", "d"], ink=[3, 4, 5, 6])
    assert open_data(str(one), labels_as=REGRESSION).classes == ("ink",)
    affect = table(
        tmp_path, name="a", expression=[0, 1, 2, 3], arousal=[0.1] * 4, valence=[0, 0.2, 0.4, -0.5]
    )
    assert open_data(str(affect), labels_as=REGRESSION).classes == ("valence", "arousal")
    assert open_data(str(affect)).task == SINGLE
    two = table(tmp_path, name="two", x=[1, 2, 3, 4], y2=[1, 2, 3, 4])
    with pytest.raises(UserError, match=r"has 2 columns of numbers \(x, y2\): name those of the task"):
        open_data(str(two), labels_as=REGRESSION)


def test_rows_without_a_number_are_left_out_and_counted(tmp_path: Path) -> None:
    path = table(tmp_path, label=["0.5", "", "NA", " 1.25 ", "nan", "inf", "2"], b=[1, 2, 3, 4, 5, 6, None])
    source = open_data(str(path))
    assert numbers_of(source) == [(0.5,), (1.25,), (2,)]
    assert "4 rows without image or number left out" in source.note
    assert numbers_of(open_data(str(path), label_col="label,b")) == [(0.5, 1), (1.25, 4)]
    with pytest.raises(UserError, match="has no row with a number in b2"):
        open_data(str(table(tmp_path, name="w", b2=["x", "y"])), label_col="b2", labels_as=REGRESSION)


@pytest.mark.parametrize("cells", [["[0.5, 1]", "[2, 3.25]"], ["[0.5 1.0]", "[2. 3.25]"]])
def test_lists_of_numbers(cells: list[str], tmp_path: Path) -> None:
    source = open_data(str(table(tmp_path, label=cells)))
    assert (source.classes, numbers_of(source)) == (("label 0", "label 1"), [(0.5, 1), (2, 3.25)])
    with pytest.raises(UserError, match="holds lists of 1 and 2 values: a regression needs the same number"):
        open_data(str(table(tmp_path, name="u", label=["[0.5]", "[1, 2]"])), labels_as=REGRESSION)


def test_an_unknown_valence(tmp_path: Path) -> None:
    path = table(tmp_path, valence=[0.5, -2, 1.0], arousal=[-0.25, -2, 0])
    source = open_data(str(path), label_col="valence,arousal")
    assert numbers_of(source) == [(0.5, -0.25), (1, 0)]
    assert "-2 is read as an unknown valence or arousal" in source.note
    other_scale = table(tmp_path, name="o", valence=[0.5, -2, 7], arousal=[1, 2, 3])
    assert len(numbers_of(open_data(str(other_scale), label_col="valence,arousal"))) == 3


def test_an_image_with_two_numbers(tmp_path: Path) -> None:
    pictures_of(tmp_path, 2)
    pd.DataFrame({"image": ["00.png", "01.png", "00.png"], "label": [0.5, 1, 2]}).to_csv(tmp_path / "t.csv")
    source = open_data(str(tmp_path / "t.csv"))
    assert numbers_of(source) == [(0.5,), (1,)]
    assert "named under different labels, of which the first is taken (00.png is 0.5 and 2)" in source.note


def test_parquet_files_of_images(tmp_path: Path) -> None:
    """A feature of floats, and a Sequence of them, as Hugging Face's `datasets` writes them."""
    rows = [(png(i), f"{i}.png", age) for i, age in enumerate(AGES)]
    source = open_data(str(write_parquet(tmp_path / "a" / "test.parquet", rows)))
    assert (source.classes, numbers_of(source)) == (("label",), [(age,) for age in AGES])
    more = write_parquet(tmp_path / "b" / "t.parquet", rows, score=[*SCORES[:3], None])
    found = open_data(str(more), label_col="label,score")
    assert numbers_of(found) == list(zip(AGES[:3], SCORES[:3], strict=True))
    assert "1 row without a number left out" in found.note
    assert found.load(2).getpixel((0, 0)) == (2, 2, 2)
    images = pa.array([{"bytes": png(i), "path": None} for i in range(3)])
    lists = pa.array([[0.5, 1.0], [2.0, 3.0], [4.0, -1.5]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"image": images, "label": lists}), tmp_path / "c.parquet")
    source = open_data(str(tmp_path / "c.parquet"))
    assert (source.classes, numbers_of(source)[2]) == (("label 0", "label 1"), (4, -1.5))
    names = write_parquet(
        tmp_path / "d" / "t.parquet", [(png(0), "0.png", 0), (png(1), "1.png", 1)], ["7", "9"]
    )
    assert open_data(str(names)).task == SINGLE
    assert numbers_of(open_data(str(names), labels_as=REGRESSION)) == [(7,), (9,)]


def test_shards(tmp_path: Path) -> None:
    cls = {f"{i}.png": png(i) for i in range(4)} | {f"{i}.cls": str(a).encode() for i, a in enumerate(AGES)}
    source = open_data(str(write_tar(tmp_path / "a.tar", dict(sorted(cls.items())))))
    assert (source.classes, numbers_of(source)) == (("number",), [(age,) for age in AGES])
    texts = [{"age": a, "score": s, "label": "x"} for a, s in zip(AGES, [*SCORES[:3], None], strict=True)]
    members = {f"{i}.png": png(i) for i in range(4)} | {
        f"{i}.json": json.dumps(text).encode() for i, text in enumerate(texts)
    }
    shard = str(write_tar(tmp_path / "b.tar", dict(sorted(members.items()))))
    assert open_data(shard).task == SINGLE
    assert numbers_of(open_data(shard, label_col="age")) == [(age,) for age in AGES]
    both = open_data(shard, label_col="age,score")
    assert (both.classes, len(numbers_of(both))) == (("age", "score"), 3)
    assert "1 image without a label left out" in both.note
    with pytest.raises(UserError, match=r"holds the label 0\.5, which is no class"):
        open_data(shard, label_col="age", labels_as=SINGLE)


def test_class_folders_of_ages(tmp_path: Path) -> None:
    for name in ("7", "12", "unknown"):
        pictures_of(tmp_path / name, 2)
    source = open_data(str(tmp_path), labels_as=REGRESSION)
    assert numbers_of(source) == [(12,), (12,), (7,), (7,)]
    assert "2 images whose label is no number left out" in source.note
    pictures_of(tmp_path / "words" / "a", 1)
    with pytest.raises(UserError, match=r"labels of words are no numbers \(a ...\)"):
        open_data(str(tmp_path / "words"), labels_as=REGRESSION)


def test_a_source_from_outside(tmp_path: Path) -> None:
    Tinted(tmp_path / "tinted")
    register_data_source("tints", lambda request: Tinted(tmp_path / "tinted"))
    try:
        source = open_data("tints:")
        assert numbers_of(source) == [tuple(row) for row in source_truth(source)]
        assert open_data("tints:", limit=5).task == REGRESSION
        holes = Tinted(tmp_path / "tinted")
        holes.items[1:3] = [Item("1.png", ""), Item.of_numbers("2.png", (1, float("nan"), 3))]
        register_data_source("holes", lambda request: holes)
        left = open_data("holes:")
        assert (len(left), "2 images without a number left out" in left.note) == (22, True)
        with pytest.raises(UserError, match=r"Image '1.png' has no finite number for each of red, bl"):
            true_numbers(holes.items, {"red": 0, "blue": 1, "light": 2}, holes.classes)
        with pytest.raises(UserError, match="has numbers for each image: it is no data of the task single"):
            open_data("tints:", labels_as=SINGLE)
    finally:
        unregister_data_source("tints")
        unregister_data_source("holes")


def source_truth(source: ImageSource) -> np.ndarray:
    assert isinstance(source, Tinted)
    return source.truth


def test_parts_and_fingerprints(tmp_path: Path) -> None:
    path = table(tmp_path, label=np.linspace(0, 1, 40))
    parts = [open_data(str(path), split=name) for name in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [28, 6, 6]
    assert sorted(item.id for part in parts for item in part.items) == sorted(
        item.id for item in open_data(str(path)).items
    )
    assert all(part.task == REGRESSION for part in parts)
    before = open_data(str(path))
    pd.read_csv(path).assign(label=np.nextafter(np.linspace(0, 1, 40), 2)).to_csv(path, index=False)
    assert open_data(str(path)).fingerprint() != before.fingerprint()  # the last digit, too
    assert Subset(before, np.arange(3)).task == REGRESSION


def test_few_cells_that_are_no_numbers_are_asked_about(tmp_path: Path) -> None:
    cells = [f"{k / 7:.3f}" for k in range(28)]
    odd = table(tmp_path, label=[*cells, "abc", "1,5"])
    with pytest.raises(
        UserError, match=r"measured numbers, and 2 of 30 cells that are none \('abc', '1,5'\)"
    ):
        open_data(str(odd))
    assert len(open_data(str(odd), labels_as=REGRESSION)) == 28
    assert len(open_data(str(odd), labels_as=SINGLE).classes) == 30
    names = table(tmp_path, name="n", label=["v1", "1.5", "2.5", "x"])
    assert open_data(str(names)).task == SINGLE


def test_the_column_of_images_is_not_offered_as_labels(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose one of age, score with --label-col"):
        open_data(str(table(tmp_path, age=AGES, score=SCORES)))
