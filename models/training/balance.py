"""What to do where some classes have far more images than others."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from models.data.source import ImageSource
from models.errors import UserError

BALANCES = ("none", "weights", "sampler")


def check(balance: str) -> str:
    if balance not in BALANCES:
        raise UserError(f"No balance '{balance}': choose from {', '.join(BALANCES)}.")
    return balance


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """n / (K · n_k) for each class (G. King, L. Zeng, *Logistic Regression in Rare Events Data*, 2001): rare classes count
    more in the loss; a class without images counts nothing."""
    counts = np.bincount(labels, minlength=classes)
    weights = np.divide(len(labels), classes * counts, out=np.zeros(classes), where=counts > 0)
    return torch.tensor(weights, dtype=torch.float32)


def even_sampler(labels: np.ndarray, classes: int, seed: int) -> WeightedRandomSampler:
    """Draws as many images as there are, with replacement, every class as often as the others."""
    weights = class_weights(labels, classes)[torch.as_tensor(labels)]
    return WeightedRandomSampler(weights.double().tolist(), len(labels), generator=torch.Generator().manual_seed(seed))


def label_indices(source: ImageSource) -> np.ndarray:
    """(n,) class indices in the order of the items."""
    index = {name: i for i, name in enumerate(source.classes)}
    return np.array([index[item.label] for item in source.items])
