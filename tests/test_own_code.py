"""Networks that a person's own code builds: `--model net.py:build`."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dashboard.components.header import header
from dashboard.session.training_jobs import command
from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.run.model import network_of
from explain.run.reader import RunData, open_run
from models.classes.names import unnamed
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.outputs.scores import at, giving_scores, scores_path
from models.own_code import trusted
from models.own_code.files import module_at
from models.preprocessing import Preprocessing
from models.registry import load
from models.sources.module import from_module
from models.training.recipe import Recipe
from tests.command import launch, one_line

TOLD = PreprocessingOptions(input_size="24", resize="squash", mean="0.4", std="0.2")
WORDS = ("--input-size", 24, "--resize", "squash", "--mean", "0.4", "--std", "0.2")
KINDS = ("tuple", "dict", "named", "dataclass", "softmax", "two", "maps", "squeezed", "embedded", "sigmoid")
KINDS += ("random", "batch")
CODE = """
import dataclasses, torch
from collections import namedtuple
from pathlib import Path
from torch import nn
from helper import WIDTH

Named = namedtuple("Named", "aux logits")

@dataclasses.dataclass
class Answer:
    loss: object
    logits: torch.Tensor

class Net(nn.Module):
    def __init__(self, num_classes=3, kind="tensor"):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, WIDTH, 3, 2), nn.ReLU())
        self.head = nn.Linear(WIDTH, num_classes)
        self.kind = kind

    def forward(self, x):
        z = self.head(self.features(x).mean((2, 3)))
        return {
            "tensor": z, "squeezed": z.squeeze(), "embedded": (x.mean((2, 3)).repeat(1, 4), z),
            "sigmoid": z.sigmoid(), "random": z + torch.rand_like(z),
            "batch": z - z.mean(0), "tuple": (z, z * 0), "dict": {"aux": z * 0, "out": z},
            "named": Named(z * 0, z),
            "dataclass": Answer(None, z), "softmax": z.softmax(1), "two": {"a": z, "b": z * 0}, "maps": x,
        }[self.kind]

def build():
    torch.manual_seed(0)
    return Net()

def sized(num_classes):
    torch.manual_seed(0)
    return Net(num_classes)

def wide(width):
    return Net(width)

def broken():
    raise RuntimeError("no weights for you")

def nothing():
    return 3

