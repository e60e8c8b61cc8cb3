"""Several labels per image: losses of a training against plain loops, sampling against its formula, measures
against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from models.data.toon_attributes import CLASSES, ToonAttributes
from models.measures.labels import (
    average_precision,
    average_precisions,
    f1_scores,
    mean_average_precision,
    mean_average_precision_interval,
)
from models.outputs.task import MULTI
from models.training.balance import draw_weights, frequencies, positive_weights, sampler
from models.training.multi_label import numbers
from models.training.recipe import Recipe
from models.training.tasks import TASKS, Labels


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Truth (200, 5) and logits of it with many ties; one label that no image has."""
    rng = np.random.default_rng(0)
    truths = rng.random((200, 5)) < (0.4, 0.1, 0.03, 0.0, 0.6)
    return truths, (rng.normal(0, 1, truths.shape) + truths).round(1)


# -- losses ------------------------------------------------------------------------------------------


def plain_loss(
    answer: Tensor, truths: Tensor, weights: Tensor, gamma: float = 0.0, smoothing: float = 0.0
) -> float:
    """One decision after the other."""
    total, count = 0.0, 0
    for i in range(len(answer)):
        if torch.isnan(truths[i]).any():
            continue
        for k in range(answer.shape[1]):
            p = 1 / (1 + math.exp(-float(answer[i, k])))
            y = float(truths[i, k]) * (1 - smoothing) + smoothing / 2
            total -= float(weights[k]) * y * (1 - p) ** gamma * math.log(p)
            total -= (1 - y) * p**gamma * math.log(1 - p)
            count += 1
    return total / count


