"""Vitrine from Python: wrap, explain, run, dashboard; the program that calls it stays as it was."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

import vitrine
from explain.methods.registry import defaults
from models.classifier import Classifier
from models.errors import UserError
from models.preprocessing import Preprocessing
from tests.raw import Visitor
from tests.test_faces import HOPPER

ROOT = Path(__file__).parent.parent
TRANSFORM = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])


def network(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, outputs),
    )


@pytest.fixture
def net() -> Classifier:
    return vitrine.wrap(network(), ["blue", "green", "red"], TRANSFORM, "mine")


def test_wrapped(net: Classifier) -> None:
    assert (net.name, net.classes, net.preprocessing.size) == ("mine", ("blue", "green", "red"), (32, 32))
    assert "transform" in net.input_described
    assert not net.model.training


@pytest.mark.parametrize(
    ("model", "classes", "preprocess", "told"),
    [
        (network(), ["a", "b"], TRANSFORM, "3 outputs"),
        (network(), ["a", "b", "a"], TRANSFORM, "the name of another"),
        (network(), ["a", "b", "c"], None, "given"),
        (network(1), ["a"], TRANSFORM, "give two, of the negative class first"),
        (nn.Flatten(), ["a", "b"], TRANSFORM, "no parameters"),
        (nn.Conv2d(3, 2, 3), ["a", "b"], TRANSFORM, "scores"),
        (network(), ["a", "b", "c"], Preprocessing((8, 8), None, (0.0,), (1.0,)), "cannot take"),
    ],
)
def test_what_does_not_fit_is_one_line(
    model: nn.Module, classes: list[str], preprocess: object, told: str
) -> None:
    with pytest.raises(UserError, match=told) as error:
        vitrine.wrap(model, classes, preprocess)
    assert "\n" not in str(error.value)


def test_explained(net: Classifier, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 50, 3), dtype=np.uint8))
    picture.save(tmp_path / "photo.png")
    found = vitrine.explain(
        net, tmp_path / "photo.png", ["grad_cam", "integrated_gradients"], "green", "2", steps=4
    )
    again = vitrine.explain(net, picture, ["grad_cam"], 1, "2")
    assert found.maps["grad_cam"].shape == (16, 16)
    assert found.maps["integrated_gradients"].shape == (32, 32)
    np.testing.assert_array_equal(found.maps["grad_cam"], again.maps["grad_cam"])
    with torch.no_grad():
        prob = net.model(TRANSFORM(picture)[None]).softmax(1)[0].numpy()
    np.testing.assert_allclose(found.prob, prob, atol=1e-6)
    html = found._repr_html_()
    assert html.count("<img") == 3
    assert found.predicted in html
    names = sorted(p.name for p in found.save(tmp_path / "out").iterdir())
    assert names == ["grad_cam.npy", "grad_cam.png", "integrated_gradients.npy", "integrated_gradients.png"]


@pytest.mark.parametrize(
    "words",
    [
        {"methods": ["no_method"]},
        {"target": "purple"},
        {"target": 9},
        {"layer": "nowhere"},
        {"steps": 4},
        {"image": "none.png"},
    ],
)
def test_what_cannot_be_explained_is_one_line(words: dict[str, object], net: Classifier) -> None:
    with pytest.raises(UserError):
        vitrine.explain(net, **({"image": Image.new("RGB", (9, 9))} | words))  # type: ignore[arg-type]


@pytest.mark.slow
def test_photos_for_a_network_about_faces_are_cropped(net: Classifier) -> None:
    about = vitrine.wrap(network(), net.classes, TRANSFORM, domain="faces")
    found, photo = vitrine.explain(about, HOPPER, ["grad_cam"]), Image.open(HOPPER)
    assert found.face is not None
    assert found.face.region is not None
    cropped = vitrine.explain(net, photo.crop(found.face.region), ["grad_cam"])
    np.testing.assert_array_equal(found.prob, cropped.prob)
    np.testing.assert_array_equal(found.maps["grad_cam"], cropped.maps["grad_cam"])
    assert vitrine.explain(net, photo, ["grad_cam"]).face is None
    with pytest.raises(UserError, match="No domain 'cats': choose from faces"):
        vitrine.wrap(network(), net.classes, TRANSFORM, domain="cats")


def test_names_are_shown_as_names(tmp_path: Path) -> None:
    net = vitrine.wrap(network(), ["<img src=x onerror=alert(1)>", "b", "c"], TRANSFORM)
    html = vitrine.explain(net, Image.new("RGB", (9, 9)), target=0)._repr_html_()
    assert "<img src=x" not in html


@pytest.mark.slow
def test_a_run_and_its_page_with_live_maps(net: Classifier, pictures: Path, tmp_path: Path) -> None:
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    run = vitrine.run(net, pictures, tmp_path / "run", batch_size=4)
    assert len(run.table) == 18
    assert set(run.table.columns) >= {"id", "label", "pred", "confidence"}
    assert [*run.manifest.request.methods] == defaults("modules")[0] == ["layer_cam"]
    with vitrine.dashboard(run, net) as page:
        assert "<iframe" in page._repr_html_()
        answer = httpx.get(page.url)
        assert "localhost" in answer.headers["content-security-policy"]
        visitor = Visitor(page.url)
        opened = visitor.click("vt-gallery", "open", 0)
        assert opened["success"]
        explained = next(d for d in visitor.config["dependencies"] if d["api_name"] == "explain")
        photo = visitor.upload(next(pictures.rglob("*.png")))
        told = visitor.ask(
            explained, [{"path": photo, "meta": {"_type": "gradio.FileData"}}, "grad_cam", "", "", ""]
        )
        assert told["success"], told
        assert told["output"]["data"][0]["model"] == "mine"
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.url)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert len(vitrine.open_run(tmp_path / "run").table) == 18


def test_the_page_of_another_network_is_refused(net: Classifier, pictures: Path, tmp_path: Path) -> None:
    run = vitrine.run(net, pictures, tmp_path / "run", limit=4)
    other = network()
    nn.init.zeros_(other[0].bias)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="other weights"):
        vitrine.dashboard(run, vitrine.wrap(other, net.classes, TRANSFORM))


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, vitrine; print([m for m in ('torch', 'gradio', 'pandas', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_page_of_the_documentation(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks, one after the other."""
    import re
    import shutil

    shutil.copytree(pictures, tmp_path / "photos")
    labels = {path: [path.parent.name] for path in sorted((tmp_path / "photos").rglob("*.png"))}
    labels[next(iter(labels))] = ["red", "green"]
    lines = [f"{p.relative_to(tmp_path / 'photos')},{'|'.join(v)}" for p, v in labels.items()]
    (tmp_path / "photos" / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    values = [f"{line.partition(',')[0]},{k / 40},{-k / 50}" for k, line in enumerate(lines)]
    (tmp_path / "photos" / "affect.csv").write_text("\n".join(["image,valence,arousal", *values]))
    monkeypatch.chdir(tmp_path)
    names = {
        "model": network(),
        "regressor": network(2),
        "names": ["blue", "green", "red"],
        "transform": TRANSFORM,
        "photo": next(pictures.rglob("*.png")),
    }
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    assert len(blocks) == 8
    for block in blocks:
        exec(block, names)
    assert (tmp_path / "maps" / "grad_cam.npy").is_file()
    assert (tmp_path / "runs" / "first" / "manifest.json").is_file()