ready = build()
""" + "\n".join(f"def {kind}():\n    torch.manual_seed(0)\n    return Net(kind={kind!r})\n" for kind in KINDS)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "helper.py").write_text("WIDTH = 6\n")
    path = tmp_path / "code" / "net.py"
    path.write_text(CODE)
    return path


def by_hand(images: list[Image.Image], outputs: int = 3) -> np.ndarray:
    """Probabilities of the same network by a plain loop."""
    torch.manual_seed(0)
    features, head = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU()), nn.Linear(6, outputs)
    pixels = [np.asarray(i.resize((24, 24), Image.Resampling.BILINEAR), np.float32) / 255 for i in images]
    x = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return head(features((x - 0.4) / 0.2).mean((2, 3))).softmax(1).numpy()


def images_of(pictures: Path) -> list[Image.Image]:
    return [Image.open(p).convert("RGB") for p in sorted(pictures.rglob("*.png"))]


@pytest.mark.parametrize("factory", ["build", "ready", "tuple", "dict", "named", "dataclass", "softmax"])
def test_probabilities_are_those_of_a_plain_loop(code: Path, pictures: Path, factory: str) -> None:
    classifier = load(f"{code}:{factory}", options=TOLD)
    images = images_of(pictures)
    with torch.no_grad():
        made = classifier.model(classifier.batch(images)).softmax(1).numpy()
    np.testing.assert_allclose(made, by_hand(images), atol=1e-5)
    assert classifier.access == "modules"
    assert classifier.classes == unnamed(3)
    assert ("probabilities" in " ".join(classifier.notes)) == (factory == "softmax")


@pytest.mark.parametrize("factory", ["build", "dict", "dataclass", "softmax"])
def test_layers_have_their_names_and_maps(code: Path, factory: str) -> None:
    classifier = load(f"{code}:{factory}", options=TOLD)
    x = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    maps = compute_maps(classifier.model, x, MapRequest("grad_cam", "features.0", 1)).maps
    plain = load(f"{code}:build", options=TOLD)
    expected = compute_maps(plain.model, x, MapRequest("grad_cam", "features.0", 1)).maps
    if factory != "softmax":  # there of the logarithm of the probability
        torch.testing.assert_close(maps, expected)
    assert maps.shape == (2, 11, 11)


def test_a_network_without_a_class_is_shown_under_its_factory(small_run: RunData) -> None:
    made = small_run.manifest
    plain = replace(made.request, model="Sequential")
    for model, source, shown in (
        ("Sequential", "/somewhere/code/net.py:build", "net.py:build"),
        ("Sequential", "package.module:build", "package.module:build"),
        ("Sequential", "", "Sequential"),
        ("Sequential", "/somewhere/net.pt2", "Sequential"),
        ("Mine", "/somewhere/code/net.py:build", "Mine"),
    ):
        manifest = replace(made, request=replace(plain, model=model), source=source)
        assert manifest.network == shown
        assert f"model <b>{shown}</b>" in header(replace(small_run, manifest=manifest))
        assert "somewhere" not in header(replace(small_run, manifest=manifest))


def test_the_given_module_is_left_as_it_was(code: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 4), nn.Softmax(1))
    made, note = giving_scores(net, torch.zeros(3, 24, 24))
    assert made is not net
    assert note
    assert type(net) is nn.Sequential
    x = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(made(x).exp(), net(x))
    assert made[1].weight is net[1].weight


def test_a_module_in_memory_is_read_alike() -> None:
    """Softmax of a softmax would be wrong figures that look right."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 3))
    fed = Preprocessing((24, 24), None, (0.4,) * 3, (0.2,) * 3)
    plain, ends = (
        from_module(net.eval(), "abc", fed, "net") for net in (body, nn.Sequential(*body, nn.Softmax(1)))
    )
    x = torch.rand(4, 3, 24, 24)
    torch.testing.assert_close(ends.model(x).softmax(1), plain.model(x).softmax(1))
    assert plain.model is body
    assert "are probabilities" in ends.notes[0]


def test_where_scores_stand() -> None:
    z = torch.zeros(2, 3)
    assert scores_path(z) == ()
    assert scores_path(torch.zeros(2, 3, 1, 1)) == ()
    assert scores_path({"hidden": torch.zeros(2, 5, 5), "x": z}) == ("x",)
    assert scores_path([{"logits": z}, 1]) == (0, "logits")
    assert at([{"logits": z}, 1], (0, "logits")) is z


class Returns(nn.Module):
    """What `entries` makes of scores (N, 3)."""

    def __init__(self, entries: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.entries = nn.Linear(3, 3), entries

    def forward(self, x: torch.Tensor) -> Any:
        return self.entries(self.head(x.mean((2, 3))))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (lambda z: (z, z.roll(1, 1)), "it returns 2 entries, and entry 0 is read as its scores"),
        (lambda z: [z, z[:, :, None], -z], "it returns 3 entries, and entry 0 is read as its scores"),
        (lambda z: {"logits": (z, -z)}, "it returns 2 entries, and entry 0 is read as its scores"),
        (lambda z: (z, z[:, :, None]), ""),
        (lambda z: {"logits": z, "other": -z}, ""),
        (lambda z: ({"logits": z}, -z), ""),
        (lambda z: z, ""),
    ],
)
def test_which_of_several_alike_is_read(entries: Callable[[torch.Tensor], Any], said: str) -> None:
    net, x = Returns(entries).eval(), torch.rand(2, 3, 24, 24)
    fed = Preprocessing((24, 24), None, (0.4,) * 3, (0.2,) * 3)
    made, note = giving_scores(net, torch.zeros(3, 24, 24))
    torch.testing.assert_close(made(x), net.head(x.mean((2, 3))))
    assert ("is read as its scores" in note) == bool(said)
    assert said in note
    assert said in " ".join(from_module(net, "abc", fed, "net").notes)


