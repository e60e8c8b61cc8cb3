"""A labeled set of images as tensors for training: read once, in parallel, and kept as uint8 where they fit
in memory."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset
from tqdm import tqdm

from models.data.remote.errors import Unreachable
from models.data.source import ImageSource, Subset
from models.data.tables.affect_table import AffectTable
from models.data.tables.votes import one_hot
from models.errors import UserError
from models.preprocessing import Preprocessing

KEEP_BYTES = 2 * 1024**3
UNREADABLE = -1  # label of an image that could not be read: left out of losses and counts


def truth(source: ImageSource, classes: Sequence[str]) -> Tensor:
    """(n,) int64 indices into `classes`; of images with any number of labels (n, K) float32, 1 where an image
    has the class; or of images with numbers these, (n, R) float32."""
    if source.regression:
        return torch.tensor([item.numbers for item in source.items], dtype=torch.float32)
    if isinstance(source, Subset):
        return truth(source.source, classes)[torch.as_tensor(source.kept)]
    if isinstance(source, AffectTable):
        return source.values
    index = {name: i for i, name in enumerate(classes)}
    if source.multi_label:
        sets = torch.zeros(len(source), len(classes))
        for row, item in enumerate(source.items):
            sets[row, [index[name] for name in item.labels or ()]] = 1
        return sets
    return torch.tensor([index[item.label] for item in source.items])


def targets(source: ImageSource, classes: Sequence[str]) -> Tensor:
    """What a training aims at: as `truth`, and where people voted, their fractions (n, K) float32; an image
    without votes has its label alone."""
    if not source.has_votes:
        return truth(source, classes)
    column = [source.classes.index(name) for name in classes]
    given = [item.votes or one_hot(item.label, source.classes) for item in source.items]
    return torch.tensor(given, dtype=torch.float32)[:, column]


class PixelDataset(Dataset[tuple[Tensor, Tensor]]):
    """uint8 (C, h, w) and label; an unreadable image is black, and its label -1 or NaN. `fitted`: labels are
    those that a training aims at (`targets`)."""

    def __init__(
        self,
        source: ImageSource,
        preprocessing: Preprocessing,
        classes: Sequence[str],
        fitted: bool = False,
    ):
        self.source, self.preprocessing = source.read_for(preprocessing), preprocessing
        self.truth = (targets if fitted else truth)(source, classes)
        self.blank = torch.full_like(self.truth[0], UNREADABLE if self.truth.ndim == 1 else torch.nan)

    def __len__(self) -> int:
        return len(self.source)

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """A batch. Raises `Unreachable` where the images' server does not answer."""
        self.source.prepare(indices)
        return [self[i] for i in indices]

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        try:
            return self.preprocessing.tensor(self.source.load(i)), self.truth[i]
        except Unreachable:
            raise
        except UserError:
            return torch.zeros(
                self.preprocessing.channels, *self.preprocessing.size, dtype=torch.uint8
            ), self.blank


def readable(y: Tensor) -> Tensor:
    """(n,) bool: which labels belong to images that could be read."""
    return y != UNREADABLE if y.ndim == 1 else ~torch.isnan(y).any(1)


def workers(images: int, batch_size: int) -> int:
    """Processes that read images for a loader: each reads whole batches, so one batch needs none of them."""
    batches = -(-images // batch_size)
    return min(8, os.cpu_count() or 1, batches) if batches > 1 else 0


def pixels(
    source: ImageSource,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    processes: int | None = None,
    fitted: bool = False,
) -> Dataset[Any]:
    """The set as a torch dataset of pixels and labels: in memory where it fits in `KEEP_BYTES`."""
    lazy = PixelDataset(source, preprocessing, classes, fitted)
    height, width = preprocessing.size
    if len(source) * preprocessing.channels * height * width > KEEP_BYTES:
        return lazy
    processes = workers(len(source), 64) if processes is None else processes
    loader = DataLoader(lazy, batch_size=64, num_workers=processes)
    batches = list(tqdm(loader, desc=f"reading {source.name}", unit="batch", leave=False))
    return TensorDataset(*(torch.cat([batch[k] for batch in batches]) for k in (0, 1)))
