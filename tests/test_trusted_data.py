"""A run folder of others shows no pictures of this machine, unless its owner says so once."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from explain.run.images import how_to_read, original
from explain.run.reader import RunData, open_run
from explain.run.trusted_data import _known, allow, fingerprint
from models.classifier import Classifier
from models.data.reopen import below, reopen
from tests.command import run_command

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def nobody_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "name",
    ["../x.png", "a/../../x.png", "/etc/passwd", "", "a\0b", ".", "../data2/x.png", "a/../../data/../x"],
)
def test_an_id_leads_nowhere_but_below_the_root(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    found = below(str(tmp_path / "data"), name)
    assert found == (tmp_path / "data" if name == "." else None)
    assert reopen(str(tmp_path / "data"), name, trusted=False) is None


def test_links_out_of_the_root_are_for_ones_own_data(tmp_path: Path) -> None:
    data, secret = tmp_path / "data", tmp_path / "secret.png"
    data.mkdir()
    Image.new("RGB", (8, 8)).save(secret)
    (data / "link.png").symlink_to(secret)
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "folder" / "in.png")
    (data / "linked").symlink_to(tmp_path / "folder")
    for name in ("link.png", "linked/in.png"):
        assert reopen(str(data), name) is not None
        assert reopen(str(data), name, trusted=False) is None


def named(folder: Path, root: str) -> RunData:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"data_root": root}))
    return open_run(folder)


def renamed(folder: Path, name: str) -> None:
    """The first image has this id now."""
    part = sorted((folder / "samples").glob("*.parquet"))[0]
    table = pq.read_table(part)
    ids = table["id"].to_pylist()
    ids[0] = name
    pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", pa.array(ids)), part)


def test_a_run_that_was_made_here_shows_its_pictures(small_run: RunData) -> None:
    assert small_run.may_read_data
    assert (picture := original(small_run, 0)) is not None
    assert picture.size == (48, 40)


def test_what_helps_where_no_picture_can_be_read(small_run: RunData) -> None:
    assert how_to_read(small_run) == "put them back there."
    bucket = named(small_run.folder, "s3://faces/2026")
    assert "--allow-data" in how_to_read(bucket)
    allow("s3://faces/2026", bucket.table["id"])
    assert "credentials" in how_to_read(open_run(small_run.folder))


@pytest.mark.slow
def test_a_run_of_others_shows_its_thumbnails_alone(small_run: RunData, tmp_path: Path) -> None:
    secret = tmp_path / "private" / "secret.png"
    secret.parent.mkdir()
    Image.new("RGB", (64, 64)).save(secret)
    copy = tmp_path / "from others"
    for root, name in (
        ("/", str(secret)[1:]),
        (str(tmp_path), "private/secret.png"),
        (str(secret.parent), "secret.png"),
        (str(copy / "samples" / ".." / ".." / "private"), "secret.png"),
        (small_run.manifest.data_root, str(secret)),
        (small_run.manifest.data_root, "../private/secret.png"),
        (str(copy), "../private/secret.png"),
        (str(copy), "link.png"),
        ("toon_faces:x", "a"),
        ("toon_faces:", "a/b/c.png"),
        ("toon_faces:3", "no/such/1.png"),
    ):
        shutil.copytree(small_run.folder, copy)
        (copy / "link.png").symlink_to(secret)
        renamed(copy, name)
        run = named(copy, root)
        assert run.table.at[0, "id"] == name
        assert original(run, 0) is None, (root, name)
        shutil.rmtree(copy)


def test_pictures_that_lie_in_the_run_itself_are_shown(small_run: RunData, tmp_path: Path) -> None:
    shutil.copytree(small_run.manifest.data_root, small_run.folder / "data")
    Path(small_run.manifest.data_root).rename(tmp_path / "gone")
    inside = named(small_run.folder, str(small_run.folder / "data"))
    assert (picture := original(inside, 0)) is not None
    with Image.open(small_run.folder / "data" / inside.table.at[0, "id"]) as file:
        assert picture.tobytes() == file.tobytes()


def test_a_table_of_absolute_paths(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    """Their folders lie outside of the table's."""
    from explain.run.engine import run
    from models.data.open import open_data

    files = sorted(pictures.rglob("*.png"))
    (tmp_path / "labels").mkdir()
    table = tmp_path / "labels" / "table.csv"
    pd.DataFrame({"image": [str(f) for f in files], "label": [f.parent.name for f in files]}).to_csv(
        table, index=False
    )
    run(tiny, open_data(str(table)), tmp_path / "made", ["grad_cam"])
    made = open_run(tmp_path / "made")
    assert all(original(made, row) is not None for row in made.table.index)


MESSAGE = "was made on another machine"


def launched(*words: str, answer: str = "") -> str:
    done = run_command(*words, answer=answer)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_owner_is_asked_once(small_run: RunData, tmp_path: Path) -> None:
    (tmp_path / "cache" / "runs_with_data.json").unlink()
    out = tmp_path / "out"
    first = launched("export", str(small_run.folder), "--out", str(out))
    assert MESSAGE in first
    assert not list(out.rglob("originals/*/*"))
    assert MESSAGE not in launched("export", str(small_run.folder), "--out", str(out), "--allow-data")
    assert MESSAGE not in launched("export", str(small_run.folder), "--out", str(out))
    assert {file.suffix for file in out.rglob("originals/*/*")} == {".png"}


def test_another_run_on_the_same_folder_is_asked_about(small_run: RunData, tmp_path: Path) -> None:
    """The owner ran on this folder; pictures in it that no run ever named are not for a run of others."""
    Image.new("RGB", (64, 64)).save(Path(small_run.manifest.data_root) / "private.png")
    copy = tmp_path / "from others"
    shutil.copytree(small_run.folder, copy)
    assert original(open_run(copy), 0) is not None  # the same run in another place
    renamed(copy, "private.png")
    other = open_run(copy)
    assert not other.may_read_data
    assert original(other, 0) is None
    allow(other.manifest.data_root, other.table["id"])
    assert original(open_run(copy), 0) is not None


def test_what_was_allowed_survives_damage(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "runs_with_data.json"
    allow(str(tmp_path), ["a", "b"])
    assert _known() == (fingerprint(str(tmp_path), ["b", "a"]),)
    for damaged in ("{", '{"a": 1}', "[1, 2]", "", "[" * 90_000):
        file.write_text(damaged)
        assert _known() == ()
        allow(str(tmp_path), ["a"])
        assert _known() == (fingerprint(str(tmp_path), ["a"]),)
