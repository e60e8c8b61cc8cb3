"""Curves over depth: zeros and equivariance against plain loops, separability against scikit-learn, and what
is said of them."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neighbors import NearestCentroid
from torch import Tensor, nn

from explain.features.depth import Step, block_outputs, depth, largest_shift, separability, step, what_breaks
from explain.network.hooks import output_of
from explain.network.summary import Layer, layers
from models.classifier import Classifier
from tests.test_capture import assert_as_found, snapshot


@pytest.fixture
def x() -> Tensor:
    smooth = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(smooth, (48, 48), mode="bilinear")


class Strided(nn.Module):
    def __init__(self, padding: int = 1, stride: int = 2):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.relu1 = nn.Conv2d(3, 6, 3, stride, padding), nn.ReLU(inplace=True)
        self.conv2, self.norm2 = nn.Conv2d(6, 5, 3, 1, padding), nn.BatchNorm2d(5)
        self.pool, self.conv3, self.head = nn.MaxPool2d(2), nn.Conv2d(5, 4, 3, 1, padding), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.norm2(self.conv2(self.relu1(self.conv1(x)))).relu())
        return self.head(self.conv3(x).mean((2, 3)))  # type: ignore[no-any-return]


def by_loop(model: nn.Module, x: Tensor, layer: Layer, pixels: int) -> tuple[float, float]:
    """Place by place, for one image."""
    assert layer.field is not None
    assert layer.field.size is not None
    moved = x.clone()
    width = x.shape[3]
    for column in range(width):
        moved[..., column] = x[..., min(column + pixels, width - 1)]
    plain, other = (output_of(model, image, layer.name)[0][0].numpy().astype(float) for image in (x, moved))
    stride, start, size = (
        float(v) for v in (layer.field.stride[1], layer.field.start[1], layer.field.size[1])
    )
    difference, total, inside = 0.0, 0.0, [0.0, 0.0]
    for j in range(plain.shape[2]):
        where = j + pixels / stride
        low, part = int(np.floor(where)), where - np.floor(where)
        high = low if part == 0 else low + 1
        if high >= plain.shape[2]:
            continue
        expected = (1 - part) * plain[:, :, low] + part * plain[:, :, high]
        square, whole = float(((other[:, :, j] - expected) ** 2).sum()), float((expected**2).sum())
        difference, total = difference + square, total + whole
        sees = [(start + k * stride, start + k * stride + size) for k in (j, low, high)]
        if (
            sees[0][0] >= 0
            and sees[0][1] <= width - pixels
            and all(a >= 0 and b <= width for a, b in sees[1:])
        ):
            inside = [inside[0] + square, inside[1] + whole]
    return (difference / total) ** 0.5, (inside[0] / inside[1]) ** 0.5 if inside[1] else float("nan")


@pytest.mark.parametrize(
    "model", [Strided(), Strided(0), Strided(1, 1), Strided(2, 3)], ids=["padded", "valid", "dense", "odd"]
)
def test_by_a_plain_loop(model: nn.Module, x: Tensor) -> None:
    model.eval()
    chosen = block_outputs(layers(model, x))
    assert [layer.name for layer in chosen] == ["relu1", "pool", "conv3", "head"]
    far = largest_shift(chosen, 48)
    before, found = snapshot(model, x), depth(model, x, chosen)
    assert_as_found(before, model, x)
    for layer in chosen:
        for n in range(2):
            output = output_of(model, x[n : n + 1], layer.name)[0]
            assert found[layer.name][n, 0] == pytest.approx(float((output == 0).double().mean()), abs=1e-6)
            if layer.spatial:
                expected = [
                    *by_loop(model, x[n : n + 1], layer, 1),
                    *by_loop(model, x[n : n + 1], layer, far),
                ]
                np.testing.assert_allclose(found[layer.name][n, 1:], expected, rtol=1e-3, atol=1e-6)
            else:
                assert np.isnan(found[layer.name][n, 1:]).all()


def test_shift_is_a_multiple_of_every_stride(x: Tensor) -> None:
    assert largest_shift(layers(Strided(2, 3).eval(), x), 48) == 6
    assert largest_shift(layers(Strided().eval(), x), 48) == 4
    assert largest_shift(layers(Strided().eval(), x), 15) == 2


def words(model: nn.Module, x: Tensor) -> str:
    model.eval()
    chosen = block_outputs(layers(model, x))
    found = depth(model, x, chosen)
    return what_breaks(
        [step(layer, found[layer.name].mean(0).tolist()) for layer in chosen], largest_shift(chosen, 48)
    )


def test_what_breaks_equivariance_is_named(x: Tensor) -> None:
    padded = words(Strided(), x)
    assert "Zero padding breaks shift equivariance from conv1_relu on" in padded
    assert "Strides break shift equivariance from conv1_relu on" in padded
    valid = words(Strided(0), x)
    assert "padding" not in valid
    assert "Strides break shift equivariance from conv1_relu on" in valid
    even = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    assert words(even, x).endswith("Nothing breaks shift equivariance.")

    class Placed(nn.Module):
        """What is added depends on the place."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.more, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.head(self.more(x + torch.linspace(0, 9, x.shape[3])).mean((2, 3)))  # type: ignore[no-any-return]

    assert "Something other than padding and stride breaks shift equivariance from conv2 on" in words(
        Placed(), x
    )
    assert "not measured" in what_breaks([Step("a", "a", *[float("nan")] * 5)], 1)


