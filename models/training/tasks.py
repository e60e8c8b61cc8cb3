"""Tasks of a training: one class of an image, any number of labels, or numbers. Each has a loss and measures,
and one entry in `TASKS`."""

from collections import Counter

import torch
from torch import Tensor
from torch.nn import functional as F

from models.counts import be, counted
from models.data.source import ImageSource
from models.data.tensors import readable, truth
from models.errors import UserError
from models.measures import labels as label_measures
from models.outputs.task import MULTI
from models.training.balance import HEAVIEST, class_weights, frequencies, positive_weights
from models.training.number_tasks import Affect, Numbers
from models.training.recipe import Recipe
from models.training.task import Task

UNREADABLE = -1


class Classes(Task):
    """Cross-entropy, with smoothed labels and class weights where given. Training images of people's votes
    have fractions (n, K) in place of a label (n,)."""

    name, monitor = "classes", "accuracy"

    def __init__(self, outputs: tuple[str, ...], weights: Tensor | None = None, label_smoothing: float = 0.0):
        self.outputs, self.weights, self.label_smoothing = outputs, weights, label_smoothing

    @classmethod
    def begun(cls, recipe: Recipe, source: ImageSource) -> "Classes":
        """Raises UserError for data of one class."""
        require_two(source)
        labels, count = truth(source, source.classes).numpy(), len(source.classes)
        weights = class_weights(labels, count) if recipe.balance == "weights" else None
        task = cls(source.classes, weights, recipe.smoothing)
        if source.has_votes:
            task.notes = ("cross-entropy of the fractions of votes; validation and test count labels",)
        return task

    def loss(self, answer: Tensor, truth: Tensor) -> Tensor:
        weights = None if self.weights is None else self.weights.to(answer)
        known = readable(truth)
        if not bool(known.any()):
            return answer.sum() * 0
        return F.cross_entropy(answer[known], truth[known], weights, label_smoothing=self.label_smoothing)

    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        return {
            "loss": float(F.cross_entropy(answer, truth)),
            "accuracy": float((answer.argmax(1) == truth).double().mean()),
        }

    def batch_measures(self, answer: Tensor, truth: Tensor) -> dict[str, Tensor]:
        label = truth if truth.ndim == 1 else truth.argmax(1)
        return {"accuracy": (answer.argmax(1) == label).float().mean()}

    @staticmethod
    def counts(source: ImageSource) -> dict[str, int]:
        count = Counter(item.label for item in source.items)
        return {name: count[name] for name in source.classes}


class Labels(Task):
    """Any number of labels per image: the mean over images and labels of the binary cross-entropy, or of the
    focal loss (Lin et al. 2017), in which a decision of probability p for what is true counts (1 - p) to the
    power `gamma`. `weights` (K,): factor on the loss of positives. The best epoch has the highest mAP."""

    name, monitor = MULTI, "mAP"

    def __init__(
        self,
        outputs: tuple[str, ...],
        weights: Tensor | None = None,
        gamma: float = 0.0,
        label_smoothing: float = 0.0,
    ):
        self.outputs, self.weights, self.gamma = outputs, weights, gamma
        self.label_smoothing = label_smoothing

    @classmethod
    def begun(cls, recipe: Recipe, source: ImageSource) -> "Labels":
        """Raises UserError for data of one label, and where no label tells training images apart."""
        require_two(source)
        truths = truth(source, source.classes)
        positives = truths.sum(0)
        if not _tells_apart(truths):
            raise UserError(f"Every image of {source.name} has the same labels: there is nothing to learn.")
        weights = positive_weights(frequencies(truths, recipe.balance), recipe.pos_weight)
        gamma = recipe.focal_gamma if recipe.loss_name == "focal" else 0.0
        task = cls(source.classes, weights, gamma, recipe.smoothing)
        kind = f"focal loss with gamma {gamma:g}" if gamma else "binary cross-entropy"
        said = "" if weights is None else f"; positives weigh {_weights_text(weights, source.classes)}"
        absent = [name for name, count in zip(source.classes, positives, strict=True) if not count]
        none = f"; no training image has {', '.join(absent[:5])}" if absent else ""
        task.notes = (f"{kind} of {counted(len(source.classes), 'label')}{said}{none}",)
        return task

    def loss(self, answer: Tensor, truth: Tensor) -> Tensor:
        known = readable(truth)
        if not bool(known.any()):
            return answer.sum() * 0
        answer, truth = answer[known], truth[known].to(answer)
        aim = truth * (1 - self.label_smoothing) + self.label_smoothing / 2
        there, absent = F.logsigmoid(answer), F.logsigmoid(-answer)  # logarithms of probabilities
        weight = 1.0 if self.weights is None else self.weights.to(answer)
        of_positives = -weight * aim * there * _focused(absent, self.gamma)
        of_negatives = -(1 - aim) * absent * _focused(there, self.gamma)
        return (of_positives + of_negatives).mean()

    def measures(self, answer: Tensor, truth: Tensor) -> dict[str, float]:
        has, prob = truth.numpy() > 0.5, answer.double().sigmoid().numpy()
        f1 = label_measures.f1_scores(has, prob >= label_measures.CALLED)
        return {
            "loss": float(F.binary_cross_entropy_with_logits(answer, truth.to(answer))),
            "mAP": label_measures.mean_average_precision(has, prob),
            "macro_f1": float(f1.mean()),
        }

    def require_measurable(self, validation: ImageSource) -> None:
        if not _tells_apart(truth(validation, self.outputs)):
            raise UserError(
                f"No label of {validation.name} has images with it and images without it: the best epoch "
                "cannot be chosen by mAP; add images to validation."
            )

    @staticmethod
    def counts(source: ImageSource) -> dict[str, int]:
        count = Counter(name for item in source.items for name in item.labels or ())
        return {name: count[name] for name in source.classes}


TASKS: dict[str, type[Classes] | type[Labels] | type[Numbers]] = {
    kind.name: kind for kind in (Classes, Labels, Numbers, Affect)
}
"""By the names in `models.training.recipe.LOSSES`; `begun` makes the task of a recipe and its data."""


def require_two(source: ImageSource) -> None:
    """Raises UserError for data of fewer than two classes."""
    if len(source.classes) < 2:
        raise UserError(
            f"{source.name} has one class only ({', '.join(source.classes)}): a classifier needs at least "
            "two."
        )


def _tells_apart(truths: Tensor) -> bool:
    """Whether some label has images with it and images without it; `truths` (n, K)."""
    positives = truths.sum(0)
    return bool(((positives > 0) & (positives < len(truths))).any())


def _focused(log_of_miss: Tensor, gamma: float) -> Tensor | float:
    """(1 - p) to the power gamma, from the logarithm of 1 - p."""
    return torch.exp(gamma * log_of_miss) if gamma else 1.0


def _weights_text(weights: Tensor, classes: tuple[str, ...]) -> str:
    """'1.5 (AU12) to 10 (hat; 3 labels are limited to 10)', or one number where all weigh the same."""
    low, high, limited = int(weights.argmin()), int(weights.argmax()), int((weights == HEAVIEST).sum())
    if weights[low] == weights[high]:
        return f"{weights[low]:.3g}"
    most = (
        f"; the weights of {counted(limited, 'label')} {be(limited)} limited to {HEAVIEST:.3g}"
        if limited
        else ""
    )
    return f"{weights[low]:.3g} ({classes[low]}) to {weights[high]:.3g} ({classes[high]}){most}"
