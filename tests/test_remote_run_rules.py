"""Rules of runs at URLs that no kind of server changes: the order of files, room, permissions."""

import os
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from explain.run.engine import run
from explain.run.people.notes import add
from explain.run.remote import mirrors, writer_lock
from explain.run.remote.mirror import is_of_run
from explain.run.remote.mirror_cache import LIMIT
from explain.run.remote.mirrors import mirror_of, publish_all, publish_regularly
from explain.run.remote.writer_lock import FILE as WRITER
from explain.run.run_folder import run_folder
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.remote import store as remote_store
from models.data.remote.errors import forget_silence
from models.data.remote.files import Entry
from models.data.remote.store import RemoteStore
from models.errors import UserError
from tests.buckets import s3_server as s3_server
from tests.command import run_command
from tests.number_source import Tinted, answering
from tests.remote import servers_are_asked as servers_are_asked
from tests.remote_runs import OPTIONS, Machine, files_at, parts, uploaded
from tests.remote_runs import here as here
from tests.remote_runs import machine as machine
from tests.remote_runs import memory as memory

pytestmark = pytest.mark.usefixtures("servers_are_asked")


def test_maps_are_written_before_their_images_and_the_manifest_last(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no part counts whose maps are missing, and no run that is not complete."""
    source, written = Tinted(tmp_path / "tinted", 6), list[str]()
    net, real = answering(source), RemoteStore.write

    def noting(store: RemoteStore, name: str, data: bytes, new: bool = False) -> Entry:
        written.append(name)
        return real(store, name, data, new)

    monkeypatch.setattr(RemoteStore, "write", noting)
    folder = run_folder(f"{memory}/numbers")
    run(net, source, folder, ["grad_cam"], batch_size=3, part_rows=3)
    names = [name for name in written if name not in ("model.json", "metadata.parquet")]
    assert names == [
        WRITER,
        "request.json",
        *("maps/part-00000.parquet", "samples/part-00000.parquet"),
        *("maps/part-00001.parquet", "samples/part-00001.parquet"),
        "manifest.json",
    ]
    removed, remove = list[str](), RemoteStore.remove
    monkeypatch.setattr(RemoteStore, "remove", lambda self, of: removed.extend(of) or remove(self, of))
    run(net, source, folder, ["grad_cam"], batch_size=3, part_rows=6, restart=True)
    assert removed[0] == "manifest.json"
    at = [removed.index(f"{kind}/part-00001.parquet") for kind in ("samples", "maps")]
    assert at == sorted(at)


@pytest.mark.slow
def test_what_may_not_be_written_is_kept_here_and_said_once(
    memory: str, here: Path, tiny: Classifier, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*of: object, **named: object) -> None:
        raise PermissionError("Access Denied")

    url, said = f"{memory}/first", list[str]()
    uploaded(here, url)
    before, folder = files_at(url), run_folder(url)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", denied)
    done = run_command("analyze", url)
    assert done.returncode == 0
    assert (folder / "analysis.json").is_file()
    line = f"vitrine: what was derived from the run is kept on this machine alone: '{url}/"
    assert [text.startswith(line) for text in done.stderr.splitlines() if "vitrine" in text] == [True]
    publish_all(said.append)
    publish_all(said.append)
    assert files_at(url) == before
    assert said == []  # the command has said it
    with pytest.raises(UserError, match=r"may not be written \(Access Denied\): set them in the"):
        run(tiny, FolderSource(pictures), folder, ["grad_cam"])
    with pytest.raises(UserError, match="https:// can be read only; give a local folder, or a URL"):
        RemoteStore("https://host/runs/first").write("request.json", b"")


@pytest.mark.slow
def test_a_server_that_stops_to_answer_ends_a_run_that_goes_on_later(
    memory: str, machine: Machine, here: Path, tiny: Classifier, pictures: Path
) -> None:
    url, real = f"{memory}/first", MemoryFileSystem.pipe_file

    def silent(system: MemoryFileSystem, path: str, *of: Any, **named: Any) -> None:
        if "part-00002" in path:
            raise ConnectionError("no route")
        real(system, path, *of, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryFileSystem, "pipe_file", silent)
        with pytest.raises(UserError, match=r"'memory://bucket' does not answer \(no route\)"):
            run(tiny, FolderSource(pictures), run_folder(url), ["grad_cam"], **OPTIONS)
    assert {f"samples/part-0000{k}.parquet" for k in range(2)} < set(files_at(url))
    forget_silence()
    machine("second")
    run(tiny, FolderSource(pictures), run_folder(url), ["grad_cam"], **OPTIONS)
    found = files_at(url)
    assert {name: data for name, data in found.items() if name.startswith("samples/")} == parts(here)
    assert WRITER not in found


def test_a_page_writes_notes_while_it_is_open(
    memory: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{memory}/first"
    uploaded(here, url)
    folder = run_folder(url)
    monkeypatch.setattr(mirrors, "EVERY", 0.01)
    ended = publish_regularly(print)
    add(folder, "red/0.png", "text", "looks odd", "me", ())
    until = time.monotonic() + 20
    while "notes.jsonl" not in files_at(url) and time.monotonic() < until:
        time.sleep(0.01)
    ended.set()
    assert b"looks odd" in files_at(url)["notes.jsonl"]


def test_copies_take_no_more_room_than_the_limit(
    memory: str, machine: Machine, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        uploaded(here, f"{memory}/{name}")
    a = run_folder(f"{memory}/a")
    add(a, "red/0.png", "text", "not written yet", "me", ())
    b = run_folder(f"{memory}/b")
    ended = {a: a.with_name("a.users"), b: b.with_name("b.users")}
    for users in ended.values():
        (users / str(os.getpid())).write_text("another process")
    size = sum(file.stat().st_size for file in b.rglob("*"))
    monkeypatch.setenv(LIMIT, f"{1.5 * size / 1e9}")
    run_folder(f"{memory}/c")
    assert a.is_dir()  # has a note that is nowhere else
    assert not b.exists()
    assert parts(run_folder(f"{memory}/b")) == parts(here)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1e3))
    uploaded(here, f"{memory}/d")
    with pytest.raises(UserError, match=r"'memory://bucket/runs/d' needs 0\.0 GB on this machine, where"):
        run_folder(f"{memory}/d")
    monkeypatch.setenv(LIMIT, "much")
    with pytest.raises(UserError, match="VITRINE_RUNS_GB is 'much': give a number of gigabytes"):
        run_folder(f"{memory}/d")


@pytest.mark.slow
def test_what_others_put_at_a_url_is_no_file_of_a_run_and_no_lock(
    memory: str,
    machine: Machine,
    here: Path,
    tiny: Classifier,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, said, system = f"{memory}/first", list[str](), fsspec.filesystem("memory")
    monkeypatch.setattr(writer_lock, "ABANDONED", 0.05)
    uploaded(here, url)
    for name in ("photos/0.png", "trust/x.lock", "columns.parquet", "net.py", "samples.parquet", "lock"):
        system.pipe_file(f"/bucket/runs/first/{name}", b"of others")
    for lock in (b"[1]", b"x", b'{"pid": "1", "name": "a\\nb"}', b'{"pid": -1}'):
        system.pipe_file(f"/bucket/runs/first/{WRITER}", lock)
        run(tiny, FolderSource(pictures), run_folder(url), ["grad_cam"], say=said.append, **OPTIONS)
    assert len(said) == 4
    assert all("is locked by process 0 on unknown: waiting for at most 0 s" in line for line in said)
    found = {f.relative_to(run_folder(url)).as_posix() for f in run_folder(url).rglob("*") if f.is_file()}
    assert found == {"request.json", "manifest.json", "lock", *parts(here)}
    assert not is_of_run("../first/request.json")


def test_every_file_that_the_format_names_is_one_that_is_copied() -> None:
    text = (Path(__file__).parent.parent / "docs" / "run_format.md").read_text()
    tables = text[: text.index("## Rules")]
    named = set(re.findall(r"^\| `([^|]+?) *\|", tables, re.M))
    names = {name for cell in named for name in re.findall(r"[\w.-]+\.(?:parquet|jsonl?|lock)", cell)}
    trees = {
        f"trust/KEY/{n}" if n in ("about.json", "description.json") or "part-" in n else n for n in names
    }
    assert len(trees) > 15
    assert {name for name in trees if not is_of_run(name)} == {"columns.parquet", "notes.lock"}


def test_other_servers_get_files_under_a_temporary_name_first(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_store, "OBJECT_STORES", ())
    moved, real = list[str](), MemoryFileSystem.mv
    monkeypatch.setattr(MemoryFileSystem, "mv", lambda self, a, b: moved.append(a) or real(self, a, b))
    store = RemoteStore(f"{memory}/first")
    for data in (b"one", b"two"):
        store.write("samples/part.parquet", data)
        assert files_at(f"{memory}/first") == {"samples/part.parquet": data}
    assert moved == ["/bucket/runs/first/samples/part.parquet.tmp"] * 2
    store.write(WRITER, b"first", new=True)
    with pytest.raises(FileExistsError):
        store.write(WRITER, b"second", new=True)
    assert store.read(WRITER) == b"first"


def test_a_server_that_ignores_conditions_is_asked_first(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some S3 servers, and emulators of Google's."""
    real, store = MemoryFileSystem.pipe_file, RemoteStore(f"{memory}/first")
    monkeypatch.setattr(
        MemoryFileSystem, "pipe_file", lambda self, path, data, mode="": real(self, path, data)
    )
    store.write(WRITER, b"first", new=True)
    with pytest.raises(FileExistsError):
        store.write(WRITER, b"second", new=True)
    assert store.read(WRITER) == b"first"


def test_a_lock_whose_answer_was_lost_is_that_of_this_process(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver writes again after an error of the server, and is refused, as its first write was done."""
    real = RemoteStore.write

    def twice(store: RemoteStore, name: str, data: bytes, new: bool = False) -> Entry:
        real(store, name, data, new)
        return real(store, name, data, new)

    lock = writer_lock.WriterLock(RemoteStore(f"{memory}/first"))
    with monkeypatch.context() as patch:
        patch.setattr(RemoteStore, "write", twice)
        lock.acquire()
    lock.require()
    lock.release()
    assert files_at(f"{memory}/first") == {}


def test_a_path_is_a_path_and_a_missing_driver_is_named(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_folder("runs/first") == run_folder(Path("runs/first")) == Path("runs/first")
    assert run_folder(tmp_path.as_uri()) == tmp_path
    assert mirror_of(tmp_path) is None
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(UserError, match="install the package adlfs: pip install adlfs"):
        run_folder("abfs://runs/first")
