"""Files that are written during a training: its curves, and the checkpoint of its best epoch."""

import csv
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import fmean
from typing import Any

import lightning as L
from torch import nn

from models import checkpoints
from models.errors import UserError
from models.files.atomic import atomic
from models.outputs.task_names import REGRESSION
from models.training.lit_classifier import LitClassifier
from models.training.progress import Progress
from models.training.task import Task


def half_of(about: dict[str, Any]) -> bool:
    """Whether matrices are stored as float16: not of numbers, which may be large."""
    return about.get("task") != REGRESSION


class KeepBest(L.Callback):
    """After every epoch: one line of the curves, with the mean learning rate of its steps, and the checkpoint
    where validation was best so far."""

    def __init__(
        self,
        out: Path,
        model: nn.Module,
        description: dict[str, Any],
        monitor: str,
        progress: Progress,
        task: Task | None = None,
    ):
        self.task = task
        self.out, self.model, self.description, self.monitor, self.progress = (
            out,
            model,
            description,
            f"val_{monitor}",
            progress,
        )
        self.rows: list[dict[str, Any]] = []
        self.rates: list[float] = []
        self.best = float("-inf")
        self.step = ""
        self.spent, self.began, self.last_written = 0.0, time.perf_counter(), 0.0

    def begin(self, step: str, epochs: int) -> None:
        """Begin a step of the recipe; its name is a column of the curves."""
        self.step, self.progress.step = step, step
        self.progress.epochs = len(self.rows) + epochs

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "best": self.best, "spent": self.spent + time.perf_counter() - self.began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.best, self.spent = state["rows"], state["best"], state["spent"]
        self.began = time.perf_counter()
        self.progress.epochs = sum(row["step"] != self.step for row in self.rows) + self.progress.epochs

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.epoch_began, self.rates = time.perf_counter(), list[float]()

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, batches = time.perf_counter(), float(trainer.num_training_batches)
        if now - self.last_written < 1:
            return
        self.last_written, p = now, self.progress
        done = batch_idx + 1
        each = (now - self.epoch_began) / done
        p.epoch, p.fraction = len(self.rows) + 1, done / batches
        p.images_per_second = len(batch[1]) / each
        p.seconds_left = each * (batches - done + batches * max(0, p.epochs - p.epoch))
        p.write(self.out)

    def on_train_epoch_end(self, trainer: L.Trainer, module: LitClassifier) -> None:  # type: ignore[override]
        measured = {
            k: round(float(v), 5)
            for k, v in trainer.callback_metrics.items()
            if k in ("loss", "accuracy") or k.startswith("val_")
        }
        if self.monitor not in measured:
            raise UserError(
                "No validation image can be read: the best epoch cannot be chosen; check the files."
            )
        seconds = round(self.spent + time.perf_counter() - self.began, 1)
        self.rows.append(
            {
                "step": self.step,
                "epoch": len(self.rows) + 1,
                **measured,
                "learning_rate": float(f"{fmean(self.rates):.10g}"),  # of its steps
                "seconds": seconds,
            }
        )
        curves = self.out.with_suffix(".csv")
        # the Train tab reads while the training writes
        with atomic(curves) as temporary, temporary.open("w", newline="") as file:
            table = csv.DictWriter(file, list({name: 0 for row in self.rows for name in row}))
            table.writeheader()
            table.writerows(self.rows)
        self.progress.epoch, self.progress.fraction = len(self.rows), 0.0
        self.progress.write(self.out)
        if measured[self.monitor] > self.best:
            self.best = measured[self.monitor]
            metrics = {f"validation_{self.monitor.removeprefix('val_')}": self.best, "epoch": len(self.rows)}
            about = self.description | {"metrics": metrics}
            with self.task.as_saved(self.model) if self.task else nullcontext():
                checkpoints.save(self.out, self.model, about, half=half_of(about))
