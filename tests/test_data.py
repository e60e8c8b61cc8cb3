"""Labeled sets of images, and every way in which they can be wrong."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.classes.mapping import read_mapping
from models.classes.matching import match_classes
from models.data.folder import FolderSource
from models.data.images import UnreadableImage, open_image
from models.data.open import open_data
from models.data.reopen import reopen
from models.data.tables.table import TableSource
from models.errors import UserError

FER = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")


# -- one picture ---------------------------------------------------------------------------------


def test_modes_become_upright_rgb(tmp_path: Path) -> None:
    for mode in ("L", "LA", "P", "RGBA", "CMYK", "1"):
        path = tmp_path / f"{mode}.tiff" if mode == "CMYK" else tmp_path / f"{mode}.png"
        Image.new("RGB", (8, 6), (200, 30, 40)).convert(mode).save(path)
        assert open_image(path).mode == "RGB", mode
        assert open_image(path).size == (8, 6)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 4).reshape(4, 64).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    grey = np.asarray(open_image(tmp_path / "deep.png"))[..., 0]
    assert np.abs(grey.astype(int) - values / 257).max() <= 1


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (20, 10))
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (10, 20)


def test_animations_give_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "moving.gif").getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.slow
def test_truncated_fake_absent_and_huge(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:2000])
    (tmp_path / "text.png").write_text("hello")
    Image.new("L", (9000, 9000)).save(tmp_path / "large.png")
    for name, reason in (
        ("cut.jpg", "cannot be decoded"),
        ("text.png", "not a picture"),
        ("none.png", "not found"),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            open_image(tmp_path / name)
    with pytest.raises(UnreadableImage, match="9000 × 9000 pixels"):
        open_image(tmp_path / "large.png", max_pixels=24_000_000)


# -- folders -------------------------------------------------------------------------------------


def test_folder(pictures: Path) -> None:
    source = FolderSource(pictures)
    assert source.classes == ("blue", "green", "red")
    assert len(source) == 18
    assert source.items[0].id == "blue/0.png"
    assert source.load(0).size == (48, 40)
    before = source.fingerprint()
    (pictures / "blue" / "0.png").rename(pictures / "blue" / "00.png")
    assert FolderSource(pictures).fingerprint() != before


def test_folder_skips_what_is_no_picture_and_says_so(pictures: Path) -> None:
    (pictures / "red" / "notes.txt").write_text("x")
    (pictures / "red" / ".hidden.png").write_text("x")
    (pictures / "empty").mkdir()
    source = FolderSource(pictures)
    assert len(source) == 18
    assert source.classes == ("blue", "empty", "green", "red")
    assert source.empty == ("empty",)
    assert source.note == (
        "no image of class empty; 1 hidden file (.name) not used; 1 file not read, it is no picture of a "
        "known format (.txt 1)"
    )


@pytest.mark.parametrize("names", [("train", "Validation", "TEST"), ("Train", "valid", "test")])
def test_splits_in_any_case(names: tuple[str, ...], pictures: Path, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / "set" / name / "red").mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "set" / name / "red" / "a.png")
    assert FolderSource(tmp_path / "set").split == names[2]
    assert FolderSource(tmp_path / "set", "validation").split == names[1]
    assert open_data(str(tmp_path / "set"), "train").name == f"set/{names[0]}"


def test_folders_that_cannot_be_used(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No folder"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds 6 images but no class subfolders"):
        FolderSource(pictures / "red")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match="No images in"):
        FolderSource(tmp_path / "empty")
    with pytest.raises(UserError, match="has no split 'train'"):
        FolderSource(pictures, "train")
    with pytest.raises(UserError, match="is a file"):
        open_data(str(pictures / "red" / "0.png"))


def test_limit_is_spread_evenly(pictures: Path) -> None:
    some = open_data(str(pictures), limit=6)
    assert len(some) == 6
    assert {item.label for item in some.items} == {"red", "green", "blue"}
    assert some.load(5).size == (48, 40)


# -- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table(kind: str, pictures: Path) -> None:
    table = pd.DataFrame(
        {"file": ["red/0.png", "blue/1.png", None], "emotion": ["red", "blue", "red"], "age": [1, 2, 3]}
    )
    path = pictures / f"labels.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    source = open_data(str(path))
    assert isinstance(source, TableSource)
    assert (source.image_col, source.label_col) == ("file", "emotion")
    assert len(source) == 2
    assert source.load(1).size == (48, 40)
    assert "1 row without image" in source.note


def test_tables_that_cannot_be_used(pictures: Path) -> None:
    path = pictures / "odd.csv"
    pd.DataFrame({"where": ["red/0.png"], "what": ["red"]}).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"choose one of where, what with --image-col"):
        open_data(str(path))
    assert len(open_data(str(path), image_col="where", label_col="what")) == 1
    with pytest.raises(UserError, match="no column 'nope'"):
        open_data(str(path), image_col="nope", label_col="what")
    with pytest.raises(UserError, match="holds no image paths"):
        open_data(str(path), image_col="what", label_col="what")
    (pictures / "bad.parquet").write_bytes(b"zzz")
    with pytest.raises(UserError, match="cannot be read as a table"):
        open_data(str(pictures / "bad.parquet"))


def test_splits_of_a_table(pictures: Path) -> None:
    rows = [
        ("red/0.png", "red", "Train"),
        ("blue/0.png", "blue", "train"),
        ("red/1.png", "red", "val"),
        ("blue/1.png", "blue", "valid"),
    ]
    path = pictures / "parts.csv"
    pd.DataFrame(rows, columns=["image", "label", "split"]).to_csv(path, index=False)
    assert [i.id for i in open_data(str(path), "train").items] == ["red/0.png", "blue/0.png"]
    assert [i.id for i in open_data(str(path), "validation").items] == ["red/1.png", "blue/1.png"]
    assert len(open_data(str(path))) == 4
    with pytest.raises(UserError, match="no rows of split 'test'"):
        open_data(str(path), "test")
    pd.DataFrame(rows, columns=["image", "label", "who"]).to_csv(path, index=False)
    assert (
        len(open_data(str(path), "train")) == 4
    )  # no parts of its own: classes this small are not taken apart
    with pytest.raises(UserError, match="no column split or subset"):
        open_data(str(path), "odd")


def test_images_below_or_beside_the_table(pictures: Path, tmp_path: Path) -> None:
    """As many data sets come: data/legend.csv names files that lie in images/."""
    (tmp_path / "data").mkdir()
    for i in range(6):
        (pictures / "red" / f"{i}.png").rename(pictures / "red" / f"r{i}.png")
    rows = [(f"r{i}.png", "red") for i in range(6)]
    for path, held in ((pictures / "legend.csv", "red"), (tmp_path / "data" / "legend.csv", "pictures")):
        names = [(n if held == "red" else f"red/{n}", label) for n, label in rows]
        pd.DataFrame(names, columns=["image", "emotion"]).to_csv(path, index=False)
        source = open_data(str(path))
        assert source.load(0).size == (48, 40)
        assert Path(source.root).name == held
        assert f"images are in '{source.root}'" in source.note  # type: ignore[attr-defined]


def test_spellings_of_one_class(pictures: Path) -> None:
    """HAPPINESS and happiness are one class, as the commoner is written; a and A are two."""
    labels = ["happiness", "happiness", "HAPPINESS", "dis_gust", "Dis gust", "a", "A"]
    path = pictures / "t.csv"
    pd.DataFrame(
        {"image": [f"red/{i}.png" for i in range(5)] + ["blue/0.png", "blue/1.png"], "label": labels}
    ).to_csv(path, index=False)
    source = open_data(str(path))
    assert set(source.classes) == {"happiness", "dis_gust", "a", "A"}
    assert "HAPPINESS" in source.note  # type: ignore[attr-defined]


# -- torchvision's sets --------------------------------------------------------------------------


def test_torchvision_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision import datasets

    class FakeSet(datasets.VisionDataset):
        classes = ("cat", "dog")

        def __init__(self, root: str, train: bool = True, download: bool = False):
            if not download:
                raise RuntimeError("Dataset not found")
            self.targets = [0, 1, 1]

        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> tuple[Image.Image, int]:
            return Image.new("L", (5, 5)), self.targets[i]

    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets, "FakeSet", FakeSet, raising=False)
    source = open_data("torchvision:FakeSet")
    assert source.root == "torchvision:FakeSet:test"
    with pytest.raises(UserError, match="it has train and test"):
        open_data("torchvision:FakeSet", "validation")
    assert [item.label for item in source.items] == ["cat", "dog", "dog"]
    assert source.load(0).mode == "RGB"
    with pytest.raises(UserError, match="no data set 'Nonsense'"):
        open_data("torchvision:Nonsense")


def test_torchvision_set_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"torchvision:FER2013 could not be fetched.*use a folder or a table"):
        open_data("torchvision:FER2013")  # has no download of its own


# -- classes -------------------------------------------------------------------------------------


def test_classes_match_by_folded_name_and_synonym() -> None:
    assert match_classes(["Angry", "HAPPY", "sad", "Surprised", "neutral", "fearful"], FER).outputs == (
        6,
        1,
        2,
        3,
        0,
        4,
    )
    assert match_classes(["great_white-shark"], ["tench", "great white shark"]).outputs == (1,)
    assert match_classes(["n01440764"], ["tench"], wordnet_ids=["n01440764"]).outputs == (0,)
    assert match_classes(["0", "2"], FER).outputs == (0, 2)


def test_classes_that_do_not_match(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no class for dog of the data \(data: dog, happy; model: neutral.*--classes FILE"
    ):
        match_classes(["dog", "happy"], FER)
    (tmp_path / "map.txt").write_text("# mine\ndog, anger\n")
    mapping = read_mapping(tmp_path / "map.txt").outputs(["dog", "happy"], FER)
    assert match_classes(["dog", "happy"], FER, mapping=mapping).outputs == (6, 1)
    with pytest.raises(UserError, match="--classes sorted"):
        match_classes(["cat", "dog"], ["class 0", "class 1"])
    (tmp_path / "bad.txt").write_text("dog anger\n")
    with pytest.raises(UserError, match="Line 1"):
        read_mapping(tmp_path / "bad.txt")
    with pytest.raises(UserError, match="No class mapping"):
        read_mapping(tmp_path / "none.txt")


def test_reopen(pictures: Path) -> None:
    again = reopen(str(pictures), "red/0.png")
    assert again is not None
    assert again.size == (48, 40)
    assert reopen(str(pictures), "red/gone.png") is None
    assert reopen("torchvision:CIFAR10:test", "0") is None
    drawn = reopen("toon_faces:0", "test/neutral/00008.png")
    assert drawn is not None
    assert np.array_equal(np.asarray(drawn), np.asarray(open_data("toon_faces").load(8)))
