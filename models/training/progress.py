"""How far a training is, in a file that anyone can read: the dashboard, a second command line, a person. Needs no torch."""

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


def predictions_file(out: Path) -> Path:
    """Where the answers of a measured checkpoint lie."""
    return out.with_suffix(".predictions.parquet")


@dataclass
class Progress:
    """`OUT.progress.json`: who trains it, what was asked for, and where it is. `state`: running, stopped, failed, finished."""

    plan: dict[str, Any]
    command: str = ""
    state: str = "running"
    message: str = ""
    pid: int = field(default_factory=os.getpid)
    step: str = ""
    epoch: int = 0
    epochs: int = 0
    share: float = 0.0  # of this epoch
    images_per_second: float = 0.0
    seconds_left: float = 0.0
    updated: float = 0.0

    @staticmethod
    def path(out: Path) -> Path:
        return out.with_suffix(".progress.json")

    def write(self, out: Path) -> None:
        self.updated = time.time()
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path(out).with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(self.path(out))

    @classmethod
    def read(cls, out: Path) -> "Progress | None":
        """None where there is none, or it is no progress file."""
        try:
            return cls(**json.loads(cls.path(out).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def alive(self) -> bool:
        """Whether the process that trains it is there."""
        if self.state != "running":
            return False
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return not _zombie(self.pid)

    def say(self, out: Path, state: str, message: str = "") -> None:
        self.state, self.message = state, message
        self.write(out)


def _zombie(pid: int) -> bool:
    """A process that has ended but was not waited for, on Linux; elsewhere unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (OSError, IndexError):
        return False
