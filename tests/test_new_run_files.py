"""Files that are dropped on New run: archives of images, names of classes; and checks that are outdated."""

import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
import torchvision
from gradio.utils import get_upload_folder
from PIL import Image

from dashboard.components.listed.check_view import OUTDATED, SETTINGS, SUBJECTS, check_result
from dashboard.server import unpack
from dashboard.server.unpack import unpacked
from dashboard.session.context import Context
from dashboard.session.run_command import check_words
from dashboard.tabs.new_run import NewRunTab
from dashboard.tabs.new_run_state import NewRunView
from explain.run.reader import open_run
from models.data.open import open_data
from models.errors import UserError
from tests.command import run_command

PLAIN = {"model": "fer_vgg:toon_faces", "data": "toon_faces", "name": "mine"}
CHECKED = {"outputs": ["a", "b"], "matching": [{"data": "x", "output": 0, "name": "a", "rule": "number"}]}
CHECKED |= {"images": 9, "unread": 0, "accuracy": 0.5, "interval": [0, 1], "chance": 0.1, "wrong": False}
CHECKED |= {"verdict": "fine", "readings": []}


def picture(k: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), k, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


CLASSES = {f"{name}/{k}.png": picture(10 * k) for name in ("cats", "dogs") for k in range(3)}


@pytest.mark.parametrize("before", ["", "photos/", "a/photos/"])
def test_an_archive_is_its_folder_of_classes(tmp_path: Path, before: str) -> None:
    files = {before + name: content for name, content in CLASSES.items()}
    files |= {"__MACOSX/cats/._0.png": b"x", f"{before}.DS_Store": b"x"}
    files |= {f"{before}cats/run.py": b"x", f"{before}cats/Thumbs.db": b"x", f"{before}dogs/x.py": b"x"}
    folder, note = unpacked(zipped(tmp_path / "0123-photos.zip", files))
    assert note == "3 files of the archive are no images or tables and were left out: .py 2, .db 1"
    assert folder.is_relative_to(tmp_path / "0123-photos")
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")} == CLASSES
    assert [path.name for path in tmp_path.iterdir()] == ["0123-photos"]
    source = open_data(str(folder))
    assert (source.classes, len(source)) == (("cats", "dogs"), 6)
    assert not any(path.stat().st_mode & 0o111 for path in folder.rglob("*.*"))
    (folder / "cats" / "mine.png").write_bytes(picture())
    again, _ = unpacked(zipped(tmp_path / "0123-photos.zip", files))  # the same archive: nothing is written
    assert again == folder
    assert len(open_data(str(folder))) == 7


def test_an_archive_with_labels_or_splits(tmp_path: Path) -> None:
    files = {f"d/{k}.png": picture(k) for k in range(4)}
    files["d/metadata.csv"] = b"file_name,label\n0.png,x\n1.png,y\n2.png,x\n3.png,y\n"
    folder, _ = unpacked(zipped(tmp_path / "m.zip", files))
    assert open_data(str(folder)).classes == ("x", "y")
    files = {f"test/{name}": content for name, content in CLASSES.items()}
    folder, _ = unpacked(zipped(tmp_path / "s.zip", files))
    assert open_data(str(folder), "test").classes == ("cats", "dogs")


@pytest.mark.parametrize(
    "name",
    [
        "../x.png",
        "a/../../x.png",
        "/tmp/x.png",
        "//x.png",
        "a//x.png",
        "./x.png",
        "a\\..\\x.png",
        "C:\\x.png",
    ],
)
def test_names_that_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "d" / "x.zip", {**CLASSES, name: picture()})
    with pytest.raises(UserError, match="leads out of the archive") as refused:
        unpacked(archive)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.rglob("*")) == [tmp_path / "d"]


def linked(path: Path) -> Path:
    link = zipfile.ZipInfo("cats/link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped(path, CLASSES), "a") as archive:
        archive.writestr(link, "/etc/passwd")
    return path


def with_password(path: Path) -> Path:
    whole = bytearray(zipped(path, {"a/1.png": picture()}).read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(mark) + flags] |= 1
    path.write_bytes(whole)
    return path


def twice(path: Path) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(zipped(path, CLASSES), "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("cats/0.png", picture(99))
    return path


def smaller_than_it_says(path: Path) -> Path:
    """Its directory says 10 bytes, and the file has a million."""
    whole = bytearray(zipped(path, {"a/1.png": bytes(1_000_000)}).read_bytes())
    where = whole.index(b"PK\x01\x02") + 24
    whole[where : where + 4] = (10).to_bytes(4, "little")
    path.write_bytes(whole)
    return path


def cut_off(path: Path) -> Path:
    path.write_bytes(zipped(path, CLASSES).read_bytes()[:-30])
    return path


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (linked, "'cats/link.png' in the archive is a link"),
        (with_password, "has a password"),
        (twice, "holds a name twice"),
        (smaller_than_it_says, "cannot be unpacked"),
        (cut_off, "cannot be unpacked .*: make the .zip again"),
        (lambda p: zipped(p, {"a.py": b"x"}), "holds no images"),
        (lambda p: zipped(p, {f"a/{'x' * 300}.png": picture()}), "cannot be unpacked"),
        (lambda p: zipped(p, {"a/1.png": bytes(3_000_000)}), "unpacks to more than 2 MB"),
        (lambda p: zipped(p, {f"a/{k}.png": b"" for k in range(101)}), "holds 101 images: at most 100"),
    ],
    ids=["link", "password", "twice", "sizes", "cut", "none", "long", "bomb", "many"],
)
def test_archives_that_are_refused_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Path], message: str
) -> None:
    monkeypatch.setattr(unpack, "MOST_BYTES", 2_000_000)
    monkeypatch.setattr(unpack, "MOST_FILES", 100)
    with pytest.raises(UserError, match=message) as refused:
        unpacked(made(tmp_path / "x.zip"))
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


