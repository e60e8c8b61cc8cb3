"""Identical copies of a picture in the folders of several classes are named, as contradicting rows of a table
are."""

import shutil
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data import copies
from models.data.folder import FolderSource
from models.data.open import open_data
from tests.command import run_command
from tests.test_preflight import NET, WORDS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng, root = np.random.default_rng(3), tmp_path / "data"
    for name in ("a", "b", "c"):
        (root / name).mkdir(parents=True)
        for k in range(6):  # of one size in bytes, all different
            Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8)).save(root / name / f"{k}.bmp")
    return root


def by_hand(root: Path) -> set[str]:
    """All pairs, compared byte by byte."""
    files = sorted(root.rglob("*.bmp"))
    return {
        sha256(one.read_bytes()).hexdigest()
        for one, other in combinations(files, 2)
        if one.parent != other.parent and one.read_bytes() == other.read_bytes()
    }


def test_copies_in_two_classes_are_named(data: Path) -> None:
    assert "copies" not in FolderSource(data).note
    shutil.copy(data / "a" / "1.bmp", data / "a" / "again.bmp")  # of one class: no contradiction
    assert "copies" not in FolderSource(data).note
    shutil.copy(data / "a" / "2.bmp", data / "c" / "other name.bmp")
    assert len(by_hand(data)) == 1
    assert FolderSource(data).note == (
        "1 image is in several classes, as identical copies, and counted in each (a/2.bmp = c/other name.bmp)"
    )
    for k in (0, 1, 3, 4):
        shutil.copy(data / "b" / f"{k}.bmp", data / "c" / f"of b {k}.bmp")
    assert len(by_hand(data)) == 5
    note = open_data(str(data), limit=4).note
    assert note.startswith("5 images are in several classes, as identical copies")
    assert note.endswith(" ...); 4 of these 24 images are used")
    assert len(FolderSource(data)) == 24  # counted in each


def test_same_middle_is_not_the_same_picture(data: Path) -> None:
    whole = bytearray((data / "a" / "0.bmp").read_bytes())
    whole[-1] ^= 1
    (data / "b" / "0.bmp").write_bytes(whole)
    assert "copies" not in FolderSource(data).note


def test_links_are_named_once(data: Path) -> None:
    (data / "b" / "link.bmp").symlink_to(data / "a" / "0.bmp")
    note = FolderSource(data).note
    assert "1 image in several classes, by links" in note
    assert "copies" not in note


def test_what_is_not_compared_is_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(data / "a" / "2.bmp", data / "c" / "x.bmp")
    note = "copies in several classes were not looked for among {} of 19 images"
    with monkeypatch.context() as patch:
        patch.setattr(copies, "MOST_OPENED", 5)
        assert FolderSource(data).note == note.format(19)
    with monkeypatch.context() as patch:
        patch.setattr(copies, "MOST_BYTES", 5)
        assert FolderSource(data).note == note.format(2)
    with monkeypatch.context() as patch:
        patch.setattr(copies, "MOST_FILES", 10)
        assert note.format(9) in FolderSource(data).note
    opened: list[Path] = []
    monkeypatch.setattr(copies, "_contents", lambda path: opened.append(path) or path.read_bytes())
    assert "a/2.bmp = c/x.bmp" in FolderSource(data).note
    assert sorted(path.name for path in opened) == ["2.bmp", "x.bmp"]  # no other file is read as a whole


def test_check_and_run_name_them(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "red" / "0.png", pictures / "blue" / "copy.png")
    (tmp_path / "net.py").write_text(NET.replace("{order}", "[2, 1, 0]"))
    words = ("--model", f"{tmp_path / 'net.py'}:Net", "--data", pictures, *WORDS, "--classes", "sorted")
    for command in (("check", *words), ("run", *words, "--force", "--out", tmp_path / "run")):
        assert "(blue/copy.png = red/0.png)" in run_command(*command).stdout
