"""A run on the disk, places at URLs where runs may lie, and machines that read and write them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from explain.run.engine import run
from explain.run.format import part_files
from explain.run.remote import mirrors, writer_lock
from models.data.folder import FolderSource
from tests.buckets import S3Server
from tests.conftest import _save_pictures, _tiny

OPTIONS: dict[str, Any] = {"batch_size": 4, "part_rows": 4}
Machine = Callable[[str], None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """From here on this process is that of another machine, with a cache of its own."""

    def start(name: str) -> None:
        monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "caches" / name))
        monkeypatch.setattr(writer_lock, "machine", lambda: name)
        monkeypatch.setattr(mirrors, "_open", {})
        monkeypatch.setattr(mirrors, "_refused", set())

    start("first")
    monkeypatch.setattr(writer_lock, "ABANDONED", 0.4)
    return start


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, machine: Machine) -> Iterator[str]:
    """The URL of a folder in which runs may lie, with nothing there."""
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        yield "memory://bucket/runs"
        fsspec.filesystem("memory").store.clear()
        return
    server: S3Server = request.getfixturevalue("s3_server")
    server.system().mkdir("bucket")
    yield "s3://bucket/runs"
    server.system().rm("s3://bucket", recursive=True)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on this machine's disk, of `tiny` on `pictures`."""
    top = tmp_path_factory.mktemp("here")
    source = FolderSource(_save_pictures(top / "pictures"))
    run(_tiny(), source, top / "first", ["grad_cam"], **OPTIONS)
    return top / "first"


def files_at(url: str) -> dict[str, bytes]:
    """Name -> bytes of all files at a URL."""
    system, top = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    return {name.removeprefix(f"{top}/"): system.cat_file(name) for name in system.find(top)}


def parts(folder: Path) -> dict[str, bytes]:
    return {f"samples/{path.name}": path.read_bytes() for path in part_files(folder)}


def uploaded(folder: Path, url: str) -> None:
    system, top = fsspec.core.url_to_fs(url)
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "lock":
            system.pipe_file(f"{top}/{file.relative_to(folder).as_posix()}", file.read_bytes())


@pytest.fixture
def memory(machine: Machine) -> Iterator[str]:
    fsspec.filesystem("memory").store.clear()
    yield "memory://bucket/runs"
    fsspec.filesystem("memory").store.clear()