def test_the_number_of_classes(code: Path, tmp_path: Path, pictures: Path) -> None:
    """By the names, or by the file of weights; otherwise it is asked for."""
    names = ("a", "b", "c", "d", "e")
    assert load(f"{code}:sized", classes=names, options=TOLD).classes == names
    torch.manual_seed(0)
    features, head = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU()), nn.Linear(6, 5)
    state = {f"features.{k}": v for k, v in features.state_dict().items()}
    state |= {f"head.{k}": v for k, v in head.state_dict().items()}
    torch.save({"model": state}, tmp_path / "five.pth")
    for factory in ("sized", "Net"):
        classifier = load(f"{code}:{factory}", tmp_path / "five.pth", options=TOLD)
        images = images_of(pictures)
        with torch.no_grad():
            made = classifier.model(classifier.batch(images)).softmax(1).numpy()
        np.testing.assert_allclose(made, by_hand(images, 5), atol=1e-5)
    with pytest.raises(UserError, match="needs num_classes: give the names"):
        load(f"{code}:sized", options=TOLD)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("wide", "needs width: write a function without arguments"),
        ("broken", r"raised RuntimeError: no weights for you \(net.py, line \d+\)"),
        ("nothing", "returned int: it must return a torch.nn.Module"),
        ("absent", "has no 'absent'"),
        ("two", "call the scores 'logits', or return them alone"),
        ("maps", r"returns \(1, 3, 24, 24\): scores"),
        ("squeezed", r"returns \(3,\) instead of \(1, 3\): remove the squeeze"),
        ("embedded", r"a tuple of 0 \(1, 12\), 1 \(1, 3\): call the scores 'logits'"),
        ("random", "otherwise a second time: it computes as in training"),
        ("batch", "otherwise beside another: it computes as in training"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(code: Path, factory: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(f"{code}:{factory}", options=TOLD)
    assert "\n" not in str(caught.value)


def test_a_sigmoid_and_other_numbers_are_named(code: Path, pictures: Path) -> None:
    assert "as behind a sigmoid" in load(f"{code}:sigmoid", options=TOLD).notes[0]
    code.write_text(CODE + "\ndef half():\n    return build().half()\n")
    classifier, images = load(f"{code}:half", options=TOLD), images_of(pictures)
    assert classifier.notes == ("its parameters were float16, and are float32 now",)
    with torch.no_grad():
        made = classifier.model(classifier.batch(images)).softmax(1).numpy()
    np.testing.assert_allclose(made, by_hand(images), atol=5e-3)
    with pytest.raises(UserError, match="name what builds the network in it"):
        load(str(code), options=TOLD)


def test_the_preprocessing_is_asked_for(code: Path, pictures: Path, tmp_path: Path) -> None:
    words = ("run", "--model", f"{code}:build", "--data", pictures, "--out", tmp_path / "run")
    assert "add --input-size --resize --mean --std" in one_line(*words)
    assert "add --std" in one_line(*words, *WORDS[:-2])
    (tmp_path / "bad.py").write_text("def build(:\n")
    assert "SyntaxError" in one_line(*words[:2], f"{tmp_path / 'bad.py'}:build", *words[3:], *WORDS)
    assert "No file" in one_line(*words[:2], f"{tmp_path / 'no.py'}:build", *words[3:], *WORDS)


def test_a_run_is_reopened_with_its_code_only_where_it_was_named(
    code: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder from elsewhere runs nothing."""
    out = tmp_path / "run"
    launch("run", "--model", f"{code}:build", "--data", pictures, "--out", out, *WORDS, "--classes", "sorted")
    run = open_run(out)
    images = [Image.open(pictures / i).convert("RGB") for i in run.table["id"]]
    probabilities = np.stack([run.prob(k) for k in range(len(images))])
    np.testing.assert_allclose(probabilities, by_hand(images), atol=1e-5)
    again = network_of(run.manifest)
    assert again.classes == run.classes
    assert "--mean" in again.options
    code.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n" + CODE)
    monkeypatch.setattr(trusted, "_known", list)
    with pytest.raises(UserError, match="is not run because"):
        network_of(run.manifest)
    assert not (tmp_path / "ran").exists()


def test_code_runs_as_it_is_written_now(tmp_path: Path) -> None:
    """Also where it changes to another text of the same size within the same second."""
    file = tmp_path / "quick_change.py"
    for number in range(3):
        file.write_text(f"NUMBER = {number}\n")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        assert number == module_at(str(file)).NUMBER


@pytest.mark.slow
def test_what_was_said_once_is_not_said_again(
    code: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--model RUN/model.json`: the network, its input and its classes; code of others is not run."""
    words = ("--data", pictures, "--classes", "sorted")
    launch("run", "--model", f"{code}:build", "--out", tmp_path / "first", *words, *WORDS)
    file = tmp_path / "first" / "model.json"
    launch("run", "--model", file, "--data", pictures, "--out", tmp_path / "second")
    first, second = open_run(tmp_path / "first"), open_run(tmp_path / "second")
    assert first.manifest.request == second.manifest.request
    np.testing.assert_array_equal(first.prob(3), second.prob(3))
    told = PreprocessingOptions(mean="0.5")
    assert load(str(file), options=told).preprocessing.mean == (0.5,) * 3
    code.write_text(CODE.replace("manual_seed(0)", "manual_seed(1)"))
    assert "holds other weights than" in one_line("run", "--model", file, *words[:2], "--out", tmp_path / "x")
    monkeypatch.setattr(trusted, "_known", list)
    with pytest.raises(UserError, match="is not run because"):
        load(str(file))
    file.write_text("{}")
    with pytest.raises(UserError, match=r"give the model.json of a run"):
        load(str(file))


@pytest.mark.slow
def test_the_file_of_a_network_by_name(pictures: Path, tmp_path: Path) -> None:
    """Also where a checkpoint or the name alone says all."""
    launch(
        "run", "--model", "fer_vgg:toon_faces", "--data", "toon_faces", "--limit", 8, "--out", tmp_path / "r"
    )
    again = load(str(tmp_path / "r" / "model.json"))
    assert again.name == "fer_vgg:toon_faces"
    assert again.weights_hash == open_run(tmp_path / "r").manifest.request.weights_hash


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_it_is_trained_and_opened_again(
    code: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint says its preprocessing and classes; the code of another person is not run for it."""
    out, words = tmp_path / "mine.safetensors", ("--epochs", 1, "--batch-size", 4, *WORDS)
    launch("train", "--model", f"{code}:sized", "--data", pictures, "--out", out, *words)
    for model in ((out,), (f"{code}:sized", "--weights", out)):
        folder = tmp_path / f"run{len(model)}"
        launch("run", "--model", *model, "--data", pictures, "--out", folder)
        assert open_run(folder).manifest.request.preprocessing["mean"] == [0.4] * 3
    assert "makes 3 outputs, and 2 are needed" in one_line(
        "train",
        "--model",
        f"{code}:build",
        "--data",
        two(pictures),
        "--out",
        tmp_path / "x.safetensors",
        *words,
    )
    monkeypatch.setattr(trusted, "_known", list)
    assert "A file names code" in one_line("run", "--model", out, "--data", pictures, "--out", tmp_path / "y")


def two(pictures: Path) -> Path:
    """Two of the three classes."""
    other = pictures.with_name("two")
    for name in ("red", "blue"):
        shutil.copytree(pictures / name, other / name)
    return other


def test_a_page_starts_no_code(code: Path, tmp_path: Path) -> None:
    for name in (f"{code}:build", "json.tool:main"):
        with pytest.raises(UserError, match="is code, which a page does not run"):
            command(name, "data", "mine", tmp_path, Recipe())
    assert not trusted.names_code("fer_vgg")
    assert not trusted.names_code("timm:resnet18")
    assert trusted.names_code("net.py:build")
