"""Runs at gs:// URLs: tests of `tests.test_remote_runs` with gcsfs and an emulator of Google Cloud Storage
(gcp-storage-emulator), which ignores conditions of writes, as some S3 servers do."""

from collections.abc import Iterator

import fsspec
import pytest

from tests.ports import free_port
from tests.remote import servers_are_asked as servers_are_asked
from tests.remote_runs import Machine
from tests.remote_runs import here as here
from tests.remote_runs import machine as machine
from tests.test_remote_runs import (
    test_a_run_that_is_resumed_by_another_machine_has_the_bytes_of_a_local_one as test_resumed,
)
from tests.test_remote_runs import test_two_writers_do_not_mix as test_writers
from tests.test_remote_runs import test_what_did_not_change_is_not_fetched_again as test_fetched

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers_are_asked")]
MISSING = "gcsfs or gcp-storage-emulator is not installed (requirements-dev.txt)"
__all__ = ["test_fetched", "test_resumed", "test_writers"]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """The emulator, with its address in the environment while it runs; no credentials are looked for."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason=MISSING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_GCE_CHECK", "true")
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{(port := free_port())}")
        pytest.importorskip("gcsfs", reason=MISSING)
        running = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
        running.start()
        yield
        running.stop()
    fsspec.get_filesystem_class("gs").clear_instance_cache()


@pytest.fixture
def place(server: None, machine: Machine) -> Iterator[str]:
    """The URL of a folder in which runs may lie, with nothing there."""
    yield "gs://bucket/runs"
    fsspec.filesystem("gs").rm("gs://bucket/runs", recursive=True)
