"""Networks in files of other formats: TorchScript, torch.export, ONNX; what each lets be reached."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dashboard.app import build
from dashboard.session.context import Context
from explain.methods.live import open_session
from explain.methods.registry import METHODS, methods_for
from explain.methods.request import MapRequest
from explain.run.model import network_of
from explain.run.reader import open_run
from models.classifier import Classifier
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.own_code import trusted
from models.registry import load
from models.sources.module import from_module
from tests.command import launch, one_line
from tests.conftest import TinyNet

TOLD = PreprocessingOptions(input_size="24", resize="squash", mean="0.4", std="0.2")
WORDS = ("--input-size", 24, "--resize", "squash", "--mean", "0.4", "--std", "0.2", "--classes", "sorted")
REACHED = {"net.pt": "gradients", "net.pt2": "layers", "one.pt2": "gradients", "net.onnx": "scores"}
ANY = ({0: torch.export.Dim("batch")},)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return TinyNet().eval()


@pytest.fixture(scope="module")
def folder(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network in every format."""
    path, x = tmp_path_factory.mktemp("formats"), torch.zeros(2, 3, 24, 24)
    torch.jit.trace(net, x).save(str(path / "net.pt"))
    torch.export.save(torch.export.export(net, (x,), dynamic_shapes=ANY), path / "net.pt2")
    torch.export.save(torch.export.export(net, (x[:1],)), path / "one.pt2")
    return path


@pytest.fixture(scope="module")
def file(net: nn.Module, folder: Path) -> Callable[[str], Path]:
    """The path of one of them; ONNX needs its packages."""

    def path(name: str) -> Path:
        if name == "net.onnx" and not (folder / name).exists():
            pytest.importorskip("onnxruntime")
            pytest.importorskip("onnxscript")
            x = torch.zeros(2, 3, 24, 24)
            torch.onnx.export(net, (x,), folder / name, dynamo=True, dynamic_shapes=ANY, verbose=False)
        return folder / name

    return path


def by_hand(net: nn.Module, images: list[Image.Image]) -> np.ndarray:
    pixels = [np.asarray(i.resize((24, 24), Image.Resampling.BILINEAR), np.float32) / 255 for i in images]
    x = (torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2) - 0.4) / 0.2
    with torch.no_grad():
        return net(x).softmax(1).numpy()


