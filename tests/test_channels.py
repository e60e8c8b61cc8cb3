"""Networks of two and four channels: grey and RGB with alpha, against plain loops of Pillow and PyTorch."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import models as zoo
from torchvision import transforms as T

import vitrine
from dashboard.app import build
from dashboard.session.context import Context
from dashboard.tabs.filters import Pieces
from dashboard.tabs.filters_state import FiltersView
from explain.features.activation_maximization import Settings, maximize
from explain.features.kernels import kernels
from explain.features.top_activations import top_activations
from explain.inversion.optimize import Settings as Descent
from explain.inversion.optimize import optimize
from explain.inversion.rebuild import pixels_of
from explain.methods.live import open_session
from explain.methods.registry import METHODS
from explain.methods.request import MapRequest
from explain.methods.segments import segments
from explain.network.hooks import logits
from explain.render import signed_pixels
from explain.run.images import network_view, original
from explain.run.model import network_of
from explain.run.preflight import other_readings
from explain.run.reader import RunData, open_run
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.images import UnreadableImage, open_image
from models.errors import UserError
from models.preprocessing import Preprocessing
from models.preprocessing_options import PreprocessingOptions, words_for
from models.registry import load
from models.training.augment import Augmentation
from models.transforms import read_transform
from tests.command import launch, one_line
from tests.conftest import COLORS, TinyNet

MODES = {2: "LA", 4: "RGBA"}
NAMES = {2: "grey-alpha", 4: "rgba"}
MEAN = {2: (0.4, 0.3), 4: (0.5, 0.4, 0.3, 0.2)}
STD = {2: (0.2, 0.5), 4: (0.2, 0.3, 0.4, 0.5)}
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))

def made(channels):
    torch.manual_seed(channels)
    return Net(channels)

def two(): return made(2)
def four(): return made(4)
def five(): return made(5)
"""
FACTORY = {2: "two", 4: "four", 5: "five"}


def joined(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values))


def told(channels: int) -> tuple[str, ...]:
    """Options of the command line for a network of so many channels."""
    how = ("--input-size", "24", "--resize", "28", "--channels", NAMES[channels])
    return (*how, "--mean", joined(MEAN[channels]), "--std", joined(STD[channels]))


