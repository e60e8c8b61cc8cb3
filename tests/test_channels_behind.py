"""A run of a network that takes alpha, its page, methods, features and training, against plain loops."""

import base64
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio import Request
from PIL import Image
from torch import Tensor

import vitrine
from dashboard.app import build
from dashboard.components.network.strongest import part_of
from dashboard.session.context import Context
from dashboard.tabs.filters import Pieces
from dashboard.tabs.filters_state import FiltersView
from dashboard.tabs.gaze import without_fixations
from explain.features.activation_maximization import Settings, maximize
from explain.features.kernels import kernels
from explain.features.top_activations import top_activations
from explain.inversion.optimize import Settings as Descent
from explain.inversion.optimize import optimize
from explain.inversion.rebuild import pixels_of
from explain.methods.live import open_session
from explain.methods.registry import METHODS
from explain.methods.reproduce import python_lines
from explain.methods.request import MapRequest
from explain.methods.segments import segments
from explain.network.hooks import logits
from explain.render import jpeg_bytes, signed_pixels
from explain.run.images import network_view, original
from explain.run.model import network_of
from explain.run.preflight.readings import single_readings
from explain.run.reader import RunData, open_run
from models.data.folder import FolderSource
from models.inputs.options import PreprocessingOptions, words_for
from models.registry import load
from models.training.augment import Augmentation
from tests.alpha import FACTORY, alpha_pictures, code_below, network, plain, told, transparent
from tests.command import launch, one_line
from tests.conftest import COLORS
from tests.maps import ATTENTION
from tests.steps import last


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return alpha_pictures(tmp_path)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return code_below(tmp_path)


# -- a run, and what is behind it ----------------------------------------------------------------------------


