"""What is said of a network that cannot be used as it is: one line with what was got, what is allowed, and
what to do next."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models as zoo

import vitrine
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.inputs.transform_file import preprocessing_in_file
from models.preprocessing import Preprocessing
from models.registry import load

TOLD = PreprocessingOptions(input_size="16", resize="squash", mean="0.5", std="0.5")
GREY = PreprocessingOptions(input_size="16", resize="squash", mean="0.5", std="0.5", channels="grey")


def refused(model: str, options: PreprocessingOptions = TOLD, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(model, options=options, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?")), message
    return message


# -- ONNX --------------------------------------------------------------------------------------------


def onnx_file(path: Path, kind: str = "FLOAT", shape: tuple[Any, ...] = ("n", 3, 16, 16), **how: Any) -> Path:
    """Mean of each channel, then a linear layer; whole numbers are converted first."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    weight = np.arange(3 * int(shape[1]), dtype=np.float32).reshape(int(shape[1]), 3) - 2
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["f"], ["m"]),
        helper.make_node("Flatten", ["m"], ["v"]),
        helper.make_node("MatMul", ["v", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", getattr(TensorProto, kind), shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (shape[0], 3))],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path, **how)
    return path


def test_onnx_of_whole_numbers(tmp_path: Path) -> None:
    for kind in ("UINT8", "INT64"):
        message = refused(str(onnx_file(tmp_path / "net.onnx", kind)))
        assert f"takes tensor({kind.lower()}), and images are given as normalized floats: export" in message
        assert "an input of float32" in message


def test_onnx_of_doubles_is_read(tmp_path: Path) -> None:
    classifier = load(str(onnx_file(tmp_path / "net.onnx", "DOUBLE")), options=TOLD)
    x = torch.rand(2, 3, 16, 16)
    weight = torch.arange(9.0).reshape(3, 3) - 2
    torch.testing.assert_close(classifier.model(x), x.mean((2, 3)) @ weight)


def test_onnx_without_its_data(tmp_path: Path) -> None:
    how = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    folder = tmp_path / "external data"
    folder.mkdir()
    path = onnx_file(folder / "net.onnx", **how)
    load(str(path), options=TOLD)
    for cut in (False, True):
        (folder / "weights.bin").write_bytes(b"ab") if cut else (folder / "weights.bin").unlink()
        message = refused(str(path))
        assert "which is missing or not complete: put it where the export wrote it, beside" in message
        assert "(external_data=False)" in message
        assert cut or "keeps its parameters in 'weights.bin'" in message
    (folder / "bad.onnx").write_bytes(path.read_bytes()[:60])
    assert "cannot be read as ONNX" in refused(str(folder / "bad.onnx"))


def test_onnx_of_another_size(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "net.onnx", shape=("n", 3, 24, 16))
    message = refused(str(path))
    assert "takes images of 24 × 16 alone, and they are prepared with 16 × 16" in message
    assert "leave --input-size out, or give --input-size 24x16; for other sizes export" in message
    told = PreprocessingOptions(resize="squash", mean="0.5", std="0.5")
    assert load(str(path), options=told).input_size == (24, 16)
    free = onnx_file(tmp_path / "free.onnx", shape=("n", 3, "h", "w"))
    assert load(str(free), options=TOLD).input_size == (16, 16)


def test_onnx_of_other_channels(tmp_path: Path) -> None:
    one = str(onnx_file(tmp_path / "one.onnx", shape=("n", 1, "h", "w")))
    assert "it takes 1 channel: add --channels grey" in refused(one)
    assert load(one, options=GREY).channels == 1
    three = str(onnx_file(tmp_path / "three.onnx", shape=("n", 3, "h", "w")))
    assert "takes 3 channels: add --channels rgb" in refused(three, GREY)


# -- Keras -------------------------------------------------------------------------------------------


@pytest.fixture
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported
    pytest.importorskip("h5py")
    return pytest.importorskip("keras")


def keras_net(keras: Any, *middle: Any, shape: tuple[Any, ...] = (16, 16, 3)) -> Any:
    layers = keras.layers
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return keras.Sequential([layers.Input(shape), layers.Conv2D(4, 3), *middle, *ends])


def test_keras_layers_of_own_code(keras: Any, tmp_path: Path) -> None:
    class Doubled(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return 2 * x

    inner = keras.Sequential([keras.layers.Input((14, 14, 4)), Doubled(name="inside")], name="block")
    lambda_ = keras.layers.Lambda(lambda x: x * 2, name="twice")
    for layer, said in (
        (lambda_, "twice (Lambda)"),
        (Doubled(name="own"), "own (Doubled)"),
        (inner, "inside"),
    ):
        for name in ("net.keras", "net.h5"):
            path = tmp_path / name
            keras_net(keras, layer).save(path)
            message = refused(str(path), PreprocessingOptions(resize="squash", mean="0", std="1"))
            assert f"has layers with code of its own, which is not run: {said}" in message
            assert "model.export('net.onnx', format='onnx')" in message


def test_keras_parameters_alone(keras: Any, tmp_path: Path) -> None:
    keras_net(keras).save_weights(tmp_path / "net.weights.h5")
    message = refused(str(tmp_path / "net.weights.h5"))
    assert "holds parameters alone, without the network" in message
    assert "model.save('net.keras')" in message


def test_keras_of_other_channels(keras: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "net.keras")
    keras_net(keras, shape=(None, None, 1)).save(path)
    assert "it takes 1 channel: add --channels grey" in refused(path)
    assert load(path, options=GREY).channels == 1
    keras_net(keras, shape=(16, 16, 1)).save(path)
    assert load(path, options=TOLD).channels == 1  # the file says it
    assert "takes images of 16 × 16 alone" in refused(path, replace(GREY, input_size="20"))


# -- channels of modules -----------------------------------------------------------------------------

CODE = """
from torch import nn

def build(channels=1):
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

def three():
    return build(3)
"""


def test_channels_of_own_code_and_scripts(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CODE)
    grey = "it takes 1 channel: add --channels grey"
    color = "it takes 3 channels: add --channels rgb"
    assert grey in refused(f"{tmp_path}/net.py:build")
    assert color in refused(f"{tmp_path}/net.py:three", GREY)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    torch.jit.trace(model, torch.zeros(1, 1, 16, 16)).save(str(tmp_path / "net.pt"))
    assert grey in refused(str(tmp_path / "net.pt"))


def test_channels_of_architectures_and_modules(tmp_path: Path) -> None:
    torch.save(zoo.shufflenet_v2_x0_5(num_classes=3).state_dict(), tmp_path / "mine.pth")
    grey = PreprocessingOptions(channels="grey", mean="0.5", std="0.5")
    message = refused("shufflenet_v2_x0_5", grey, weights=tmp_path / "mine.pth")
    assert "it takes 3 channels: add --channels rgb" in message
    with pytest.raises(UserError, match="with 3 values each"):
        vitrine.wrap(nn.Conv2d(3, 4, 3), "abcd", Preprocessing((16, 16), None, (0.5,), (0.5,)))


def test_other_failures_keep_their_reason(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(CODE.replace("nn.Linear(4", "nn.Linear(5"))
    assert "shapes cannot be multiplied" in refused(f"{tmp_path}/net.py:three")


# -- relative imports --------------------------------------------------------------------------------


def test_relative_imports_name_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "advice_pk"
    (package / "deep").mkdir(parents=True)
    (package / "parts.py").write_text(CODE)
    (package / "rel.py").write_text("from .parts import three as build\n")
    (package / "deep" / "up.py").write_text("import torch\nfrom ..parts import three as build\n")
    for file, module in (("rel.py", "advice_pk.rel"), ("deep/up.py", "advice_pk.deep.up")):
        message = refused(f"{package / file}:build")
        assert f"give --model {module}:build, from the folder {tmp_path}" in message
        assert f"imports relative to its package ({Path(file).name}, line {1 + ('deep' in file)})" in message
        monkeypatch.chdir(tmp_path)
        assert load(f"{module}:build", options=TOLD).channels == 3
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "same.py").write_text("from . import up\nbuild = up.build\n")
    assert "give --model advice_pk.deep.same:build, from" in refused(f"{package}/deep/same.py:build")
    (package / "bad.py").write_text("import advice_nowhere\n")
    assert "ModuleNotFoundError" in refused(f"{package}/bad.py:build")


# -- transforms --------------------------------------------------------------------------------------

TRANSFORMS = """
from torchvision import transforms as T

padded = T.Compose([T.Resize((16, 16)), T.Pad(2), T.ToTensor()])
flipped = T.Compose([T.RandomHorizontalFlip(), T.Resize((16, 16)), T.ToTensor()])
alone = T.ColorJitter()
unsized = T.Compose([T.Resize(16), T.ToTensor()])
"""


def test_steps_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text(TRANSFORMS)
    for name, reason in (
        ("padded", "The transform Pad cannot be expressed as Vitrine's preprocessing (step 2 of 3): "),
        (
            "flipped",
            "The transform RandomHorizontalFlip cannot be expressed as Vitrine's preprocessing (step 1",
        ),
        ("alone", "The transform ColorJitter cannot be expressed as Vitrine's preprocessing: understood"),
        ("unsized", "This transform fixes no size (a center crop, or Resize((height, width))): "),
    ):
        text = f"{tmp_path / 'prep.py'}:{name}"
        with pytest.raises(UserError) as caught:
            preprocessing_in_file(text)
        message = str(caught.value)
        assert f"--preprocess {text}: {reason}" in message
        assert "understood are Resize, CenterCrop, Normalize, Grayscale(1) and conversions" in message
        assert "say the same with --input-size, --resize, --crop" in message
        assert "models.preprocessing" not in message
