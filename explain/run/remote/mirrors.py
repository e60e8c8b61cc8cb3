"""The runs at URLs that are open in this process (`explain.run.remote.mirror`), by the folders of their
copies."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from models.errors import UserError

EVERY = 10.0  # seconds after which a server writes what is new to URLs


class RunAtUrl(Protocol):
    """What others need of `explain.run.remote.mirror.Mirror`."""

    @property
    def url(self) -> str: ...

    def restored(self, file: Path) -> bool: ...

    def put(self, files: Sequence[Path]) -> None: ...

    def publish(self) -> None: ...

    def writing(self, say: Callable[[str], None]) -> AbstractContextManager[None]: ...


_open: dict[Path, RunAtUrl] = {}
_refused = set[str]()


def remember(folder: Path, mirror: RunAtUrl) -> None:
    _open[folder] = mirror


def mirror_of(folder: Path) -> RunAtUrl | None:
    """The run at a URL whose copy this folder is; None for other folders."""
    return _open.get(folder)


def restored(file: Path) -> bool:
    """Whether a damaged file was fetched again, once, from the run's URL; False in other folders."""
    found = (_open[folder] for folder in file.parents if folder in _open) if _open else iter(())
    mirror = next(found, None)
    return mirror is not None and mirror.restored(file)


def publish_all(say: Callable[[str], None]) -> None:
    """Write to the URLs what was derived from the runs that are open, and the notes on them. `say` gets a
    line, once for a URL, where it cannot be written: the copy keeps it then."""
    for mirror in list(_open.values()):
        try:
            mirror.publish()
            _refused.discard(mirror.url)
        except UserError as error:
            if mirror.url not in _refused:
                say(f"what was derived from the run is kept on this machine alone: {error}")
            _refused.add(mirror.url)


def publish_regularly(say: Callable[[str], None]) -> threading.Event:
    """As `publish_all`, every few seconds until the returned event is set, or the process ends; nothing where
    no run is at a URL."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(EVERY):
            publish_all(say)

    if _open:
        threading.Thread(target=work, daemon=True).start()
    return ended
