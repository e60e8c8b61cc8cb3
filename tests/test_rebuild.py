"""One picture and one layer: edits, random features, and inversion by optimization."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from explain.inversion.optimize import Settings, optimize, variation
from explain.inversion.rebuild import described, edited, enlarged, layer_output, random_features, rebuild
from models.architectures.upconv import UpConv
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.errors import UserError
from models.inversion.decoder import Decoder
from models.inversion.recipe import InversionRecipe
from tests.conftest import TINY, TinyNet
from tests.test_capture import assert_as_found, snapshot


@pytest.fixture(scope="module")
def network() -> Classifier:
    torch.manual_seed(0)
    model = TinyNet(2).eval()
    return Classifier("tiny", model, ("hole", "spot"), TINY, "", fingerprint(model))


def untrained(network: Classifier, layer: str, shape: tuple[int, ...]) -> Decoder:
    torch.manual_seed(0)
    return Decoder(layer, shape, UpConv(shape, (32, 32), width=0.05).eval(), {"scale": 10.0}, Path("none"))


def test_edits(network: Classifier) -> None:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = layer_output(network, x, "features.4")
    dropped, kept = edited(features, [1, 3], "drop"), edited(features, [1, 3], "keep")
    assert torch.equal(dropped + kept, features)
    assert not dropped[:, [1, 3]].any()
    assert torch.equal(kept[:, [1, 3]], features[:, [1, 3]])
    vector = layer_output(network, x, "head")
    assert edited(vector, [0], "keep").tolist() == [[float(vector[0, 0]), 0.0]]
    for units, how, text in (([99], "drop", "0 to 11"), ([0], "double", "drop, keep")):
        with pytest.raises(UserError, match=text):
            edited(features, units, how)


def test_a_rebuilt_picture_is_told_with_its_error(network: Classifier) -> None:
    x = network.batch([Image.new("RGB", (32, 32), (200, 100, 50))])
    decoder = untrained(network, "features.2", (8, 16, 16))
    found = rebuild(network, x, decoder)
    made = decoder.pictures(layer_output(network, x, "features.2"))
    assert found.error == pytest.approx(float((made - x).norm()) / 10)
    assert found.picture.shape == (32, 32, 3)
    with torch.no_grad():
        assert found.pred == int(network.model(made).argmax())
    itself = described(network, x, x, "features.2", 10.0)
    assert itself.error == 0
    assert itself.picture[0, 0].tolist() == [200, 100, 50]


def test_small_pictures_are_told() -> None:
    assert (
        enlarged((48, 48), (128, 160))
        == "the picture has 48 × 48 pixels and is enlarged to the network's 160 × 128"
    )
    assert enlarged((160, 128), (128, 160)) == ""


def test_random_features_have_the_layers_mean_and_deviation(network: Classifier) -> None:
    decoder = untrained(network, "features.2", (8, 160, 160))
    decoder.model.mean.copy_(torch.arange(8.0))
    decoder.model.std.fill_(2)
    found = random_features(decoder, seed=1)
    assert found.mean((0, 2, 3)).numpy() == pytest.approx(np.arange(8), abs=0.1)
    assert found.std((0, 2, 3)).numpy() == pytest.approx(np.full(8, 2), rel=0.05)
    assert torch.equal(found, random_features(decoder, seed=1))


def test_variation_by_hand() -> None:
    x = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    assert float(variation(x)) == pytest.approx((1 + 9) / 2 + (0 + 4) / 2)


@pytest.mark.slow
def test_optimization_comes_near_and_leaves_the_network(network: Classifier) -> None:
    y, x = np.mgrid[0:32, 0:32]
    spot = (30 + 200 * np.exp(-((y - 12) ** 2 + (x - 20) ** 2) / 40)).astype(np.uint8)
    picture = network.batch([Image.fromarray(spot).convert("RGB")])
    before = snapshot(network.model, picture)
    steps = list(optimize(network, picture, Settings("features.2", steps=150, restarts=3, variation=1.0)))
    assert_as_found(before, network.model, picture)
    assert [s.step for s in steps] == list(range(1, 151))
    assert len(steps[0].distance) == 3
    assert min(steps[-1].distance) < 0.2 * min(steps[0].distance)
    wanted, found = (layer_output(network, p, "features.2") for p in (picture, steps[-1].picture))
    assert float((found - wanted).square().sum() / wanted.square().sum()) == pytest.approx(
        min(steps[-1].distance), rel=1e-3
    )
    nearer = float((steps[-1].picture - picture).norm())
    assert nearer < 0.8 * float((steps[0].picture - picture).norm())
    again = list(optimize(network, picture, Settings("features.2", steps=3, restarts=3, variation=1.0)))
    assert torch.equal(again[2].picture, steps[2].picture)


def test_leaving_an_optimization_stops_it(network: Classifier) -> None:
    x = torch.rand(1, 3, 32, 32)
    before = snapshot(network.model, x)
    work = optimize(network, x, Settings("features.4", steps=100))
    next(work)
    work.close()
    assert_as_found(before, network.model, x)
    with pytest.raises(UserError, match=r"features\.77"):
        next(optimize(network, x, Settings("features.77")))


def test_wishes_that_do_not_fit() -> None:
    wrong = (
        ({"epochs": 0}, "at least 1"),
        ({"width": 0}, "published"),
        ({"ups": 9}, "1 to 5"),
        ({"learning_rate": 2}, "between 0 and 1"),
    )
    for changes, text in wrong:
        with pytest.raises(UserError, match=text):
            InversionRecipe(**changes)
    for changes, text in (
        ({"steps": 0}, "1 to 5000"),
        ({"restarts": 99}, "1 to 16"),
        ({"rate": 0}, "above 0"),
    ):
        with pytest.raises(UserError, match=text):
            Settings("features.4", **changes)
