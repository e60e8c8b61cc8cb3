"""What one unit saw, against the backward pass written out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explain.features.activations import activations
from explain.features.projection import WAYS, projections
from models.classifier import Classifier
from models.errors import UserError
from tests.test_capture import assert_as_found, snapshot


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Pooled(nn.Module):
    """As the networks of Zeiler & Fergus: convolutions, ReLUs, a max pooling with its switches."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 6, 5, 2, 2), nn.Conv2d(6, 5, 3, 1, 1), nn.Linear(5, 2)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.two(self.pool(self.relu(self.one(x))))).mean((2, 3)))  # type: ignore[no-any-return]


def by_hand(model: Pooled, x: Tensor, channel: int, row: int, column: int, guided: bool) -> Tensor:
    """From `two` back: transposed convolution, unpooling by the switches, the ReLU's rule, transposed
    convolution."""
    first = torch.nn.functional.conv2d(x, model.one.weight, model.one.bias, 2, 2)
    pooled, switches = torch.nn.functional.max_pool2d(first.relu(), 2, return_indices=True)
    signal = torch.zeros(1, 5, *pooled.shape[2:])
    signal[0, channel, row, column] = 1
    signal = torch.nn.functional.conv_transpose2d(signal, model.two.weight, padding=1)
    signal = torch.nn.functional.max_unpool2d(signal, switches, 2, output_size=first.shape[2:])
    signal = signal.relu() * ((first > 0) if guided else 1)
    return torch.nn.functional.conv_transpose2d(
        signal, model.one.weight, stride=2, padding=2, output_padding=1
    )


@pytest.mark.parametrize("channel", range(5))
def test_by_hand(x: Tensor, channel: int) -> None:
    torch.manual_seed(0)
    model = Pooled().eval()
    found = activations(model, x, "two")
    row, column, _ = found.strongest(channel)
    before, made = snapshot(model, x), projections(model, x, found, channel)
    assert_as_found(before, model, x)
    with torch.no_grad():
        for name, guided in zip(WAYS, (False, True), strict=True):
            np.testing.assert_allclose(
                made[name], by_hand(model, x, channel, row, column, guided)[0].numpy(), atol=1e-6
            )


def test_nothing_outside_of_what_the_place_sees(tiny: Classifier, x: Tensor) -> None:
    from explain.network.summary import layers

    found = activations(tiny.model, x, "features.4")
    channel = int(found.values.max((1, 2)).argmax())
    row, column, _ = found.strongest(channel)
    field = next(layer.field for layer in layers(tiny.model, x) if layer.name == "features.4")
    assert field is not None
    upper, left, lower, right = (max(v, 0) for v in field.pixels(row, column) or ())
    for values in projections(tiny.model, x, found, channel).values():
        assert values.any()
        outside = values.copy()
        outside[:, upper:lower, left:right] = 0
        assert not outside.any()


def test_a_saturated_relu6_is_led_back(x: Tensor) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 2, 3)
    conv.bias.data[:] = 50  # type: ignore[index]
    model = nn.Sequential(conv, nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    assert all(values.any() for values in projections(model, x, activations(model, x, "1"), 0).values())


def test_units_without_places_and_networks_without_relu(tiny: Classifier, x: Tensor) -> None:
    made = projections(tiny.model, x, activations(tiny.model, x, "head"), 1)
    assert {name: values.shape for name, values in made.items()} == dict.fromkeys(WAYS, (3, 32, 32))
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()
    before = snapshot(plain, x)
    with pytest.raises(UserError, match="no ReLU"):
        projections(plain, x, activations(plain, x, "0"), 0)
    assert_as_found(before, plain, x)


def test_a_layer_that_does_not_look_at_the_picture(x: Tensor) -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.aside = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.conv(x)).mean((2, 3)) + self.aside(torch.ones(len(x), 2))  # type: ignore[no-any-return]

    model = Aside().eval()
    before = snapshot(model, x)
    assert not any(
        values.any() for values in projections(model, x, activations(model, x, "aside"), 1).values()
    )
    assert_as_found(before, model, x)
