"""The interface of the tasks of a training (`models.training.tasks`)."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn

from models.data.source import ImageSource


class Task(ABC):
    """`outputs`: names of the network's outputs; `monitor`: the measure by which the best epoch is chosen;
    `notes`: what a training says of its loss, a line each."""

    name: str
    monitor: str
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def loss(self, answer: Tensor, truth: Tensor) -> Tensor:
        """Mean loss of float32 outputs (N, K); unreadable images are ignored."""

    @abstractmethod
    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        """Measures of a whole split, without unreadable images."""

    def batch_measures(self, answer: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Measures of a batch of the training, whose mean over an epoch is a curve; without unreadable
        images."""
        return {}

    def require_measurable(self, validation: ImageSource) -> None:
        """Raises UserError where the measure of the best epoch is not defined on these images."""
        return

    def require_network(self, model: nn.Module, example: Tensor) -> None:
        """Raises UserError for a network that cannot be trained for the task. `example` (1, C, H, W): an
        input."""
        return

    def as_saved(self, model: nn.Module) -> AbstractContextManager[object]:
        """While this is open, the network has the parameters that a checkpoint holds."""
        return nullcontext()

    @staticmethod
    def counts(source: ImageSource) -> dict[str, int]:
        """Images of each class, where there are classes."""
        return {}
