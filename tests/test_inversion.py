"""Decoders of layers: their published shape, their training and files, what is measured of them, and the
commands."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn
from torchvision.models import alexnet
from typer.testing import CliRunner

from explain.inversion.measure import COLUMNS, format_text, measure
from explain.inversion.optimize import Settings, optimize
from explain.inversion.rebuild import layer_output, unit
from launch import app
from models import checkpoints
from models.architectures.upconv import UpConv, ups_of
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.parts import Parts
from models.errors import UserError
from models.inversion import training as module
from models.inversion.decoder import features_of, load_decoder, load_decoders
from models.inversion.recipe import InversionRecipe
from models.inversion.training import Features, Inversion, mean_distance
from models.layers.extractor import Untraceable
from tests.stopped import in_the_second_epoch
from tests.test_capture import assert_as_found, snapshot

LAYERS = ("features.2", "features.4")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of smooth pictures: a bright spot on a dark ground, or the reverse."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:32, 0:32]
    for part, count in (("train", 96), ("validation", 16), ("test", 24)):
        for label in ("spot", "hole"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for k in range(count // 2):
                at, color = rng.uniform(8, 24, 2), rng.uniform(100, 250, 3)
                bump = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 40)[..., None]
                picture = 30 + bump * color if label == "spot" else 230 - bump * color * 0.8
                Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def parts(photos: Path) -> Parts:
    return Parts(*(FolderSource(photos, part) for part in ("train", "validation", "test")))


@pytest.fixture(scope="module")
def network() -> Classifier:
    from tests.conftest import TINY, TinyNet

    torch.manual_seed(0)
    model = TinyNet(2).eval()
    return Classifier("tiny", model, ("hole", "spot"), TINY, "", fingerprint(model))


@pytest.fixture(scope="module")
def folder(network: Classifier, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoders of two layers, trained in seconds."""
    root = tmp_path_factory.mktemp("decoders")
    before = snapshot(network.model, torch.zeros(1, 3, 32, 32))
    for layer in LAYERS:
        recipe = InversionRecipe(epochs=6, batch_size=8, learning_rate=3e-3, step=20, width=0.25)
        assert Inversion(network, layer, parts, root / f"{layer}.safetensors", recipe).fit()
    assert_as_found(before, network.model, torch.zeros(1, 3, 32, 32))
    return root