# -- on the page -------------------------------------------------------------------------------------------


@pytest.fixture
def tab(demo: Path, tmp_path: Path) -> Iterator[NewRunTab]:
    with gr.Blocks() as page:
        made = NewRunTab(Context(open_run(demo)))
    made._jobs.folder = tmp_path / "runs"
    yield made
    page.close(verbose=False)


def upload(name: str, content: bytes) -> str:
    path = Path(get_upload_folder()) / "test_new_run_files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def values(tab: NewRunTab, **changed: str) -> list[Any]:
    """What the controls of the form hold."""
    form = dict.fromkeys(tab._form.controls, "") | PLAIN | changed
    return [form[name] for name in tab._form.controls]


def test_a_dropped_archive_becomes_the_data(tab: NewRunTab, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "my photos.zip", CLASSES).read_bytes()
    data, _ = tab.drop_table(upload("my photos.zip", archive))
    assert Path(data).parent == tmp_path / "runs" / "dropped"
    assert data.endswith("-my_photos")
    assert len(open_data(data)) == 6
    command, *_ = tab.typed(asdict(NewRunView()), *values(tab, data=data))
    assert f"--data {data} " in command
    for path in (str(tmp_path / "my photos.zip"), "/etc/passwd"):
        with pytest.raises((gr.Error, UserError), match="Only uploaded files"):
            tab.drop_table(path)
    with pytest.raises((gr.Error, UserError), match="leads out of the archive"):
        tab.drop_table(upload("e.zip", zipped(tmp_path / "e.zip", {"../a.png": b""}).read_bytes()))
    assert not list((tmp_path / "runs").rglob("*.zip"))


@pytest.mark.slow
def test_dropped_names_are_those_of_the_command(tab: NewRunTab, tmp_path: Path, pictures: Path) -> None:
    kept, _ = tab.drop_names(upload("names.txt", b"green\nblue\nred\n"))
    assert Path(kept).parent == tmp_path / "runs" / "dropped"
    weights = tmp_path / "w.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5(num_classes=3).state_dict(), weights)
    form = {
        "model": "shufflenet_v2_x0_5",
        "weights": str(weights),
        "data": str(pictures),
        "class_names": kept,
    }
    words = check_words(form | {"input_size": "32", "resize": "squash"})
    assert words[words.index("--class-names") + 1] == kept
    assert json.loads(run_command(*words, "--json").stdout)["outputs"] == ["green", "blue", "red"]
    with pytest.raises((gr.Error, UserError), match="is not accepted here"):
        tab.drop_names(upload("names.py", b"x"))
    with pytest.raises((gr.Error, UserError), match="Only uploaded files"):
        tab.drop_names("/etc/passwd")


def test_a_changed_form_makes_a_check_outdated() -> None:
    view = NewRunView().of(PLAIN, CHECKED, "check")
    assert view.outdated == ""
    assert view.compared(PLAIN | {"name": "other", "limit": "9", "methods": "fem"}).outdated == ""
    changed = view.compared(PLAIN | {"mean": "0.5"})
    assert changed.outdated == SETTINGS
    assert changed.compared(PLAIN).outdated == ""
    assert view.compared(PLAIN | {"weights": "w.pth"}).outdated == SUBJECTS
    corrected = view.apply("output:0", "1").compared(PLAIN)
    assert corrected.outdated == SETTINGS
    assert corrected.of(PLAIN, CHECKED, "check").outdated == ""
    assert NewRunView().compared(PLAIN | {"mean": "1"}).outdated == ""


def test_an_outdated_check_is_grey_and_says_why() -> None:
    shown = {o: str(check_result(CHECKED, CHECKED["matching"], "c", "", o)) for o in ("", SETTINGS, SUBJECTS)}
    assert OUTDATED == "made with other settings: check again"
    assert OUTDATED not in shown[""]
    assert "aria-disabled" not in shown[""]
    for outdated, grey in ((SETTINGS, 1), (SUBJECTS, 2)):
        assert shown[outdated].count(OUTDATED) == 1
        assert shown[outdated].count('aria-disabled="true"') == grey
        assert shown[outdated].index(OUTDATED) < shown[outdated].index("aria-disabled")
    last = shown[SETTINGS].rindex("</div>", 0, shown[SETTINGS].index("Matching of classes"))
    assert shown[SETTINGS].index("aria-disabled") < last  # classes can be corrected still


def test_the_page_redraws_a_check_only_where_it_changes(tab: NewRunTab) -> None:
    form = tab._form.values(values(tab))
    view = asdict(NewRunView().of(form, CHECKED, "check"))
    command, *panel = tab.typed(view, *values(tab, name="other"))
    assert "--out" in command
    assert panel == [gr.skip(), gr.skip()]
    _, now, shown = tab.typed(view, *values(tab, mean="0.5", std="0.5"))
    assert OUTDATED in shown
    assert tab.typed(now, *values(tab, mean="0.5", std="0.4"))[1:] == [gr.skip(), gr.skip()]
    _, now, shown = tab.typed(now, *values(tab))
    assert OUTDATED not in shown
    assert now == view
