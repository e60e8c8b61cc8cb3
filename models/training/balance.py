"""The order and frequency in which images are drawn, and class weights for unbalanced data."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from models.data.columns import groups_in
from models.data.source import ImageSource
from models.data.tensors import UNREADABLE
from models.errors import UserError


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """n / (K · n_k) for each class (G. King, L. Zeng, *Logistic Regression in Rare Events Data*, 2001): rare
    classes count more in the loss; a class without images counts nothing."""
    counts = np.bincount(labels[labels != UNREADABLE], minlength=classes)
    weights = np.divide(counts.sum(), classes * counts, out=np.zeros(classes), where=counts > 0)
    return torch.tensor(weights, dtype=torch.float32)


class Shuffled(Sampler[int]):
    """Every image once an epoch, or, with `weights`, as many draws with replacement. The order depends on the
    seed and the epoch only, so a resumed training uses the same batches."""

    def __init__(self, size: int, seed: int, weights: Tensor | None = None):
        self.size, self.seed, self.weights, self.epoch = size, seed, weights, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        if self.weights is None:
            yield from torch.randperm(self.size, generator=generator).tolist()
        else:
            yield from torch.multinomial(
                self.weights, self.size, replacement=True, generator=generator
            ).tolist()


def sampler(
    truths: Tensor, balance: str, classes: int, seed: int, groups: Sequence[str] | None = None
) -> Shuffled:
    """Shuffled; with `balance` sampler every class is drawn equally often, and with `groups` (n,) every group
    within its class too."""
    if balance != "sampler":
        return Shuffled(len(truths), seed)
    if groups is None:
        return Shuffled(len(truths), seed, class_weights(truths.numpy(), classes)[truths].double())
    names, group = np.unique(groups, return_inverse=True)
    pair = truths.numpy() * len(names) + group
    within = np.bincount(np.unique(pair) // len(names), minlength=classes)  # groups that a class has
    return Shuffled(
        len(truths), seed, torch.from_numpy(1 / (np.bincount(pair)[pair] * within[truths.numpy()]))
    )


def groups_of(source: ImageSource, column: str) -> list[str] | None:
    """For each image its group by a column of the data (`groups_in`); None where no column is given. Raises
    UserError where the data has no such column."""
    if not column:
        return None
    table = source.metadata
    if table is None or column not in table:
        has = (
            f"it has {', '.join(map(str, table.columns))}"
            if table is not None
            else "it has no columns of its own"
        )
        raise UserError(f"{source.name} has no column '{column}' to balance by: {has}.")
    return groups_in(table[column])
