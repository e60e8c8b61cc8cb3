"""What a network is given: told by a person, kept in the request and in checkpoints, and always said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models as zoo
from torchvision import transforms as T

from explain.network.hooks import logits
from explain.run.engine import run
from explain.run.model import network_of
from explain.run.reader import open_run
from models import registry
from models.classes.imagenet import imagenet_names
from models.classes.names import unnamed
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.open import open_data
from models.errors import UserError
from models.inputs.options import PreprocessingOptions, words_for
from models.preprocessing import Preprocessing
from models.sources.torchvision_models import official_weights
from tests.command import run_command

ROOT = Path(__file__).parent.parent
HALF = PreprocessingOptions(input_size="64", resize="squash", mean="0.5", std="0.5")


def test_options_change_what_they_name() -> None:
    base = Preprocessing()
    assert HALF.apply(base) == Preprocessing((64, 64), None, (0.5,) * 3, (0.5,) * 3)
    assert PreprocessingOptions(mean="0.1, 0.2,0.3").apply(base) == replace(base, mean=(0.1, 0.2, 0.3))
    assert PreprocessingOptions(
        input_size="96x128", resize="shorter:96", interpolation="BICUBIC", exif="ignore"
    ).apply(base) == Preprocessing((96, 128), 96, base.mean, base.std, "bicubic", "ignore")
    assert HALF.given == ["--input-size", "--resize", "--mean", "--std"]
    assert PreprocessingOptions(transform_input=False).given == ["--no-transform-input"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": "64"}, "does not say how an image gets that small: add --resize squash"),
        ({"input_size": "0"}, "give pixels from 1 to 4096"),
        ({"input_size": "a"}, "give pixels"),
        ({"input_size": "9999999"}, "give pixels"),
        ({"resize": "big"}, "--resize big: give squash"),
        ({"resize": "100"}, "the crop would have"),
        ({"mean": "0.5,0.5"}, "give 3 numbers"),
        ({"mean": "127"}, "values from 0 to 1"),
        ({"std": "0"}, "above 0"),
        ({"std": "x"}, "give 3 numbers"),
        ({"interpolation": "magic"}, "choose from nearest"),
        ({"exif": "maybe"}, "choose from apply, ignore"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PreprocessingOptions(**options).apply(Preprocessing())  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "resize"), [((32, 64), 40), ((48, 80), 51), ((80, 40), 41), ((33, 64), 33)])
@pytest.mark.parametrize("shape", [(60, 60), (200, 90), (90, 200), (61, 64)])
def test_crops_are_torchvisions_also_where_the_picture_is_smaller(
    size: tuple[int, int], resize: int, shape: tuple[int, int]
) -> None:
    image = Image.effect_noise(shape, 90).convert("RGB")
    theirs = T.Compose([T.Resize(resize), T.CenterCrop(size), T.PILToTensor()])(image)
    assert torch.equal(Preprocessing(size, resize).tensor(image), theirs)


def test_sizes_are_said_in_the_order_of_the_option() -> None:
    fed = PreprocessingOptions(input_size="160x192", resize="squash").apply(Preprocessing())
    assert fed.described.startswith("160 × 192 (height × width) RGB, whole image squashed")
    assert Preprocessing().described.startswith("224 × 224 RGB, shorter side 256")


def test_words_say_it_again() -> None:
    fed = Preprocessing((48, 64), 80, (0.48145466, 0.5, 0.4), (0.25,) * 3, "bicubic", "ignore")
    words = words_for(fed)
    fields = dict(zip((w[2:].replace("-", "_") for w in words[::2]), words[1::2], strict=True))
    assert PreprocessingOptions(**fields).apply(Preprocessing()) == fed  # type: ignore[arg-type]


@pytest.fixture
def shuffle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(zoo.shufflenet_v2_x0_5(num_classes=3).state_dict(), tmp_path / "mine.pth")
    return tmp_path / "mine.pth"


@pytest.mark.slow
def test_a_networks_input_is_told_and_its_source_named(shuffle: Path) -> None:
    assumed = registry.load("shufflenet_v2_x0_5", shuffle)
    assert assumed.input_described == (
        "224 × 224 RGB, shorter side 256, center crop (bilinear), mean 0.485, 0.456, 0.406, std 0.229, "
        "0.224, 0.225 "
        "(assumed: torchvision's default for shufflenet_v2_x0_5)"
    )
    given = registry.load("shufflenet_v2_x0_5", shuffle, options=HALF)
    assert given.preprocessing == HALF.apply(Preprocessing())
    assert given.preprocessing_from.startswith(
        "--input-size, --resize, --mean, --std given; the rest assumed: torchvision's default"
    )
    image = Image.effect_noise((90, 70), 90).convert("RGB")
    x = T.Compose([T.Resize((64, 64)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)])(image)
    torch.testing.assert_close(given.batch([image])[0], x, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="--transform-input is for torchvision's googlenet and inception_v3"):
        registry.load("shufflenet_v2_x0_5", shuffle, options=PreprocessingOptions(transform_input=True))


def test_a_size_that_a_network_cannot_take_is_one_line() -> None:
    with pytest.raises(UserError, match="fer_vgg:toon_faces does not take 64 × 64 pixels"):
        registry.load("fer_vgg:toon_faces", options=PreprocessingOptions(input_size="64"))


@pytest.mark.slow
def test_the_page_feeds_the_network_as_the_run_did(shuffle: Path, pictures: Path, tmp_path: Path) -> None:
    """Live maps after a run with options, whose weights say nothing of them."""
    classifier = registry.load("shufflenet_v2_x0_5", shuffle, ("blue", "green", "red"), options=HALF)
    run(classifier, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    opened = open_run(tmp_path / "run")
    again = network_of(opened.manifest)
    assert again.preprocessing == classifier.preprocessing
    assert again.classes == classifier.classes
    assert again.renamed
    assert again.options == tuple(words_for(classifier.preprocessing))
    image = FolderSource(pictures).load(0)
    prob = logits(again.model, again.batch([image])).softmax(1)[0].numpy()
    row = opened.table.index[opened.table["id"] == "blue/0.png"][0]
    np.testing.assert_allclose(opened.prob(row), prob, atol=1e-5)


@pytest.mark.slow
def test_first_line_of_run_says_what_the_network_gets(shuffle: Path, pictures: Path, tmp_path: Path) -> None:
    words = [
        "run",
        "--model",
        "shufflenet_v2_x0_5",
        "--weights",
        str(shuffle),
        "--data",
        str(pictures),
        "--classes",
        "sorted",
        "--methods",
        "grad_cam",
        "--out",
        str(tmp_path / "run"),
    ]
    done = run_command(*words, "--input-size=64", "--resize=squash", "--mean=0.5", "--std=0.5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(
        "input      64 × 64 RGB, whole image squashed (bilinear), mean 0.5, std 0.5 (--input-size"
    )
    assert "outputs in the order of the sorted names: blue, green, red" in done.stdout
    request = json.loads((tmp_path / "run" / "request.json").read_text())
    assert request["preprocessing"]["size"] == [64, 64]
    assert request["outputs"] == {"blue": 0, "green": 1, "red": 2}
    again = run_command(*words)
    assert again.returncode == 2
    assert "holds another run (the preprocessing (size: [64, 64], now [224, 224]" in again.stderr
    assert "--restart" in again.stderr


# -- photos that say how they were held ------------------------------------------------------------------


def test_exif_is_said_and_can_be_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.new("RGB", (20, 10)).save(tmp_path / "d" / name / "turned.jpg", exif=exif)
    source = open_data(str(tmp_path / "d"))
    assert source.load(0).size == (10, 20)
    assert source.reading == [
        "2 of 2 files looked at have an EXIF rotation, which is applied (--exif ignore for a network "
        "trained without it)"
    ]
    ignoring = open_data(str(tmp_path / "d"), limit=1).read_for(Preprocessing(exif="ignore"))
    assert ignoring.load(0).size == (20, 10)
    assert "which is ignored" in ignoring.reading[0]


def test_exif_belongs_to_the_request(tiny: Classifier, tmp_path: Path) -> None:
    """Rows, thumbnails and the reopened original are read alike."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("red", "green", "blue"):
        (tmp_path / "d" / name).mkdir(parents=True)
        Image.linear_gradient("L").convert("RGB").save(tmp_path / "d" / name / "turned.png", exif=exif)
    for how in ("apply", "ignore"):
        classifier = replace(tiny, preprocessing=replace(tiny.preprocessing, exif=how))
        run(classifier, FolderSource(tmp_path / "d"), tmp_path / how, ["grad_cam"])
        opened = open_run(tmp_path / how)
        pixels = np.asarray(opened.thumbnail_image(0).convert("L"), int)
        assert (pixels[0, -1] - pixels[0, 0] < -100) == (how == "apply")
        from explain.run.images import original

        again = original(opened, 0)
        assert again is not None
        assert (np.asarray(again)[0, 0, 0] > np.asarray(again)[0, -1, 0]) == (how == "apply")
    with pytest.raises(UserError, match="exif: ignore, now apply"):
        run(tiny, FolderSource(tmp_path / "d"), tmp_path / "ignore", ["grad_cam"])