def transparent(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Noise with an alpha of its own, of which a third is 0 and a third 255."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    values[..., 3] = np.clip(rng.integers(-255, 511, (size[1], size[0])), 0, 255)
    return Image.fromarray(values)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes; of each two RGBA, one LA and one RGB picture."""
    for k, (name, color) in enumerate(COLORS.items()):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i, mode in enumerate(("RGBA", "RGBA", "LA", "RGB")):
            picture = Image.blend(
                transparent((40 + i, 30), 9 * k + i), Image.new("RGBA", (40 + i, 30), color), 0.5
            )
            picture.convert(mode).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(CODE)
    return tmp_path / "net.py"


def plain(channels: int) -> T.Compose:
    """The transform of `told` as torchvision has it."""
    steps = [T.Resize(28), T.CenterCrop(24), T.ToTensor(), T.Normalize(MEAN[channels], STD[channels])]
    return T.Compose([T.Lambda(lambda image: image.convert(MODES[channels])), *steps])


def network(channels: int) -> Classifier:
    torch.manual_seed(channels)
    model = TinyNet()
    model.features[0] = nn.Conv2d(channels, 8, 3, 2, 1)
    fed = Preprocessing((24, 24), None, MEAN[channels], STD[channels])
    return Classifier("tiny", model.eval(), tuple(COLORS), fed, "", fingerprint(model))


# -- from a file to the network's input ---------------------------------------------------------------------


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(60, 60), (200, 90), (61, 64), (20, 30), (33, 33)])
def test_resize_and_crop_are_torchvisions(channels: int, method: str, shape: tuple[int, int]) -> None:
    image, kind = transparent(shape).convert(MODES[channels]), T.InterpolationMode(method)
    for size, resize in (((32, 48), 40), ((33, 33), 33)):
        theirs = T.Compose([T.Resize(resize, kind), T.CenterCrop(size), T.PILToTensor()])(image)
        ours = Preprocessing(size, resize, MEAN[channels], STD[channels], method)
        assert torch.equal(ours.tensor(image), theirs)
        squashed = T.Compose([T.Resize(size, kind), T.PILToTensor()])(image)
        assert torch.equal(replace(ours, resize=None).tensor(image), squashed)


def files(folder: Path) -> Iterator[Path]:
    """Pictures of every mode in which files have alpha, and of some without."""
    picture = transparent((31, 20))
    for mode in ("RGBA", "LA", "RGB", "L", "1", "P", "PA"):
        path = folder / f"{mode}.{'png' if mode != 'PA' else 'tif'}"
        if mode == "PA":
            picture.convert("LA").save(path)
        else:
            picture.convert(mode).save(path)
        yield path
    palette = picture.convert("RGB").quantize(16)
    palette.save(folder / "index.png", transparency=3)
    palette.save(folder / "bytes.png", transparency=bytes(range(0, 256, 16)))
    picture.convert("RGB").save(folder / "color.png", transparency=picture.getpixel((0, 0))[:3])  # type: ignore[index]
    picture.convert("CMYK").save(folder / "c.jpg")
    picture.save(folder / "a.webp", lossless=True, exact=True)
    yield from (folder / name for name in ("index.png", "bytes.png", "color.png", "c.jpg", "a.webp"))


def test_files_are_read_as_pillow_converts_them(tmp_path: Path) -> None:
    for path in files(tmp_path):
        for channels, mode in MODES.items():
            expected = np.asarray(Image.open(path).convert(mode))
            fed = Preprocessing((20, 31), None, MEAN[channels], STD[channels])
            found = open_image(path, alpha=True)
            assert np.array_equal(np.asarray(fed.view(found)), expected), (path.name, mode)
        assert open_image(path).mode == "RGB"


@pytest.mark.parametrize("channels", [2, 4])
def test_arrays_with_alpha(channels: int, tmp_path: Path) -> None:
    values = np.asarray(transparent((31, 20)).convert(MODES[channels]))
    fed = Preprocessing((20, 31), None, MEAN[channels], STD[channels])
    np.save(tmp_path / "whole.npy", values)
    np.save(tmp_path / "floats.npy", values.astype(np.float32) / 255)
    np.save(tmp_path / "deep.npy", values.astype(np.uint16))
    for name in ("whole", "floats"):
        read = open_image(tmp_path / f"{name}.npy", alpha=True)
        assert np.array_equal(np.asarray(fed.view(read)), values)
    with pytest.raises(UnreadableImage, match=rf"shape \(20, 31, {channels}\), for a network without alpha"):
        open_image(tmp_path / "whole.npy")
    with pytest.raises(UnreadableImage, match="uint16 with alpha: save it as uint8"):
        open_image(tmp_path / "deep.npy", alpha=True)
    np.save(tmp_path / "five.npy", np.zeros((20, 31, 5), np.uint8))
    with pytest.raises(UnreadableImage, match=r"shape \(20, 31, 5\): an image is .*with alpha"):
        open_image(tmp_path / "five.npy", alpha=True)


def test_letterbox_pads_every_channel() -> None:
    image = transparent((60, 30))
    for channels, fill in ((4, (0,)), (4, (9,)), (4, (1, 2, 3, 200)), (2, (7, 255))):
        fed = Preprocessing((20, 20), "letterbox", MEAN[channels], STD[channels], fill=fill)
        expected = fill if len(fill) == channels else fill * channels
        assert fed.view(image).getpixel((0, 0)) == expected
        middle = image.convert(MODES[channels]).resize((20, 10), Image.Resampling.BILINEAR)
        assert np.array_equal(np.asarray(fed.view(image))[5:15], np.asarray(middle))


# -- the option, the line, the files ------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["rgba", "bgra", "grey-alpha"])
@pytest.mark.parametrize("resize", ["squash", "letterbox", "28"])
def test_round_trips(color: str, resize: str) -> None:
    """Through the options, through JSON, and from the input back to the pixels."""
    count = 2 if color == "grey-alpha" else 4
    options = PreprocessingOptions(
        input_size="24", resize=resize, channels=color, mean=joined(MEAN[count]), std=joined(STD[count])
    )
    fed = replace(options, fill=joined(tuple(range(count))) if resize == "letterbox" else None).apply(
        Preprocessing()
    )
    assert (fed.channels, fed.color, fed.alpha) == (count, color, True)
    words = words_for(fed)
    again = {w[2:].replace("-", "_"): v for w, v in zip(words[::2], words[1::2], strict=True)}
    assert PreprocessingOptions(**again).apply(Preprocessing()) == fed  # type: ignore[arg-type]
    assert Preprocessing.from_dict(json.loads(json.dumps(fed.as_dict()))) == fed
    pixels = fed.tensor(transparent((50, 40)))[None]
    x = fed.normalize(pixels)
    assert x.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fed.restore(x) * 255, pixels.float(), atol=1e-4, rtol=0)
    torch.testing.assert_close(fed.standardize(pixels / 255), x, atol=1e-5, rtol=0)


def test_bgra_keeps_alpha_last() -> None:
    fed = Preprocessing((20, 20), None, MEAN[4], STD[4], order="bgr")
    image = transparent((20, 20))
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN[4], STD[4]))
    expected = (
        torch.tensor(np.asarray(image)[..., [2, 1, 0, 3]] / 255.0).permute(2, 0, 1).float() - mean
    ) / std
    torch.testing.assert_close(fed.normalize(fed.tensor(image)[None])[0], expected, atol=1e-5, rtol=0)


def test_the_line_says_what_alpha_gets() -> None:
    options = PreprocessingOptions(input_size="24", resize="squash", channels="rgba", std="0.5")
    fed = replace(options, mean="0.485,0.456,0.406").apply(Preprocessing())
    assert fed.mean == (0.485, 0.456, 0.406, 0.0)
    assert fed.described == (
        "24 × 24 RGBA, whole image squashed (bilinear), mean 0.485, 0.456, 0.406, alpha 0, std 0.5"
    )
    grey = replace(options, channels="grey-alpha", mean="0.4,0", resize="letterbox").apply(Preprocessing())
    assert grey.described.startswith(
        "24 × 24 grey and alpha, whole image letterboxed, padded with transparent"
    )
    assert "mean 0.4, alpha 0, std 0.5" in grey.described


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"channels": "rgba"},
            "--channels rgba: add --mean with 4 numbers in the order red,green,blue,alpha",
        ),
        ({"channels": "rgba", "mean": "0.5,0.5"}, "--mean 0.5,0.5: give 4 numbers"),
        ({"channels": "grey-alpha", "mean": "0.5,0.4,0.3"}, "give 2 numbers"),
        (
            {"channels": "rgba", "mean": "0.5", "std": "0.5", "resize": "letterbox", "fill": "1,2,3"},
            "red,green,blue,alpha",
        ),
    ],
)
def test_options_that_do_not_fit(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PreprocessingOptions(**options).apply(Preprocessing())  # type: ignore[arg-type]


def test_files_of_no_such_channels_are_damaged() -> None:
    for change in ({"mean": [0.5] * 5, "std": [0.5] * 5}, {"mean": [0.5] * 4}, {"order": "bgr", **pair(2)}):
        with pytest.raises(UserError, match="damaged"):
            Preprocessing.from_dict(Preprocessing().as_dict() | change)


def pair(count: int) -> dict[str, list[float]]:
    return {"mean": [0.5] * count, "std": [0.5] * count}


def test_transforms_of_four_channels_are_read() -> None:
    steps = [T.Resize(28), T.CenterCrop(24), T.ToTensor()]
    for channels in (2, 4):
        read = read_transform(T.Compose([*steps, T.Normalize(MEAN[channels], STD[channels])]))
        assert read == Preprocessing((24, 24), 28, MEAN[channels], STD[channels])
    with pytest.raises(UserError, match=r"5 values of mean .* networks of 1, 2, 3 or 4 channels are read"):
        read_transform(T.Compose([*steps, T.Normalize((0.5,) * 5, (0.5,) * 5)]))


# -- which channels a network takes --------------------------------------------------------------------------


def test_weights_of_other_channels_are_followed(tmp_path: Path) -> None:
    for channels in (2, 4, 5):
        model = zoo.shufflenet_v2_x0_5(num_classes=3)
        model.conv1[0] = nn.Conv2d(channels, 24, 3, 2, 1, bias=False)
        torch.save(model.state_dict(), tmp_path / f"{channels}.pth")
    for channels, color in NAMES.items():
        path = tmp_path / f"{channels}.pth"
        with pytest.raises(
            UserError, match=rf"takes {channels} channels .* add --channels {color}, --mean and --std"
        ):
            load("shufflenet_v2_x0_5", path)
        options = PreprocessingOptions("24", "squash", mean="0.5", std="0.25")
        followed = load("shufflenet_v2_x0_5", path, options=options)
        assert (followed.preprocessing.color, followed.mean) == (color, (0.5,) * channels)
        assert followed.notes[-1].endswith(
            f"takes {channels} channels: images are read as {color} (--channels {color})"
        )
        said = load("shufflenet_v2_x0_5", path, options=replace(options, channels=color))
        assert said.preprocessing == followed.preprocessing
        assert not said.notes
        image = transparent((50, 40))
        x = T.ToTensor()(image.convert(MODES[channels]).resize((24, 24), Image.Resampling.BILINEAR))
        torch.testing.assert_close(
            logits(said.model, said.batch([image])), said.model((x[None] - 0.5) / 0.25), atol=1e-5, rtol=0
        )
    with pytest.raises(UserError, match=r"takes 5 channels .* networks of 1, 2, 3 or 4 channels are read"):
        load("shufflenet_v2_x0_5", tmp_path / "5.pth", options=options)


def test_networks_that_must_be_told(code: Path, tmp_path: Path) -> None:
    rgb = PreprocessingOptions("24", "squash", mean="0.5", std="0.5")
    for channels, color in NAMES.items():
        with pytest.raises(
            UserError, match=f"it takes {channels} channels: add --channels {color}, with --mean"
        ):
            load(f"{code}:{FACTORY[channels]}", options=rgb)
        with pytest.raises(UserError, match=rf"pass preprocess=Preprocessing\(.*with {channels} values each"):
            vitrine.wrap(network(channels).model, list("abc"), Preprocessing((24, 24), None))
    with pytest.raises(
        UserError, match="it takes 5 channels, and networks of 1, 2, 3 or 4 channels are read"
    ):
        load(f"{code}:five", options=rgb)
    with pytest.raises(UserError, match="it takes 3 channels: add --channels rgb"):
        load("shufflenet_v2_x0_5", weights_of_three(tmp_path), options=replace(rgb, channels="rgba"))


def weights_of_three(folder: Path) -> Path:
    torch.save(zoo.shufflenet_v2_x0_5(num_classes=3).state_dict(), folder / "3.pth")
    return folder / "3.pth"


def test_a_script_says_how_many_it_takes(tmp_path: Path) -> None:
    torch.jit.trace(network(4).model, torch.rand(2, 4, 24, 24)).save(str(tmp_path / "net.pt"))
    rgb = PreprocessingOptions("24", "squash", mean="0.5", std="0.5")
    with pytest.raises(UserError, match="it takes 4 channels: add --channels rgba"):
        load(str(tmp_path / "net.pt"), options=rgb)
    made = load(str(tmp_path / "net.pt"), options=replace(rgb, channels="rgba"))
    assert made.channels == 4


def test_onnx_files_say_their_channels(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "net.onnx"
    net = network(4).model
    torch.onnx.export(net, (torch.zeros(1, 4, 24, 24),), path, dynamo=True, verbose=False)
    made = load(str(path), options=PreprocessingOptions(resize="squash", mean="0.5", std="0.5"))
    image = transparent((30, 30))
    assert made.preprocessing.color == "rgba"
    x = made.batch([image])
    np.testing.assert_allclose(made.model(x).numpy(), net(x).detach().numpy(), atol=1e-5)


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
    _, panel, _, _ = handler.fn(*values)
    assert panel.count('class="vt-map"') == 3
    assert "did not work" not in panel
    weights = Pieces(ctx).of(FiltersView(), form_of(page))[2]
    assert "without alpha" in weights


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
    said = launch(
        "explain",
        picture,
        "--model",
        f"{code}:four",
        *told(4),
        "--methods",
        "grad_cam",
        "--out",
        tmp_path / "m",
    )
    assert "24 × 24 RGBA" in said
    net = load(
        f"{code}:four", options=PreprocessingOptions("24", "28", channels="rgba", mean="0.5", std="0.5")
    )
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
        readings = other_readings(network(channels))
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
