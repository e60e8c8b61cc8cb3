"""Train a classifier from scratch: bf16 autocast and channels_last, best-on-validation checkpoint, early stopping."""

import csv
import logging
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, TQDMProgressBar
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from models import checkpoints
from models.classifier import Classifier
from models.data.source import ImageSource
from models.data.tensors import UNREADABLE, pixels
from models.errors import UserError
from models.preprocessing import Preprocessing
from models.registry import spec
from models.training import balance
from models.training.augment import augment
from models.training.balance import class_weights, even_sampler, label_indices


@dataclass(frozen=True)
class Recipe:
    """What is kept in the checkpoint's metadata."""

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    label_smoothing: float = 0.05
    patience: int = 6
    seed: int = 0
    balance: str = "none"


class Trainee(L.LightningModule):
    """Cross-entropy, with class weights where given, and AdamW on a one-cycle schedule."""

    weights: Tensor | None

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, recipe: Recipe, weights: Tensor | None = None):
        super().__init__()
        self.model, self.preprocessing, self.recipe = model, preprocessing, recipe
        self.register_buffer("weights", weights, persistent=False)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        logits = self.model(augment(self.preprocessing.normalise(batch[0], self.device)))
        loss = F.cross_entropy(logits.float(), batch[1], self.weights, ignore_index=UNREADABLE, label_smoothing=self.recipe.label_smoothing)
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        logits = self.model(self.preprocessing.normalise(batch[0], self.device)).float()
        seen = int((batch[1] != UNREADABLE).sum())
        if seen:
            self.log("val_loss", F.cross_entropy(logits, batch[1], ignore_index=UNREADABLE), prog_bar=True, batch_size=seen)
            self.log("val_accuracy", (logits.argmax(1) == batch[1]).sum() / seen, prog_bar=True, batch_size=seen)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(self.parameters(), self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)
        steps = max(2, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.recipe.learning_rate, total_steps=steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class KeepBest(L.Callback):
    """After every epoch: one line of the curves, and the checkpoint where validation was best so far."""

    def __init__(self, out: Path, description: dict[str, Any]):
        self.out, self.description = out, description
        self.rows: list[dict[str, float]] = []
        self.best = -1.0
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, module: Trainee) -> None:  # type: ignore[override]
        measured = {k: round(float(v), 5) for k, v in trainer.callback_metrics.items() if k in ("loss", "val_loss", "val_accuracy")}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        seconds = round(time.perf_counter() - self.began, 1)
        self.rows.append({"epoch": trainer.current_epoch + 1, **measured, "learning_rate": rate, "seconds": seconds})
        with self.out.with_suffix(".csv").open("w", newline="") as file:
            table = csv.DictWriter(file, self.rows[0])
            table.writeheader()
            table.writerows(self.rows)
        if measured["val_accuracy"] > self.best:
            self.best = measured["val_accuracy"]
            metrics = {"validation_accuracy": self.best, "epoch": trainer.current_epoch + 1}
            checkpoints.save(self.out, module.model, self.description | {"metrics": metrics}, half=True)


def _loader(source: ImageSource, classes: tuple[str, ...], preprocessing: Preprocessing, recipe: Recipe, shuffle: bool) -> DataLoader[Any]:
    data = pixels(source, preprocessing, classes)
    if len(data) < 2:  # type: ignore[arg-type]
        raise UserError(f"{source.name} has {len(data)} readable images: training needs at least two of each split.")  # type: ignore[arg-type]
    sampler = None
    if shuffle and recipe.balance == "sampler":
        labels = data.tensors[1].numpy() if isinstance(data, TensorDataset) else label_indices(source)
        sampler = even_sampler(labels, len(source.classes), recipe.seed)
    last = shuffle and len(data) > recipe.batch_size  # type: ignore[arg-type]
    return DataLoader(data, recipe.batch_size, shuffle=shuffle and sampler is None, sampler=sampler, drop_last=last)


