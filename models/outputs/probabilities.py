"""From the scores that a network answers to probabilities, and the loss of true classes."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.outputs.multi_label import is_multi_label
from models.outputs.one_logit import is_one_logit
from models.outputs.regression import is_regression


def probabilities(model: nn.Module, scores: Tensor) -> Tensor:
    """Probabilities (N, K) of what `model` answers, scores (N, K): the softmax of logits; for one logit z,
    whose scores are -z and z, 1 - sigmoid(z) and sigmoid(z); of several labels, the sigmoid of each. Numbers
    of a regression stay as they are."""
    if is_regression(model):
        return scores
    if is_multi_label(model):
        return scores.sigmoid()
    return (scores / 2 if is_one_logit(model) else scores).softmax(1)


def log_loss(model: nn.Module, scores: Tensor, label: Tensor) -> Tensor:
    """Minus the logarithm of the probability (N,) of the classes `label` (N,); of several labels, where
    `label` (N, K) is 0 and 1, the mean over the classes (binary cross-entropy). Of a regression, where
    `label` (N, R) is the true numbers, the mean of the squared residuals."""
    if is_regression(model):
        return (scores.double() - label.to(scores.device).double()).square().mean(1).float()
    if is_multi_label(model):
        each = F.binary_cross_entropy_with_logits(scores, label.to(scores), reduction="none")
        return each.mean(1)
    logits = scores / 2 if is_one_logit(model) else scores
    return F.cross_entropy(logits, label, reduction="none")
