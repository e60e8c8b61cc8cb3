"""Pages of complete runs: a server is bound to one run, so another run is opened by a server of its own, on
this machine alone, which ends with this one."""

import atexit
import os
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from dashboard.session.child_process import start_command
from dashboard.session.run_log import read_log
from models.errors import UserError

HOST, MOST = "127.0.0.1", 3  # servers at a time
PARENT = "VITRINE_ENDS_WITH"
"""Environment variable: the process with which a server ends, also where that one is killed."""

_processes: list[subprocess.Popen[bytes]] = []


def end_pages() -> None:
    """End the servers that were started here."""
    for process in _processes:
        with suppress(OSError):
            process.terminate()
    _processes.clear()


atexit.register(end_pages)


def parent_is_gone() -> bool:
    """Whether this server was started by another one that has ended."""
    parent = os.environ.get(PARENT, "")
    return parent.isdecimal() and hasattr(os, "getppid") and os.getppid() != int(parent)


class RunPages:
    """The pages of runs that were opened here."""

    def __init__(self) -> None:
        self._open: dict[Path, tuple[subprocess.Popen[bytes], int, TemporaryDirectory[str]]] = {}
        self._lock = threading.Lock()

    def open(self, folder: Path) -> None:
        """Start the page of a run, unless it is open; the first of more than `MOST` ends."""
        with self._lock:
            if folder in self._open and self._open[folder][0].poll() is None:
                return
            for other in list(self._open)[: max(0, len(self._open) - MOST + 1)]:
                self._open.pop(other)[0].terminate()
            port, told = _free_port(), TemporaryDirectory()
            words = ["serve", "--run", str(folder), "--no-browser", "--host", HOST, "--port", str(port)]
            with Path(told.name, "log").open("wb") as log:
                process = start_command(words, log, log, environment={PARENT: str(os.getpid())})
            self._open[folder] = process, port, told
            _processes.append(process)

    def address(self, folder: Path) -> str | None:
        """Of the page of a run; empty while it starts; None where it was not opened. Raises UserError where
        it has ended."""
        with self._lock:
            if folder not in self._open:
                return None
            process, port, told = self._open[folder]
            if process.poll() is not None:
                del self._open[folder]
                reason = read_log(Path(told.name, "log")).error
                raise UserError(f"The page of {folder.name} has ended. {reason}".rstrip())
        with socket.socket() as probe:
            return f"http://{HOST}:{port}/" if probe.connect_ex((HOST, port)) == 0 else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
