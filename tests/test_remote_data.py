"""Data at URLs: rows, labels and probabilities of the local copy; one line for what cannot be reached."""

import json
import pickle
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import numpy as np
import pandas as pd
import pytest
import torch

from dashboard.server.permissions import Access
from dashboard.server.uploads import Photos
from dashboard.session.subjects import Subjects
from explain.run.engine import run
from explain.run.images import original
from explain.run.reader import RunData, open_run
from explain.run.trusted_data import allow, fingerprint, is_inside
from models.classifier import Classifier
from models.data.files import FileSource
from models.data.open import open_data
from models.data.remote import errors as remote_errors
from models.data.remote.blocks import BLOCK, DIRECT, KEPT, Blocks
from models.data.remote.errors import Unreachable
from models.data.remote.location import located, must_be_plain
from models.data.remote.path import RemotePath
from models.data.remote.read_ahead import AHEAD, ReadAhead
from models.data.reopen import reopen
from models.data.tensors import pixels
from models.errors import UserError
from tests.command import one_line
from tests.remote import FORMS
from tests.remote import forms as forms
from tests.remote import servers_are_asked as servers_are_asked

SERVER, BUCKET = "http://127.0.0.1", "faces"
pytestmark = pytest.mark.usefixtures("servers_are_asked")


