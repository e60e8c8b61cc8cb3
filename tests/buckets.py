"""A real S3 server in this process: moto's."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fsspec
import pytest

SERVER = "http://127.0.0.1"


@dataclass(frozen=True)
class S3Server:
    address: str

    def system(self) -> Any:
        return fresh_system()


def fresh_system() -> Any:
    """fsspec's file system of S3, of the environment as it is now."""
    kind = fsspec.get_filesystem_class("s3")
    kind.clear_instance_cache()
    return kind()


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    """Its address and keys are in the environment while it runs."""
    pytest.importorskip("s3fs", reason="s3fs is not installed (requirements-dev.txt)")
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed (requirements-dev.txt)")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        address = f"{SERVER}:{server.get_host_and_port()[1]}"
        for name, value in _environment(address).items():
            patch.setenv(name, value)
        fresh_system()
        yield S3Server(address)
    fresh_system()
    server.stop()


def _environment(address: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
