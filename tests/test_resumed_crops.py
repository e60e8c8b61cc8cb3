"""`data crop-faces` again, after photos were replaced, deleted or added: crops are those of a first call."""

import json
import os
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.images import open_image
from models.data.open import open_data
from models.errors import UserError
from models.faces import detectors
from models.faces.boxes import FaceBox
from models.faces.crop import FaceRequest
from models.faces.folder import LIST, FolderCrops
from tests.command import launch

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 128, 0)
GREY = (128, 128, 128)
times = count(1_000_000_000)


@pytest.fixture(autouse=True)
def face_in_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture has a face at one place, except grey ones."""

    def find(image: Image.Image) -> list[FaceBox]:
        return [FaceBox(10, 10, 20, 20, 1)] if len({*np.asarray(image)[0, 0].tolist()}) > 1 else []

    monkeypatch.setattr(detectors, "opened", lambda text: find)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, color in (("happy/a.png", RED), ("happy/b.png", BLUE), ("sad/c.png", GREEN)):
        draw(tmp_path / "photos" / name, color)
    return tmp_path / "photos"


def draw(file: Path, color: tuple[int, int, int]) -> None:
    """A picture of one color; no two files have the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), color).save(file)
    os.utime(file, (at := next(times), at))


def crop(photos: Path, out: Path) -> list[str]:
    return list(FolderCrops(photos, out, FaceRequest()).steps())


def crops(out: Path) -> dict[str, object]:
    """The color of every crop."""
    return {
        path.relative_to(out).as_posix(): open_image(path).getpixel((0, 0)) for path in out.rglob("*.png")
    }


def test_a_photo_that_was_replaced_is_cropped_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    crop(photos, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    draw(photos / "happy" / "a.png", GREEN)
    draw(photos / "happy" / "b.png", GREY)
    assert crop(photos, out) == ["happy/b.png: no face found: left out"]
    assert crops(out) == {"happy/a.png": GREEN, "sad/c.png": GREEN}
    assert (out / "sad" / "c.png").stat().st_mtime_ns == before[out / "sad" / "c.png"]
    assert FolderCrops(photos, out, FaceRequest()).counts.startswith("3 photos of 3: 2 cropped")


def test_a_list_of_an_earlier_version_is_read_and_every_photo_cropped(photos: Path, tmp_path: Path) -> None:
    """It does not say which file a line is about."""
    out = tmp_path / "crops"
    crop(photos, out)
    first, *lines = [json.loads(line) for line in (out / LIST).read_text().splitlines()]
    old = [{key: value for key, value in line.items() if key != "stamp"} for line in lines]
    assert old != lines
    (out / LIST).write_text("".join(json.dumps(line) + "\n" for line in (first, *old)))
    draw(photos / "happy" / "a.png", BLUE)
    assert crop(photos, out) == []
    assert crops(out) == {"happy/a.png": BLUE, "happy/b.png": BLUE, "sad/c.png": GREEN}
    assert [json.loads(line) for line in (out / LIST).read_text().splitlines()[2:]] == lines[1:]


def test_the_crop_of_a_photo_that_is_gone_is_removed(photos: Path, tmp_path: Path) -> None:
    """And no other file: not one of a person, and not one outside that a damaged list names."""
    out = tmp_path / "crops"
    crop(photos, out)
    draw(out / "happy" / "mine.png", RED)
    draw(tmp_path / "outside.png", RED)
    with (out / LIST).open("a") as file:
        print(json.dumps({"photo": "x.png", "file": "../outside.png"}), file=file)
        print(json.dumps({"photo": "y.png", "file": ""}), file=file)
    (photos / "happy" / "b.png").unlink()
    (photos / "sad" / "c.png").unlink()
    assert crop(photos, out) == ["2 crops of photos that are gone: removed"]
    assert crops(out) == {"happy/a.png": RED, "happy/mine.png": RED}
    assert not (out / "sad").exists()  # it would be a class without an image
    assert (tmp_path / "outside.png").is_file()
    draw(photos / "b.png", BLUE)
    crop(photos, out)
    (photos / "b.png").unlink()
    done = launch("data", "crop-faces", str(photos), "--out", str(out))
    assert done.startswith("1 crop of a photo that is gone: removed\n1 photo of 1: 1 cropped")
    assert crop(photos, out) == []


def test_names_that_change_leave_no_crop_behind(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    crop(photos, out)
    draw(photos / "happy" / "a.bmp", GREEN)
    crop(photos, out)
    assert crops(out) == {
        "happy/a.bmp.png": GREEN,
        "happy/a.png.png": RED,
        "happy/b.png": BLUE,
        "sad/c.png": GREEN,
    }
    (photos / "happy" / "a.png").rename(photos / "a.png")
    assert crop(photos, out) == ["1 crop of a photo that is gone: removed"]
    assert crops(out) == {"a.png": RED, "happy/a.png": GREEN, "happy/b.png": BLUE, "sad/c.png": GREEN}


def test_other_options_are_refused_and_remove_nothing(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "crops"
    crop(photos, out)
    before = crops(out)
    (photos / "happy" / "b.png").unlink()
    with pytest.raises(UserError, match="made with other options"):
        list(FolderCrops(photos, out, FaceRequest(margin=0.2)).steps())
    assert crops(out) == before


def test_the_list_beside_crops_is_no_unread_file(photos: Path, tmp_path: Path) -> None:
    """Nor a table that might hold labels; a file of that name further below is none of this command's."""
    out = tmp_path / "crops"
    crop(photos, out)
    assert open_data(str(out)).note == ""
    assert FolderCrops(out, tmp_path / "again", FaceRequest()).note == ""
    (out / "happy" / "more").mkdir()
    for name in ("happy/more/faces.jsonl", "faces.json"):
        (out / name).write_text("{}")
    assert "2 files not read" in open_data(str(out)).note
    shutil.rmtree(out / "sad")
    assert "--data" not in open_data(str(out)).note