@pytest.fixture(params=[2, 4])
def opened(request: pytest.FixtureRequest, code: Path, pictures: Path, tmp_path: Path) -> RunData:
    words = ("--model", f"{code}:{FACTORY[request.param]}", "--data", pictures, "--out", tmp_path / "run")
    said = launch(
        "run", *words, *told(request.param), "--classes", "sorted", "--methods", "grad_cam", "--force"
    )
    color = {2: "grey and alpha", 4: "RGBA"}[request.param]
    assert said.splitlines()[0].startswith(f"input      24 × 24 {color}, shorter side 28, center crop")
    assert "9 of 12 files looked at have alpha; the others are opaque (alpha 255)" in said
    return open_run(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_a_run_and_its_page(opened: RunData, pictures: Path) -> None:
    """Predictions are a plain loop's; the original is read with its alpha; live maps and the page's tabs."""
    classifier = network_of(opened.manifest)
    channels = classifier.channels
    images = [Image.open(pictures / str(name)) for name in opened.table["id"]]
    x = torch.stack([plain(channels)(image) for image in images])
    with torch.no_grad():
        expected = classifier.model(x)
    read = [original(opened, row) for row in range(len(images))]
    assert all(image is not None and image.mode == "RGBA" for image in read)
    found = logits(classifier.model, classifier.batch([image for image in read if image is not None]))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    made = np.stack([opened.prob(row) for row in range(len(images))])
    np.testing.assert_allclose(made, expected.softmax(1).numpy(), atol=1e-6)
    assert network_view(opened, 0).mode == "RGB"
    list(top_activations(classifier, opened))
    ctx = Context(opened)
    page = build(ctx)
    handler = next(
        f
        for f in page.fns.values()
        if f.fn is not None and f.fn.__name__ == "explain" and f.api_visibility == "private"
    )
    values = [c.value for c in handler.inputs]
    values[0], values[1 + 3] = {"row": 0}, ["grad_cam", "occlusion", "input_gradient"]
    _, panel, *_ = last(handler.fn(Request(session_hash="me"), *values))
    assert panel.count('class="vt-map"') == 3
    assert "did not work" not in panel
    weights = Pieces(ctx).of(FiltersView(), form_of(page))[2]
    assert "without alpha" in weights
    gaze_of_an_image(ctx, next(image for image in read if image is not None))


def gaze_of_an_image(ctx: Context, image: Image.Image) -> None:
    """The Gaze tab shows the colors of an image with alpha, and compares the maps of the network."""
    compared = ctx.gaze_service.at(image)
    assert compared.picture.tobytes() == image.convert("RGB").tobytes()
    page = without_fixations(compared, "image")
    data = page.partition("data:image/jpeg;base64,")[2].partition('"')[0].partition(")")[0]
    shown = Image.open(BytesIO(base64.b64decode(data)))
    assert (shown.format, shown.mode) == ("JPEG", "RGB")


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK"])
def test_a_jpeg_of_any_picture_is_of_its_colors(mode: str) -> None:
    image = transparent((20, 30)).convert(mode)
    expected = np.asarray(image.convert("RGB"), float)
    for data in (jpeg_bytes(image, quality=100), part_of(image, None, (30, 20), side=30)):
        found = np.asarray(Image.open(BytesIO(data)).convert("RGB"), float)
        assert found.shape == expected.shape
        assert np.abs(found.mean((0, 1)) - expected.mean((0, 1))).max() < 3


def form_of(page: object) -> tuple[object, ...]:
    """Values of the form of the Filters tab, as they are at first."""
    handler = next(
        f
        for f in page.fns.values()  # type: ignore[attr-defined]
        if f.fn is not None and f.fn.__qualname__.startswith("FiltersTab") and len(f.inputs) > 3
    )
    return tuple(c.value for c in handler.inputs[1:])


def test_a_picture_on_the_command_line(code: Path, pictures: Path, tmp_path: Path) -> None:
    picture = pictures / "red" / "0.png"
    words = (
        "--model",
        f"{code}:four",
        *told(4),
        "--methods",
        "grad_cam",
        "--out",
        tmp_path / "m",
    )
    said = launch("explain", picture, *words)
    assert "24 × 24 RGBA" in said
    assert "alpha 255" not in said
    opaque = pictures / "red" / "3.png"
    assert "the image has none: it is opaque (alpha 255)" in launch("explain", opaque, *words)
    net = load(
        f"{code}:four", options=PreprocessingOptions("24", "28", channels="rgba", mean="0.5", std="0.5")
    )
    lines = python_lines("a.png", "m", "", [MapRequest("grad_cam")], words_for(net.preprocessing))
    assert "open_image(Path('a.png'), alpha=True)" in lines
    seen, wrapped = vitrine.explain(net, picture, "grad_cam"), open_session(net, Image.open(picture))
    np.testing.assert_allclose(seen.prob, wrapped.prob, atol=1e-6)


def test_missing_alpha_is_said(tmp_path: Path) -> None:
    for name in COLORS:
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.new("RGB", (30, 30), name).save(tmp_path / "d" / name / "0.png")
    source = FolderSource(tmp_path / "d")
    assert source.reading == []
    with_alpha = source.read_for(network(4).preprocessing)
    assert with_alpha.reading == ["none of 3 files looked at has alpha; the others are opaque (alpha 255)"]
    assert with_alpha.load(0).getpixel((0, 0))[3] == 255  # type: ignore[index]


# -- methods and features ------------------------------------------------------------------------------------

FEW = {"samples": 10, "count": 6, "steps": 3, "window": 0.4, "top": 6}


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize("channels", [2, 4])
def test_every_method(channels: int) -> None:
    session = open_session(network(channels), transparent((40, 30)))
    assert session.image.mode == "RGB"
    for name, method in METHODS.items():
        if name in ATTENTION:
            continue
        few = tuple((p.name, FEW[p.name]) for p in method.parameters if p.name in FEW)
        raw = session.map(MapRequest(name, "features.4" if method.layered else "", 1, parameters=few)).raw
        assert np.isfinite(raw).all(), name
        assert raw.shape == ((6, 6) if method.coarse else (24, 24)), name


def test_maps_of_pixels_cover_alpha() -> None:
    """Occlusion of one square, and the gradient, are those of all four channels."""
    session = open_session(network(4), transparent((40, 30)))
    model, x = session.classifier.model, session.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, 1], x)
    found = session.map(MapRequest("input_gradient", target=1)).raw
    np.testing.assert_allclose(found, gradient[0].abs().amax(0).numpy(), atol=1e-7)
    covered = x.detach().clone()
    covered[:, :, :12, :12] = 0
    with torch.no_grad():
        loss = float(model(x)[0, 1] - model(covered)[0, 1])
    request = MapRequest("occlusion", target=1, parameters=(("window", 0.5), ("stride", 1.0)))
    assert float(session.map(request).raw[0, 0]) == pytest.approx(loss, abs=1e-6)


