"""Letterbox, crop, fill, scale and channels: against plain loops of NumPy and Pillow, through a run and back,
and everywhere that pixels are prepared or shown."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torchvision import models as zoo
from torchvision import transforms as T

import vitrine
from explain.export.anonymize import HIDDEN
from explain.features.activation_maximization import Settings, maximize
from explain.features.kernels import kernels
from explain.gaze.network import whole_picture
from explain.inversion.optimize import Settings as Descent
from explain.inversion.optimize import optimize
from explain.inversion.rebuild import pixels_of
from explain.run.engine import run
from explain.run.images import network_view
from explain.run.loading import load_image
from explain.run.model import network_of
from explain.run.reader import open_run
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.parts import Parts
from models.errors import UserError
from models.inputs.options import NO_OPTIONS, PreprocessingOptions, options_for, words_for
from models.inputs.transforms import read_transform
from models.preprocessing import Preprocessing
from models.registry import load
from models.training.measure import measure
from models.training.recipe import Recipe
from models.training.train import Training
from tests.command import launch, one_line
from tests.conftest import TinyNet

CAFFE = PreprocessingOptions(scale="none", mean="103.939,116.779,123.68", std="1", channels="bgr")
SHAPES = [(60, 60), (200, 90), (90, 201), (31, 64), (500, 3)]


def noise(shape: tuple[int, int], seed: int = 0) -> Image.Image:
    """RGB of this width and height."""
    pixels = np.random.default_rng(seed).integers(0, 256, (shape[1], shape[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# -- against plain loops ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (48, 81)])
@pytest.mark.parametrize("fill", [(0,), (114,), (124, 116, 104)])
@pytest.mark.parametrize("shape", SHAPES)
def test_letterbox_is_yolos(size: tuple[int, int], fill: tuple[int, ...], shape: tuple[int, int]) -> None:
    """The steps of YOLO's letterbox, on an array."""
    image = noise(shape)
    ratio = min(size[0] / shape[1], size[1] / shape[0])
    width, height = (max(1, round(side * ratio)) for side in shape)
    expected = np.empty((*size, 3), np.uint8)
    expected[:] = fill if len(fill) == 3 else fill * 3
    top, left = round((size[0] - height) / 2 - 0.1), round((size[1] - width) / 2 - 0.1)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    expected[top : top + height, left : left + width] = np.asarray(small)
    made = Preprocessing(size, "letterbox", fill=fill).view(image)
    np.testing.assert_array_equal(np.asarray(made), expected)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_a_squashed_image_is_cropped_as_torchvision_does(shape: tuple[int, int]) -> None:
    theirs = T.Compose([T.Resize((40, 50)), T.CenterCrop((32, 40)), T.PILToTensor()])(noise(shape))
    assert torch.equal(Preprocessing((32, 40), (40, 50)).tensor(noise(shape)), theirs)


def test_without_a_crop_images_come_out_at_the_size_or_are_errors() -> None:
    fed = PreprocessingOptions(input_size="30x40", resize="30", crop="none").apply(Preprocessing())
    image = noise((80, 60))
    assert torch.equal(fed.tensor(image), T.Compose([T.Resize(30), T.PILToTensor()])(image))
    with pytest.raises(UserError, match=r"80 × 60 comes out at 40 × 30, not 30 × 40 .* give --crop center"):
        fed.tensor(noise((60, 80)))
    assert "shorter side 30, no crop" in fed.described


def test_caffes_input_is_that_of_a_plain_loop() -> None:
    """As OpenCV's users write it: BGR planes, 0 to 255, less the mean."""
    fed = CAFFE.apply(Preprocessing((20, 20), None))
    pixels = np.asarray(noise((20, 20))).astype(np.float32)
    planes = [pixels[:, :, k] - mean for k, mean in ((2, 103.939), (1, 116.779), (0, 123.68))]
    x = fed.normalize(fed.tensor(noise((20, 20)))[None])
    np.testing.assert_allclose(x[0].numpy(), np.stack(planes), atol=1e-4)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(np.asarray(fed.view(noise((20, 20)))), pixels), "what is shown stays RGB"
    assert "20 × 20 BGR, whole image squashed (bilinear), pixels from 0 to 255, mean 103.939" in fed.described