@pytest.fixture
def memory(forms: Path) -> Iterator[str]:
    """The URL of a copy of `forms` in `memory://`."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    for file in forms.rglob("*"):
        if file.is_file():
            system.pipe_file(f"/{BUCKET}/{file.relative_to(forms).as_posix()}", file.read_bytes())
    yield f"memory://{BUCKET}"
    system.store.clear()


# -- the same as the local copy ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_rows_labels_and_probabilities_are_those_of_the_local_copy(
    form: str, forms: Path, memory: str, tmp_path: Path, tiny: Classifier
) -> None:
    here, there = open_data(str(forms / FORMS[form])), open_data(f"{memory}/{FORMS[form]}")
    assert there.items == here.items
    assert (there.classes, there.name) == (here.classes, here.name)
    assert there.fingerprint() == here.fingerprint()
    assert there.root == memory + here.root.removeprefix(str(forms.resolve()))
    rows = []
    for name, source in (("here", here), ("there", there)):
        manifest = run(tiny, source, tmp_path / name, ["grad_cam"], batch_size=4, part_rows=7)
        assert manifest.counts == {"ok": 18, "failed": 0}
        rows.append(pd.read_parquet(tmp_path / name / "samples").drop(columns="stamp"))
    pd.testing.assert_frame_equal(*rows)
    found = open_run(tmp_path / "there")
    for row in (0, 17):
        again = original(found, row)
        assert again is not None
        assert np.array_equal(np.asarray(again), np.asarray(here.load(row)))


def test_a_file_url_is_a_local_path(forms: Path) -> None:
    assert located((forms / "folder").as_uri()) == forms / "folder"


def test_changed_images_are_computed_again(memory: str, tmp_path: Path, tiny: Classifier) -> None:
    said = list[str]()
    run(tiny, open_data(f"{memory}/folder"), tmp_path / "run", ["grad_cam"])
    system = fsspec.filesystem("memory")
    system.pipe_file(f"/{BUCKET}/folder/red/0.png", system.cat_file(f"/{BUCKET}/folder/blue/0.png"))
    run(tiny, open_data(f"{memory}/folder"), tmp_path / "run", ["grad_cam"], say=said.append)
    assert said == ["1 image has changed since: it is done again"]


def test_a_table_may_name_urls(memory: str, tmp_path: Path) -> None:
    urls = [f"{memory}/folder/{label}/0.png" for label in ("blue", "red")]
    pd.DataFrame({"image": urls, "label": ["blue", "red"]}).to_csv(tmp_path / "t.csv", index=False)
    source = open_data(str(tmp_path / "t.csv"))
    assert [item.id for item in source.items] == ["blue/0.png", "red/0.png"]
    assert source.root == f"{memory}/folder"
    assert source.load(1).size == (48, 40)
    for odd, line in (
        ("memory://other/x.png", "names images at memory://faces, memory://other"),
        ("s3://key:secret@b/x.png", "has a user or key before @"),
        ("blue/0.png", "and others elsewhere"),
    ):
        pd.DataFrame({"image": [*urls, odd], "label": ["a", "b", "a"]}).to_csv(
            tmp_path / "u.csv", index=False
        )
        with pytest.raises(UserError, match=line) as refused:
            open_data(str(tmp_path / "u.csv"))
        assert "secret@" not in str(refused.value)


def test_missing_images_of_a_table_are_counted(memory: str) -> None:
    system = fsspec.filesystem("memory")
    system.rm_file(f"/{BUCKET}/table/images/blue/0.png")
    source = open_data(f"{memory}/table/train.csv")
    assert "17 of 18 images found, 1 is missing (the first: images/blue/0.png)" in source.note
    with pytest.raises(UserError, match="file not found"):
        source.load(0)


# -- paths and blocks --------------------------------------------------------------------------------------


def test_paths_at_urls_stay_in_their_bucket() -> None:
    base = located("memory://faces/a/b")
    assert isinstance(base, RemotePath)
    assert str(base / "c.tar.gz") == "memory://faces/a/b/c.tar.gz"
    assert (base / "x" / "c.PNG").suffix == ".PNG"
    assert str(base / "../../../../c") == "memory://faces/c"
    assert str(base / "https://elsewhere/c") == "memory://faces/a/b/https:/elsewhere/c"
    assert (base / "c/d").relative_to(base).as_posix() == "c/d"
    assert sorted([base / "a.b", base / "a" / "c"]) == [base / "a" / "c", base / "a.b"]  # as local paths
    with pytest.raises(ValueError):
        (base / "..").relative_to(base)


@pytest.mark.parametrize("size", [0, 5, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_blocks_are_the_file(size: int) -> None:
    data, requests = np.random.default_rng(0).bytes(size), list[tuple[int, int]]()

    def fetch(start: int, end: int) -> bytes:
        requests.append((start, end))
        return data[start:end]

    blocks = Blocks(size, fetch)
    for start in (0, 1, BLOCK - 2, BLOCK, size - 1, size + 3):
        for count in (0, 1, 5, BLOCK):
            assert blocks.read(max(0, start), count) == data[max(0, start) : max(0, start) + count]
    assert len(requests) == -(-size // BLOCK)  # each block once
    assert blocks.stream().read() == data


def test_memory_does_not_grow_with_a_file_or_a_set(memory: str) -> None:
    blocks = Blocks(3 * KEPT * BLOCK, lambda start, end: bytes(end - start))
    for number in range(3 * KEPT):
        blocks.read(number * BLOCK, 1)
    assert len(blocks._kept) == KEPT
    ahead = ReadAhead()
    ahead.begin(range(AHEAD + 30), lambda index: bytes([index % 256]))
    assert len(ahead._waiting) == AHEAD
    assert ahead.take(AHEAD + 29, lambda index: b"") == bytes([(AHEAD + 29) % 256])
    assert ahead.take(0, lambda index: b"read again") == b"read again"


def test_large_parts_are_one_request() -> None:
    requests = list[tuple[int, int]]()
    blocks = Blocks(2 * DIRECT, lambda start, end: requests.append((start, end)) or bytes(end - start))
    assert len(blocks.read(3, DIRECT)) == DIRECT
    assert requests == [(3, 3 + DIRECT)]


def test_a_server_that_sends_other_parts_is_not_believed() -> None:
    with pytest.raises(OSError, match="sent 9 bytes instead of 5"):
        Blocks(5, lambda start, end: bytes(9)).read(0, 5)


def test_images_are_read_ahead_once(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, read = open_data(f"{memory}/folder"), list[str]()
    assert isinstance(source, FileSource)
    real = RemotePath.read_bytes
    monkeypatch.setattr(RemotePath, "read_bytes", lambda path: read.append(path.name) or real(path))
    source.prepare([0, 1, 2])
    assert [source.load(i).size for i in range(3)] == [(48, 40)] * 3
    assert sorted(read) == ["0.png", "1.png", "2.png"]


def test_a_training_reads_the_same_pixels(forms: Path, memory: str, tiny: Classifier) -> None:
    kept = [
        pixels(open_data(f"{where}/shards"), tiny.preprocessing, tiny.classes, processes=0)[:]
        for where in (forms, memory)
    ]
    assert all(torch.equal(here, there) for here, there in zip(*kept, strict=True))


@pytest.fixture(scope="module")
def web(forms: Path) -> Iterator[str]:
    """The address of Python's own web server on `forms`, which lists folders and sends whole files alone."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *about: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(forms))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"{SERVER}:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_web_server_is_enough(form: str, web: str, forms: Path) -> None:
    here, there = open_data(str(forms / FORMS[form])), open_data(f"{web}/{FORMS[form]}")
    assert there.items == here.items
    assert np.array_equal(np.asarray(there.load(4)), np.asarray(here.load(4)))
    assert "-" in there.stamp(4)


@pytest.mark.parametrize("form", FORMS)
def test_another_process_gets_the_same_images(form: str, memory: str) -> None:
    source = open_data(f"{memory}/{FORMS[form]}")
    source.prepare([0, 1])
    other = pickle.loads(pickle.dumps(source))
    assert (other.items, other.stamp(3)) == (source.items, source.stamp(3))
    assert np.array_equal(np.asarray(other.load(1)), np.asarray(source.load(1)))


# -- who may read what -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "a/../../secret.png", "", ".", "a\0b"])
def test_an_id_of_others_leads_nowhere_but_below_the_url(name: str, memory: str) -> None:
    fsspec.filesystem("memory").pipe_file(f"/{BUCKET}/secret.png", b"")
    assert reopen(f"{memory}/folder", name, trusted=False) is None
    assert reopen(f"{memory}/folder", "red/0.png", trusted=False) is not None


