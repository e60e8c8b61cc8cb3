"""Corrected labels: what they change in every kind of source, in the parts of a training, and in its plan."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models import checkpoints
from models.data.corrections import Corrected, corrected, read_corrections
from models.data.folder import FolderSource
from models.data.open import open_data, thinned
from models.data.parts import Parts, open_parts
from models.data.source import ImageSource, Subset
from models.data.tensors import truth
from models.data.toon_faces import ToonFaces
from models.errors import UserError
from models.training.loop import begin
from models.training.measure import measure
from models.training.network import build
from models.training.progress import Progress, predictions_file
from models.training.recipe import Recipe
from models.training.train import Training


def write(path: Path, rows: list[tuple[str, ...]], columns: str = "image,label,data") -> Path:
    path.write_text("\n".join([columns, *(",".join(row) for row in rows)]) + "\n")
    return path


def labels(source: ImageSource) -> dict[str, str]:
    return {item.id: item.label for item in source.items}


def parts_of_folder(pictures: Path, *names: str) -> Path:
    """The pictures as parts that lie in folders of these names, the same in each."""
    root = pictures.parent / "parted"
    for name in names:
        shutil.copytree(pictures, root / name)
    return root


# -- one source ----------------------------------------------------------------------------------


def test_labels_are_replaced_and_images_left_out(pictures: Path, tmp_path: Path) -> None:
    source = FolderSource(pictures)
    file = write(
        tmp_path / "labels.csv",
        [
            ("red/0.png", "Green", "pictures"),
            ("red/1.png", "", "pictures"),
            ("blue/2.png", "red", "other"),
            ("gone.png", "red", "pictures"),
            ("gone.png", "red", "other"),
        ],
    )
    made = corrected(source, read_corrections(file))
    assert (len(made), made.name, made.root, made.classes) == (17, "pictures", source.root, source.classes)
    expected = labels(source) | {
        "red/0.png": "green"
    }  # the source's own spelling; what is said of other data changes nothing
    del expected["red/1.png"]
    assert list(labels(made).items()) == list(expected.items())
    assert (
        made.note == "1 label corrected, 1 image left out by labels.csv; 1 image of labels.csv is not there"
    )  # type: ignore[attr-defined]
    assert made.fingerprint() != source.fingerprint()
    for i, item in enumerate(made.items):
        np.testing.assert_array_equal(np.asarray(made.load(i)), np.asarray(Image.open(pictures / item.id)))


def test_truth_follows_through_every_wrapping(pictures: Path, tmp_path: Path) -> None:
    source, order = FolderSource(pictures), np.array([14, 12, 0])
    text = read_corrections(write(tmp_path / "l.csv", [("red/0.png", "green", ""), ("red/1.png", "", "")]))
    made = corrected(source, text)
    assert truth(made, made.classes).tolist() == [0] * 6 + [1] * 6 + [1] + [2] * 4
    assert truth(Subset(made, np.array([12, 13, 0])), made.classes).tolist() == [1, 2, 0]
    assert truth(corrected(Subset(source, order), text), made.classes).tolist() == [2, 1, 0]
    assert truth(Subset(corrected(Subset(source, order), text), np.array([1, 0])), made.classes).tolist() == [
        1,
        2,
    ]


def test_a_file_that_names_no_data_fits_every_set(pictures: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "labels.csv", [("red/0.png", "blue")], "image,label")
    assert labels(corrected(FolderSource(pictures), read_corrections(file)))["red/0.png"] == "blue"


def test_a_table_in_parquet_and_the_last_row_of_an_image_counts(pictures: Path, tmp_path: Path) -> None:
    rows = {
        "image": ["red/0.png", "red/0.png", "red/1.png", None],
        "label": ["blue", " green ", None, "red"],
        "data": [None, None, "", ""],
    }
    pd.DataFrame(rows).astype({"label": "category"}).to_parquet(tmp_path / "l.parquet")
    text = read_corrections(tmp_path / "l.parquet")
    assert text.labels == {("", "red/0.png"): "green", ("", "red/1.png"): ""}


def test_a_table_by_its_name_and_another_word_for_a_class(pictures: Path, tmp_path: Path) -> None:
    pd.DataFrame(
        {"image": ["red/0.png", "red/1.png", "blue/0.png"], "emotion": ["joy", "Sad", "joy"]}
    ).to_csv(pictures / "faces.csv", index=False)
    text = read_corrections(
        write(tmp_path / "l.csv", [("red/0.png", "Happiness", "faces"), ("red/1.png", "happy", "faces")])
    )
    made = corrected(open_data(str(pictures / "faces.csv")), text)
    assert labels(made) == {"red/0.png": "joy", "red/1.png": "joy", "blue/0.png": "joy"}
    assert made.classes == ("Sad", "joy")
    assert made.note == "images from column 'image', labels from column 'emotion'; 1 label corrected by l.csv"  # type: ignore[attr-defined]


def test_labels_that_are_right_already_change_nothing_and_say_so(pictures: Path, tmp_path: Path) -> None:
    made = corrected(
        FolderSource(pictures), read_corrections(write(tmp_path / "l.csv", [("red/0.png", "red", "")]))
    )
    assert made.note == "0 labels corrected by l.csv"  # type: ignore[attr-defined]
    assert made.fingerprint() == FolderSource(pictures).fingerprint()


def test_words_that_pandas_takes_for_nothing_are_labels(pictures: Path, tmp_path: Path) -> None:
    for name in ("None", "NA"):
        (pictures / name).mkdir()
        shutil.copy(pictures / "red" / "0.png", pictures / name / "0.png")
    made = corrected(
        FolderSource(pictures),
        read_corrections(write(tmp_path / "l.csv", [("red/0.png", "None", ""), ("red/1.png", "NA", "")])),
    )
    assert (labels(made)["red/0.png"], labels(made)["red/1.png"], len(made)) == ("None", "NA", 20)


def test_toon_faces_stay_the_pictures_that_they_were(tmp_path: Path) -> None:
    source = ToonFaces("test", size=16)
    first, second, third = (item.id for item in source.items[:3])
    file = write(
        tmp_path / "l.csv", [(first, "", "toon_faces/test"), (second, "Joy", ""), (third, "fearful", "")]
    )
    made = corrected(source, read_corrections(file))
    assert [item.label for item in made.items[:3]] == ["happiness", "fear", "surprise"]
    assert made.note == "1 label corrected, 1 image left out by l.csv"  # type: ignore[attr-defined]
    assert made.regions == source.regions
    np.testing.assert_array_equal(np.asarray(made.load(1)), np.asarray(source.load(2)))
    np.testing.assert_array_equal(made.masks(1), source.masks(2))
    pd.testing.assert_frame_equal(made.metadata, source.metadata.iloc[1:].reset_index(drop=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "columns", "text"),
    [
        (
            [("red/0.png", "purple", "")],
            "image,label,data",
            r"names class 'purple', which pictures lacks: it has blue, green, red\. Write one of these",
        ),
        (
            [("red/0.png", "green", "mnist")],
            "image,label,data",
            "corrects nothing here: it is about mnist, the data is pictures,",
        ),
        (
            [("nowhere.png", "green", "")],
            "image,label,data",
            "corrects nothing here: it is about no data set by name",
        ),
        (
            [(f"{name}/{i}.png", "", "") for name in ("red", "green", "blue") for i in range(6)],
            "image,label,data",
            "leaves out every image of pictures",
        ),
        (
            [("a", "b")],
            "image,data",
            "has no column 'label': corrected labels are a table with columns image, label and data",
        ),
        ([("a", "b")], "label,data", "has no column 'image'"),
        ([], "image,label", "has no rows"),
        ([("", "red", "")], "image,label,data", "has no rows"),
    ],
)
def test_what_cannot_be_corrected_is_told(
    pictures: Path, tmp_path: Path, rows: list[tuple[str, ...]], columns: str, text: str
) -> None:
    with pytest.raises(UserError, match=text):
        corrected(FolderSource(pictures), read_corrections(write(tmp_path / "l.csv", rows, columns)))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No file .* write corrected labels with"):
        read_corrections(tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_bytes(b"zzz")
    with pytest.raises(UserError, match="cannot be read as a table"):
        read_corrections(tmp_path / "bad.parquet")


# -- the parts of a training ---------------------------------------------------------------------


def test_parts_are_corrected_by_their_names(pictures: Path, tmp_path: Path) -> None:
    root, both = parts_of_folder(pictures, "train", "val", "test"), [("red/0.png", "blue"), ("red/1.png", "")]
    rows = [
        (image, label, f"parted/{part}") for (image, label), part in zip(both, ("val", "test"), strict=True)
    ]
    parts = open_parts(
        str(root), labels=write(tmp_path / "labels.csv", [*rows, ("gone", "red", "parted/test")])
    )
    assert parts.test
    assert labels(parts.training) == labels(FolderSource(pictures))
    assert labels(parts.validation) == labels(FolderSource(pictures)) | {"red/0.png": "blue"}
    assert labels(parts.test) == {k: v for k, v in labels(FolderSource(pictures)).items() if k != "red/1.png"}
    assert parts.note == (
        "0 labels corrected by labels.csv; parted/val: 1 label corrected by labels.csv; "
        "parted/test: 0 labels corrected, 1 image left out by labels.csv; 1 image of labels.csv is not "
        "there"
    )


def test_train_is_corrected_before_validation_is_held_out(pictures: Path, tmp_path: Path) -> None:
    root, images = parts_of_folder(pictures, "train", "test"), list(labels(FolderSource(pictures)))
    other = {"red": "green", "green": "blue", "blue": "red"}
    rows = [(image, other[image.split("/")[0]], "parted/train") for image in images]
    parts = open_parts(str(root), labels=write(tmp_path / "labels.csv", rows))
    assert parts.validation.name == "parted/train (validation)"
    assert (len(parts.training), len(parts.validation)) == (15, 3)
    for part in (parts.training, parts.validation):
        assert all(item.label == other[item.id.split("/")[0]] for item in part.items)
        assert truth(part, part.classes).tolist() == [part.classes.index(item.label) for item in part.items]
    assert "18 labels corrected by labels.csv; validation: 3 images held out of train" in parts.note


def test_corrections_of_the_whole_reach_its_parts(pictures: Path, tmp_path: Path) -> None:
    """A run over data without parts names the whole: `pictures`, not `pictures/train`."""
    plain = open_parts(str(pictures))
    assert plain.test
    picked = [part.items[0] for part in (plain.training, plain.validation, plain.test)]
    rows = [(item.id, "red" if item.label != "red" else "blue", "pictures") for item in picked]
    parts = open_parts(str(pictures), labels=write(tmp_path / "labels.csv", rows))
    assert parts.test
    for part, before, row in zip(
        (parts.training, parts.validation, parts.test),
        (plain.training, plain.validation, plain.test),
        rows,
        strict=True,
    ):
        assert labels(part) == labels(before) | {row[0]: row[1]}
    assert "are not there" not in parts.note
    few = open_parts(str(pictures), limit=3, labels=tmp_path / "labels.csv")  # of training images alone
    assert few.test
    assert labels(few.test) == labels(parts.test)


def test_labels_that_do_not_fit_a_training(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"is about x/test, the data is pictures/train, pictures/test, pictures/validation, and has "
        r"none",
    ):
        open_parts(str(pictures), labels=write(tmp_path / "l.csv", [("red/0.png", "blue", "x/test")]))
    with pytest.raises(UserError, match="--task regression --label-col valence,arousal, or leave --labels"):
        open_parts(str(pictures), labels=tmp_path / "l.csv", task="affect")


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_resumed_training_notices_other_labels(part: str, pictures: Path, tmp_path: Path) -> None:
    source, out = FolderSource(pictures), tmp_path / "a.safetensors"
    plain = {"training": source, "validation": thinned(source, 9), "test": thinned(source, 6)}
    other = plain | {
        part: Corrected(
            plain[part], read_corrections(write(tmp_path / "l.csv", [(plain[part].items[0].id, "red", "")]))
        )
    }
    begun = Training("fer_vgg", None, Parts(**plain), out, Recipe())  # type: ignore[arg-type]
    begun.progress.say(out, "stopped")
    again = Training("fer_vgg", None, Parts(**other), out, Recipe())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="was begun with other images or labels: give the same options"):
        begin(out, again._differences, False)
    assert begin(out, begun._differences, False) is None
    older = Progress({k: v for k, v in begun.progress.plan.items() if k != "judged"}, state="stopped")
    older.write(out)  # as it was before validation and test were part of the plan
    assert begin(out, begun._differences, False) is None


def test_the_description_counts_the_classes(pictures: Path, tmp_path: Path) -> None:
    rows = [(f"red/{i}.png", "green", "") for i in range(4)] + [(f"blue/{i}.png", "", "") for i in range(6)]
    source = corrected(FolderSource(pictures), read_corrections(write(tmp_path / "l.csv", rows)))
    training = Training("fer_vgg", None, Parts(source, source, None), tmp_path / "a.safetensors", Recipe())
    assert training._description(build("fer_vgg", None, 3, Recipe()))["data"]["counts"] == {
        "blue": 0,
        "green": 10,
        "red": 2,
    }


@pytest.mark.slow
def test_trained_and_measured_on_corrected_labels(pictures: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "a.safetensors", Recipe("features", head_epochs=1, batch_size=6)
    rows = [(image, "green", "pictures") for image in labels(open_data(str(pictures), "test"))]
    parts = open_parts(str(pictures), labels=write(tmp_path / "labels.csv", rows))
    assert Training("fer_vgg:toon_faces", None, parts, out, recipe).fit()
    assert measure(out, parts)["test"]["confusion"][0] == [0, 0, 0]
    table = pd.read_parquet(predictions_file(out))
    assert table[table.part == "test"].truth.tolist() == [1, 1, 1]
    assert checkpoints.describe(out)["data"]["counts"] == {"blue": 4, "green": 4, "red": 4}
    assert "pictures/test: 2 labels corrected by labels.csv" in checkpoints.describe(out)["data"]["parts"]
