"""In which order, and how often, images are drawn; and what a class counts where some have far more images than others."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from models.data.tensors import UNREADABLE


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """n / (K · n_k) for each class (G. King, L. Zeng, *Logistic Regression in Rare Events Data*, 2001): rare classes count
    more in the loss; a class without images counts nothing."""
    counts = np.bincount(labels[labels != UNREADABLE], minlength=classes)
    weights = np.divide(counts.sum(), classes * counts, out=np.zeros(classes), where=counts > 0)
    return torch.tensor(weights, dtype=torch.float32)


class Shuffled(Sampler[int]):
    """Every image once an epoch, or, with `weights`, as many draws with replacement. The order depends on the seed and the
    epoch alone, so a training that was resumed sees what it would have seen."""

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
            yield from torch.multinomial(self.weights, self.size, replacement=True, generator=generator).tolist()


def sampler(truths: Tensor, balance: str, classes: int, seed: int) -> Shuffled:
    """Shuffled, or with `balance` sampler every class as often as the others."""
    if balance != "sampler":
        return Shuffled(len(truths), seed)
    return Shuffled(len(truths), seed, class_weights(truths.numpy(), classes)[truths].double())
