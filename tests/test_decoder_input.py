"""A decoder is used only where images are prepared as in its training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import checkpoints
from models.architectures.upconv import UpConv
from models.classifier import Classifier
from models.errors import UserError
from models.inversion.decoder import load_decoder, load_decoders
from models.inversion.recipe import InversionRecipe
from models.inversion.shipped import decoders_of
from models.preprocessing import Preprocessing
from models.registry import load
from tests.conftest import TINY


def written(path: Path, classifier: Classifier, **more: Any) -> Path:
    recipe = InversionRecipe(width=0.05)
    model = UpConv((12, 8, 8), classifier.input_size, classifier.channels, recipe.width, recipe.depth)
    about = {
        "architecture": "upconv",
        "task": "inversion",
        "network": {"name": "tiny", "weights": classifier.weights_hash},
        "layer": "features.4",
        "depth": 5,
        "shape": [12, 8, 8],
        "size": list(classifier.input_size),
        "channels": classifier.channels,
        "scale": 1.0,
        "training": recipe.as_dict(),
    }
    checkpoints.save(path, model, about | more)
    return path


def test_another_preprocessing_is_refused_by_what_differs(tiny: Classifier, tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", tiny, preprocessing=TINY.as_dict())
    assert load_decoder(path, tiny).layer == "features.4"
    for changed, message in (
        ({"mean": (0.4, 0.5, 0.6)}, r"mean 0.5 \(now 0.4,0.5,0.6\)"),
        ({"order": "bgr"}, r"order rgb \(now bgr\)"),
        ({"size": (64, 48)}, r"size 32 \(now 64,48\)"),
        ({"resize": "letterbox"}, r"resize squash \(now letterbox\)"),
        ({"scale": 1.0}, r"scale 255.0 \(now 1.0\)"),
        ({"mean": (0.5,), "std": (0.5,)}, r"channels 3 \(now 1\)\. Give"),
    ):
        other = replace(tiny, preprocessing=replace(TINY, **changed))
        with pytest.raises(UserError, match=rf"prepared otherwise than those of tiny: {message}") as refused:
            load_decoder(path, other)
        assert "\n" not in str(refused.value)
        with pytest.raises(UserError, match="prepared otherwise"):
            load_decoders(other, tmp_path)


def test_how_files_are_read_is_no_difference(tiny: Classifier, tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", tiny, preprocessing=TINY.as_dict())
    assert load_decoder(path, replace(tiny, preprocessing=replace(TINY, exif="ignore", bits=12)))


def test_decoders_of_earlier_versions_tell_size_and_channels(tiny: Classifier, tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", tiny)
    assert load_decoder(path, replace(tiny, preprocessing=replace(TINY, order="bgr")))
    with pytest.raises(UserError, match=r"size 32 \(now 40\)"):
        load_decoder(path, replace(tiny, preprocessing=replace(TINY, size=(40, 40))))


def test_shipped_decoders_learned_from_the_input_of_their_networks() -> None:
    network = load("fer_vgg:toon_faces")
    assert len(load_decoders(network)) == len(decoders_of(network.weights_hash)) > 0
    own = Preprocessing.from_dict(network.metadata["preprocessing"])
    with pytest.raises(UserError, match=r"mean 0 \(now 0.5\)"):
        load_decoders(replace(network, preprocessing=replace(own, mean=(0.5,) * 3)))