@pytest.mark.parametrize("counts", [(30, 30, 30), (7, 25, 12), (5, 5)])
def test_separability_is_scikit_learn_s(counts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = rng.normal(0, 1, (len(labels), 6)) + 0.8 * labels[:, None] * rng.normal(0, 1, 6)
    fold = np.concatenate([np.arange(count) % 5 for count in counts])
    expected = cross_val_predict(NearestCentroid(), features, labels, cv=PredefinedSplit(fold))
    mine, shuffled = separability(features, labels)
    assert mine == pytest.approx(float((expected == labels).mean()))
    assert shuffled < mine


def test_separability_by_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    labels = np.array([0, 2, 2, 0, 5, 5, 5, 0, 2, 7])
    features = rng.normal(0, 1, (10, 3)) + labels[:, None]
    kept = [i for i in range(10) if labels[i] != 7]
    right = 0
    for i in kept:
        fold = sum(labels[j] == labels[i] for j in range(i)) % 5
        nearest, best = None, np.inf
        for label in (0, 2, 5):
            others = [
                features[j]
                for j in kept
                if labels[j] == label and sum(labels[k] == label for k in range(j)) % 5 != fold
            ]
            distance = float(((features[i] - np.mean(others, 0)) ** 2).sum())
            nearest, best = (label, distance) if distance < best else (nearest, best)
        right += nearest == labels[i]
    assert separability(features.astype(np.float32), labels)[0] == pytest.approx(right / 9)
    assert np.isnan(separability(features, np.arange(10))).all()
    assert np.isnan(separability(features, np.zeros(10, int))).all()


def test_features_of_noise_do_no_better_than_chance() -> None:
    rng = np.random.default_rng(2)
    mine, shuffled = separability(rng.normal(0, 1, (800, 20)), np.arange(800) % 8)
    assert mine == pytest.approx(1 / 8, abs=0.05)
    assert shuffled == pytest.approx(1 / 8, abs=0.05)


def test_a_layer_that_puts_out_nothing_but_zeros(tiny: Classifier) -> None:
    tiny.model.features[3].weight.data[:], tiny.model.features[3].bias.data[:] = 0, 0  # type: ignore[index,operator,union-attr]
    x = torch.rand(1, 3, 32, 32)
    found = depth(tiny.model, x, block_outputs(layers(tiny.model, x)))["features.4"]
    assert found[0, 0] == 1
    assert found[0, 1] == found[0, 3] == 0
