"""Networks that predict gaze: SalNet layer by layer, a readout, their targets and losses, and a training from
begin to end."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from explain.gaze.metrics import Truth, scores
from models import checkpoints
from models.architectures.gaze_readout import Backbone, GazeReadout, Readout
from models.architectures.salnet import FULL, INPUT, OUTPUT, SalNet
from models.errors import UserError
from models.gaze import training as module
from models.gaze.density import density
from models.gaze.examples import Mirrored, features, kept, looked_at, standardize
from models.gaze.fixations import open_gaze
from models.gaze.gaze_set import GazeSet
from models.gaze.model import load_gaze
from models.gaze.recipe import gaze_recipe
from models.gaze.targets import log_prior, loss_of, nss_of, targets
from models.gaze.training import GazeTraining
from models.layers.extractor import feature_extractor
from models.preprocessing import Preprocessing
from models.registry import load
from models.shipped import shipped
from tests.stopped import in_the_second_epoch


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> GazeSet:
    """Forty dark pictures with one bright spot, at which everybody looks."""
    folder = tmp_path_factory.mktemp("spots")
    (folder / "images").mkdir()
    rng, rows = np.random.default_rng(0), []
    for k in range(40):
        at = rng.uniform([10, 10], [50, 70])
        y, x = np.mgrid[0:60, 0:80]
        spot = 200 * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 40) + 30
        Image.fromarray(spot.astype(np.uint8)).convert("RGB").save(folder / "images" / f"{k:02d}.png")
        rows += [
            (f"{k:02d}.png", *np.clip(rng.normal(at[::-1], 2), 0, [79, 59]), person)
            for person in range(3)
            for _ in range(4)
        ]
    pd.DataFrame(rows, columns=["image", "x", "y", "subject"]).to_csv(folder / "fixations.csv", index=False)
    return open_gaze(str(folder))


@pytest.mark.slow
def test_salnet_is_its_authors_network() -> None:
    """Parameters of the published network, sizes of the prototxt, and what is after which layer."""
    whole = SalNet(FULL)
    assert sum(p.numel() for p in whole.parameters()) == 25_806_209
    half = SalNet()
    assert half(torch.zeros(1, 3, *INPUT)).shape == (1, *OUTPUT)
    kinds = [type(m).__name__ for m in half.features]
    assert kinds[:8] == [
        "Conv2d",
        "ReLU",
        "LocalResponseNorm",
        "MaxPool2d",
        "Conv2d",
        "ReLU",
        "MaxPool2d",
        "Conv2d",
    ]
    assert kinds[-1] == "Conv2d"  # the last convolution has no ReLU
    convolutions = [m for m in half.features if isinstance(m, nn.Conv2d)]
    assert [m.kernel_size[0] for m in convolutions] == [7, 5, 3, 5, 5, 7, 11, 11, 13]
    assert [m.out_channels for m in convolutions] == [48, 128, 256, 256, 256, 128, 64, 16, 1]
    assert float(convolutions[-1].weight.detach().std()) == pytest.approx(1e-5, rel=0.1)
    expected = F.interpolate(
        torch.arange(12.0).view(1, 1, 3, 4), scale_factor=4, mode="bilinear", align_corners=False
    )
    made = half.up(torch.arange(12.0).view(1, 1, 3, 4))
    torch.testing.assert_close(
        made[..., 4:8, 4:12], expected[..., 4:8, 4:12]
    )  # away from the border: bilinear


def test_the_first_convolution_may_run_before_enlarging() -> None:
    """A readout of enlarged and joined features, written plainly."""
    torch.manual_seed(0)
    prior = torch.randn(12, 16).flatten().log_softmax(0).view(12, 16)
    readout, features = Readout((5, 7), prior).eval(), [torch.randn(2, 5, 6, 8), torch.randn(2, 7, 3, 4)]
    joined = torch.cat(
        [F.interpolate(x, (12, 16), mode="bilinear", align_corners=False) for x in features], 1
    )
    weight = torch.cat([layer.weight for layer in readout.first], 1)
    hidden = readout.rest(F.conv2d(joined, weight, readout.first[0].bias))
    at = torch.arange(-4.0, 5)
    line = torch.exp(-(at**2) / (2 * 1.5**2))
    kernel = (line[:, None] * line / line.sum() ** 2).view(1, 1, 9, 9)
    blurred = F.conv2d(F.pad(hidden, (4,) * 4, mode="replicate"), kernel)[:, 0]
    expected = (blurred + prior).flatten(1).log_softmax(1).view(2, 12, 16)
    torch.testing.assert_close(readout(features), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(readout(features).exp().sum((1, 2)), torch.ones(2))


def test_targets_are_shares_of_places(looked: GazeSet) -> None:
    counts, blurred = targets(looked.images, (15, 20), 8.0)
    image = looked.images[3]
    expected = np.zeros((15, 20))
    for x, y in zip(image.x, image.y, strict=True):
        expected[int(y / 4), int(x / 4)] += 1 / len(image.x)
    assert counts[3].numpy() == pytest.approx(expected)
    assert blurred[3].numpy() == pytest.approx(
        density((image.y / 4).astype(int), (image.x / 4).astype(int), (15, 20), 2.0), abs=1e-6
    )
    assert log_prior(looked, (15, 20), 8.0).exp().sum() == pytest.approx(1, abs=1e-4)


def test_losses(looked: GazeSet) -> None:
    counts, blurred = targets(looked.images, (15, 20), 8.0)
    torch.manual_seed(0)
    answer = torch.randn(40, 15, 20).flatten(1).log_softmax(1).view(40, 15, 20)
    each = [
        -np.mean([float(answer[k, int(y / 4), int(x / 4)]) for x, y in zip(i.x, i.y, strict=True)])
        for k, i in enumerate(looked.images)
    ]
    assert float(loss_of("nll", answer, counts, blurred)) == pytest.approx(np.mean(each), rel=1e-5)
    assert float(loss_of("kl", answer, counts, blurred)) == pytest.approx(
        float(F.kl_div(answer, blurred, reduction="sum") / 40), rel=1e-4
    )
    assert float(loss_of("kl", blurred.clamp_min(1e-30).log(), counts, blurred)) == pytest.approx(0, abs=1e-5)
    tops = blurred / blurred.amax((1, 2), keepdim=True)
    assert float(loss_of("mse", answer, counts, blurred)) == pytest.approx(
        float(((answer - tops) ** 2).mean()), rel=1e-5
    )
    assert float(loss_of("bce", answer, counts, blurred)) == pytest.approx(
        float(F.binary_cross_entropy(answer.sigmoid(), tops)), rel=1e-4
    )
    image = looked.images[0]
    places = (image.y / 4).astype(int), (image.x / 4).astype(int)
    expected = scores(answer[0].numpy(), Truth(*places, blurred[0].numpy()))["nss"]
    assert float(nss_of(answer, counts)[0]) == pytest.approx(expected, abs=1e-5)
    assert float(loss_of("nss", answer, counts, blurred)) == pytest.approx(
        -float(nss_of(answer, counts).mean())
    )
    assert float(nss_of(torch.ones(1, 15, 20), counts[:1])) == 0


@pytest.mark.slow
def test_features_are_standardized(looked: GazeSet, tmp_path: Path) -> None:
    network = load("fer_vgg:toon_faces").model
    layers = ("features.13", "features.20")
    found = feature_extractor(network, layers)
    recipe = replace(small_recipe(), layers=layers)
    plain, mirrored = (
        features(
            found,
            looked.images,
            recipe,
            Preprocessing((60, 80), None, (0.0,) * 3, (1.0,) * 3),
            8.0,
            tmp_path,
            flip,
        )
        for flip in (False, True)
    )
    found_there = plain.tensors[:-2]
    assert not list(tmp_path.iterdir())  # their files have no names
    torch.testing.assert_close(plain.tensors[-1], targets(looked.images, recipe.grid, 8.0)[1])
    torch.testing.assert_close(mirrored.tensors[-1], plain.tensors[-1].flip(2))
    with torch.inference_mode():
        alone = found(
            torch.stack([torch.from_numpy(np.array(looked.images[9].load())).permute(2, 0, 1).float() / 255])
        )
    torch.testing.assert_close(found_there[0][9].float(), alone[layers[0]][0], atol=0.05, rtol=0.05)  # bf16
    backbone = Backbone(found, layers, [x.shape[1] for x in found_there])
    standardize(backbone, [plain])
    for x, mean, std in zip(found_there, backbone.mean, backbone.std, strict=True):
        scaled = (x.float() - mean[:, None, None]) / std[:, None, None]
        alive = x.float().std((0, 2, 3)) > 2e-3
        torch.testing.assert_close(
            scaled.mean((0, 2, 3))[alive], torch.zeros(int(alive.sum())), atol=1e-2, rtol=0
        )
        torch.testing.assert_close(
            scaled.std((0, 2, 3))[alive], torch.ones(int(alive.sum())), atol=2e-2, rtol=0
        )


def test_a_large_set_costs_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [torch.arange(6.0).view(3, 2), torch.arange(6.0, 10).view(2, 2)]
    (whole,) = kept(((part,) for part in parts), 5, tmp_path)
    torch.testing.assert_close(whole, torch.arange(10.0).view(5, 2))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=39))
    with pytest.raises(UserError, match="choose another --out"):
        kept(((part,) for part in parts), 5, tmp_path)


def test_mirrored_pictures_have_mirrored_targets(looked: GazeSet, tmp_path: Path) -> None:
    recipe = replace(gaze_recipe("gaze_small"), size=(60, 80), grid=(15, 20))
    data = looked_at(
        looked.images, recipe, Preprocessing((60, 80), None, (0.0,) * 3, (1.0,) * 3), 8.0, tmp_path
    )
    picture, counts, blurred = Mirrored(data)[7]
    assert len(Mirrored(data)) == 40
    torch.testing.assert_close(
        picture, torch.from_numpy(np.array(looked.images[7].load())[:, ::-1].copy()).permute(2, 0, 1)
    )
    expected = [x[7].flip(1) for x in targets(looked.images, recipe.grid, 8.0)]
    torch.testing.assert_close([counts, blurred], expected)


@pytest.fixture(scope="module")
def readout(looked: GazeSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A readout of the demo's network, trained in seconds."""
    out = tmp_path_factory.mktemp("readout") / "spots.safetensors"
    assert GazeTraining(looked, out, small_recipe(), 4.0).fit()
    return out


