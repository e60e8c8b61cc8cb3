"""Names, files, shapes: from what a person writes to a network."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from models import checkpoints, registry
from models.architectures.classifiers import ARCHITECTURES
from models.classes.imagenet import imagenet_names, wordnet_ids
from models.errors import UserError
from models.preprocessing import UNIT, Preprocessing
from models.shipped import shipped
from models.sources.torchvision_models import preprocessing_of


@pytest.mark.parametrize(
    ("name", "millions", "kernels"),
    [
        ("fer_alexnet", 3.46, [9, 7, 5, 3, 3]),
        ("fer_vgg", 3.75, [3] * 10),
        ("fer_mobilenet", 3.24, [3] + [3, 1] * 13),
    ],
)
def test_light_networks_are_the_published_ones(name: str, millions: float, kernels: list[int]) -> None:
    """Sizes as of the paper's layers, counted as Keras does: with the running statistics of batch-norm."""
    model = ARCHITECTURES[name](8).eval()
    assert sum(t.numel() for k, t in model.state_dict().items() if "tracked" not in k) / 1e6 == pytest.approx(
        millions, abs=0.005
    )
    assert [m.kernel_size[0] for m in model.modules() if isinstance(m, nn.Conv2d)] == kernels
    assert model.features(torch.zeros(1, 3, 128, 128)).shape[2:] == (4, 4)  # type: ignore[operator]
    assert model(torch.zeros(2, 3, 128, 128)).shape == (2, 8)


def test_tiny_conv_is_small_conv_with_half_as_many_channels() -> None:
    """Parameters by hand: 3 × 3 convolutions without bias, two numbers of batch-norm a channel, the head."""
    model = ARCHITECTURES["tiny_conv"](8).eval()
    layers = sum((9 * i + 2) * o for i, o in ((3, 16), (16, 32), (32, 64), (64, 128)))
    assert sum(p.numel() for p in model.parameters()) == layers + 128 * 8 + 8 < 400_000
    assert model.get_submodule("features")(torch.zeros(1, 3, 64, 64)).shape == (1, 128, 8, 8)
    assert ARCHITECTURES["tiny_conv"].side == 64


def test_fer_vgg_is_the_published_network() -> None:
    model = ARCHITECTURES["fer_vgg"](8)
    assert sum(p.numel() for p in model.parameters()) == 3_747_448  # 3.75 M in the paper
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [16, 16, 32, 32, 64, 64, 128, 128, 128, 128]
    assert model.eval()(torch.zeros(2, 3, 128, 128)).shape == (2, 8)
    assert ARCHITECTURES["fer_vgg"](2)(torch.zeros(2, 3, 128, 128)).shape == (2, 2)


def test_gaussian_dropout_keeps_the_mean_and_has_the_published_spread() -> None:
    from models.architectures.layers import GaussianDropout

    torch.manual_seed(0)
    layer, ones = GaussianDropout(0.2), torch.ones(200_000)
    noisy = layer.train()(ones)
    assert float(noisy.mean()) == pytest.approx(1, abs=0.01)
    assert float(noisy.std()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(layer.eval()(ones), ones)


def test_preprocessing_is_torchvisions_own() -> None:
    from torchvision.models import MobileNet_V2_Weights, ResNet50_Weights

    for weights in (MobileNet_V2_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2):
        ours, theirs = preprocessing_of(weights), weights.transforms()
        for size in ((500, 375), (333, 501), (224, 224), (97, 640)):
            image = Image.effect_noise(size, 90).convert("RGB")
            pixels = ours.normalize(ours.tensor(image)[None])[0]
            torch.testing.assert_close(pixels, theirs(image), rtol=1e-4, atol=1e-4)


def test_preprocessing_survives_json_and_makes_grey() -> None:
    grey = Preprocessing(size=(48, 40), resize=None, mean=(0.5,), std=(0.25,))
    assert Preprocessing.from_dict(json.loads(json.dumps(grey.as_dict()))) == grey
    assert grey.tensor(Image.new("RGB", (10, 20), "white")).shape == (1, 48, 40)
    assert float(grey.normalize(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)).max()) == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50", "vgg16", "alexnet"])
def test_torchvision_names(name: str) -> None:
    entry = registry.spec(name)
    assert entry.name == name
    assert entry.preprocessing == Preprocessing()


def test_aliases_and_timm() -> None:
    assert registry.spec("mobilenet_v1").name == "timm:mobilenetv1_100"
    assert registry.spec("timm:mobilenetv1_100").preprocessing.mean == (0.5,) * 3
    assert len(imagenet_names()) == len(set(imagenet_names())) == 1000
    assert wordnet_ids()[0] == "n01440764"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mobilnet_v2", "mobilenet_v2"),
        ("timm:mobilenetv1_10", "mobilenetv1_100"),
        ("zzz", "launch.py models"),
    ],
)
def test_unknown_names_get_near_ones(name: str, text: str) -> None:
    with pytest.raises(UserError, match=text):
        registry.spec(name)


@pytest.mark.slow
def test_download_that_fails_names_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(UserError, match="--weights FILE"):
        registry.load("alexnet")


def test_architecture_without_weights_says_what_to_do() -> None:
    with pytest.raises(UserError, match="fer_vgg:toon_faces"):
        registry.load("fer_vgg")