def test_no_url_is_inside_of_a_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_inside(tmp_path, "memory://faces")
    monkeypatch.chdir("/")
    assert fingerprint("memory://faces", ["a"]) != fingerprint("memory://other", ["a"])
    here = fingerprint("memory://faces", ["a"])
    monkeypatch.chdir(tmp_path)
    assert fingerprint("memory://faces", ["a"]) == here


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("s3://key:hush@bucket/x", "has a user or key before @"),
        ("https://hush@host/x.csv", "has a user or key before @"),
        ("https://host/x.csv?token=hush", "has a part after"),
        ("https://host/x.csv#hush", "has a part after"),
        ("simplecache::s3://bucket/hush", "within another one"),
        ("zip://x.png::s3://bucket/hush", "within another one"),
        ("reference://hush", "within another one"),
    ],
)
def test_credentials_and_chains_are_refused_without_a_word_of_them(
    url: str, line: str, tmp_path: Path
) -> None:
    said = one_line("run", "--model", "toy", "--data", url, "--out", tmp_path / "run")
    assert line in said
    assert "hush" not in said
    assert not (tmp_path / "run").exists()


def test_of_a_table_the_row_is_said(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("image,label\ns3://faces/a.png,a\ns3://faces/b.png#hush,b\n")
    said = one_line("run", "--model", "toy", "--data", table, "--out", tmp_path / "run")
    assert f"Row 2 of '{table}': This s3:// URL has a part after" in said
    assert "hush" not in said


def test_a_container_of_azure_is_no_secret() -> None:
    must_be_plain("abfss://container@account.dfs.core.windows.net/faces")
    with pytest.raises(UserError):
        must_be_plain("abfss://container:hush@account.dfs.core.windows.net/faces")


def test_forms_of_a_page_take_urls_of_buckets_without_secrets() -> None:
    from dashboard.page import folders, names_alone, without
    from dashboard.session.run_command import run_words
    from dashboard.session.training_jobs import command
    from models.training.recipe import Recipe

    given = {"name": "first", "model": "tiny_conv:toon_studios"}
    assert "s3://faces/test" in run_words(given | {"data": " s3://faces/test "}, Path("runs"))
    for url, line in (("s3://key:hush@faces", "before @"), ("https://host/x.csv", "on the command line")):
        with pytest.raises(UserError, match=line):
            run_words(given | {"data": url}, Path("runs"))
        with pytest.raises(UserError, match=line):
            command(given["model"], url, "first", Path("t"), Recipe())
    hidden = folders(["s3://faces/secret/test", None])
    assert without("images in 's3://faces/secret/test'", hidden) == "images in 'secret/test'"
    assert "faces" not in names_alone("Nothing is at 's3://faces/secret/test.csv': check.")


# -- what cannot be reached --------------------------------------------------------------------------------


def test_what_is_not_there_is_one_line(memory: str) -> None:
    with pytest.raises(UserError, match=r"^Nothing is at 'memory://faces/none'"):
        open_data(f"{memory}/none")
    with pytest.raises(UserError, match="unknown protocol nope://"):
        open_data("nope://faces")
    with pytest.raises(UserError, match=r"'memory://faces/folder/red/0\.png' is a file: give a folder"):
        open_data(f"{memory}/folder/red/0.png")


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(UserError, match="install the package adlfs: pip install adlfs"):
        open_data("abfs://faces/folder")


def test_a_server_that_does_not_answer_ends_a_run_that_goes_on_later(
    memory: str, tmp_path: Path, tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, real, read = open_data(f"{memory}/folder"), RemotePath.read_bytes, list[str]()

    def read_bytes(path: RemotePath) -> bytes:
        read.append(path.url)
        if len(read) > 9:
            raise remote_errors.refused(path.url, ConnectionResetError("reset by peer"))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(RemotePath, "read_bytes", read_bytes)
        with pytest.raises(Unreachable, match=r"'memory://faces' does not answer \(reset by peer\)"):
            run(tiny, source, tmp_path / "run", ["grad_cam"], batch_size=4)
        with pytest.raises(Unreachable):  # asked no more
            real(located(f"{memory}/folder/red/0.png"))
    kept = len(pd.read_parquet(tmp_path / "run" / "samples"))
    assert 0 < kept <= 9
    remote_errors.forget_silence()
    manifest = run(tiny, open_data(f"{memory}/folder"), tmp_path / "run", ["grad_cam"])
    assert manifest.counts == {"ok": 18, "failed": 0}


def test_an_error_within_another_process_is_still_one_line() -> None:
    text = "Caught Unreachable in DataLoader worker process 0.\nTraceback:\n  x\nmodels.Unreachable: 'a' is"
    assert str(Unreachable(text)) == "'a' is"


def test_a_page_says_that_images_at_a_url_cannot_be_read(small_run: RunData) -> None:
    file = small_run.folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"data_root": "memory://gone/test"}))
    allow("memory://gone/test", small_run.table["id"])
    for access, line in (
        (Access.OWNER, "cannot be read at 'memory://gone/test'"),
        (Access.VISITOR, "not here"),
    ):
        with pytest.raises(UserError, match=line):
            Subjects(open_run(small_run.folder), Photos(), access).photo({"row": 0})