def test_superpixels_are_of_the_colors() -> None:
    image = torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(0))
    image[:3, :, 16:] += 1
    assert torch.equal(segments(image, "superpixels", 8), segments(image[:3], "superpixels", 8))
    assert torch.equal(segments(image[2:], "superpixels", 8), segments(image[2:3], "superpixels", 8))


@pytest.mark.parametrize("channels", [2, 4])
def test_features(channels: int) -> None:
    """Pictures for a person have three channels."""
    classifier = network(channels)
    *_, made = maximize(classifier, [0, 1], Settings("features.3", steps=2))
    assert made.pictures.shape == (2, 24, 24, 3)
    x = classifier.batch([transparent((40, 30))])
    *_, step = optimize(classifier, x, Descent("features.0", steps=2))
    assert pixels_of(step.picture, classifier.preprocessing).shape == (1, 24, 24, 3)
    assert np.asarray(signed_pixels(x[0].numpy())).shape == (24, 24, 3)
    first = kernels(classifier.model, "features.0", classifier.preprocessing.color)
    assert first.pictures
    assert np.array_equal(first.colors, first.weights[:, :-1])
    swapped = kernels(classifier.model, "features.0", "bgra")
    if channels == 4:
        assert np.array_equal(swapped.colors, first.weights[:, [2, 1, 0]])
    assert not kernels(classifier.model, "features.0").pictures
    assert not kernels(classifier.model, "features.3", classifier.preprocessing.color).pictures


def test_other_readings_keep_alpha() -> None:
    for channels in (2, 4):
        fed = network(channels).preprocessing
        readings = single_readings(fed)
        for reading in readings:
            words = {
                w[2:].replace("-", "_"): v
                for w, v in zip(reading.words[::2], reading.words[1::2], strict=True)
            }
            assert PreprocessingOptions(**words).apply(fed) == reading.preprocessing  # type: ignore[arg-type]
            assert reading.preprocessing.channels == channels
        assert ("colors as BGRA" in [reading.name for reading in readings]) == (channels == 4)


# -- training ------------------------------------------------------------------------------------------------


def varied(pixels: Tensor, **strengths: float) -> Tensor:
    torch.manual_seed(3)
    none = asdict(Augmentation.parse("none"))
    return Augmentation(**(none | strengths))(pixels)


def test_augmentation_leaves_alpha_to_the_geometry() -> None:
    pixels = torch.randint(0, 256, (4, 4, 20, 20), dtype=torch.uint8)
    for strengths in ({"light": 0.3}, {"contrast": 0.5}, {"grey": 1.0}):
        made = varied(pixels, **strengths)
        assert torch.equal(made[:, 3], pixels[:, 3].float())
        assert torch.equal(made[:, :3], varied(pixels[:, :3], **strengths))
        assert not torch.equal(made[:, :3], pixels[:, :3].float())
    for strengths in ({"flip": 1.0, "rotation": 10.0}, {"blur": 1.0}):
        made = varied(pixels, **strengths)
        torch.testing.assert_close(made[:, 3:], varied(pixels[:, 3:], **strengths), atol=1e-3, rtol=0)
    erased = varied(pixels, erase=1.0)
    changed = (erased != pixels).any(1)
    for k in range(4):
        inside = erased[k][:, changed[k]]
        assert float((inside[3] - pixels[k, 3].float().mean()).abs().max()) < 1e-3
        assert float((inside[:3] - pixels[k, :3].float().mean()).abs().max()) < 1e-3


def test_commands_refuse_in_one_line(code: Path, pictures: Path, tmp_path: Path) -> None:
    words = ("--data", pictures, "--out", tmp_path / "run", "--input-size", "24", "--resize", "squash")
    said = one_line("run", "--model", f"{code}:four", *words, "--mean", "0.5", "--std", "0.5")
    assert "it takes 4 channels: add --channels rgba, with --mean and --std for them" in said
