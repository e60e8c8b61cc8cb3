"""A training on disk: checkpoint, curves, predictions, progress. Reading it needs no torch."""

import json
import logging
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.errors import UserError
from models.recipe_keys import with_current_recipe
from models.training.progress import Progress, predictions_file


@dataclass(frozen=True, eq=False)
class Trained:
    """`about` is the checkpoint's description, empty before its first epoch; `progress` None for checkpoints
    that were not trained here."""

    path: Path
    about: dict[str, Any]
    curves: pd.DataFrame
    progress: Progress | None

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".safetensors")

    @property
    def task(self) -> str:
        return str(self.about.get("task", "classes"))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.about.get("classes", ()))

    @property
    def metrics(self) -> dict[str, Any]:
        return dict(self.about.get("metrics", {}))

    @property
    def measured(self) -> dict[str, Any]:
        """Of test, or of validation where there was no test part; empty before it was measured."""
        return self.metrics.get("test") or self.metrics.get("validation") or {}

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        file = predictions_file(self.path)
        return pd.read_parquet(file) if file.exists() and self.measured else None

    @cached_property
    def judged(self) -> tuple[str, np.ndarray, np.ndarray]:
        """The split that was measured last, its logits (n, K) and labels (n,), or (n, K) of 0 and 1."""
        assert self.predictions is not None
        part = "test" if "test" in self.metrics else "validation"
        rows = self.predictions[self.predictions["part"] == part]
        logits, truth = (np.stack(rows[name].to_list()) for name in ("answer", "truth"))
        return part, logits.astype(float), truth.astype(np.int64)


def open_trained(path: Path) -> Trained:
    """The training of a checkpoint. Raises UserError where there is neither a checkpoint of Vitrine nor a
    training in progress."""
    progress, about = Progress.read(path), described(path) if path.is_file() else {}
    if not about and progress is None:
        raise UserError(
            f"'{path}' is no checkpoint that Vitrine trained: name a .safetensors file that 'train' wrote."
        )
    return Trained(path, about, _curves(path.with_suffix(".csv")), progress)


def _curves(file: Path) -> pd.DataFrame:
    """The curves of a training; empty where there are none, or the file is no table of numbers."""
    try:
        found = pd.read_csv(file)
        numbers = [name for name in found if name == "step" or pd.api.types.is_numeric_dtype(found[name])]
        return found[numbers] if "epoch" in numbers else pd.DataFrame()
    except (OSError, ValueError):  # absent, empty, no table, not UTF-8
        return pd.DataFrame()


def find_trained(folder: Path) -> list[Trained]:
    """Every training below a folder, the latest first."""
    if not folder.is_dir():
        return []
    names = {p.with_suffix("").with_suffix(".safetensors") for p in folder.glob("**/*.progress.json")}
    names |= {p for p in folder.glob("**/*.safetensors") if described(p)}
    found = []
    for path in names:
        try:
            found.append(open_trained(path))
        except UserError as error:  # one file of others must not hide the rest
            logging.getLogger("vitrine").warning("%s is left out: %s", path, error)
    return sorted(
        found,
        key=lambda t: (
            -max((p.stat().st_mtime for p in (t.path, Progress.path(t.path)) if p.exists()), default=0.0)
        ),
    )


def described(path: Path) -> dict[str, Any]:
    """The description in a safetensors header: eight bytes of length, then JSON (the format's own
    specification)."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 50_000_000)))
        about: Any = json.loads(header.get("__metadata__", {}).get("vitrine", "{}"))
    except (OSError, ValueError, struct.error, AttributeError):
        return {}
    return with_current_recipe(about, "training") if isinstance(about, dict) else {}