# -- decoders ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "shape", "grid"),
    [
        ("features.5", (192, 13, 13), 208),
        ("features.12", (256, 6, 6), 192),
        ("classifier.2", (4096,), 128),
        ("classifier.6", (1000,), 128),
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_the_published_decoders_of_alexnet(layer: str, shape: tuple[int, ...], grid: int) -> None:
    """conv2, conv5, fc6 and fc8 of AlexNet at 227 × 227, with random weights."""
    model = alexnet(weights=None).eval()
    classifier = Classifier("alexnet", model, (), replace(load_preprocessing(), size=(227, 227)), "", "")
    features = Features(classifier, layer)(torch.zeros(2, 3, 227, 227))
    assert tuple(features.shape[1:]) == shape
    decoder = UpConv(shape, (227, 227))
    assert decoder.ups(decoder.begin(features)).shape == (2, 3, grid, grid)
    assert decoder(features).shape == (2, 3, 227, 227)
    ups = [m for m in decoder.ups if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in ups] == (
        [256, 128, 64, 32, 3] if len(shape) == 1 or shape[0] == 256 else [128, 64, 32, 3]
    )
    assert {(m.kernel_size, m.stride) for m in ups} == {((5, 5), (2, 2))}
    dense = [m.out_features for m in decoder.begin if isinstance(m, nn.Linear)]
    assert dense == ([4096, 4096, 256 * 4 * 4] if len(shape) == 1 else [])


def load_preprocessing():  # type: ignore[no-untyped-def]
    from models.registry import spec

    return spec("alexnet").preprocessing


@pytest.mark.parametrize(("side", "count"), [(112, 1), (56, 2), (28, 3), (14, 4), (7, 5), (4, 5), (200, 1)])
def test_doublings(side: int, count: int) -> None:
    assert ups_of((side, side), (224, 224)) == count


def test_depth_and_size_can_be_set() -> None:
    maps, vector = (
        UpConv((6, 8, 8), (64, 64), width=0.05, depth=1, ups=2),
        UpConv((9,), (64, 64), width=0.05, depth=2, ups=3),
    )
    assert [len([m for m in d.begin if isinstance(m, nn.Conv2d | nn.Linear)]) for d in (maps, vector)] == [
        1,
        2,
    ]
    assert maps.ups(maps.begin(torch.zeros(1, 6, 8, 8))).shape == (1, 3, 32, 32)
    assert vector.ups(vector.begin(torch.zeros(1, 9))).shape == (1, 3, 32, 32)
    assert maps(torch.zeros(1, 6, 8, 8)).shape == vector(torch.zeros(1, 9)).shape == (1, 3, 64, 64)


class Wayward(nn.Module):
    """A network that torch.fx cannot follow: its way depends on the picture."""

    def __init__(self, inside: nn.Module):
        super().__init__()
        self.inside = inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside(x if float(x.mean()) < 9 else x / 2)


@pytest.mark.slow
def test_a_network_that_cannot_be_traced(network: Classifier, parts: Parts, tmp_path: Path) -> None:
    """Its layers are read as `explain` reads them: the same numbers, and a decoder that learns; the network
    is left as it was found."""
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    classifier, layer = replace(network, model=Wayward(network.model).eval()), "inside.features.4"
    before = snapshot(classifier.model, x)
    recipe, file = InversionRecipe(epochs=1, batch_size=16, width=0.05), tmp_path / "wayward.safetensors"
    with pytest.raises(Untraceable, match="Wayward cannot be traced"):
        Inversion(classifier, layer, parts, file, recipe).fit()
    read = partial(layer_output, classifier, layer=layer)
    assert Inversion(classifier, layer, parts, file, recipe, read=read).fit(again=True)
    assert load_decoder(file, classifier).shape == (12, 8, 8)
    assert_as_found(before, classifier.model, x)
    torch.testing.assert_close(Features(classifier, layer, read)(x), Features(network, "features.4")(x))


def test_features_of_any_layout() -> None:
    assert features_of(torch.zeros(2, 5, 7, 7), (224, 224)).shape == (2, 5, 7, 7)
    assert features_of(torch.zeros(2, 7, 7, 96), (224, 224)).shape == (2, 96, 7, 7)  # Swin
    assert features_of(torch.zeros(2, 197, 64), (224, 224), 1).shape == (2, 64, 14, 14)  # ViT
    assert features_of(torch.zeros(2, 8, 1, 1), (224, 224)).shape == (2, 8)
    assert features_of(torch.zeros(2, 9), (224, 224)).shape == (2, 9)
    with pytest.raises(UserError, match="whose output is maps or a vector"):
        features_of([torch.zeros(1)], (224, 224))


def test_mean_distance_of_two_and_of_many() -> None:
    two = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    assert mean_distance(two) == pytest.approx(48**0.5)
    many = torch.randn(400, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pairs = torch.cdist(many.flatten(1), many.flatten(1))
    assert mean_distance(many) == pytest.approx(float(pairs[~torch.eye(400, dtype=bool)].mean()), rel=0.02)
    with pytest.raises(UserError, match="needs at least two"):
        mean_distance(two[:1])


# -- training and files --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_decoder_rebuilds_what_it_has_not_seen(folder: Path, network: Classifier, parts: Parts) -> None:
    """Nearer than the mean picture and than another picture's features; the shallow layer knows more; and the
    file says what the measure finds."""
    assert parts.test is not None
    decoders = load_decoders(network, folder)
    assert [d.layer for d in decoders] == list(LAYERS)  # shallow first
    *_, (fraction, table) = measure(network, decoders, parts.test)
    assert fraction == 1
    shallow, deep = table.iloc[0], table.iloc[1]
    assert shallow["error"] < deep["error"] < shallow["mean"] < shallow["other"]
    assert list(table["images"]) == [24, 24]
    assert "features.4" in "\n".join(format_text(table))
    curves = pd.read_csv((folder / "features.2.safetensors").with_suffix(".csv"))
    assert curves["val_psnr"].iloc[-1] > curves["val_psnr"].iloc[0]
    about = checkpoints.describe(folder / "features.2.safetensors")
    assert (about["layer"], about["shape"], about["network"]["weights"]) == (
        "features.2",
        [8, 16, 16],
        network.weights_hash,
    )


@pytest.mark.slow
def test_measures_are_scikit_images(folder: Path, network: Classifier, parts: Parts) -> None:
    """Every figure of one layer again, picture by picture, in plain words."""
    assert parts.test is not None
    decoder = load_decoders(network, folder)[0]
    *_, (_, table) = measure(network, [decoder], parts.test, limit=10)
    step = len(parts.test) // 10
    pictures = [parts.test.load(i) for i in range(0, len(parts.test), step)][:10]
    x = network.batch(
        [pictures[k] for k in torch.randperm(10, generator=torch.Generator().manual_seed(0)).tolist()]
    )
    scale, found = mean_distance(x), {name: [] for name in COLUMNS}
    features = layer_output(network, x, decoder.layer)
    made, others = decoder.pictures(features), decoder.pictures(features.roll(1, 0))
    with torch.no_grad():
        text, again = network.model(x).argmax(1), network.model(made).argmax(1)
    for k in range(10):
        pixels = [unit(p[k : k + 1], network.preprocessing)[0].permute(1, 2, 0).numpy() for p in (x, made)]
        found["error"].append(float((made[k] - x[k]).norm()) / scale)
        found["mse"].append(float(((made[k] - x[k]) ** 2).mean()))
        found["psnr"].append(peak_signal_noise_ratio(*pixels, data_range=1.0))
        found["ssim"].append(structural_similarity(*pixels, channel_axis=2, data_range=1.0))
        found["same"].append(float(text[k] == again[k]))
        found["other"].append(float((others[k] - x[k]).norm()) / scale)
        found["mean"].append(float((x.mean(0) - x[k]).norm()) / scale)
    for name, values in found.items():
        assert table.iloc[0][name] == pytest.approx(np.mean(values), rel=1e-4), name


@pytest.mark.slow
def test_decoders_of_something_else_are_refused_by_name(
    folder: Path, network: Classifier, tmp_path: Path
) -> None:
    other = replace(network, name="another", weights_hash="0" * 16)
    with pytest.raises(
        UserError, match=r"decodes layer features.2 of tiny with weights .*; this is another with 0000"
    ):
        load_decoder(folder / "features.2.safetensors", other)
    from models.shipped import shipped

    with pytest.raises(UserError, match="is no decoder"):
        load_decoder(shipped()["fer_vgg:toon_faces"], network)
    with pytest.raises(UserError, match="holds no decoders"):
        load_decoders(network, tmp_path)
    decoder = load_decoder(folder / "features.2.safetensors", network)
    with pytest.raises(UserError, match=r"decodes 8 × 16 × 16 of layer features.2; got 12 × 8 × 8"):
        decoder.pictures(torch.zeros(1, 12, 8, 8))


@pytest.mark.slow
def test_a_stopped_training_goes_on(network: Classifier, parts: Parts, tmp_path: Path) -> None:
    recipe = InversionRecipe(epochs=3, batch_size=16, width=0.05)
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    assert Inversion(network, "features.4", parts, straight, recipe).fit()
    with in_the_second_epoch(module):
        assert not Inversion(network, "features.4", parts, broken, recipe).fit()
    with pytest.raises(UserError, match=r"width 0\.05 .now 0\.1"):
        Inversion(network, "features.4", parts, broken, replace(recipe, width=0.1)).fit()
    assert Inversion(network, "features.4", parts, broken, recipe).fit()
    one, other = (pd.read_csv(p.with_suffix(".csv")).drop(columns="seconds") for p in (straight, broken))
    pd.testing.assert_frame_equal(one, other, atol=2e-3)


@pytest.mark.slow
def test_a_layer_that_says_nothing(parts: Parts, network: Classifier, tmp_path: Path) -> None:
    import copy

    dead = copy.deepcopy(network.model)
    with torch.no_grad():
        dead.features[3].weight.zero_()
        dead.features[3].bias.fill_(-1)
    classifier = replace(network, model=dead)
    with pytest.raises(UserError, match="same output for every image"):
        Inversion(
            classifier, "features.4", parts, tmp_path / "dead.safetensors", InversionRecipe(epochs=1)
        ).fit()
    with pytest.raises(UserError, match=r"no layer features\.99"):
        Inversion(
            classifier, "features.99", parts, tmp_path / "none.safetensors", InversionRecipe(epochs=1)
        ).fit()
    with pytest.raises(UserError, match="nothing but zeros"):
        next(optimize(classifier, torch.rand(1, 3, 32, 32), Settings("features.4")))


# -- commands ------------------------------------------------------------------------------------


def told(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["invert", *words])
    return found.exit_code, found.output + (
        str(found.exception) if isinstance(found.exception, UserError) else ""
    )


@pytest.mark.slow
def test_the_commands(photos: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "decoders", ("--data", str(photos))
    code, text = told(
        "train",
        "--model",
        "tiny_conv:toon_studios",
        *data,
        "--layers",
        "features.14,head",
        "--width",
        "0.03",
        "--epochs",
        "1",
        "--out",
        str(out),
    )
    assert code == 0, text
    assert "mean picture" in text
    about = checkpoints.describe(out / "head.safetensors")
    assert (about["shape"], about["metrics"]["measured"]["images"]) == ([8], 24)
    code, text = told(
        "measure", "--model", "tiny_conv:toon_studios", *data, "--split", "validation", "--decoders", str(out)
    )
    assert code == 0, text
    assert text.index("features.14") < text.index("head")
    picture = str(photos / "test" / "spot" / "0.png")
    code, text = told(
        "image",
        picture,
        "--model",
        "tiny_conv:toon_studios",
        "--decoders",
        str(out),
        "--out",
        str(tmp_path / "one"),
    )
    assert code == 0, text
    assert Image.open(tmp_path / "one" / "0.head.png").size == (64, 64)
    code, text = told(
        "image",
        picture,
        "--model",
        "tiny_conv:toon_studios",
        "--layer",
        "features.5",
        "--steps",
        "3",
        "--out",
        str(tmp_path / "two"),
    )
    assert code == 0, text
    assert (tmp_path / "two" / "0.features.5.png").exists()
    code, text = told("measure", "--model", "tiny_conv:toon_studios_balanced", *data, "--decoders", str(out))
    assert code != 0
    assert "train a decoder for it" in text