def small_recipe(epochs: int = 12):  # type: ignore[no-untyped-def]
    recipe = gaze_recipe(
        "gaze_readout",
        backbone="fer_vgg:toon_faces",
        layers=("features.6", "features.13"),
        epochs=epochs,
        batch_size=8,
        learning_rate=1e-2,
    )
    return replace(recipe, size=(60, 80), grid=(15, 20), dropout=0.1)


@pytest.mark.slow
def test_a_readout_finds_what_people_look_at(readout: Path, looked: GazeSet) -> None:
    """Better than where people look in other images, on images that it has not seen; and its file is all it
    takes."""
    model, test = load_gaze(readout), looked.part("test")
    made = model.maps([image.load() for image in test.images])
    assert made.shape == (8, 15, 20)
    assert made.sum((1, 2)) == pytest.approx(np.ones(8), abs=1e-4)
    counts, _ = targets(test.images, (15, 20), 4.0)
    prior = log_prior(looked.part("train"), (15, 20), 4.0).exp().expand(8, 15, 20)
    assert float(nss_of(torch.from_numpy(made), counts).mean()) > float(nss_of(prior, counts).mean()) + 1
    about = checkpoints.describe(readout)
    assert (about["task"], about["output"], about["data"]["images"]) == ("gaze", "log density", 29)
    assert model.name == f"gaze_readout:{looked.name}"