@pytest.mark.parametrize("gamma", [0.0, 2.0, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_equal_plain_loops(gamma: float, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    answer, truths = torch.randn(9, 4, generator=generator) * 3, torch.rand(9, 4, generator=generator) < 0.3
    weights, truths = torch.tensor([1.0, 10.0, 0.5, 3.0]), truths.float()
    truths[3] = math.nan  # could not be read
    task = Labels(("a", "b", "c", "d"), weights, gamma, smoothing)
    expected = plain_loss(answer, truths, weights, gamma, smoothing)
    assert float(task.loss(answer, truths)) == pytest.approx(expected, rel=1e-5)
    plain = Labels(task.outputs, None, gamma, smoothing)
    assert float(plain.loss(answer, truths)) == pytest.approx(
        plain_loss(answer, truths, torch.ones(4), gamma, smoothing), rel=1e-5
    )
    assert float(task.loss(answer, torch.full((9, 4), math.nan))) == 0


def test_losses_equal_those_of_torch() -> None:
    answer, truths = torch.linspace(-6, 6, 12).view(4, 3), (torch.arange(12).view(4, 3) % 3 == 0).float()
    weights = torch.tensor([4.0, 1.0, 2.0])
    own = Labels(("a", "b", "c"), weights).loss(answer, truths)
    torch.testing.assert_close(own, F.binary_cross_entropy_with_logits(answer, truths, pos_weight=weights))
    focal = Labels(("a", "b", "c"), None, 2.0).loss(answer, truths)
    torch.testing.assert_close(focal, sigmoid_focal_loss(answer, truths, alpha=-1, gamma=2, reduction="mean"))
    far = torch.tensor([[200.0, -200.0]], requires_grad=True)  # no logarithm of zero
    Labels(("a", "b"), None, 2.0).loss(far, torch.tensor([[0.0, 1.0]])).backward()
    assert far.grad is not None
    assert bool(far.grad.isfinite().all())


# -- balance -----------------------------------------------------------------------------------------

SETS = torch.tensor([[1, 1, 0, 0]] * 6 + [[0, 1, 0, 0]] * 30 + [[0, 0, 1, 0]] + [[0, 0, 0, 0]] * 3).float()


def test_sampling_equals_its_formula() -> None:
    """A label at random, or none; then an image that has it. The last label has no image."""
    kinds, expected = [], np.zeros(len(SETS))
    for k in range(3):
        kinds.append([i for i in range(len(SETS)) if SETS[i, k]])
    kinds.append([i for i in range(len(SETS)) if not SETS[i].any()])
    for images in kinds:
        for i in images:
            expected[i] += 1 / (len(kinds) * len(images))
    np.testing.assert_allclose(draw_weights(SETS), expected)
    assert expected.sum() == pytest.approx(1)
    order = sampler(SETS.repeat(250, 1), "sampler", 4, seed=1)
    drawn = np.bincount(np.array(list(order)) % len(SETS), minlength=len(SETS)) / len(order)
    assert np.abs(drawn - expected).max() < 5 * np.sqrt(expected.max() / len(order))
    assert list(sampler(SETS, "sampler", 4, seed=1)) == list(sampler(SETS, "sampler", 4, seed=1))
    assert sorted(sampler(SETS, "none", 4, seed=1)) == list(range(len(SETS)))


def test_weights_of_positives() -> None:
    """Negatives for each positive of what is drawn, at most ten."""
    plain = positive_weights(frequencies(SETS, "none"), "balanced")
    assert plain is not None
    np.testing.assert_allclose(plain, [34 / 6, 4 / 36, 10, 1], rtol=1e-6)
    drawn = positive_weights(frequencies(SETS, "sampler"), "balanced")
    assert drawn is not None
    rate = (draw_weights(SETS)[:, None] * SETS).sum(0)
    np.testing.assert_allclose(drawn[:3], (1 - rate[:3]) / rate[:3], rtol=1e-6)
    assert positive_weights(frequencies(SETS, "none"), "none") is None
    assert positive_weights(frequencies(SETS, "none"), "2.5").tolist() == [2.5] * 4  # type: ignore[union-attr]


def test_what_the_loss_is_is_said() -> None:
    source = ToonAttributes("train", 24)
    note = TASKS[MULTI].begun(Recipe(task=MULTI), source).notes[0]
    assert note.startswith("binary cross-entropy of 14 labels; positives weigh ")
    assert "labels are limited to 10" in note
    absent = [name for name in CLASSES if name in source.empty]
    assert not absent or f"no training image has {absent[0]}" in note
    focal = TASKS[MULTI].begun(Recipe(task=MULTI, loss="focal", pos_weight="none"), source)
    assert focal.notes[0].startswith("focal loss with gamma 2 of 14 labels")
    assert "weigh" not in focal.notes[0]


# -- measures ----------------------------------------------------------------------------------------


def test_measures_equal_scikit_learns(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    truths, logits = drawn
    each = average_precisions(truths, logits)
    expected = [metrics.average_precision_score(truths[:, k], logits[:, k]) for k in (0, 1, 2, 4)]
    np.testing.assert_allclose(each[[0, 1, 2, 4]], expected, rtol=1e-12)
    assert np.isnan(each[3])
    assert mean_average_precision(truths, logits) == pytest.approx(np.mean(expected))
    weight = np.random.default_rng(1).integers(0, 3, 200)
    assert average_precision(truths[:, 0], logits[:, 0], weight) == pytest.approx(
        metrics.average_precision_score(truths[:, 0], logits[:, 0], sample_weight=weight)
    )
    called = logits > 0.2
    np.testing.assert_allclose(
        f1_scores(truths, called), metrics.f1_score(truths, called, average=None, zero_division=0)
    )
    low, high = mean_average_precision_interval(truths, logits)
    assert low < np.mean(expected) < high
    assert np.isnan(mean_average_precision(truths[:, 3:4], logits[:, 3:4]))


def test_numbers_of_a_split(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    truths, logits = drawn
    found = numbers(logits, truths, ("a", "b", "c", "d", "e"))
    called = logits >= 0
    for kind in ("macro", "micro"):
        expected = metrics.f1_score(truths, called, average=kind, zero_division=0)
        assert found[f"{kind}_f1"] == pytest.approx(expected)
    assert found["subset_accuracy"] == metrics.accuracy_score(truths, called)
    assert found["chance"] == pytest.approx(truths.mean(0)[[0, 1, 2, 4]].mean())
    assert found["loss"] == pytest.approx(metrics.log_loss(truths.ravel(), 1 / (1 + np.exp(-logits.ravel()))))
    assert found["classes"]["b"]["recall"] == pytest.approx(metrics.recall_score(truths[:, 1], called[:, 1]))
    assert found["classes"]["b"]["images"] == truths[:, 1].sum()
    epoch = Labels(("a", "b", "c", "d", "e")).measures(torch.tensor(logits), torch.tensor(truths).float())
    assert epoch["mAP"] == pytest.approx(found["mAP"])
    assert epoch["macro_f1"] == pytest.approx(found["macro_f1"])
    assert epoch["loss"] == pytest.approx(found["loss"])