def images_of(pictures: Path) -> list[Image.Image]:
    return [Image.open(p).convert("RGB") for p in sorted(pictures.rglob("*.png"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", REACHED)
def test_a_run_of_each(
    net: nn.Module, file: Callable[[str], Path], pictures: Path, tmp_path: Path, name: str
) -> None:
    """Probabilities are a plain loop's, the network is found again, and the page opens."""
    out = tmp_path / "run"
    launch("run", "--model", file(name), "--data", pictures, "--out", out, *WORDS)
    run = open_run(out)
    images = [Image.open(pictures / i).convert("RGB") for i in run.table["id"]]
    made = np.stack([run.prob(k) for k in range(len(images))])
    np.testing.assert_allclose(made, by_hand(net, images), atol=1e-5)
    assert run.manifest.access == REACHED[name]
    assert bool(run.manifest.request.layer) == (REACHED[name] == "layers")
    again = network_of(run.manifest)
    np.testing.assert_allclose(again.model(again.batch(images)).softmax(1).detach().numpy(), made, atol=1e-5)
    page = json.dumps(build(Context(run)).get_config_file(), default=str)
    assert ("needs its layers" in page) == (REACHED[name] != "layers")
    assert ("Filters needs modules of PyTorch" in page) == (name != "net.py")


@pytest.mark.slow
def test_a_run_of_others_runs_no_file(
    file: Callable[[str], Path], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TorchScript can write files: what a run folder names is run only where this person named it before."""
    words = ("--data", pictures, "--out", tmp_path / "run", *WORDS)
    launch("run", "--model", file("net.pt"), *words)
    run = open_run(tmp_path / "run")
    monkeypatch.setattr(trusted, "_known", list)
    with pytest.raises(UserError, match="is not run because a run says so"):
        network_of(run.manifest)
    with pytest.raises(UserError, match="is not run because a file says so"):
        load(str(tmp_path / "run" / "model.json"))
    assert network_of(run.manifest, file("net.pt")).weights_hash == run.manifest.request.weights_hash


@pytest.mark.parametrize("name", ["net.pt", "one.pt2", pytest.param("net.onnx", marks=pytest.mark.slow)])
def test_methods_that_can_be_had(
    net: nn.Module, file: Callable[[str], Path], pictures: Path, name: str
) -> None:
    """Each gives the maps that the module gives; the others are refused in one line."""
    opaque = load(str(file(name)), options=TOLD)
    session, (image, *_) = open_session(opaque, images_of(pictures)[0]), images_of(pictures)
    plain = load(str(file("net.pt2")), options=TOLD)
    expected = open_session(plain, image)
    chosen = [m for m in ("input_x_gradient", "occlusion") if m in methods_for(opaque.access)]
    assert ("input_x_gradient" in chosen) == (REACHED[name] == "gradients")
    for method in chosen:
        request = MapRequest(method, target=1)
        np.testing.assert_allclose(session.map(request).raw, expected.map(request).raw, atol=1e-5)
    for method in ("grad_cam", "lrp", *(() if "input_x_gradient" in chosen else ("input_x_gradient",))):
        with pytest.raises(UserError, match=r"use .*occlusion"):
            session.map(MapRequest(method))


def test_commands_say_what_they_lack(file: Callable[[str], Path], tmp_path: Path) -> None:
    words = WORDS[:-2]
    assert "needs the layers of the network, and this TorchScript file gives no layers" in one_line(
        "layers", "--model", file("net.pt"), *words
    )
    assert "Activation maximization needs the layers" in one_line(
        "filters", "--model", file("net.pt"), "--out", tmp_path / "f", *words
    )
    assert "has its own parameters: leave --weights out" in one_line(
        "layers", "--model", file("net.pt2"), "--weights", file("net.pt"), *words
    )


def rewritten(path: Path, out: Path, change: Callable[[str, bytes], bytes], more: str = "") -> Path:
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, change(name, archive.read(name)))
        if more:
            copy.writestr(more, b"x")
    return out


class Mark:
    """Unpickling it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def edited(old: str, new: str) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        assert old.encode() in content
        return content.replace(old.encode(), new.encode())

    return change


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (edited('"torch.ops.aten.relu_.default"', '"torch.hub.load"'), "", "no operator of PyTorch"),
        (edited('"torch.ops.aten.relu_.default"', '"torch.ops.aten.__init__.x"'), "", "no operator"),
        (edited("positive=True", "positive=print(1)"), "", "not evaluated"),
        (lambda name, content: content, "net/data/aotinductor/model/x.so", "besides one exported program"),
        (
            lambda name, content: (
                content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
                if name.endswith("weights_config.json")
                else content
            ),
            "",
            "does not unpickle",
        ),
        (
            lambda name, content: content[:200] if "model.json" in name else content,
            "",
            "is the file complete",
        ),
    ],
    ids=["call", "attribute", "size", "library", "pickle", "truncated"],
)
def test_hostile_exports_run_nothing(
    file: Callable[[str], Path],
    tmp_path: Path,
    change: Callable[[str, bytes], bytes],
    more: str,
    message: str,
) -> None:
    path = rewritten(file("net.pt2"), tmp_path / "bad.pt2", change, more)
    with pytest.raises(UserError, match=message):
        load(str(path), options=TOLD)


def test_guards_and_sample_inputs_run_nothing(file: Callable[[str], Path], tmp_path: Path) -> None:
    """What `torch.export.load` would run or unpickle."""
    mark = tmp_path / "ran"

    def guards(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        program = json.loads(content) | {"guards_code": [f"open({str(mark)!r}, 'w')"]}
        return json.dumps(program).encode()

    path = rewritten(file("net.pt2"), tmp_path / "guards.pt2", guards)
    load(str(path), options=TOLD).model(torch.zeros(1, 3, 24, 24))
    buffer = io.BytesIO()
    torch.save(Mark(mark), buffer)
    path = rewritten(
        file("net.pt2"),
        tmp_path / "inputs.pt2",
        lambda name, content: buffer.getvalue() if name.endswith("sample_inputs/model.pt") else content,
    )
    with pytest.raises((UserError, pickle.UnpicklingError)):
        load(str(path), options=TOLD)
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore")
def test_a_trace_in_training_mode_is_refused(tmp_path: Path) -> None:
    """Its dropout and batch norm are part of the graph."""
    traced = torch.jit.trace(TinyNet().train(), torch.rand(4, 3, 24, 24), check_trace=False)
    traced.save(str(tmp_path / "train.pt"))
    with pytest.raises(UserError, match="it computes as in training"):
        load(str(tmp_path / "train.pt"), options=TOLD)


class Several(nn.Module):
    """An embedding before the scores."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3)).repeat(1, 4), self.net(x)


@pytest.mark.slow
def test_onnx_with_several_outputs(net: nn.Module, pictures: Path, tmp_path: Path) -> None:
    """The name decides; where none says which, all are listed."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    torch.onnx.export(
        Several(net).eval(),
        (torch.zeros(2, 3, 24, 24),),
        tmp_path / "embedding.onnx",
        output_names=["embedding", "logits"],
        input_names=["x"],
        dynamic_axes={name: {0: "batch"} for name in ("x", "embedding", "logits")},
        dynamo=False,
    )
    made = onnx.load(tmp_path / "embedding.onnx")
    other = {"embedding": "a", "logits": "b"}
    for output in made.graph.output:
        output.name = other[output.name]
    for node in made.graph.node:
        node.output[:] = [other.get(name, name) for name in node.output]
    onnx.save(made, tmp_path / "a.onnx")
    classifier, images = load(str(tmp_path / "embedding.onnx"), options=TOLD), images_of(pictures)
    made = classifier.model(classifier.batch(images)).softmax(1).numpy()
    np.testing.assert_allclose(made, by_hand(net, images), atol=1e-5)
    with pytest.raises(UserError, match=r"several outputs \(a .*12\], b .*3\]\): call the scores 'logits'"):
        load(str(tmp_path / "a.onnx"), options=TOLD)


def test_training_mode_is_refused(net: nn.Module, tmp_path: Path) -> None:
    trained = TinyNet().train()
    torch.export.save(torch.export.export(trained, (torch.zeros(2, 3, 24, 24),)), tmp_path / "t.pt2")
    with pytest.raises(UserError, match="exported in training mode"):
        load(str(tmp_path / "t.pt2"), options=TOLD)


class Last(nn.Module):
    """Channels last, as files from TensorFlow have them; one image at a time."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 1, 2)).softmax(1)


@pytest.mark.slow
def test_onnx_with_channels_last_and_one_image(net: nn.Module, pictures: Path, tmp_path: Path) -> None:
    """Layout and size are read from the file; a softmax inside is found."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "last.onnx"
    torch.onnx.export(Last(net).eval(), (torch.zeros(1, 24, 24, 3),), path, dynamo=False)
    told = PreprocessingOptions(resize="squash", mean="0.4", std="0.2")
    classifier, images = load(str(path), options=told), images_of(pictures)
    assert classifier.input_size == (24, 24)
    made = classifier.model(classifier.batch(images)).softmax(1).numpy()
    np.testing.assert_allclose(made, by_hand(net, images), atol=1e-5)
    (tmp_path / "bad.onnx").write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read as ONNX"):
        load(str(tmp_path / "bad.onnx"), options=told)


SLOW = ("concepts", "kpca_cam", "lime", "kernel_shap", "shapley_cam", "smooth_grad", "gradient_shap")
"""Methods that draw numbers or take long: the others stand for them."""


def same_maps(
    foreign: Classifier, plain: Classifier, layers: tuple[str, str], image: Image.Image, but: tuple[str, ...]
) -> None:
    """Every method that the foreign network allows gives the maps that the module gives."""
    first, second = open_session(foreign, image), open_session(plain, image)
    for name in methods_for(foreign.access):
        if name in (*SLOW, *but):
            continue
        requests = [MapRequest(name, layer if METHODS[name].layered else "", 1) for layer in layers]
        made, expected = first.map(requests[0]).raw, second.map(requests[1]).raw
        np.testing.assert_allclose(
            made, expected, atol=2e-3 * float(np.abs(expected).max()) + 1e-9, err_msg=name
        )


@pytest.mark.slow
def test_maps_of_an_export_are_the_module_s(
    net: nn.Module, file: Callable[[str], Path], pictures: Path
) -> None:
    exported = load(str(file("net.pt2")), options=TOLD)
    plain = from_module(net, exported.classes, exported.preprocessing, "plain")
    same_maps(exported, plain, ("features.3", "features.3"), images_of(pictures)[0], ("cam",))


@pytest.mark.slow
def test_a_folder_of_timm(pictures: Path, tmp_path: Path) -> None:
    """`timm.models.save_for_hf` writes it; a run of it is reopened."""
    import timm

    torch.manual_seed(0)
    config = {"input_size": (3, 24, 24), "mean": (0.4,) * 3, "std": (0.2,) * 3, "crop_pct": 1.0}
    made = timm.create_model("test_resnet", num_classes=3, pretrained_cfg_overlay=config).eval()
    labels = {"label_names": ["blue", "green", "red"], "crop_mode": "squash", "interpolation": "bilinear"}
    timm.models.save_for_hf(
        made, tmp_path / "net", model_config={**labels, "pretrained_cfg": {**config, **labels}}
    )
    name = f"timm:local-dir:{tmp_path / 'net'}"
    launch("run", "--model", name, "--data", pictures, "--out", tmp_path / "run", "--force")
    run = open_run(tmp_path / "run")
    images = [Image.open(pictures / i).convert("RGB") for i in run.table["id"]]
    probabilities = np.stack([run.prob(k) for k in range(len(images))])
    np.testing.assert_allclose(probabilities, by_hand(made, images), atol=1e-5)
    assert run.classes == ("blue", "green", "red")
    assert network_of(run.manifest).classes == run.classes
    with pytest.raises(UserError, match="cannot be loaded"):
        load(f"timm:local-dir:{tmp_path}")
