"""Photos of visitors: in memory, of one visitor, and gone."""

import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest
from PIL import Image

from models.errors import UserError
from models.files import temporary
from tests.forked import Forked


@pytest.mark.slow
def test_photos_are_of_one_visitor_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.server import upload_dir as private
    from dashboard.server.uploads import EACH, KEPT, KEPT_PIXELS, Photos

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
    from dashboard.server import upload_dir as private

    now, file = [1000.0], tmp_path / "photo"
    monkeypatch.setattr(private, "_looked_at", deque())  # not after those of other tests, in another time
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: 0.0)  # turned back meanwhile
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
    from dashboard.server import upload_dir as private

    mine, now = tmp_path / "vitrine-uploads-mine", [1000.0]
    (mine / "inner").mkdir(parents=True)
    (mine / "inner" / "file").write_bytes(b"x" * 10)
    monkeypatch.setattr(private, "UPLOADS", str(mine))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    os.utime(mine / "inner" / "file", (4e9, 4e9))  # a clock that was wrong
    private.sweep()
    now[0] += private.OLD / 2
    (mine / "inner" / "new").write_bytes(b"x")
    private.sweep()
    assert sorted(p.name for p in (mine / "inner").iterdir()) == ["file", "new"]
    now[0] += private.OLD / 2
    private.sweep()
    assert sorted(p.name for p in (mine / "inner").iterdir()) == ["new"]
    assert private.uploads_fit()
    monkeypatch.setattr(private, "ROOM", 1)
    assert not private.uploads_fit()


@pytest.mark.parametrize("left", ["nothing", "a file", "a folder"])
def test_a_folder_that_somebody_removed_is_made_again(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.server import upload_dir as private

    folder = tmp_path / "vitrine-uploads-mine"
    monkeypatch.setattr(private, "UPLOADS", str(folder))
    if left == "a file":
        folder.write_bytes(b"an upload that took its place")
    elif left == "a folder":
        folder.mkdir()
    assert private.uploads_fit()
    assert folder.is_dir()


def test_what_killed_processes_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where they held it by a lock; after a day where there is none."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import sys, time; from models.files import temporary; temporary._held.clear(); "
        "print(temporary.make('export'), flush=True); "
        "sys.stdin.read()"
    )
    child = Forked(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    (folder / "half").write_bytes(b"x")
    mine = temporary.make("export")
    old, young, foreign = tmp_path / "vitrine-old", tmp_path / "vitrine-young", tmp_path / "other"
    for made in (old, young, foreign):
        made.mkdir()
    os.utime(old, (1.0, 1.0))
    os.utime(foreign, (1.0, 1.0))
    temporary.sweep()
    assert (folder / "half").is_file()
    assert mine.is_dir()
    assert not old.exists()
    assert young.is_dir()
    assert foreign.is_dir()
    child.kill()
    child.wait()
    with temporary.temporary_folder("export") as another:
        assert not folder.exists()
        assert list(another.iterdir()) == []
    assert not another.exists()
    temporary.remove(mine)
