"""Image classifiers of Hugging Face: folders as `save_pretrained` writes them, of several families."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.network.attention import attention_pass, find_attention
from explain.network.target_layers import default_layer, map_layers
from explain.run.model import network_of
from explain.run.reader import open_run
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.outputs.probabilities import probabilities
from models.outputs.task import MULTI, REGRESSION, SINGLE, with_task
from models.registry import load
from tests.command import launch
from tests.maps import ATTENTION

transformers = pytest.importorskip("transformers")

NAMES = {0: "red", 1: "green", 2: "blue"}
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTConfig", VIT),
    "deit": ("DeiTConfig", VIT | {"architectures": ["DeiTForImageClassification"]}),
    "dinov2 with registers": ("Dinov2WithRegistersConfig", VIT | {"num_register_tokens": 2}),
    "swin": (
        "SwinConfig",
        {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 2, "image_size": 32},
    ),
    "convnext": ("ConvNextConfig", {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}),
    "resnet": (
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    ),
    "mobilenet": ("MobileNetV2Config", {"depth_multiplier": 0.25, "image_size": 32}),
}


def saved(family: str, folder: Path, **more: Any) -> Any:
    """A network with random weights in `folder`, beside its processor."""
    kind, values = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(
        **values, id2label=NAMES, label2id={v: k for k, v in NAMES.items()}, **more
    )
    network = transformers.AutoModelForImageClassification.from_config(config).eval()
    network.save_pretrained(folder)
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return network


def _swin(width: int) -> Any:
    """Of 64 x 64 pixels: 16 x 16 patches, then 8 x 8, 4 x 4 and 2 x 2 tokens."""
    torch.manual_seed(0)
    config = transformers.SwinConfig(
        embed_dim=width,
        num_heads=[1, 1, 1, 1],
        depths=[1, 1, 1, 1],
        image_size=64,
        window_size=2,
        num_labels=3,
    )
    return transformers.SwinForImageClassification(config).eval()


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 128])
def test_pooled_channels_are_no_tokens(width: int) -> None:
    """1024 channels would be a grid of 32 x 32."""
    network, x = _swin(width), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert network.swin(x, output_hidden_states=True).last_hidden_state.shape == (1, 4, 8 * width)
    plain = Logits(network)
    assert default_layer(plain, x) == "net.swin.layernorm"
    names = {layer.name: layer.shape for layer in map_layers(plain, x)}
    assert "net.swin.pooler" not in names
    assert names["net.swin.layernorm"] == (8 * width, 2, 2)


class Pooled(torch.nn.Module):
    """Tokens on a grid of 4 x 4, whose 16 channels are pooled to 4 numbers each before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 16, 8, 8)
        self.pool, self.head = torch.nn.AdaptiveMaxPool1d(4), torch.nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.pool(self.patches(x).flatten(2)).flatten(1))
        return scores


def test_what_a_pooling_of_one_dimension_returns_is_no_map() -> None:
    model, x = Pooled().eval(), torch.rand(1, 3, 32, 32)
    assert [layer.name for layer in map_layers(model, x)] == ["patches"]
    assert default_layer(model, x) == "patches"


class Logits(torch.nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(x).logits
        return logits


def by_hand(network: Any, images: list[Image.Image], activation: Any = None) -> np.ndarray:
    pixels = [np.asarray(i.resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255 for i in images]
    x = (torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2) - 0.5) / 0.25
    with torch.no_grad():
        logits = network(pixel_values=x).logits
        return (activation(logits) if activation else logits.softmax(1)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, pictures: Path, tmp_path: Path) -> None:
    """Probabilities are those of a plain loop; a layer with maps is found, and a gradient reaches it."""
    network = saved(family, tmp_path / "net")
    classifier = load(f"hf:{tmp_path / 'net'}")
    images = [Image.open(p).convert("RGB") for p in sorted(pictures.rglob("*.png"))[:6]]
    x = classifier.batch(images)
    with torch.no_grad():
        made = classifier.model(x).softmax(1).numpy()
    np.testing.assert_allclose(made, by_hand(network, images), atol=1e-5)
    assert classifier.classes == ("red", "green", "blue")
    assert (
        "from preprocessor_config.json; resized by Pillow; the image processor resizes tensors: up to "
        in (classifier.input_described)
    )
    layer = default_layer(classifier.model, x[:1])
    maps = compute_maps(classifier.model, x, MapRequest("grad_cam", layer, 1)).maps
    assert min(maps.shape[1:]) > 1
    assert maps.abs().amax() > 0


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("family", "prefix", "read"),
    [("vit", 1, [0]), ("deit", 2, [0]), ("dinov2 with registers", 3, [0, *range(3, 19)])],
)
def test_attention_is_that_which_the_network_returns(
    family: str, prefix: int, read: list[int], kernel: str, tmp_path: Path
) -> None:
    """On request; and rollout is the product of these matrices: the row of the class token, or, of DINOv2,
    which reads the mean of the patches too, the mean of these rows."""
    saved(family, tmp_path / "net")
    classifier, x = load(f"hf:{tmp_path / 'net'}"), torch.randn(2, 3, 32, 32)
    network = transformers.AutoModelForImageClassification.from_pretrained(
        tmp_path / "net", attn_implementation="eager"
    ).eval()
    for module in classifier.model.modules():
        if isinstance(module, transformers.PreTrainedModel):
            module.set_attn_implementation(kernel)
    found = find_attention(classifier.model, x, "")
    assert (found.count, found.layout.prefix, len(found.blocks)) == (2, prefix, 2)
    made = attention_pass(classifier.model, x, found)
    expected = network(x, output_attentions=True).attentions
    for matrix, attention in zip(made.matrices, expected, strict=True):
        torch.testing.assert_close(matrix, attention, rtol=1e-4, atol=1e-6)
    size = 16 + prefix
    first, second = (0.5 * a.detach().mean(1) + 0.5 * torch.eye(size) for a in expected)
    row = (second @ first)[:, read].mean(1)
    maps = {m: compute_maps(classifier.model, x, MapRequest(m, "", 1)).maps for m in sorted(ATTENTION)}
    torch.testing.assert_close(
        maps["attention_rollout"], row[:, prefix:].reshape(2, 4, 4), rtol=1e-4, atol=1e-6
    )
    assert all(float(m.amax()) > 0 for m in maps.values())