def train(architecture: str, training: ImageSource, validation: ImageSource, out: Path, recipe: Recipe) -> dict[str, float]:
    """Train `architecture` from random weights; write `out` (safetensors) and its curves beside it.

    Returns the metrics of the best epoch. Ctrl-C stops early and leaves the best checkpoint so far.
    """
    if len(training.classes) < 2:
        raise UserError(f"{training.name} has one class only ({training.classes[0]}): a classifier needs at least two.")
    balance.check(recipe.balance)
    _quiet()
    L.seed_everything(recipe.seed, verbose=False)
    entry = spec(architecture)
    model = entry.build(len(training.classes)).to(memory_format=torch.channels_last)
    keeper = KeepBest(out, {
        "architecture": entry.name, "classes": list(training.classes), "preprocessing": entry.preprocessing.as_dict(),
        "training": asdict(recipe), "data": {"name": training.name, "images": len(training), "fingerprint": training.fingerprint()},
    })  # fmt: skip
    trainer = L.Trainer(
        max_epochs=recipe.epochs, accelerator="auto", devices=1, precision="bf16-mixed", logger=False,
        enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[keeper, EarlyStopping("val_accuracy", mode="max", patience=recipe.patience), TQDMProgressBar(refresh_rate=5)],
    )  # fmt: skip
    weights = class_weights(label_indices(training), len(training.classes)) if recipe.balance == "weights" else None
    parts = ((training, True), (validation, False))
    fitted, judged = (_loader(part, training.classes, entry.preprocessing, recipe, shuffle) for part, shuffle in parts)
    try:
        trainer.fit(Trainee(model, entry.preprocessing, recipe, weights), fitted, judged)
    except SystemExit:  # what Lightning makes of Ctrl-C; the best epoch so far is on disk
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if keeper.best < 0:
        raise UserError("Training stopped before its first epoch ended: nothing was written.")
    return {"validation_accuracy": keeper.best, "epochs": len(keeper.rows), "seconds": keeper.rows[-1]["seconds"]}


@dataclass(frozen=True)
class Sources:
    """The three parts of a data set; `test` is None where the data has none of its own."""

    training: ImageSource
    validation: ImageSource
    test: ImageSource | None


def split_sources(open_split: Callable[[str, int | None], ImageSource], limit: int | None = None) -> Sources:
    """Train, validation and test by their names; no test where the data has none of its own.

    Raises UserError where train or validation is missing, or both are the same.
    """
    training, validation = open_split("train", limit), open_split("validation", None)
    if _place(training) == _place(validation):
        raise UserError(f"{training.name}: train and validation are the same images; training needs two parts that differ.")
    if set(training.classes) != set(validation.classes):
        raise UserError(f"{training.name} has classes {', '.join(training.classes[:8])}, {validation.name} has "
                        f"{', '.join(validation.classes[:8])}: both parts need the same.")  # fmt: skip
    try:
        test = open_split("test", None)
    except UserError:
        test = None
    if test and (_place(test) == _place(validation) or not set(test.classes) <= set(training.classes)):
        test = None  # what was chosen on is no test, nor is a part with other classes
    return Sources(training, validation, test)


def _place(source: ImageSource) -> tuple[str, str]:
    return source.root, source.fingerprint()


def measure_test(classifier: Classifier, path: Path, source: ImageSource, batch_size: int = 64) -> float:
    """Share of right answers of a checkpoint on its test images, in float32; written into its metadata."""
    hits = seen = 0
    with torch.inference_mode():
        for x, y in DataLoader(pixels(source, classifier.preprocessing, classifier.classes), batch_size):
            answer = classifier.model(classifier.preprocessing.normalise(x, classifier.device)).argmax(1).cpu()
            hits, seen = hits + int((answer == y).sum()), seen + int((y != UNREADABLE).sum())
    accuracy = hits / max(seen, 1)
    about = dict(classifier.metadata)
    metrics = about["metrics"] | {"test_accuracy": accuracy, "test_images": seen}
    checkpoints.save(path, classifier.model, about | {"metrics": metrics}, half=True)
    return accuracy


def _quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
