"""Tables of other forms: lists, JSON lines, metadata beside images, ids without suffix, columns of 0 and 1.
What cannot be known is refused; what is left out is counted."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from models.data.annotated_folder import AnnotatedFolder
from models.data.folder import FolderSource
from models.data.open import open_data
from models.data.reopen import reopen
from models.data.source import ImageSource
from models.errors import UserError
from tests.command import launch, one_line


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(folder / name)
    return folder


def pairs(source: ImageSource) -> list[tuple[str, str]]:
    return [(item.id, item.label) for item in source.items]


def opened(path: Path, text: str, **options: str) -> ImageSource:
    path.write_bytes(text.encode())
    return open_data(str(path), **options)


# -- lists -------------------------------------------------------------------------------------------------


def test_lists(tmp_path: Path) -> None:
    images(tmp_path, "my images/0.png", "my images/1.JPG", "2.jpeg", "3.bmp")
    text = (
        "\ufeffmy images/0.png great white shark\r\n# a comment\r\n\r\nmy images\\1.JPG\tcrane, bird\r\n"
        "2.jpeg, 7\r\n3.bmp\r\n3.bmp;x\r\n3.bmp y"
    )
    source = opened(tmp_path / "list.txt", text)
    assert pairs(source) == [
        ("my images/0.png", "great white shark"),
        ("my images/1.JPG", "crane, bird"),
        ("2.jpeg", "7"),
        ("3.bmp", "x"),
    ]
    images(tmp_path, "4.png copy.png")
    text = '"4.png copy.png" a\n4.png copy.png, a\n'
    assert pairs(opened(tmp_path / "quoted.txt", text)) == [("4.png copy.png", "a")]
    assert source.classes == ("7", "crane, bird", "great white shark", "x")
    assert "1 row without image or label left out" in source.note
    assert "3.bmp is x and y" in source.note
    assert pairs(opened(tmp_path / "a.lst", "2.jpeg 10\n3.bmp 9\n"))[0] == ("2.jpeg", "10")
    assert opened(tmp_path / "a.lst", "2.jpeg 10\n3.bmp 9\n").classes == ("9", "10")


def test_a_list_with_a_header_is_a_table(tmp_path: Path) -> None:
    images(tmp_path, "a b.png")
    assert pairs(opened(tmp_path / "x.txt", 'image,label\na b.png,"x, y"\n')) == [("a b.png", "x, y")]
    assert pairs(opened(tmp_path / "x.txt", "filename\tclass\na b.png\tx\n")) == [("a b.png", "x")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: each line of a list is an image and its label"),
        ("a.png 0 1\nb.png 1 0\n", r"holds several numbers for one image \('0 1'\)"),
        ("lost.png x\n", "0 of 1 image found"),
        ("a.png\nb.png\n", "no row with both an image and a label"),
    ],
)
def test_lists_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "list.txt", text)


# -- JSON lines and metadata ---------------------------------------------------------------------------------


def test_json_lines(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png")
    boxes = {"objects": {"bbox": [[1, 2]]}, "tags": ["a", "b"]}
    rows = [{"image": "0.png", "label": 3, **boxes}, {"image": "1.png"}, {"image": "1.png", "label": 10}]
    source = opened(tmp_path / "x.jsonl", "\ufeff" + "\r\n".join(map(json.dumps, rows)) + "\r\n\r\n")
    assert pairs(source) == [("0.png", "3"), ("1.png", "10")]
    for text, message in (
        ('{"image": 1}\nxx\n', "line 2 is no JSON"),
        ("[1]\n", "line 1 is no object"),
        ("", "it is empty"),
        ("[" * 99_999, "line 1 is no JSON"),
    ):
        with pytest.raises(UserError, match=f"cannot be read as a table \\({message}\\)"):
            opened(tmp_path / "x.jsonl", text)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_beside_images(kind: str, tmp_path: Path) -> None:
    root = images(tmp_path / "d", "0.png", "deep/1.png", "more/2.png", "3.png")
    (root / "notes.md").write_text("x")
    table = pd.DataFrame({"file_name": ["0.png", "deep/1.png", "lost.png"], "label": ["x, y", "b", "b"]})
    file = root / f"metadata.{kind}"
    if kind == "csv":
        table.to_csv(file, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    elif kind == "jsonl":
        table.to_json(file, orient="records", lines=True)
    else:
        table.to_parquet(file)
    source = open_data(str(root))
    assert pairs(source) == [("0.png", "x, y"), ("deep/1.png", "b"), ("lost.png", "b")]
    assert source.name == "d"
    assert source.note == (
        f"labels from metadata.{kind}; images from column 'file_name', labels from column 'label'; 2 of 3 "
        f"images found, 1 is missing (the first: lost.png); 2 images that metadata.{kind} does not name not "
        "used; 1 file not read, it is no picture of a known format (.md 1)"
    )
    assert reopen(source.root, "deep/1.png", trusted=False) is not None


def test_metadata_of_splits(tmp_path: Path) -> None:
    for part in ("train", "test"):
        root = images(tmp_path / "d" / part, "0.png")
        (root / "metadata.csv").write_text(f"file_name,label\n0.png,{part}\n")
    assert (open_data(str(tmp_path / "d")).name, pairs(open_data(str(tmp_path / "d")))) == (
        "d/test",
        [("0.png", "test")],
    )
    assert pairs(open_data(str(tmp_path / "d"), "train")) == [("0.png", "train")]
    with pytest.raises(UserError, match="has no split 'validation': it has test, train"):
        open_data(str(tmp_path / "d"), "validation")
    rows = "file_name,label,split\ntrain/0.png,a,train\ntest/0.png,b,test\n"
    (tmp_path / "d" / "metadata.csv").write_text(rows)
    assert pairs(open_data(str(tmp_path / "d"), "train")) == [("train/0.png", "a")]


def test_metadata_without_labels_leave_the_folders_of_classes(pictures: Path) -> None:
    (pictures / "metadata.csv").write_text("file_name,caption\nred/0.png,a red one\n")
    source = open_data(str(pictures))
    assert isinstance(source, FolderSource)
    assert source.note == "1 file not read, it is no picture of a known format (.csv 1)"
    assert isinstance(open_data(str(pictures), label_col="caption"), AnnotatedFolder)
    (pictures / "metadata.csv").write_text("")
    assert isinstance(open_data(str(pictures)), FolderSource)
    (pictures / "red" / "metadata.csv").write_text("file_name,caption\n0.png,a red one\n")
    with pytest.raises(UserError, match=r"choose one of caption with --label-col"):
        open_data(str(pictures / "red"))


# -- ids ---------------------------------------------------------------------------------------------------


def test_a_table_without_a_header_keeps_its_first_row(tmp_path: Path) -> None:
    images(tmp_path, "photos/a.jpg", "photos/b.jpg", "photos/c.jpg", "plain.jpg")
    (tmp_path / "plain.jpg").rename(tmp_path / "plain")  # a path by its content
    path = tmp_path / "list.csv"
    found = opened(path, "photos/a.jpg,0\nphotos/b.jpg,1\nphotos/c.jpg,0\n")
    assert [(item.id, item.label) for item in found.items] == [
        ("photos/a.jpg", "0"),
        ("photos/b.jpg", "1"),
        ("photos/c.jpg", "0"),
    ]
    assert "no header: the first line names image 'photos/a.jpg' and is read as a row" in found.note
    found = opened(path, "cat,photos/a.jpg\ndog,photos/b.jpg\n")
    assert [(item.id, item.label) for item in found.items] == [
        ("photos/a.jpg", "cat"),
        ("photos/b.jpg", "dog"),
    ]
    found = opened(path, "7,photos/a.jpg,cat\n7,photos/a.jpg,cat\n", label_col="column 3")
    assert [(item.id, item.label) for item in found.items] == [("photos/a.jpg", "cat")]
    with pytest.raises(UserError, match="choose one of column 1, column 3 with --label-col"):
        opened(path, "7,photos/a.jpg,cat\n")
    assert "no header: the first line names image 'plain'" in opened(path, "plain,x\nphotos/b.jpg,y\n").note
    assert "no header" not in opened(path, "path,label\nphotos/b.jpg,y\n").note


@pytest.mark.parametrize("suffix", ["csv", "txt"])
def test_other_encodings_are_named(suffix: str, tmp_path: Path) -> None:
    images(tmp_path, "a.jpg")
    path = tmp_path / f"t.{suffix}"
    path.write_bytes("path,label\na.jpg,Größe\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"is not encoded in UTF-8 \(it has the byte 0xF6\): save it as"):
        open_data(str(path))


def test_ids_are_found_below_the_table(tmp_path: Path) -> None:
    images(tmp_path, "jpg/a/00173.JPG", "jpg/b/173.png", "jpg/b/x.y.png", "other/9.png")
    source = opened(tmp_path / "t.csv", "id,label\n00173,cat\n173,dog\nx.y,dog\nb/173,dog\n5,dog\n")
    assert pairs(source) == [
        ("jpg/a/00173.JPG", "cat"),
        ("jpg/b/173.png", "dog"),
        ("jpg/b/x.y.png", "dog"),
        ("5", "dog"),
    ]
    assert source.load(1).size == (8, 6)
    assert "4 of 5 images found, 1 is missing (the first: 5)" in source.note
    (tmp_path / "tables").mkdir()
    beside = opened(tmp_path / "tables" / "t.csv", "image_id,label\n00173,cat\n")
    assert pairs(beside) == [("jpg/a/00173.JPG", "cat")]
    assert beside.root == str(tmp_path)


def test_ambiguous_ids_are_refused(tmp_path: Path) -> None:
    images(tmp_path, "train/1.png", "test/1.png", "train/2.png", "test/3.png")
    text = "id,label\n1,a\n2,b\n3,b\n"
    with pytest.raises(UserError, match=r"Id '1' .* is 'test/1\.png' and 'train/1\.png' below .* ambiguous"):
        opened(tmp_path / "labels.csv", text)
    assert "ambiguous" in one_line("data", "preview", tmp_path / "labels.csv")
    source = opened(tmp_path / "train_labels.csv", text)  # 3 is never taken from test
    assert pairs(source) == [("train/1.png", "a"), ("train/2.png", "b"), ("3", "b")]
    images(tmp_path, "train/1.jpg")
    with pytest.raises(UserError, match=r"is 'train/1\.jpg' and 'train/1\.png'"):
        opened(tmp_path / "train.csv", text)


def test_a_number_beside_a_column_of_paths_is_no_id(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png")
    with pytest.raises(UserError, match="choose one of id, photo, label with --image-col"):
        opened(tmp_path / "t.csv", "id,photo,label\n0,1.png,a\n1,0.png,b\n")


def test_ids_that_no_image_has(tmp_path: Path) -> None:
    images(tmp_path / "d", "a/1.png")
    (tmp_path / "d" / "a" / "2.txt").write_text("x")
    (tmp_path / "d" / "a" / "3").write_text("no image")
    with pytest.raises(UserError, match=r"holds no image paths \(first: '2'\): no image near the table"):
        opened(tmp_path / "d" / "t.csv", "id,label\n2,a\n3,a\n../d/a/1,b\n")


# -- columns of 0 and 1 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yes", "no"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), (1, 0), (1.0, 0.0), (True, False)]
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_one_column_a_class(yes: object, no: object, kind: str, tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "2.png")
    table = pd.DataFrame(
        {
            "image": ["0.png", "1.png", "2.png"],
            "crane, bird": [yes, no, None],
            "10": [no, yes, None],
            "9": [no, no, None],
            "age": [1, 2, 3],
            "split": ["test", "test", "train"],
        }
    )
    path = tmp_path / f"t.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    source = open_data(str(path))
    assert pairs(source) == [("0.png", "crane, bird"), ("1.png", "10")]
    assert source.classes == ("9", "10", "crane, bird")
    assert source.note == (
        "images from column 'image', labels from 3 columns of 0 and 1; no image of class 9; 1 row without "
        "image or label left out"
    )
    assert source.metadata is not None
    assert list(source.metadata) == ["age"]


@pytest.mark.parametrize(
    ("rows", "message", "sets"),
    [
        ("0.png,1,1\n1.png,0,1\n", r"\(1 of 2 rows has several\)", [("a", "b"), ("b",)]),
        ("0.png,1,0\n1.png,0,0\n", r"\(1 of 2 rows has none\)", [("a",), ()]),
    ],
)
def test_several_ones_or_none_are_sets(
    rows: str, message: str, sets: list[tuple[str, ...]], tmp_path: Path
) -> None:
    images(tmp_path, "0.png", "1.png")
    source = opened(tmp_path / "t.csv", "image,a,b\n" + rows)
    assert source.multi_label
    assert source.classes == ("a", "b")
    assert [item.labels for item in source.items] == sets
    with pytest.raises(
        UserError, match=rf"{message}, and data of the task single-label .* image, a, b with --label-col"
    ):
        opened(tmp_path / "t.csv", "image,a,b\n" + rows, labels_as="single-label")


def test_a_column_of_labels_comes_first(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png")
    source = opened(tmp_path / "t.csv", "image,male,old,label\n0.png,1,1,x\n1.png,0,1,y\n")
    assert [item.label for item in source.items] == ["x", "y"]


# -- what every table may have -----------------------------------------------------------------------------


def test_windows_tables_of_every_kind(tmp_path: Path) -> None:
    images(tmp_path, "my images/0.png", "my images/1.png")
    rows = [("my images\\0.png", "a"), ("my images\\1.png", "b")]
    for name, text in (
        ("t.csv", "\ufeffimage;label\r\n" + "\r\n".join(";".join(row) for row in rows)),
        ("t.tsv", "image\tlabel\r\n" + "\r\n".join("\t".join(row) for row in rows)),
        ("t.txt", "\r\n".join(" ".join(row) for row in rows)),
        ("t.jsonl", "\r\n".join(json.dumps({"image": i, "label": k}) for i, k in rows)),
    ):
        source = opened(tmp_path / name, text)
        assert pairs(source) == [("my images/0.png", "a"), ("my images/1.png", "b")], name
        assert "'\\' in paths read as '/'" in source.note


def test_the_command_line_says_what_is_read(tmp_path: Path) -> None:
    root = images(tmp_path / "d", *(f"{i}.png" for i in range(12)))
    rows = "".join(f"{i}.png {'ab'[i % 2]}\n" for i in range(12))
    (root / "list.txt").write_text(rows + "lost.png a\n0.png b\n")
    printed = " ".join(launch("data", "preview", root / "list.txt", "--out", tmp_path / "p.png").split())
    assert "12 of 13 images found, 1 is missing (the first: lost.png)" in printed
    assert (
        "1 image is named under different labels, of which the first is taken (0.png is a and b)" in printed
    )