# -- torchvision's two networks that rescale their input ---------------------------------------------------


def alive(model: torch.nn.Module) -> None:
    """Random weights whose signal does not fade over so many layers: batch norms with the statistics of
    noise."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        if getattr(model, "AuxLogits", None) is not None:  # takes no image so small, and is not looked at
            patch.setitem(model._modules, "AuxLogits", None), patch.setattr(model, "aux_logits", False)
        model.train()(torch.randn(2, 3, 96, 96))
    model.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "auxiliary"),
    [("googlenet", True), ("googlenet", False), ("inception_v3", True), ("inception_v3", False)],
)
@pytest.mark.usefixtures("random_weights")
def test_inception_and_googlenet_are_torchvisions(name: str, auxiliary: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = zoo.get_model(
        name, weights=None, init_weights=False, transform_input=True, aux_logits=auxiliary, num_classes=7
    )
    alive(theirs)
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    ours = registry.load(name, tmp_path / "mine.pth")
    image = Image.effect_noise((400, 350), 90).convert("RGB")
    expected = theirs(zoo.get_model_weights(name).DEFAULT.transforms()(image)[None])
    torch.testing.assert_close(logits(ours.model, ours.batch([image])), expected, rtol=1e-3, atol=1e-3)
    assert "rescaled inside the network (transform_input)" in ours.input_described
    plain = registry.load(name, tmp_path / "mine.pth", options=PreprocessingOptions(transform_input=False))
    assert (logits(plain.model, plain.batch([image])) - expected).abs().max() > 0.05
    assert plain.options[-1] == "--no-transform-input"


# -- names that nobody gave --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_thousand_outputs_are_not_imagenets_by_themselves(tmp_path: Path) -> None:
    torch.save(zoo.shufflenet_v2_x0_5(num_classes=1000).state_dict(), tmp_path / "mine.pth")
    classifier = registry.load("shufflenet_v2_x0_5", tmp_path / "mine.pth")
    assert classifier.classes == unnamed(1000)
    assert classifier.wordnet_ids == ()
    from models.classes.given_names import named_by_data

    named, message = named_by_data(classifier, ["n01440764", "n15075141"])
    assert (named.classes[0], named.wordnet_ids[999]) == ("tench", "n15075141")
    assert "WordNet ids" in message
    assert named_by_data(classifier, ["n01440764", "cat"])[0] is classifier
    assert (
        registry.load("shufflenet_v2_x0_5", tmp_path / "mine.pth", imagenet_names()).wordnet_ids[0]
        == "n01440764"
    )


def test_official_weights_are_known_by_name_and_checksum(tmp_path: Path) -> None:
    import hashlib
    from types import SimpleNamespace

    state = zoo.shufflenet_v2_x0_5(num_classes=1000).state_dict()
    torch.save(state, tmp_path / "x.pth")
    checksum = hashlib.sha256((tmp_path / "x.pth").read_bytes()).hexdigest()[:8]
    path = tmp_path / f"shufflenetv2_x0.5-{checksum}.pth"
    (tmp_path / "x.pth").rename(path)
    fake = [SimpleNamespace(url=f"https://host/models/{path.name}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.models.get_model_weights", lambda name: fake)
        assert official_weights("shufflenet_v2_x0_5", path) is fake[0]
        with path.open("ab") as file:
            file.write(b"x")
        assert official_weights("shufflenet_v2_x0_5", path) is None
    assert official_weights("shufflenet_v2_x0_5", path.rename(tmp_path / "mine.pth")) is None