@pytest.mark.slow
def test_a_run_and_the_network_of_it(pictures: Path, tmp_path: Path) -> None:
    network = saved("vit", tmp_path / "net")
    launch("run", "--model", f"hf:{tmp_path / 'net'}", "--data", pictures, "--out", tmp_path / "run")
    run = open_run(tmp_path / "run")
    images = [Image.open(pictures / i).convert("RGB") for i in run.table["id"]]
    made = np.stack([run.prob(k) for k in range(len(images))])
    np.testing.assert_allclose(made, by_hand(network, images), atol=1e-5)
    assert network_of(run.manifest).classes == ("red", "green", "blue")
    assert run.manifest.source == f"hf:{tmp_path / 'net'}"


def test_what_the_folder_does_not_say(tmp_path: Path) -> None:
    """The preprocessing is asked for, and names may be given; what is given comes before the folder."""
    saved("resnet", tmp_path / "net")
    (tmp_path / "net" / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="add --input-size --resize --mean --std"):
        load(f"hf:{tmp_path / 'net'}")
    told = PreprocessingOptions(input_size="32", resize="squash", mean="0", std="1")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    config["id2label"] = {str(k): f"LABEL_{k}" for k in range(3)}
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    assert load(f"hf:{tmp_path / 'net'}", options=told).classes == ("class 0", "class 1", "class 2")
    names = ("x", "y", "z")
    assert load(f"hf:{tmp_path / 'net'}", classes=names, options=told).classes == names


def test_several_labels_are_sigmoids(tmp_path: Path) -> None:
    """`problem_type` says the task; probabilities are transformers' own logits through a sigmoid."""
    network = saved("vit", tmp_path / "several", problem_type="multi_label_classification")
    found = load(f"hf:{tmp_path / 'several'}")
    assert found.task == MULTI
    asked = with_task(found, found.task)
    images = [Image.effect_noise((40, 36), 90).convert("RGB") for _ in range(2)]
    with torch.inference_mode():
        ours = probabilities(asked.model, asked.model(asked.batch(images)))
    np.testing.assert_allclose(ours, by_hand(network, images, torch.sigmoid), atol=1e-5)
    saved("vit", tmp_path / "one", problem_type="single_label_classification")
    assert load(f"hf:{tmp_path / 'one'}").task == SINGLE


def test_numbers(tmp_path: Path) -> None:
    """`problem_type` regression, or one output, as in transformers: the numbers themselves."""
    for name, more in (("three", {"problem_type": "regression"}), ("one", {"num_labels": 1})):
        network = saved("vit", tmp_path / name, **more)
        found = load(f"hf:{tmp_path / name}")
        assert found.task == REGRESSION
        assert len(found.classes) == (1 if name == "one" else 3)
        asked = with_task(found, found.task)
        images = [Image.effect_noise((40, 36), 90).convert("RGB") for _ in range(2)]
        with torch.inference_mode():
            ours = asked.model(asked.batch(images))
        np.testing.assert_allclose(ours, by_hand(network, images, lambda numbers: numbers), atol=1e-5)
    with pytest.raises(UserError, match="2 class names for 1 output"):
        load(f"hf:{tmp_path / 'one'}", classes=("a", "b"))


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    transformers.ViTModel(transformers.ViTConfig(**VIT)).save_pretrained(tmp_path / "headless")
    (tmp_path / "headless" / "preprocessor_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"lacks \d+ parameters \(classifier"):
        load(f"hf:{tmp_path / 'headless'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        load(f"hf:{tmp_path / 'empty'}")
    saved("vit", tmp_path / "net")
    (tmp_path / "net" / "preprocessor_config.json").write_text("{")
    with pytest.raises(UserError, match="is it JSON"):
        load(f"hf:{tmp_path / 'net'}")