@pytest.mark.slow
def test_what_was_trained_is_what_answers(readout: Path, looked: GazeSet) -> None:
    """The validation figure of the curves is that of the file: features that were computed once are what the
    whole network sees."""
    curves = pd.read_csv(readout.with_suffix(".csv"))
    judged = looked.part("validation")
    made = load_gaze(readout).maps([image.load() for image in judged.images])
    found = float(nss_of(torch.from_numpy(made), targets(judged.images, (15, 20), 4.0)[0]).mean())
    assert found == pytest.approx(curves["val_nss"].max(), rel=0.05)  # bf16 while training


@pytest.mark.slow
def test_a_stopped_training_goes_on_and_ends_the_same(looked: GazeSet, tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    GazeTraining(looked, straight, small_recipe(3), 4.0).fit()
    with in_the_second_epoch(module):
        assert not GazeTraining(looked, broken, small_recipe(3), 4.0).fit()
    assert GazeTraining(looked, broken, small_recipe(3), 4.0).fit()
    one, other = (pd.read_csv(p.with_suffix(".csv")).drop(columns="seconds") for p in (straight, broken))
    pd.testing.assert_frame_equal(one, other, atol=1e-4)
    with pytest.raises(UserError, match="is finished"):
        GazeTraining(looked, broken, small_recipe(3), 4.0).fit()


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_salnet")
@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_salnet_trains(looked: GazeSet, tmp_path: Path, loss: str) -> None:
    few = replace(looked, images=looked.images[:12])
    out = tmp_path / "salnet.safetensors"
    assert GazeTraining(few, out, gaze_recipe("salnet-half", epochs=1, loss=loss), 4.0).fit()
    made = load_gaze(out).maps([few.images[0].load()])
    assert made.shape == (1, *OUTPUT)
    assert np.isfinite(made).all()
    assert loss == "mse" or (made.min() >= 0 and made.max() <= 1)
    assert len(pd.read_csv(out.with_suffix(".csv"))) == 1


def test_wishes_that_do_not_fit() -> None:
    for changes, text in (
        ({"loss": "nss"}, "nll or kl"),
        ({"epochs": 0}, "at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"backbone": "timm:convnext_tiny"}, "--layers"),
    ):
        with pytest.raises(UserError, match=text):
            gaze_recipe("gaze_readout", **changes)
    with pytest.raises(UserError, match="salnet-half"):
        gaze_recipe("deepgaze")


@pytest.fixture
def readout_file(tmp_path: Path) -> Path:
    """A readout that was not trained, as a file."""
    network = nn.Module()
    whole = GazeReadout(Backbone(network, [], []), Readout((), torch.zeros(3, 4)))
    path = tmp_path / "untrained.safetensors"
    checkpoints.save(path, whole, {"architecture": "gaze_readout", "task": "gaze"})
    return path


def test_files_that_hold_something_else(tmp_path: Path, readout_file: Path) -> None:
    with pytest.raises(UserError, match="fer_vgg, which classifies"):
        load_gaze(shipped()["fer_vgg:toon_faces"])
    with pytest.raises(UserError, match="predicts where people look"):
        load(str(readout_file))
    with pytest.raises(UserError, match="No checkpoint"):
        load_gaze(tmp_path / "none.safetensors")
