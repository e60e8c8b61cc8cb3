"""A labelled set of images as tensors for training: read once, in parallel, and kept as bytes where they fit."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset
from tqdm import tqdm

from models.data.source import ImageSource
from models.errors import UserError
from models.preprocessing import Preprocessing

KEEP_BYTES = 2 * 1024**3
UNREADABLE = -1  # label of an image that could not be read: left out of losses and counts


class PixelDataset(Dataset[tuple[Tensor, int]]):
    """uint8 (C, h, w) and class index; an unreadable image comes back black with label -1."""

    def __init__(self, source: ImageSource, preprocessing: Preprocessing, classes: Sequence[str]):
        self.source, self.preprocessing = source, preprocessing
        self.index = {name: i for i, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        try:
            return self.preprocessing.tensor(self.source.load(i)), self.index[self.source.items[i].label]
        except UserError:
            return torch.zeros(self.preprocessing.channels, *self.preprocessing.size, dtype=torch.uint8), UNREADABLE


def pixels(source: ImageSource, preprocessing: Preprocessing, classes: Sequence[str], workers: int = 2) -> Dataset[Any]:
    """The set, labels as indices into `classes`, as a torch dataset: in memory (without unreadable images) where it fits in `KEEP_BYTES`."""
    lazy = PixelDataset(source, preprocessing, classes)
    height, width = preprocessing.size
    if len(source) * preprocessing.channels * height * width > KEEP_BYTES:
        return lazy
    loader = DataLoader(lazy, batch_size=64, num_workers=workers)
    batches = list(tqdm(loader, desc=f"reading {source.name}", unit="batch", leave=False))
    x, y = (torch.cat([batch[k] for batch in batches]) for k in (0, 1))
    return TensorDataset(x[y != UNREADABLE], y[y != UNREADABLE])
