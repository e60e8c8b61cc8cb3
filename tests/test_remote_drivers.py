"""What fsspec's drivers tell, raise and log, each in its own way."""

import logging

import pytest

from models.data.remote.errors import refused
from models.data.remote.files import entry_of, open_system


class HttpError(Exception):
    """As gcsfs and azure.core: the status is an attribute."""

    def __init__(self, name: str, status: object):
        super().__init__("Anonymous caller has no access")
        setattr(self, name, status)


@pytest.mark.parametrize(
    "error",
    [
        HttpError("code", 401),
        HttpError("status_code", 403),
        OSError("Forbidden: b/faces/o\nme has no access"),
    ],
)
def test_without_permission_the_variables_of_credentials_are_named(error: Exception) -> None:
    said = str(refused("gs://faces/x", error))
    assert said.startswith("'gs://faces/x' may not be read (")
    assert said.endswith("): set GOOGLE_APPLICATION_CREDENTIALS in the environment.")
    assert "cannot be read" in str(refused("gs://faces/x", HttpError("code", 400)))


def test_tags_of_contents_are_told_from_those_of_writes() -> None:
    """Google's and Azure's `etag` differs where the same bytes were written twice; S3's `ETag` does not."""
    google = entry_of({"size": 5, "md5Hash": "XUFA==", "etag": "CIHX9dKZyewCEAE="})
    assert (google.tag, google.stamp) == ("XUFA==", "5-XUFA==")
    composed = entry_of({"size": 5, "etag": "CIHX9dKZyewCEAE="})  # Google has no MD5 of these
    assert (composed.tag, composed.stamp) == ("", "5-CIHX9dKZyewCEAE=")
    amazon = entry_of({"size": 5, "ETag": '"5d41"'})
    assert (amazon.tag, amazon.stamp) == ("5d41", "5-5d41")


def test_what_a_driver_logs_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """gcsfs logs a traceback of each error that it raises."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logger = logging.getLogger("fsspec")
    monkeypatch.setattr(logger, "handlers", [])
    logger.error("before")
    open_system("memory://faces")
    logger.error("after")
    assert capsys.readouterr().err == "before\n"
