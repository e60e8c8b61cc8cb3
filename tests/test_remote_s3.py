"""Data in a bucket of an S3 server (moto's), by the command line: rows of the local copy, and one line for
what the server refuses."""

import socket
from pathlib import Path

import pandas as pd
import pytest

from explain.run.images import original
from explain.run.reader import open_run
from models.data.remote import errors as remote_errors
from models.data.reopen import reopen
from tests.buckets import SERVER, S3Server, fresh_system
from tests.buckets import s3_server as s3_server
from tests.command import launch, one_line
from tests.remote import FORMS
from tests.remote import forms as forms
from tests.remote import servers_are_asked as servers_are_asked

BUCKET = "faces"
pytestmark = pytest.mark.usefixtures("servers_are_asked")


@pytest.fixture(scope="module")
def s3(forms: Path, s3_server: S3Server) -> str:
    """The URL of a copy of `forms` in a bucket of moto's server."""
    s3_server.system().mkdir(BUCKET)
    files = [file for file in forms.rglob("*") if file.is_file()]
    s3_server.system().pipe({f"{BUCKET}/{f.relative_to(forms).as_posix()}": f.read_bytes() for f in files})
    return f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def local_run(forms: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of a run of the local folder."""
    return _rows(forms / "folder", tmp_path_factory.mktemp("local"))


def _rows(data: object, folder: Path) -> pd.DataFrame:
    """Of a run by the command line: colors are three outputs of a network of expressions."""
    (folder / "classes.csv").write_text("red,anger\ngreen,fear\nblue,sadness\n")
    options = (
        "--classes",
        folder / "classes.csv",
        "--methods",
        "grad_cam",
        "--force",
        "--out",
        folder / "run",
    )
    launch("run", "--model", "tiny_conv:toon_studios", "--data", data, *options)
    return pd.read_parquet(folder / "run" / "samples")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_run_of_data_in_a_bucket(form: str, s3: str, local_run: pd.DataFrame, tmp_path: Path) -> None:
    found = _rows(f"{s3}/{FORMS[form]}", tmp_path)
    other = ["id", "stamp"]
    pd.testing.assert_frame_equal(found.drop(columns=other), local_run.drop(columns=other))
    assert found["id"].is_unique
    assert all(found["stamp"].str.match(r"\d+-\w{32}"))  # size and entity tag
    opened = open_run(tmp_path / "run")
    assert opened.manifest.data_root == f"{s3}/{FORMS[form]}".removesuffix("/train.csv")
    picture = original(opened, 0)
    assert picture is not None
    assert picture.size == (48, 40)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "run").rglob("*.*"))
    assert b"hush" not in kept


@pytest.mark.slow
def test_what_an_s3_server_refuses_is_one_line(s3: str, tmp_path: Path) -> None:
    def said(url: str) -> str:
        return one_line("run", "--model", "tiny_conv:toon_studios", "--data", url, "--out", tmp_path / "run")

    assert "Nothing is at 's3://nobucket/faces' (The specified bucket does not exist)" in said(
        "s3://nobucket/faces"
    )
    assert "Nothing is at 's3://faces/none.csv'" in said(f"{s3}/none.csv")
    with pytest.MonkeyPatch.context() as patch:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            patch.setenv("AWS_ENDPOINT_URL", f"{SERVER}:{free.getsockname()[1]}")
        fresh_system()
        assert "'s3://faces' does not answer (Could not connect to the endpoint URL" in said(f"{s3}/folder")
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        remote_errors.forget_silence()
        fresh_system()
        assert "needs credentials: set AWS_ACCESS_KEY_ID" in said(f"{s3}/folder")
    fresh_system()


@pytest.mark.slow
def test_an_image_in_a_bucket_that_is_gone_is_none(s3: str) -> None:
    assert reopen(f"{s3}/folder", "red/none.png") is None
    assert reopen(f"{s3}/folder", "red/0.png") is not None
