"""One process writes a run at a time: a lock of the folder, and of the URL whose copy it is."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from explain.run.format import LOCK, REQUEST
from explain.run.remote.mirrors import mirror_of
from models.errors import UserError
from models.files.atomic import SUFFIX as TEMPORARY


class Uploads(Protocol):
    """Where what a run writes goes besides its folder."""

    def put(self, files: Sequence[Path]) -> None:
        """Files that are finished, in their order. Raises UserError where those before could not be
        written."""

    def publish(self) -> None:
        """All that is new, changed or gone. Raises UserError where it cannot be written."""


class _Nowhere:
    def put(self, files: Sequence[Path]) -> None:
        pass

    def publish(self) -> None:
        pass


@contextmanager
def one_writer(folder: Path, say: Callable[[str], None] = lambda text: None) -> Iterator[Uploads]:
    """Lock the run folder, a new one or a run, for this process: two that write at once would double rows.
    The system releases the lock when the process ends, however it ends. Of the copy of a run at a URL the URL
    is locked, too, and the copy brought up to date. `say` gets one line where that takes long. Raises
    UserError where another process holds it, and where the folder holds other files."""
    with _locked(folder):
        if (mirror := mirror_of(folder)) is None:
            yield _Nowhere()
        else:
            with mirror.writing(say):
                yield mirror


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if folder.exists() and not (folder / REQUEST).is_file() and (not folder.is_dir() or any(_others(folder))):
        raise UserError(f"'{folder}' exists and is no run: choose another --out.")
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(NotImplementedError):  # a file system without locks
            lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"Another process is writing to '{folder}': wait until it ends, or choose another --out."
        ) from error
    except OSError as error:
        raise UserError(
            f"'{folder}' cannot be written ({error.strerror or error}): choose another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _others(folder: Path) -> Iterator[Path]:
    """What is there besides a lock, and files that a full disk left unfinished."""
    return (path for path in folder.iterdir() if path.name != LOCK and path.suffix != TEMPORARY)
