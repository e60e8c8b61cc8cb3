"""Checkpoints of others: every layout gives the predictions of the network it was saved from, or one line
says what is lacking."""

import argparse
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from models import checkpoints, registry
from models.classes.given_names import read_names
from models.errors import UserError
from models.preprocessing import Preprocessing

State = dict[str, Tensor]
OTHER_WIDTH = 6


class Small(nn.Module):
    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, OTHER_WIDTH, 3, 2), nn.BatchNorm2d(OTHER_WIDTH)
        self.fc = nn.Linear(OTHER_WIDTH, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.stem(x)).relu().mean((2, 3)))


@pytest.fixture
def small() -> Iterator[None]:
    fed = Preprocessing((16, 16), None, (0.5,) * 3, (0.5,) * 3)
    registry.register_model("small", Small, ["a", "b", "c"], fed)
    yield
    registry.unregister_model("small")


def net(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    made = Small().eval()
    nn.init.normal_(made.norm.running_mean)
    return made


def under(prefix: str, state: State) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


def averaged(model: nn.Module) -> dict[str, Any]:
    return {"model_state": AveragedModel(model).state_dict(), "epoch": 3}


def lightning(model: nn.Module) -> dict[str, Any]:
    beside = {
        "criterion.weight": torch.ones(3),
        "n_averaged": torch.tensor(5),
        "val_acc.total": torch.ones(3),
    }
    optimizer = torch.optim.Adam(model.parameters())
    return {
        "state_dict": under("net.model.", model.state_dict()) | beside,
        "optimizer_states": [optimizer.state_dict()],
        "callbacks": {"EMA": {"decay": 0.9}},
        "hyper_parameters": {
            "folder": Path("data"),
            "width": np.float64(0.5),
            "args": argparse.Namespace(a=1),
        },
    }


LAYOUTS: dict[str, Callable[[nn.Module], Any]] = {
    "DataParallel": lambda m: nn.DataParallel(m).state_dict(),
    "compiled": lambda m: under("_orig_mod.module.", m.state_dict()),
    "AveragedModel": averaged,
    "Lightning": lightning,
    "generator": lambda m: {
        "generator": m.state_dict(),
        "optimizer": {"state": {}},
        "best": torch.ones(2, 2),
    },
    "nested": lambda m: {"checkpoint": {"weights": {"student": m.state_dict()}}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, small: None, tmp_path: Path) -> None:
    model, x = net(), torch.randn(2, 3, 16, 16)
    torch.save(LAYOUTS[layout](model), tmp_path / "net.ckpt")
    loaded = registry.load("small", tmp_path / "net.ckpt")
    torch.testing.assert_close(loaded.model(x), model(x))
    beside = [note for note in loaded.notes if "not used" in note]
    assert bool(beside) == (layout in ("Lightning", "AveragedModel"))
    if layout == "Lightning":
        assert "3 tensors beside them are not used: criterion.weight, n_averaged, val_acc.total" in beside[0]


def two_sets() -> dict[str, Any]:
    return {"state_dict": net(1).state_dict(), "state_dict_ema": net(2).state_dict(), "arch": "small"}


def test_the_average_is_taken_and_said(small: None, tmp_path: Path) -> None:
    file, x = tmp_path / "best.pth.tar", torch.randn(2, 3, 16, 16)
    torch.save(two_sets() | {"args": argparse.Namespace(model="small")}, file)
    loaded = registry.load("small", file)
    torch.testing.assert_close(loaded.model(x), net(2)(x))
    assert loaded.which == "state_dict_ema"
    assert "also holds state_dict: --which state_dict" in loaded.notes[0]
    torch.testing.assert_close(registry.load("small", file, which="state_dict").model(x), net(1)(x))
    with pytest.raises(UserError, match="holds state_dict, state_dict_ema; give one of these"):
        registry.load("small", file, which="other")
    torch.save(net(1).state_dict(), file)
    with pytest.raises(UserError, match="holds one set of parameters; leave --which out"):
        registry.load("small", file, which="state_dict")


def test_commands_say_which_set_they_read(small: None, tmp_path: Path) -> None:
    from PIL import Image

    from tests.command import launch

    torch.save(two_sets(), tmp_path / "best.pth.tar")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    words = ["explain", tmp_path / "red.png", "--model", "small", "--weights", tmp_path / "best.pth.tar"]
    printed = launch(*words, "--methods", "grad_cam", "--out", tmp_path / "maps")
    assert "network  parameters state_dict_ema (the average over the training" in printed
    again = [*words, "--which", "state_dict", "--methods", "grad_cam", "--out", tmp_path / "other"]
    assert "network" not in launch(*again)


def test_copies_within_one_state(small: None, tmp_path: Path) -> None:
    file, x = tmp_path / "ema.pth", torch.randn(2, 3, 16, 16)
    both = under("online_model.", net(1).state_dict()) | under("ema_model.", net(2).state_dict())
    torch.save(both | {"step": torch.tensor(3)}, file)
    torch.testing.assert_close(registry.load("small", file).model(x), net(2)(x))
    torch.testing.assert_close(registry.load("small", file, which="online_model").model(x), net(1)(x))
    torch.save({"student": net(1).state_dict(), "teacher": net(2).state_dict()}, file)
    with pytest.raises(UserError, match="2 sets of parameters: add --which student or --which teacher"):
        registry.load("small", file)


def test_layers_behind_a_backbone_are_not_forgotten(small: None, tmp_path: Path) -> None:
    more = under("backbone.", net().state_dict()) | {"classifier.weight": torch.zeros(2, 3)}
    torch.save({"state_dict": more}, tmp_path / "more.pth")
    with pytest.raises(UserError, match=r"1 unknown \(classifier.weight\)"):
        registry.load("small", tmp_path / "more.pth")


def changed(name: str, place: str, head: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    model = registry.spec(name).build(None)
    model.set_submodule(place, head)
    return model.eval()


LARGE = ("vit", "convnext", "timm:resnet18")
HEADS = [
    ("resnet18", "fc", nn.Sequential(nn.Dropout(0.2), nn.Linear(512, 4))),
    ("resnet18", "fc", nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 4))),
    ("mobilenet_v2", "classifier", nn.Linear(1280, 4)),
    ("efficientnet_b0", "classifier", nn.Sequential(nn.Dropout(), nn.Dropout(), nn.Linear(1280, 4, False))),
    ("vit_b_16", "heads", nn.Sequential(nn.Dropout(), nn.Linear(768, 4))),
    ("convnext_tiny", "classifier.2", nn.Sequential(nn.Dropout(), nn.Linear(768, 4))),
    ("timm:resnet18", "fc", nn.Sequential(nn.Dropout(), nn.Linear(512, 4))),
]


@pytest.mark.parametrize(
    ("name", "place", "head"),
    [
        pytest.param(
            *one, id=f"{one[0]} {one[1]}", marks=pytest.mark.slow if one[0].startswith(LARGE) else ()
        )
        for one in HEADS
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_heads_follow_the_file(name: str, place: str, head: nn.Module, tmp_path: Path) -> None:
    model = changed(name, place, head)
    side = 224 if name.startswith("vit") else 64
    x = torch.randn(1, 3, side, side)
    torch.save({"model": under("module.", model.state_dict())}, tmp_path / "net.pth")
    loaded = registry.load(name, tmp_path / "net.pth")
    assert len(loaded.classes) == 4
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(x), model(x), atol=1e-4, rtol=1e-4)


def test_what_lies_between_two_layers_is_not_guessed(tmp_path: Path) -> None:
    head = nn.Sequential(nn.Linear(512, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 4))
    torch.save(changed("resnet18", "fc", head).state_dict(), tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"fc, has 2 layers .*do not say what lies between.*net.py:build"):
        registry.load("resnet18", tmp_path / "net.pth")


@pytest.mark.slow
@pytest.mark.usefixtures("random_weights")
def test_auxiliary_heads_keep_their_outputs(tmp_path: Path) -> None:
    from torchvision.models import googlenet

    model = googlenet(weights=None, init_weights=False, aux_logits=True, transform_input=True).eval()
    model.fc = nn.Linear(1024, 4)
    x = torch.randn(1, 3, 64, 64)
    torch.save(model.state_dict(), tmp_path / "with.pth")
    without = {key: t for key, t in model.state_dict().items() if not key.startswith("aux")}
    torch.save({"state_dict": under("module.", without)}, tmp_path / "without.pth")
    for name in ("with.pth", "without.pth"):
        with torch.no_grad():
            torch.testing.assert_close(registry.load("googlenet", tmp_path / name).model(x), model(x))


@pytest.mark.slow
@pytest.mark.usefixtures("random_weights")
def test_input_channels_follow_the_file(tmp_path: Path) -> None:
    from models.inputs.options import PreprocessingOptions

    for channels in (1, 5):
        model = changed("resnet18", "conv1", nn.Conv2d(channels, 64, 7, 2, 3, bias=False))
        torch.save(model.state_dict(), tmp_path / f"{channels}.pth")
    with pytest.raises(UserError, match=r"takes 1 channel .*add --mean and --std"):
        registry.load("resnet18", tmp_path / "1.pth")
    with pytest.raises(UserError, match=r"takes 5 channels .*networks of 1, 2, 3 or 4 channels are read"):
        registry.load("resnet18", tmp_path / "5.pth")
    grey = registry.load("resnet18", tmp_path / "1.pth", options=PreprocessingOptions(mean="0.4", std="0.2"))
    assert (grey.channels, grey.mean, grey.std) == (1, (0.4,), (0.2,))


@pytest.mark.slow
@pytest.mark.usefixtures("random_weights")
def test_the_nearest_of_the_family_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.sources.nearest.MOST", 20)
    for typed, held in (("resnet18", "resnet34"), ("timm:resnet18", "timm:resnet34")):
        torch.save(registry.spec(held).build(7).state_dict(), tmp_path / "net.pth")
        with pytest.raises(UserError, match=f"keys and shapes fit {held}: use --model {held}"):
            registry.load(typed, tmp_path / "net.pth")
    with pytest.raises(UserError, match="Is --model the architecture they were trained with"):
        registry.load("alexnet", tmp_path / "net.pth")


def _zip(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")


FORMATS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "lfs": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS"),
    "html": (lambda p: p.write_text("\n<!DOCTYPE html><html></html>"), "an HTML page"),
    "h5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "HDF5 file, as Keras writes"),
    "onnx": (lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(99)), "an ONNX model"),
    "zip": (lambda p: _zip(p, "photos/cat.jpg"), "a zip archive of photos/cat.jpg"),
    "keras": (lambda p: _zip(p, "model.weights.h5"), "a Keras model"),
    "jit": (lambda p: torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(p), "TorchScript"),
    "module": (lambda p: torch.save(net(), p), r"whole pickled network \(.*Small\).*own code"),
    "empty": (lambda p: p.write_bytes(b""), "an empty file"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_formats_are_named(kind: str, tmp_path: Path) -> None:
    write, message = FORMATS[kind]
    write(tmp_path / "net.pth")
    with pytest.raises(UserError, match=message) as refused:
        checkpoints.read(tmp_path / "net.pth")
    assert "\n" not in str(refused.value)


def test_the_content_says_the_format(small: None, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(net().state_dict(), tmp_path / "net.pth")
    torch.save(net().state_dict(), tmp_path / "net.safetensors")
    for name in ("net.pth", "net.safetensors"):
        assert registry.load("small", tmp_path / name).weights_hash == checkpoints.fingerprint(net())


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "cat, tabby\n# dog\n", ("cat, tabby", "# dog")),
        ("a.csv", '"cat, ""tabby"""\n# dog\n', ('cat, "tabby"', "# dog")),
        ("a.csv", 'Name,Index\ndog,1\n"cat, tabby",0\n', ("cat, tabby", "dog")),
        ("a.csv", "1,dog\n0,cat\n", ("cat", "dog")),
        (
            "a.json",
            '{"10": "k", "0": "a", "1": "b", "2": "c", "3": "d", "4": "e", "5": "f", "6": "g", "7": "h",'
            ' "8": "i", "9": "j"}',
            tuple("abcdefghijk"),
        ),
        ("a.json", '["cat", "dog"]', ("cat", "dog")),
        ("a.json", '{"cat": 1, "dog": 0}', ("dog", "cat")),
        ("config.json", '{"id2label": {"0": "cat", "1": "dog"}}', ("cat", "dog")),
    ],
)
def test_class_names_as_files_have_them(
    name: str, text: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert read_names(str(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "index,name\n1,cat\n2,dog\n", "from 1 to 2: outputs count from 0"),
        ("a.csv", "cat, tabby\ndog\n", "header with index and name"),
        ("a.csv", "index,name\n0,cat\n0,dog\n", "names output 0 twice"),
        ("a.csv", "index,name\n0,cat, tabby\n", "a row of 3 cells"),
        ("a.json", '{"0": 3.5}', "JSON of another form"),
        ("a.json", "{", "is no JSON"),
        ("a.txt", "cat\ncat\n", "names class 'cat' 2 times"),
    ],
)
def test_class_names_that_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_names(str(tmp_path / name))
