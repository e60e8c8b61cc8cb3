"""A run of a network about faces says where its images are photos, and no crops of faces."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from models.data.folder import FolderSource
from models.data.images import open_image
from models.domains import FACES
from models.faces.hint import not_cropped
from tests.command import launch
from tests.test_faces import HOPPER, astronaut


def folder(root: Path, **files: Image.Image) -> Path:
    (root / "happy").mkdir(parents=True)
    for name, picture in files.items():
        picture.save(root / "happy" / f"{name}.png")
    return root


def test_photos_are_told_from_crops_and_from_other_pictures(tmp_path: Path) -> None:
    face = astronaut().crop((174, 66, 274, 166))
    wall = Image.new("RGB", (200, 200), "grey")
    photos = FolderSource(folder(tmp_path / "photos", a=astronaut(), b=open_image(HOPPER), c=wall))
    assert not_cropped(photos, FACES).startswith("the network is about faces, and in 2 of 3 images looked at")
    assert not_cropped(photos, "") == ""
    for name, pictures in {
        "crops": {"a": face, "b": face},
        "small": {"a": astronaut().resize((90, 90))},
        "few": {"a": astronaut(), "b": wall, "c": wall},
    }.items():
        assert not_cropped(FolderSource(folder(tmp_path / name, **pictures)), FACES) == ""
    shutil.copy(__file__, tmp_path / "few" / "happy" / "bad.jpg")
    assert not_cropped(FolderSource(tmp_path / "few"), FACES) == ""


@pytest.mark.slow
def test_a_run_says_it(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", a=astronaut())
    words = ["--model", "fer_vgg:fer2013", "--data", photos, "--methods", "grad_cam", "--force"]
    said = launch("run", *words, "--out", tmp_path / "run")
    assert "data crop-faces crops them" in " ".join(said.split())
