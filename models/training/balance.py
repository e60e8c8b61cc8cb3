"""The order and frequency in which images are drawn, and weights of classes and of labels for unbalanced
data."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from models.data.source import ImageSource
from models.data.tables.columns import groups_in
from models.data.tensors import UNREADABLE
from models.errors import UserError

HEAVIEST = (
    10.0  # weight of a positive: of a label of fewer images than one in eleven, errors would count most
)


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """n / (K · n_k) for each class (G. King, L. Zeng, *Logistic Regression in Rare Events Data*, 2001): rare
    classes count more in the loss; a class without images counts nothing."""
    counts = np.bincount(labels[labels != UNREADABLE], minlength=classes)
    weights = np.divide(counts.sum(), classes * counts, out=np.zeros(classes), where=counts > 0)
    return torch.tensor(weights, dtype=torch.float32)


def draw_weights(truths: Tensor) -> Tensor:
    """How often each image is drawn (n,), of any number of labels (n, K): first a label at random, or none of
    them, then one of the images that have it (class-aware sampling: L. Shen, Z. Lin, Q. Huang, *Relay
    Backpropagation*, 2016). So positives of rare labels are drawn more often. Sums to 1."""
    truths = truths.double()
    each = torch.cat([truths, (truths.sum(1, keepdim=True) == 0).double()], 1)
    counts = each.sum(0)
    kinds = int((counts > 0).sum())
    return (each / counts.clamp(min=1)).sum(1) / kinds


def frequencies(truths: Tensor, balance: str) -> Tensor:
    """(K,): the fraction of drawn images that have each label; `truths` (n, K)."""
    truths = truths.double()
    return draw_weights(truths) @ truths if balance == "sampler" else truths.mean(0)


def positive_weights(frequency: Tensor, text: str) -> Tensor | None:
    """Factors (K,) on the loss of positives: with 'balanced' negatives for each positive, at most `HEAVIEST`,
    and 1 for a label that no image or every image has; or a number for all; None for 'none'."""
    if text == "none":
        return None
    if text != "balanced":
        return torch.full((len(frequency),), float(text))
    defined = (frequency > 0) & (frequency < 1)
    ratio = (1 - frequency) / torch.where(defined, frequency, 1.0)
    return torch.where(defined, ratio.clamp(max=HEAVIEST), 1.0).float()


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
    within its class too; of any number of labels (n, K) as `draw_weights` says."""
    if balance != "sampler":
        return Shuffled(len(truths), seed)
    if truths.ndim == 2:
        return Shuffled(len(truths), seed, draw_weights(truths))
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