def test_one_channel_is_luminance() -> None:
    fed = PreprocessingOptions(channels="grey", mean="0.5", std="0.25").apply(Preprocessing((20, 20), None))
    luma = np.asarray(noise((20, 20))) @ np.array([0.299, 0.587, 0.114])
    x = fed.normalize(fed.tensor(noise((20, 20)))[None])
    assert x.shape == (1, 1, 20, 20)
    np.testing.assert_allclose(x[0, 0].numpy(), (luma / 255 - 0.5) / 0.25, atol=0.01)


def test_grey_before_and_after_the_resize_are_torchvisions() -> None:
    image, last = noise((90, 61)), PreprocessingOptions(channels="grey-last", mean="0.5", std="0.25")
    before = replace(last, channels="grey").apply(Preprocessing((30, 30), 32))
    grey, cut = T.Grayscale(), [T.Resize(32), T.CenterCrop(30)]
    assert torch.equal(before.tensor(image), T.Compose([grey, *cut, T.PILToTensor()])(image))
    after = last.apply(before)
    assert torch.equal(after.tensor(image), T.Compose([*cut, grey, T.PILToTensor()])(image))
    assert after.described.startswith("30 × 30 grey (after resize and crop), shorter side 32")
    norm = [T.ToTensor(), T.Normalize([0.5], [0.25])]
    assert read_transform(T.Compose([grey, *cut, *norm])) == before
    assert read_transform(T.Compose([*cut, grey, *norm])) == after


@pytest.mark.parametrize("options", [NO_OPTIONS, CAFFE, replace(CAFFE, scale="127.5", mean="1")])
def test_restore_undoes_standardize_and_both_are_normalize(options: PreprocessingOptions) -> None:
    fed = options.apply(Preprocessing((20, 20), None))
    pixels = fed.tensor(noise((20, 20)))[None]
    x = fed.normalize(pixels)
    torch.testing.assert_close(fed.standardize(pixels / 255), x, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(fed.restore(x), pixels / 255, rtol=1e-4, atol=1e-5)
    assert np.array_equal(pixels_of(x, fed)[0], np.asarray(noise((20, 20))))


# -- options, words, files -------------------------------------------------------------------------------

SIDES = st.sampled_from(["32", "40x32", "64"])
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "crop": st.sampled_from(["center", "center-floor", "none"]),
        "fill": st.sampled_from(["0", "114", "1,2,3"]),
        "interpolation": st.sampled_from(["bilinear", "bicubic"]),
        "scale": st.sampled_from(["255", "1", "none", "127.5"]),
        "channels": st.sampled_from(["rgb", "bgr", "grey", "grey-last"]),
        "exif": st.sampled_from(["apply", "ignore"]),
        "bits": st.sampled_from(["0", "12"]),
    },
)
RESIZE = st.sampled_from(["squash", "squash:64", "squash:64x80", "letterbox", "64", "shorter:80", "40", "32"])
VALUES = st.sampled_from(["0.5", "0.4,0.5,0.6", "0.1"])


@st.composite
def preprocessings(draw: st.DrawFn) -> Preprocessing:
    """What any options that are accepted make."""
    options = PreprocessingOptions(
        input_size=draw(SIDES), resize=draw(RESIZE), mean=draw(VALUES), std=draw(VALUES), **draw(GIVEN)
    )
    try:
        return options.apply(Preprocessing())
    except UserError:
        return replace(CAFFE, input_size="32", resize="letterbox").apply(Preprocessing())


@pytest.mark.slow
@given(preprocessings(), preprocessings())
def test_options_words_and_files_say_it_again(fed: Preprocessing, base: Preprocessing) -> None:
    words = words_for(fed, base=base)
    fields = dict(zip((w[2:].replace("-", "_") for w in words[::2]), words[1::2], strict=True))
    assert PreprocessingOptions(**fields).apply(base) == fed  # type: ignore[arg-type]
    assert options_for(fed).apply(base) == fed
    assert Preprocessing.from_dict(json.loads(json.dumps(fed.as_dict()))) == fed
    assert Preprocessing.from_dict(fed.plain()).described == fed.described
    assert "--preprocess" not in words


