"""The lock of a run at a URL: a file that its writer creates where there is none, renews while it writes, and
removes. A lock that is not renewed is that of a writer that was killed."""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.data.remote.store import RemoteStore
from models.errors import UserError
from models.files.json_files import build
from models.process_identity import birth, runs

FILE = "writer.json"
RENEWED = 20.0  # seconds after which a writer renews its lock
ABANDONED = 60.0  # seconds for which a lock is watched before it counts as that of a killed writer


@dataclass(frozen=True)
class Holder:
    """The process that writes. `machine`: name and start of the machine; `renewed`: how often."""

    token: str
    name: str
    machine: str
    pid: int
    born: str
    renewed: int = 0

    @property
    def described(self) -> str:
        return f"process {self.pid} on {' '.join(self.name.split())[:60]}"

    @classmethod
    def me(cls) -> "Holder":
        return cls(uuid.uuid4().hex, platform.node(), machine(), os.getpid(), birth(os.getpid()))

    @property
    def gone(self) -> bool:
        """Whether it was a process of this machine that has ended."""
        return self.machine == machine() and not runs(self.pid, self.born)

    @property
    def here(self) -> bool:
        return self.machine == machine() and not self.gone

    def data(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def machine() -> str:
    """The same for all processes of a machine until it is started again."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        started = ""
    return f"{platform.node()} {started}"


class WriterLock:
    """Of the run of a store. `say` gets one line where another lock is watched."""

    def __init__(self, store: RemoteStore, say: Callable[[str], None] = lambda text: None):
        self._store, self._say = store, say
        self._mine = Holder.me()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Raises UserError where another process writes, and where the store cannot be written."""
        while not self._created():
            if (other := self._holder()) is not None and self._is_abandoned(other):
                self._store.remove([FILE])
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raises UserError where another process has taken the lock, as after this machine was asleep."""
        other = self._holder()
        if other is None or other.token != self._mine.token:
            raise UserError(
                f"Another process has begun to write to '{self._store.url}', as this one did not answer for "
                f"{ABANDONED:.0f} s: results so far are kept; start the same command again when it ends."
            )

    def release(self) -> None:
        """Raises nothing: a lock that stays is taken over later."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(UserError):
            other = self._holder()
            if other is not None and other.token == self._mine.token:
                self._store.remove([FILE])

    def _created(self) -> bool:
        with suppress(FileExistsError):  # also where a driver wrote twice, as the first answer was lost
            self._store.write(FILE, self._mine.data(), new=True)
        other = self._holder()  # a server without conditional writes may have let both write
        return other is not None and other.token == self._mine.token

    def _holder(self) -> Holder | None:
        """None where there is no lock. A file that is none counts as a lock of nobody."""
        try:
            data = self._store.read(FILE)
        except FileNotFoundError:
            return None
        try:
            raw = json.loads(data)
            return build(Holder, raw if isinstance(raw, dict) else {})
        except (ValueError, RecursionError):
            return Holder("", "unknown", "", 0, "")

    def _is_abandoned(self, first: Holder) -> bool:
        """False where the lock is gone meanwhile. Raises UserError where it is that of a process that
        writes."""
        if first.gone:
            return True
        refused = UserError(
            f"Another process is writing to '{self._store.url}' ({first.described}): "
            "wait until it ends, or choose another --out."
        )
        if first.here:
            raise refused
        self._say(
            f"'{self._store.url}' is locked by {first.described}: waiting for at most "
            f"{ABANDONED:.0f} s to see whether it still writes"
        )
        until = time.monotonic() + ABANDONED
        while time.monotonic() < until:
            time.sleep(min(1.0, ABANDONED / 10))
            other = self._holder()
            if other is None:
                return False
            if other != first:
                raise refused
        return True

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            with suppress(UserError):  # a server that does not answer now may do so later
                other = self._holder()
                if other is not None and other.token == self._mine.token:
                    self._mine = replace(self._mine, renewed=self._mine.renewed + 1)
                    self._store.write(FILE, self._mine.data())
