"""Paths of a table: from another folder, another machine or Windows; what is missing is counted, and nothing
is guessed."""

from pathlib import Path

import pandas as pd
import pytest

from explain.run.engine import run
from models.classifier import Classifier
from models.counts import counted
from models.data.folder import FolderSource
from models.data.open import open_data
from models.errors import UserError


def write(folder: Path, images: list[str], labels: list[str] | None = None, name: str = "t.csv") -> Path:
    pd.DataFrame({"image": images, "label": labels or ["red"] * len(images)}).to_csv(
        folder / name, index=False
    )
    return folder / name


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("red\\{}.png", "'\\' in paths read as '/'"),
        ("C:\\Users\\me\\pictures\\red\\{}.png", "without their first 3 folders"),
        ("/home/me/pictures/red/{}.png", "without their first 2 folders"),
        ("old/pictures/red/{}.png", "without their first 1 folder"),
    ],
)
def test_paths_from_elsewhere_are_found_and_said(form: str, text: str, pictures: Path) -> None:
    source = open_data(str(write(pictures, [form.format(i) for i in range(6)])))
    assert source.load(5).size == (48, 40)
    assert text in source.note
    assert [Path(item.id).name for item in source.items] == [f"{i}.png" for i in range(6)]


def test_missing_files_are_counted_before_the_pass(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    path = write(
        pictures,
        [f"red/{i}.png" for i in range(4)] + ["red/lost.png", "blue/lost.png"],
        ["red"] * 4 + ["green", "blue"],
    )
    source = open_data(str(path))
    assert "4 of 6 images found, 2 are missing (the first: red/lost.png)" in source.note
    assert run(tiny, source, tmp_path / "run", ["grad_cam"]).counts == {"ok": 4, "failed": 2}
    with pytest.raises(UserError, match=r"0 of 3 images found: 'lost/0.png' is neither below"):
        open_data(str(write(pictures, [f"lost/{i}.png" for i in range(3)])))
    affect = pd.DataFrame({"image": ["lost/0.png"], "valence": [0.1], "arousal": [0.2]})
    affect.to_csv(pictures / "affect.csv", index=False)
    with pytest.raises(UserError, match="0 of 1 image found"):
        open_data(str(pictures / "affect.csv"), task="affect")


def test_folders_are_not_dropped_where_other_images_would_be_found(pictures: Path) -> None:
    """Images that fall together; those of a part that is not there; a folder of another name. Two folders
    that are there are enough."""
    for images in (
        ["x/pictures/red/0.png", "y/pictures/red/0.png"],
        ["test/red/0.png", "test/red/1.png"],
        ["0/red/0.png"],
    ):
        with pytest.raises(UserError, match=f"0 of {counted(len(images), 'image')} found"):
            open_data(str(write(pictures, images)))
    found = open_data(str(write(pictures.parent, ["/kaggle/input/pictures/red/0.png"])))
    assert found.items[0].id == "pictures/red/0.png"
    assert found.load(0).size == (48, 40)


def test_of_several_folders_none_is_guessed(pictures: Path, tmp_path: Path) -> None:
    """0.png lies in train and in test; a table called as one of them means it, and a stranger's folder beside
    it means nothing."""
    root = tmp_path / "root"
    for name in ("train", "test"):
        (root / name).mkdir(parents=True)
        for i in range(6):
            (root / name / f"{i}.png").write_bytes(
                (pictures / ("red" if name == "train" else "blue") / f"{i}.png").read_bytes()
            )
    images = [f"{i}.png" for i in range(6)]
    assert Path(open_data(str(write(root, images, name="train.csv"))).root).name == "train"
    with pytest.raises(UserError, match=r"'0.png' lies in 'test' and in 'train' of .*which is ambiguous"):
        open_data(str(write(root, images, name="labels.csv")))
    (root / "mine").mkdir()
    with pytest.raises(UserError, match="lies in 'test' and in 'train'"):
        open_data(str(write(root / "mine", images)))
    (root / "mine" / "images").mkdir()
    for i in range(4):
        (root / "mine" / "images" / f"{i}.png").write_bytes((pictures / "green" / f"{i}.png").read_bytes())
    source = open_data(str(write(root / "mine", images)))
    assert Path(source.root).name == "images"
    assert "4 of 6 images found" in source.note
    few = [f"{i + 4}.png" for i in range(12)]  # two of twelve lie in folders beside it
    (root / "alone").mkdir()
    with pytest.raises(UserError, match="0 of 12 images found"):
        open_data(str(write(root / "alone", few)))


def test_one_image_has_one_name(pictures: Path) -> None:
    images = [
        "red/0.png",
        "./red/0.png",
        "red//0.png",
        str(pictures / "red" / "0.png"),
        "blue/../red/1.png",
        "red\\2.png",
    ]
    source = open_data(str(write(pictures, images, ["red", "red", "red", "blue", "red", "red"])))
    assert [item.id for item in source.items] == ["red/0.png", "red/1.png", "red/2.png"]
    assert "3 rows that name an image again left out" in source.note
    assert "red/0.png is red and blue" in source.note


def test_classes_may_be_called_none(pictures: Path) -> None:
    images, names = (
        [f"{c}/{i}.png" for c in ("red", "green", "blue") for i in range(2)],
        ["None", "NA", "null", "nan", "N/A", "x"],
    )
    path = pictures / "t.csv"
    pd.DataFrame({"image": images, "label": names, "age": ["1", "NA", "3", "4", "nan", "6"]}).to_csv(
        path, index=False
    )
    source = open_data(str(path))
    assert set(source.classes) == set(names)
    assert source.metadata is not None
    assert source.metadata["age"].tolist()[:1] == [1.0]
    assert source.metadata["age"].isna().sum() == 2


def test_links_that_lead_back_are_followed_once(pictures: Path) -> None:
    (pictures / "red" / "again").symlink_to(pictures / "red", target_is_directory=True)
    (pictures / "green" / "more").symlink_to(pictures / "blue", target_is_directory=True)
    elsewhere = pictures.parent / "elsewhere"
    elsewhere.mkdir()
    (pictures / "blue" / "0.png").rename(elsewhere / "far.png")
    (pictures / "blue" / "linked").symlink_to(elsewhere, target_is_directory=True)
    source = FolderSource(pictures)
    assert len(source) == 18
    assert "2 links to folders that are read already not followed" in source.note
    assert "blue/linked/far.png" in {item.id for item in source.items}


def test_parts_beside_other_folders_are_parts(pictures: Path, tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        (tmp_path / "d" / part).mkdir(parents=True)
        for name in ("red", "green", "blue"):
            (tmp_path / "d" / part / name).symlink_to(pictures / name, target_is_directory=True)
    (tmp_path / "d" / "masks" / "x").mkdir(parents=True)
    source = open_data(str(tmp_path / "d"), "train")
    assert (source.name, source.classes) == ("d/train", ("blue", "green", "red"))
    assert "not used: masks beside the parts" in source.note
    (tmp_path / "d" / "Valid").mkdir()
    with pytest.raises(UserError, match="has Valid and val, which both are validation"):
        open_data(str(tmp_path / "d"), "val")


def test_contradicting_rows_are_named(pictures: Path) -> None:
    source = open_data(
        str(
            write(
                pictures,
                ["red/0.png", "red/1.png", "red/0.png", "red/1.png"],
                ["red", "blue", "green", "blue"],
            )
        )
    )
    assert (
        "1 image is named under different labels, of which the first is taken (red/0.png is red and green)"
        in source.note
    )
    assert [item.label for item in source.items] == ["red", "blue"]
