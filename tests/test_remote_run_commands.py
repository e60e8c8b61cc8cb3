"""Commands on runs at URLs (moto's S3 server): run, resume, read; one line for what a server refuses."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from explain.quality.settings import CurveSettings
from explain.quality.store import TrustSettings, TrustStore
from explain.run.remote import mirrors
from explain.run.run_folder import run_folder
from models.data.remote import errors as remote_errors
from tests.buckets import SERVER, S3Server, fresh_system
from tests.buckets import s3_server as s3_server
from tests.command import launch, one_line
from tests.conftest import _save_pictures
from tests.remote import servers_are_asked as servers_are_asked

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers_are_asked")]
BUCKET = "s3://runs"
SETTINGS = TrustSettings("features", CurveSettings(), ("insertion",))
ROW = {"id": "red/0.png", "method": "grad_cam", "variant": "", "insertion": 0.5}


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(mirrors, "_open", {})
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    s3_server.system().mkdir(BUCKET)
    yield BUCKET
    fresh_system().rm(BUCKET, recursive=True)


def test_from_a_run_to_its_report(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images, the run and who reads it are at three places."""
    data, url = f"{bucket}/photos", f"{bucket}/made/first"
    for file in _save_pictures(tmp_path / "photos").glob("*/[01].png"):
        fresh_system().pipe_file(f"{data}/{file.parent.name}/{file.name}", file.read_bytes())
    (tmp_path / "classes.csv").write_text("red,anger\ngreen,fear\nblue,sadness\n")
    options = ("--classes", tmp_path / "classes.csv", "--methods", "grad_cam")
    monkeypatch.setattr("explain.cli.run.stop_where_wrong", lambda *of: None)  # takes half of the time
    said = launch("run", "--model", "tiny_conv:toon_studios", "--data", data, *options, "--out", url)
    assert f"serve --run {url}" in said
    assert str(tmp_path / "cache") not in said
    monkeypatch.setattr(mirrors, "_open", {})
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "another"))
    TrustStore.of(run_folder(url), SETTINGS).add([ROW])
    assert "notes      0 images" in launch("notes", url)
    launch("report", url, "--out", tmp_path / "report.html")
    found = {name.removeprefix("runs/made/first/") for name in fresh_system().find(url)}
    derived = {"analysis.json", "analysis.parquet", "contrasts.parquet", "means.parquet"}
    trust = {f"trust/{SETTINGS.key}/{name}" for name in ("about.json", "part-00000.parquet")}
    part = "samples/part-00000.parquet"
    assert found - derived == {"request.json", "manifest.json", "model.json", part, *trust}
    assert "analysis.json" in found


def test_what_a_server_refuses_is_one_line(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nothing is at 's3://nobucket' (The specified bucket does not exist)" in one_line(
        "report", "s3://nobucket/first"
    )
    assert f"'{bucket}/none' is no run folder: make one with" in one_line("report", f"{bucket}/none")
    data = _save_pictures(tmp_path / "photos")
    words = ("run", "--model", "tiny_conv:toon_studios", "--data", data, "--out")
    assert "Nothing is at 's3://nobucket'" in one_line(*words, "s3://nobucket/first")
    assert "has a user or key before @" in one_line(*words, "s3://key:secret@runs/first")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{SERVER}:{free.getsockname()[1]}")
    fresh_system()
    assert "'s3://runs' does not answer" in one_line("report", f"{bucket}/first")
    monkeypatch.undo()
    remote_errors.forget_silence()
    fresh_system()
