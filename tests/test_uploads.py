"""Photos of visitors: in memory, of one visitor, and gone."""

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from models.errors import UserError


def test_photos_are_of_one_visitor_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import private
    from dashboard.uploads import EACH, KEPT, KEPT_PIXELS, Photos

    monkeypatch.setattr(private, "SOON", 0.0)

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))

    def upload(size: tuple[int, int] = (20, 10)) -> str:
        path = tmp_path / "up" / "photo.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(path)
        return str(path)

    photos = Photos()
    keys = [photos.keep("a", upload()) for _ in range(EACH + 1)]
    assert not list((tmp_path / "up").iterdir())
    assert photos.open(keys[-1]).size == (20, 10)
    with pytest.raises(UserError, match="upload it again"):
        photos.open(keys[0])
    large = photos.open(photos.keep("b", upload((3000, 1500))))
    assert large.width * large.height <= KEPT_PIXELS * 1.01
    assert abs(large.width / large.height - 2) < 0.01
    assert photos.forget("a") == keys[1:]
    with pytest.raises(UserError):
        photos.open(keys[-1])
    for n in range(KEPT + 5):
        photos.keep(f"visitor {n}", upload())
    assert len(photos._kept) == KEPT


def test_a_photo_that_was_sent_again_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import private

    now, file = [1000.0], tmp_path / "photo"
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: now[0])
    file.touch()
    os.utime(file, (1000.0, 1000.0))
    private.forget_later(file)
    os.utime(file, (1050.0, 1050.0))  # by another visitor
    now[0] = 1000 + private.SOON
    private.forget_due()
    assert file.exists()
    now[0] += private.SOON
    private.forget_due()
    assert not file.exists()


def test_the_sweep_forgets_what_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import private

    mine, killed, living = (tmp_path / f"{private.PREFIX}{name}" for name in ("mine", "killed", "living"))
    for folder in (mine, killed, living):
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "file").write_bytes(b"x" * 10)
    monkeypatch.setattr(private, "UPLOADS", str(mine))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    os.utime(killed, (1.0, 1.0))
    (mine / "inner" / "new").write_bytes(b"x")
    os.utime(mine / "inner" / "file", (1.0, 1.0))
    private.sweep()
    assert not killed.exists()
    assert (living / "inner" / "file").exists()
    assert sorted(p.name for p in (mine / "inner").iterdir()) == ["new"]
    assert private.uploads_fit()
    monkeypatch.setattr(private, "ROOM", 1)
    assert not private.uploads_fit()
