"""The progress of a training, in a JSON file beside its checkpoint. Needs no torch."""

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from models.files.atomic import output_file
from models.process_identity import birth, runs
from models.recipe_keys import with_current_recipe


def predictions_file(out: Path) -> Path:
    """The table of predictions of a measured checkpoint."""
    return out.with_suffix(".predictions.parquet")


@dataclass
class Progress:
    """`OUT.progress.json`: the process, the plan, and how far it is. `state`: running, stopped,
    failed, finished."""

    plan: dict[str, Any]
    command: str = ""
    state: str = "running"
    message: str = ""
    pid: int = field(default_factory=os.getpid)
    born: str = field(default_factory=lambda: birth(os.getpid()))
    step: str = ""
    epoch: int = 0
    epochs: int = 0
    fraction: float = 0.0  # of this epoch
    images_per_second: float = 0.0
    seconds_left: float = 0.0
    updated: float = 0.0

    @staticmethod
    def path(out: Path) -> Path:
        return out.with_suffix(".progress.json")

    def write(self, out: Path) -> None:
        """Write the file atomically. Raises UserError where that fails."""
        self.updated = time.time()
        remedy = "what was trained before is kept; free space, and the same command goes on"
        with output_file(self.path(out), remedy) as temporary:
            temporary.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, out: Path) -> "Progress | None":
        """The progress of a checkpoint; None where there is no such file, or it is damaged."""
        try:
            read = cls(**{"born": "", **json.loads(cls.path(out).read_text())})
            numbers = [getattr(read, f.name) for f in fields(cls) if f.type in (int, float)]
            if not isinstance(read.plan, dict) or not all(isinstance(n, int | float) for n in numbers):
                return None
            read.plan = with_current_recipe(read.plan, "recipe")
            return read
        except (OSError, ValueError, TypeError):
            return None

    @property
    def alive(self) -> bool:
        """Whether the training process runs, and is no later process with the same id."""
        return self.state == "running" and runs(self.pid, self.born)

    def say(self, out: Path, state: str, message: str = "") -> None:
        self.state, self.message = state, message
        self.write(out)