def test_shipped_checkpoint_is_a_model_like_any_other() -> None:
    classifier = registry.load("fer_vgg:toon_faces")
    assert classifier.name == "fer_vgg:toon_faces"
    assert classifier.classes[1] == "happiness"
    assert not classifier.model.training
    assert classifier.preprocessing == UNIT
    path = shipped()["fer_vgg:toon_faces"]
    assert path.stat().st_size <= 8_000_000
    assert path.with_suffix(".md").is_file()
    assert 0.8 <= classifier.metadata["metrics"]["test_accuracy"] <= 0.95


def save_fer(path: Path, outputs: int = 3) -> nn.Module:
    model = ARCHITECTURES["fer_vgg"](outputs)
    checkpoints.save(
        path,
        model,
        {"architecture": "fer_vgg", "classes": ["a", "b", "c"][:outputs], "preprocessing": UNIT.as_dict()},
    )
    return model


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_shipped_network_is_called_as_it_is_asked_for(name: str) -> None:
    """Also where several were trained on the same data."""
    assert registry.load(name).name == name


def test_own_checkpoint_describes_itself(tmp_path: Path) -> None:
    model = save_fer(tmp_path / "own.safetensors")
    loaded = registry.load(str(tmp_path / "own.safetensors"))
    assert loaded.classes == ("a", "b", "c")
    assert loaded.weights_hash == checkpoints.fingerprint(model)
    with pytest.raises(UserError, match="holds a fer_vgg, not a resnet50"):
        registry.load("resnet50", tmp_path / "own.safetensors")


def test_half_precision_keeps_vectors(tmp_path: Path) -> None:
    checkpoints.save(
        tmp_path / "half.safetensors", ARCHITECTURES["fer_vgg"](3), {"architecture": "fer_vgg"}, half=True
    )
    state, _ = checkpoints.read(tmp_path / "half.safetensors")
    assert {t.dtype for t in state.values() if t.ndim > 1} == {torch.float16}
    assert {t.dtype for t in state.values() if t.ndim == 1} == {torch.float32}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}},
    ],
)
def test_foreign_files_are_unwrapped(wrap: object, tmp_path: Path) -> None:
    state = ARCHITECTURES["fer_vgg"](5).state_dict()
    torch.save(wrap(state), tmp_path / "foreign.pth")  # type: ignore[operator]
    loaded = registry.load("fer_vgg", tmp_path / "foreign.pth", classes=("a", "b", "c", "d", "e"))
    assert torch.equal(loaded.model.state_dict()["head.bias"], state["head.bias"])
    assert registry.load("fer_vgg", tmp_path / "foreign.pth").classes[4] == "class 4"
    with pytest.raises(UserError, match="2 class names for 5 outputs"):
        registry.load("fer_vgg", tmp_path / "foreign.pth", classes=("a", "b"))
    with pytest.raises(UserError, match="does not say its architecture"):
        registry.load(str(tmp_path / "foreign.pth"))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/vitrine-was-unpickled"),))  # type: ignore[return-value]


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="does not unpickle"):
        checkpoints.read(tmp_path / "evil.pth")
    assert not Path("/tmp/vitrine-was-unpickled").exists()


@pytest.mark.slow
def test_weights_of_another_architecture_are_told_by_key_and_shape(tmp_path: Path) -> None:
    torch.save(registry.spec("alexnet").build(10).state_dict(), tmp_path / "alexnet.pth")
    with pytest.raises(
        UserError, match=r"do not fit fer_vgg: .*missing \(features.0.weight|do not fit fer_vgg: .*features"
    ):
        registry.load("fer_vgg", tmp_path / "alexnet.pth")
    state = ARCHITECTURES["fer_vgg"](8).state_dict()
    state["features.0.weight"] = torch.zeros(16, 3, 5, 5)
    torch.save(state, tmp_path / "grey.pth")
    with pytest.raises(UserError, match=r"features.0.weight: file \(16, 3, 5, 5\), model \(16, 3, 3, 3\)"):
        registry.load("fer_vgg", tmp_path / "grey.pth")


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_broken_and_absent_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No checkpoint at"):
        checkpoints.read(tmp_path / name)
    (tmp_path / name).write_bytes(b"not a checkpoint at all")
    with pytest.raises(UserError, match=r"cannot be read|does not unpickle"):
        checkpoints.read(tmp_path / name)


def test_unknown_device() -> None:
    with pytest.raises(UserError, match="use --device cpu"):
        registry.load("fer_vgg:toon_faces", device="abacus")


@pytest.mark.slow
@pytest.mark.data
def test_real_weights_load(mobilenet_weights: Path, mobilenet_v1_weights: Path) -> None:
    assert registry.load("mobilenet_v2", mobilenet_weights).classes[:2] == (
        "class 0",
        "class 1",
    )  # nobody says that they are ImageNet's
    assert registry.load("mobilenet_v2", mobilenet_weights, imagenet_names()).classes[:2] == (
        "tench",
        "goldfish",
    )
    assert (
        registry.load("mobilenet_v1", mobilenet_v1_weights, imagenet_names()).wordnet_ids[999] == "n15075141"
    )
    with pytest.raises(UserError, match="do not fit resnet50"):
        registry.load("resnet50", mobilenet_weights)
