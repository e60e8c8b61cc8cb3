"""Networks of two and four channels: grey and RGB with alpha, against plain loops of Pillow and PyTorch."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models as zoo
from torchvision import transforms as T

import vitrine
from explain.network.hooks import logits
from models.data.images import UnreadableImage, open_image
from models.errors import UserError
from models.inputs.channels import channels_wanted
from models.inputs.options import PreprocessingOptions, words_for
from models.inputs.processor_config import from_processor_config
from models.inputs.transforms import read_transform
from models.preprocessing import Preprocessing
from models.registry import load
from tests.alpha import (
    FACTORY,
    MEAN,
    MODES,
    NAMES,
    STD,
    alpha_pictures,
    code_below,
    joined,
    network,
    transparent,
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return alpha_pictures(tmp_path)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return code_below(tmp_path)


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


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_files_are_read_as_pillow_converts_them(tmp_path: Path) -> None:
    """RGB with one transparent color goes to LA by RGBA: directly, Pillow changes its luma."""
    for path in files(tmp_path):
        for channels, mode in MODES.items():
            expected = np.asarray(Image.open(path).convert("RGBA").convert(mode))
            if path.name != "color.png":
                assert np.array_equal(np.asarray(Image.open(path).convert(mode)), expected)
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


def test_processors_of_four_channels_are_read() -> None:
    config = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 24, "width": 24},
        "image_mean": list(MEAN[4]),
        "image_std": list(STD[4]),
    }
    assert from_processor_config(config) == Preprocessing((24, 24), None, MEAN[4], STD[4])
    with pytest.raises(UserError, match="has image_mean"):
        from_processor_config(config | {"do_convert_rgb": True})


# -- which channels a network takes --------------------------------------------------------------------------


@pytest.mark.slow
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


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_script_says_how_many_it_takes(tmp_path: Path) -> None:
    torch.jit.trace(network(4).model, torch.rand(2, 4, 24, 24)).save(str(tmp_path / "net.pt"))
    rgb = PreprocessingOptions("24", "squash", mean="0.5", std="0.5")
    with pytest.raises(UserError, match="it takes 4 channels: add --channels rgba"):
        load(str(tmp_path / "net.pt"), options=rgb)
    made = load(str(tmp_path / "net.pt"), options=replace(rgb, channels="rgba"))
    assert made.channels == 4


@pytest.mark.parametrize(
    "message",
    [
        "Expected input at *args[0].shape[1] to be equal to 4, but got 3. If you meant for this dimension",
        "Got invalid dimensions for input: x for the following indices\n index: 1 Got: 3 Expected: 4\n",
    ],
)
def test_what_other_networks_say_of_other_channels(message: str) -> None:
    """torch.export and ONNX Runtime; an error about another size is none."""
    assert channels_wanted(RuntimeError(message), 3) == 4
    assert channels_wanted(RuntimeError(message), 1) is None
    assert channels_wanted(RuntimeError("a mat1 of 3 × 4"), 3) is None


@pytest.mark.slow
def test_onnx_files_say_their_channels(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "net.onnx"
    net = network(4).model
    torch.onnx.export(net, (torch.zeros(1, 4, 24, 24),), path, dynamo=False)
    made = load(str(path), options=PreprocessingOptions(resize="squash", mean="0.5", std="0.5"))
    image = transparent((30, 30))
    assert made.preprocessing.color == "rgba"
    x = made.batch([image])
    np.testing.assert_allclose(made.model(x).numpy(), net(x).detach().numpy(), atol=1e-5)