@given(preprocessings(), st.tuples(st.integers(1, 90), st.integers(1, 90)))
def test_every_view_has_the_size_and_the_region_says_where_it_is(
    fed: Preprocessing, shape: tuple[int, int]
) -> None:
    image = noise(shape)
    try:
        view = fed.view(image)
    except UserError:
        assert fed.crop == "none"
        return
    assert view.size == fed.size[::-1]
    left, top, right, bottom = fed.region(shape)
    assert (left + right, top + bottom) == pytest.approx(shape)
    assert (right - left) / fed.size[1] == pytest.approx(shape[0] / fed.scaled(shape)[0])


def test_what_earlier_versions_wrote_has_the_defaults() -> None:
    old = {"size": [32, 32], "resize": None, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}
    assert Preprocessing.from_dict(old) == Preprocessing((32, 32), None, (0.5,) * 3, (0.5,) * 3)
    for damaged in ({"resize": "evil"}, {"scale": 0}, {"order": "gbr"}, {"fill": [300]}, {"size": [0, 3]}):
        with pytest.raises(UserError, match="damaged"):
            Preprocessing.from_dict(old | damaged)
    with pytest.raises(UserError, match="has later, which this version does not know"):
        Preprocessing.from_dict(old | {"later": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": "left"}, "--crop left: choose from center, center-floor, none"),
        ({"crop": "none"}, "--crop none: a shorter side of 256 .* give --resize 224"),
        ({"resize": "squash:256", "crop": "none"}, "--resize squash:256 needs a crop"),
        ({"resize": "squash", "crop": "none"}, "--crop none is for --resize N"),
        ({"resize": "letterbox", "crop": "center"}, "whole image is letterboxed: leave --crop out"),
        ({"fill": "114"}, "--fill 114 is for --resize letterbox"),
        ({"resize": "letterbox", "fill": "300"}, r"--fill 300: give a grey from 0 \(black\) to 255"),
        ({"resize": "letterbox", "fill": "1,2"}, "or red,green,blue"),
        ({"resize": "letterbox", "fill": "nan"}, "--fill nan: give a grey"),
        ({"resize": "squash:100"}, "squash:100: an image of 100 × 100 is less than the input"),
        ({"resize": "letterbox:64"}, "--resize letterbox:64: give squash"),
        ({"resize": "256x256"}, "--resize 256x256: give squash"),
        ({"scale": "0"}, "--scale 0: give 255"),
        ({"scale": "all"}, "--scale all: give 255"),
        ({"scale": "nan"}, "--scale nan: give 255"),
        ({"scale": "1"}, "--scale 1 changes the units of mean and std: add --mean, for values from 0 to 255"),
        ({"scale": "none", "mean": "100"}, "changes the units of mean and std: add --std"),
        ({"mean": "103.9,116.8,123.7"}, "for values from 0 to 255 add --scale 1"),
        (
            {"scale": "1", "mean": "9999", "std": "1"},
            "numbers for values from 0 to 255, as 127.5,127.5,127.5",
        ),
        ({"channels": "cmyk"}, "--channels cmyk: choose from rgb, bgr, grey, grey-last"),
        ({"channels": "bgr"}, "--channels bgr: add --mean with 3 numbers in the order blue,green,red"),
        ({"channels": "grey"}, "--channels grey: add --mean with 1 number"),
        ({"channels": "grey", "mean": "0.5,0.5,0.5"}, "--mean 0.5,0.5,0.5: give 1 number for"),
        ({"bits": "8"}, "--bits 8: give 9 to 16"),
    ],
)
def test_what_does_not_fit_is_one_line(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        PreprocessingOptions(**options).apply(Preprocessing())  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


# -- runs ------------------------------------------------------------------------------------------------


@pytest.fixture
def shuffle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(zoo.shufflenet_v2_x0_5(num_classes=3).state_dict(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


@pytest.mark.slow
def test_a_run_is_fed_resumed_and_reopened_so(shuffle: Path, pictures: Path, tmp_path: Path) -> None:
    """Everything at once: predictions are those of a plain loop, and the page feeds the network alike."""
    out = tmp_path / "run"
    words = ["run", "--model", "shufflenet_v2_x0_5", "--weights", shuffle, "--data", pictures]
    words += ["--classes", "sorted", "--methods", "grad_cam", "--out", out]
    how = ["--input-size=48", "--resize=letterbox", "--fill=114", "--scale=none", "--channels=bgr"]
    how += ["--mean=103.939,116.779,123.68", "--std=1"]
    text = launch(*words, *how)
    assert text.splitlines()[0].startswith(
        "input      48 × 48 BGR, whole image letterboxed, padded with color 114 (bilinear), "
        "pixels from 0 to 255, mean 103.939, 116.779, 123.68, std 1 (--input-size, --resize, --fill, --scale"
    )
    model = zoo.shufflenet_v2_x0_5(num_classes=3)
    model.load_state_dict(torch.load(shuffle, weights_only=True))
    model.eval()
    opened = open_run(out)
    for row, item in opened.ok.iterrows():
        image = Image.open(pictures / item["id"]).convert("RGB").resize((48, 40), Image.Resampling.BILINEAR)
        canvas = np.full((48, 48, 3), 114.0, np.float32)
        canvas[4:44] = np.asarray(image)
        x = torch.from_numpy((canvas[:, :, ::-1] - (103.939, 116.779, 123.68)).astype(np.float32))
        expected = model(x.permute(2, 0, 1)[None]).softmax(1)[0].detach().numpy()
        np.testing.assert_allclose(opened.prob(int(str(row))), expected, atol=1e-4)
    launch(*words, *how)  # resumed: nothing is left to do
    again = network_of(opened.manifest)
    assert again.preprocessing.fill == (114,)
    launch(*words, *again.options)
    view = np.asarray(network_view(opened, 0))
    assert (view[:4] == 114).all()
    assert "(the preprocessing (fill: [114], now [0]))" in one_line(
        *words, *(w for w in how if "fill" not in w)
    )


def test_a_run_of_an_earlier_version_is_resumed(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    path = tmp_path / "run" / "request.json"
    request = json.loads(path.read_text())
    for name in ("crop", "fill", "scale", "order", "grey_last"):
        del request["preprocessing"][name]
    path.write_text(json.dumps(request))
    run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    bgr = replace(tiny, preprocessing=replace(tiny.preprocessing, order="bgr"))
    with pytest.raises(UserError, match=r"the preprocessing \(order: rgb, now bgr\)"):
        run(bgr, FolderSource(pictures), tmp_path / "run", ["grad_cam"])


def test_masks_are_not_padded_and_other_shapes_are_counted(
    tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    padded = replace(tiny, preprocessing=replace(tiny.preprocessing, resize="letterbox", fill=(114,)))
    source = FolderSource(pictures)
    source.regions = ("whole",)
    source.masks = lambda index: np.ones((1, 40, 48), bool)  # type: ignore[method-assign]
    masks = load_image(source, 0, padded).masks
    assert masks is not None
    assert masks.mean() == pytest.approx(27 / 32)
    noise((48, 60)).save(pictures / "red" / "tall.png")
    whole = replace(tiny.preprocessing, size=(40, 48), resize=40, crop="none")
    manifest = run(replace(tiny, preprocessing=whole), FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    assert manifest.counts == {"ok": 18, "failed": 1}
    assert "--crop center" in open_run(tmp_path / "run").table["error"].dropna().iloc[0]


@pytest.mark.slow
def test_a_network_of_other_channels_is_named(shuffle: Path) -> None:
    grey = PreprocessingOptions(channels="grey", mean="0.5", std="0.5")
    with pytest.raises(UserError, match=r"224 × 224 pixels of one channel .*--channels"):
        load("shufflenet_v2_x0_5", shuffle, options=grey)
    fed = Preprocessing((48, 48), "letterbox", (0.5,) * 3, (0.5,) * 3, order="bgr", fill=(7,))
    net = vitrine.load("shufflenet_v2_x0_5", shuffle, preprocess=fed)
    assert (net.preprocessing, net.preprocessing_from) == (fed, "as it was passed")


def test_fixations_lie_on_the_whole_image(tiny: Classifier) -> None:
    fed = replace(tiny.preprocessing, resize=32, crop="none", order="bgr")
    whole = whole_picture(replace(tiny, preprocessing=fed)).preprocessing
    assert whole == replace(tiny.preprocessing, order="bgr")


def test_the_band_of_the_eyes_on_a_letterboxed_original() -> None:
    """An image of 100 × 50 in an input of 80 × 80: it is 40 high there, from 20 to 60."""
    fed = Preprocessing((80, 80), "letterbox", (0.5,), (0.5,))
    assert fed.region((100, 50)) == pytest.approx((0, -25, 100, 75))
    assert Preprocessing((80, 80), 100).region((100, 300)) == pytest.approx((10, 110, 90, 190))
    assert 0 < HIDDEN[0] < HIDDEN[1] < 1


# -- optimized images, filters, training -----------------------------------------------------------------


def blue_detector() -> Classifier:
    """Fed with BGR from 0 to 255: class 0 is the first plane less the others, blue."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    conv.weight.data = torch.tensor([[1.0, -1, -1], [-1, 1, 1]])[:, :, None, None] / 255
    model = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    fed = CAFFE.apply(Preprocessing((32, 32), None))
    return Classifier("blue", model, ("blue", "yellow"), fed, "", fingerprint(model))


@pytest.mark.slow
def test_optimized_images_have_their_colors() -> None:
    network = blue_detector()
    *_, made = maximize(network, [0, 1], Settings("0", steps=100, rate=0.1))
    blue, yellow = made.pictures.reshape(2, -1, 3).astype(float).mean(1) / 255
    assert blue[2] - blue[:2].max() > 0.1
    assert yellow[:2].min() - yellow[2] > 0.1
    image = Image.new("RGB", (32, 32), (30, 60, 220))
    *_, step = optimize(network, network.batch([image]), Descent("0", steps=150, rate=0.05, variation=1.0))
    shown = pixels_of(step.picture, network.preprocessing)[0].reshape(-1, 3).mean(0)
    assert shown[2] - shown[:2].max() > 80
    assert step.distance[0] < 0.1


def test_filters_are_drawn_in_their_colors() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3))
    first, second = kernels(model, "0", "bgr"), kernels(model, "1", "bgr")
    assert np.array_equal(first.colors, first.weights[:, ::-1])
    assert np.array_equal(second.colors, second.weights)
    assert np.array_equal(kernels(model, "0").colors, first.weights)


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_a_training_keeps_how_it_was_fed(pictures: Path, tmp_path: Path) -> None:
    """The accuracy of a reopened checkpoint, by a run over the same images, is the one that was measured."""
    fed = Preprocessing((32, 32), None, (0.5,) * 3, (0.5,) * 3)
    vitrine.register_model("tiny", lambda outputs: TinyNet(outputs), ("a", "b", "c"), fed)
    source, out = FolderSource(pictures), tmp_path / "mine.safetensors"
    parts = Parts(source, source, source)
    options = replace(CAFFE, resize="letterbox", fill="9", std="60")
    try:
        recipe = Recipe(epochs=4, batch_size=6)
        training = Training("tiny", None, parts, out, recipe, options=options)
        assert training.fit()
        measured = measure(out, parts)["test"]["accuracy"]
        network = load(str(out))
        assert network.preprocessing == options.apply(fed)
        run(network, source, tmp_path / "run", ["grad_cam"])
        assert open_run(tmp_path / "run").evaluation.accuracy == pytest.approx(measured)
        plan = json.loads(json.dumps(training.progress.plan))
        old = plan | {"options": asdict(options)}  # as earlier versions wrote it, with what is not given
        assert training._differences(old) == []
        assert "another preprocessing" in training._differences(plan | {"options": {"std": "61"}})
    finally:
        vitrine.unregister_model("tiny")
