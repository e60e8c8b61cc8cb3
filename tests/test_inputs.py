"""Files and tables as they come from elsewhere: what is read is read right, and what is not read is counted
and said."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, features

from explain.methods.single_image import read_picture
from explain.run.engine import run
from explain.run.reader import open_run
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.hints import near_classes, seen_in_training
from models.data.images import UnreadableImage, open_image
from models.data.label_sets import set_reading
from models.data.open import open_data
from models.data.parts import open_parts
from models.errors import UserError
from tests.command import launch

KINDS = [
    "jfif",
    "jpe",
    "jpg",
    "apng",
    "dib",
    "webp",
    "bmp",
    "tif",
    "ppm",
    "pbm",
    "pnm",
    "tga",
    "pcx",
    "sgi",
    "qoi",
    "jp2",
    "j2k",
    "avif",
]


# -- kinds of files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_pillow_reads_is_read(kind: str, tmp_path: Path) -> None:
    if (kind == "avif" and not features.check("avif")) or (
        kind in ("jp2", "j2k") and not features.check("jpg_2000")
    ):
        pytest.skip(f"this Pillow cannot write {kind}")
    (tmp_path / "d" / "a").mkdir(parents=True)
    picture = Image.new("RGB", (16, 12), (200, 40, 30))
    written = {"apng": "PNG", "dib": "DIB", "jfif": "JPEG", "jpe": "JPEG", "pbm": "PPM", "pnm": "PPM"}.get(
        kind
    )
    picture.save(tmp_path / "d" / "a" / f"x.{kind}", written)
    source = FolderSource(tmp_path / "d")
    assert len(source) == 1
    assert source.note == ""
    assert np.abs(np.asarray(source.load(0), int)[6, 8] - (200, 40, 30)).max() <= 12


def test_the_rest_is_counted_by_kind_and_its_classes_stay(tmp_path: Path) -> None:
    for name in ("cats", "dogs", "empty"):
        (tmp_path / "d" / name).mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / "d" / "cats" / f"{i}.png")
        (tmp_path / "d" / "dogs" / f"{i}.heic").write_bytes(b"x")
    np.save(tmp_path / "d" / "dogs" / "x.npy", np.zeros(3))
    Image.new("RGB", (8, 8)).save(tmp_path / "d" / "cats" / "no_suffix", "PNG")
    (tmp_path / "d" / "cats" / "LICENSE").write_text("text")
    source = open_data(str(tmp_path / "d"))
    assert source.classes == ("cats", "dogs", "empty")
    assert [item.id for item in source.items] == ["cats/0.png", "cats/1.png", "cats/2.png", "cats/no_suffix"]
    assert (
        source.note
        == "no image of class dogs, empty; 5 files not read, they are no picture of a known format (.heic "
        "3, .npy 1, no suffix 1); HEIC: install pillow-heif, or save it as JPEG or PNG"
    )
    assert open_data(str(tmp_path / "d"), limit=2).note == f"{source.note}; 2 of these 4 images are used"
    assert source.note in open_parts(str(tmp_path / "d")).note
    assert source.note in open_data(str(tmp_path / "d"), "train").note
    for path in (tmp_path / "d" / "cats").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"No images in .*\(\.heic 3, \.npy 1\)"):
        open_data(str(tmp_path / "d"))


def test_a_run_with_an_empty_class(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    (pictures / "annotations").mkdir()
    manifest = run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    assert manifest.counts == {"ok": 18, "failed": 0}
    assert manifest.request.outputs == {"annotations": -1, "blue": 2, "green": 1, "red": 0}
    assert open_run(tmp_path / "run").evaluation.support.tolist() == [6, 6, 6]


# -- deep pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(9, 17))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_pictures_are_scaled_by_the_bits_in_use(bits: int, suffix: str, tmp_path: Path) -> None:
    """Of the data set, so that a dark picture stays dark: the next of those that cameras and scanners use,
    or as many as `--bits` says."""
    from models.preprocessing import Preprocessing

    white = 2**bits - 1
    (tmp_path / "d" / "a").mkdir(parents=True)
    values = np.linspace(0, white, 24 * 10).reshape(10, 24).round().astype(np.uint16)
    bright = tmp_path / "d" / "a" / f"bright.{suffix}"
    Image.fromarray(values).save(bright)
    Image.fromarray(values // 4).save(tmp_path / "d" / "a" / f"dark.{suffix}")
    source, told = FolderSource(tmp_path / "d"), Preprocessing(bits=bits)
    camera = bits + bits % 2
    why = (
        f"the largest value needs {bits}, cameras and scanners use 10, 12, 14 or 16"
        if bits % 2
        else "as they show"
    )
    assert source.bits == camera
    assert source.reading == [
        f"integer pictures of more than 8 bits use {camera} bits ({why}; --bits says otherwise): "
        f"{2**camera - 1:,} is white",
        f"{2 if bits > 10 else 1} of 2 files looked at hold{'' if bits > 10 else 's'} more than 8 bits a "
        "channel: rounded to 256 levels",
    ]
    for top, read in ((2**camera - 1, source), (white, source.read_for(told))):
        for index, expected in ((0, values), (1, values // 4)):
            grey = np.asarray(read.load(index))[..., 0].astype(float)
            assert np.abs(grey - expected * (255 / top)).max() <= 0.51
        alone = np.asarray(open_image(bright, bits=bits if top == white else 0))[..., 0]
        assert np.abs(alone - values * (255 / top)).max() <= 0.51


def test_the_bits_of_a_training_hold_for_its_network(tmp_path: Path) -> None:
    """Of darker pictures, too, in `run` and in `explain` alike; floats are said."""
    from models.preprocessing import Preprocessing

    (tmp_path / "d" / "a").mkdir(parents=True)
    values = np.linspace(0, 900, 240).reshape(10, 24).round().astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "d" / "a" / "dark.png")
    trained = Preprocessing(bits=12)
    source = FolderSource(tmp_path / "d").read_for(trained)
    assert (FolderSource(tmp_path / "d").bits, source.bits) == (10, 12)
    assert "use 12 bits (as the network was trained)" in source.reading[0]
    for picture in (source.load(0), read_picture(tmp_path / "d" / "a" / "dark.png", trained)):
        assert np.abs(np.asarray(picture)[..., 0] - values * (255 / 4095)).max() <= 0.51
    file = tmp_path / "d" / "a" / "float.tif"
    Image.fromarray((values / 900).astype(np.float32)).save(file)
    source = FolderSource(tmp_path / "d")
    assert "1 of 2 files looked at hold floats, of which 1 is white (by --scale)" in source.reading
    assert np.abs(np.asarray(open_image(file))[..., 0] - values * (255 / 900)).max() <= 0.51
    Image.fromarray((values / 4).astype(np.float32)).save(file)
    bytes_as_they_are = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3, scale=1.0)
    row = [item.id for item in source.items].index("a/float.tif")
    for picture in (source.read_for(bytes_as_they_are).load(row), read_picture(file, bytes_as_they_are)):
        assert np.abs(np.asarray(picture)[..., 0] - values / 4).max() <= 0.51
    with pytest.raises(
        UnreadableImage, match=r"from 0 to 225: .* with --scale 1 they are read from 0 to 255"
    ):
        source.load(row)


def test_the_bits_belong_to_the_request(tiny: Classifier, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("red", "green", "blue"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 4096, (40, 40)).astype(np.uint16)).save(
                tmp_path / "d" / name / f"{i}.png"
            )
    manifest = run(tiny, FolderSource(tmp_path / "d"), tmp_path / "run", ["grad_cam"])
    assert manifest.request.bits == 12
    Image.fromarray(rng.integers(0, 65536, (40, 40)).astype(np.uint16)).save(tmp_path / "d" / "red" / "0.png")
    with pytest.raises(UserError, match=r"the bits of deep pictures \(12, now 16\)"):
        run(tiny, FolderSource(tmp_path / "d"), tmp_path / "run", ["grad_cam"])


def write(folder: Path, images: list[str], labels: list[str] | None = None, name: str = "t.csv") -> Path:
    pd.DataFrame({"image": images, "label": labels or ["red"] * len(images)}).to_csv(
        folder / name, index=False
    )
    return folder / name


# -- labels that are no classes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected", "how"),
    [
        (["3", "3|7", "7", "1"], [["3"], ["3", "7"], ["7"], ["1"]], "separated by '|'"),
        (["a;b", "b", "a", "c"], [["a", "b"], ["b"], ["a"], ["c"]], "separated by ';'"),
        (['["cat", "dog"]', '["cat"]', "[]", "[]"], [["cat", "dog"], ["cat"], [], []], "as lists"),
        (["['a']", "['b']", "a", "b"], [["a"], ["b"], ["a"], ["b"]], "as lists"),
    ],
)
def test_several_labels_in_a_cell_are_sets(
    labels: list[str], expected: list[list[str]], how: str, pictures: Path
) -> None:
    source = open_data(str(write(pictures, [f"red/{i}.png" for i in range(4)], labels)))
    assert source.multi_label
    assert [list(item.labels or ()) for item in source.items] == expected
    assert [item.label for item in source.items] == [" | ".join(names) for names in expected]
    assert source.classes == tuple(sorted({name for names in expected for name in names}))
    assert f"labels from column 'label', several in a cell, {how}: " in source.note


def test_lists_of_a_parquet_table_are_sets(pictures: Path) -> None:
    pd.DataFrame({"image": ["red/0.png", "red/1.png"], "label": [[1, 2], [3]]}).to_parquet(
        pictures / "t.parquet"
    )
    source = open_data(str(pictures / "t.parquet"))
    assert [item.labels for item in source.items] == [("1", "2"), ("3",)]
    assert "several in a cell, as lists: 1.5 labels per image on average" in source.note


def test_names_with_such_signs_are_classes() -> None:
    assert set_reading(["tench; Tinca tinca", "goldfish; Carassius auratus", "a|x"]) is None
    assert set_reading(["crane, bird", "crane, machine", "[sic]"]) is None


def test_measured_numbers_are_numbers_and_whole_ones_are_classes(pictures: Path) -> None:
    images = [f"{name}/{i}.png" for name in ("red", "green", "blue") for i in range(6)]
    for cells in ([f"{i / 17:.3f}" for i in range(18)], ["0.25", "1.25", "2.0"] * 6):
        measured = open_data(str(write(pictures, images, cells)))
        assert measured.task == "regression"
        assert [item.numbers for item in measured.items] == [(float(cell),) for cell in cells]
        with pytest.raises(UserError, match=rf"measured numbers \({cells[0]} ...\)"):
            open_data(str(write(pictures, images, cells)), labels_as="single-label")
    for cells in (["0.0", "1.0", "2.0"], ["0", "1.00", "2."]):
        assert open_data(str(write(pictures, images, cells * 6))).classes == ("0", "1", "2")
    for names in (["v1.0", "v1.5", "v2.0"], ["01", "02", "10"], ["1.0", "1.5", "x"]):
        assert set(open_data(str(write(pictures, images, names * 6))).classes) == set(names)
    pd.DataFrame({"image": [*images, "x.png"], "label": [*[0.0, 1.0, 2.0] * 6, None]}).to_parquet(
        pictures / "t.parquet"
    )
    assert open_data(str(pictures / "t.parquet")).classes == (
        "0",
        "1",
        "2",
    )  # whole numbers beside an empty cell


# -- what is worth a second look -----------------------------------------------------------------------------


def test_near_names_are_hinted_at(pictures: Path, tmp_path: Path) -> None:
    images = [f"{name}/{i}.png" for name in ("red", "green", "blue") for i in range(6)]
    path = write(pictures, images, ["happiness"] * 12 + ["hapiness"] * 2 + ["sad"] * 2 + ["sadness"] * 2)
    text = near_classes(open_data(str(path)))
    assert "'hapiness' (2 images) is near 'happiness' (12)" in text
    assert "'sadness' (2 images) is near 'sad' (2)" in text
    assert near_classes(FolderSource(pictures)) == ""
    printed = launch("data", "preview", path, "--out", tmp_path / "preview.png")
    assert "'hapiness' (2 images) is near 'happiness' (12)" in printed


def test_training_images_among_the_images_are_said(pictures: Path) -> None:
    train, whole, test = (open_data(str(pictures), split) for split in ("train", None, "test"))
    about = {"data": {"name": train.name, "fingerprint": train.fingerprint()}}
    assert "was trained on these images" in seen_in_training(train, about)
    assert "a part of this data: training images are among these; choose --split test" in seen_in_training(
        whole, about
    )
    assert seen_in_training(test, about) == ""
    assert seen_in_training(whole, {}) == ""
    same_names = {
        "data": {"name": "photos/train", "fingerprint": test.fingerprint()}
    }  # every part has red/0.png ...
    assert seen_in_training(test, same_names) == ""


def test_one_line_errors_of_the_command_line(tmp_path: Path) -> None:
    from tests.command import one_line

    assert "No image file" in one_line("explain", "nope.jpg", "--model", "resnet50", "--out", tmp_path)
    for port in (99999, -1, 0):
        assert f"--port {port}: ports are numbers from 1 to 65535" in one_line(
            "serve", f"--port={port}", "--no-browser"
        )


def test_near_models_are_named_once() -> None:
    from models.registry import spec

    with pytest.raises(UserError, match="did you mean") as error:
        spec("mobilnet_v2")
    assert str(error.value).count("mobilenet_v2") == 1


def test_json_of_a_request_names_every_class(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    raw = json.loads((tmp_path / "run" / "request.json").read_text())
    assert raw["outputs"] == {"blue": 2, "green": 1, "red": 0}
    assert raw["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
