"""Tasks of a training: classification, or regression of valence and arousal. Each has a loss and measures."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.affect import AXES, affect_measures

UNREADABLE = -1


class Task(ABC):
    """`outputs`: names of the network's outputs; `monitor`: the measure by which the best epoch is chosen."""

    name: str
    monitor: str
    outputs: tuple[str, ...]

    @abstractmethod
    def loss(self, answer: Tensor, truth: Tensor) -> Tensor:
        """Mean loss of float32 outputs (N, K); unreadable images are ignored."""

    @abstractmethod
    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        """Measures of a whole split, without unreadable images."""


class Classes(Task):
    """Cross-entropy, with smoothed labels and class weights where given."""

    name, monitor = "classes", "accuracy"

    def __init__(self, outputs: tuple[str, ...], weights: Tensor | None = None, label_smoothing: float = 0.0):
        self.outputs, self.weights, self.label_smoothing = outputs, weights, label_smoothing

    def loss(self, answer: Tensor, truth: Tensor) -> Tensor:
        weights = None if self.weights is None else self.weights.to(answer)
        if bool((truth == UNREADABLE).all()):
            return answer.sum() * 0
        return F.cross_entropy(
            answer, truth, weights, ignore_index=UNREADABLE, label_smoothing=self.label_smoothing
        )

    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        return {
            "loss": float(F.cross_entropy(answer, truth)),
            "accuracy": float((answer.argmax(1) == truth).double().mean()),
        }


class Affect(Task):
    """Mean squared error of valence and arousal in [-1, 1] (Hewitt & Gunes 2018); the best epoch has the
    highest mean CCC."""

    name, monitor, outputs = "affect", "ccc", AXES

    def loss(self, answer: Tensor, truth: Tensor) -> Tensor:
        known = ~torch.isnan(truth).any(1)
        return F.mse_loss(answer[known], truth[known]) if bool(known.any()) else answer.sum() * 0

    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        each = affect_measures(answer.double().numpy(), truth.double().numpy())
        return {
            "loss": float(F.mse_loss(answer, truth)),
            "ccc": float(np.mean(each["ccc"])),
            "rmse": float(np.mean(each["rmse"])),
        }
