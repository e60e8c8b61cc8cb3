"""Keras files: predictions and maps are those of the same network in PyTorch."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from explain.network.summary import layers as layers_of
from explain.network.target_layers import default_layer
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.registry import load
from models.sources.module import from_module
from tests.test_network_files import images_of, same_maps


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 255


@pytest.mark.slow
def test_a_keras_file(pictures: Path, tmp_path: Path) -> None:
    """Predictions and maps are those of the same network in PyTorch."""
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported
    pytest.importorskip("h5py")
    pytest.importorskip("keras")
    from keras import Sequential, layers, utils

    utils.set_random_seed(0)
    made = Sequential(
        [
            layers.Input((24, 24, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, padding="same"),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, padding="same", activation="relu", name="last"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    made.save(tmp_path / "net.keras")
    told = PreprocessingOptions(resize="squash", mean="0", std="0.00392156862745098")
    opened = load(str(tmp_path / "net.keras"), options=told)
    convolutions = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)]
    linear = nn.Linear(12, 3)
    with torch.no_grad():
        for module, layer in zip(convolutions, (made.layers[1], made.layers[4]), strict=True):
            weight, bias = map(torch.tensor, layer.get_weights())
            module.weight.copy_(weight.permute(3, 2, 0, 1))
            module.bias.copy_(bias)  # type: ignore[union-attr]
        weight, bias = map(torch.tensor, made.layers[6].get_weights())
        linear.weight.copy_(weight.T)
        linear.bias.copy_(bias)
    first, second = convolutions
    body = [Scaled(), first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU()]
    plain = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear, nn.LogSoftmax(1)).eval()
    same = from_module(plain, opened.classes, opened.preprocessing, "plain")
    images = images_of(pictures)
    with torch.no_grad():
        answers = [c.model(c.batch(images)).softmax(1).numpy() for c in (opened, same)]
    np.testing.assert_allclose(*answers, atol=1e-5)
    assert opened.notes[1] == "rescaling prepares the pixels inside the network"
    assert default_layer(opened.model, opened.batch(images[:1])) == "last"
    table = layers_of(opened.model, opened.batch(images[:1]))
    assert [layer.name for layer in table] == [layer.name.replace(".", "_") for layer in made.layers]
    assert all(layer.shape for layer in table)
    assert sum(layer.parameters for layer in table) == sum(p.numel() for p in opened.model.parameters())
    same_maps(opened, same, ("last", "5"), images[0], ("cam", "integrated_gradients"))
    (tmp_path / "bad.keras").write_bytes(b"PK")
    with pytest.raises(UserError, match="cannot be read by Keras"):
        load(str(tmp_path / "bad.keras"), options=told)


@pytest.mark.filterwarnings("ignore")
def test_channels_are_those_of_the_file(tmp_path: Path) -> None:
    """Read from the file where it fixes the size, otherwise asked for in one line."""
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported
    pytest.importorskip("h5py")
    pytest.importorskip("keras")
    from keras import Sequential, layers

    told = PreprocessingOptions(resize="squash", mean="0.5", std="0.25")
    for side, channels in ((24, 4), (24, 5), (None, 4)):
        body = [layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3)]
        made = Sequential([layers.Input((side, side, channels)), *body])
        made.save(tmp_path / f"{side}_{channels}.keras")
        if (side, channels) == (24, 4):
            opened = load(str(tmp_path / "24_4.keras"), options=told)
            assert opened.preprocessing.color == "rgba"
            image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 4), np.uint8))
            pixels = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR), np.float32) / 255
            expected = made(torch.tensor((pixels - 0.5) / 0.25)[None]).detach().numpy()
            np.testing.assert_allclose(
                opened.model(opened.batch([image])).detach().numpy(), expected, atol=1e-5
            )
    with pytest.raises(UserError, match=r"takes \(None, 24, 24, 5\): one batch of images .*1 to 4 channels"):
        load(str(tmp_path / "24_5.keras"), options=told)
    with pytest.raises(UserError, match="it takes 4 channels: add --channels rgba"):
        load(str(tmp_path / "None_4.keras"), options=replace(told, input_size="24"))
