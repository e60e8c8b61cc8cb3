"""Models and data sources that a module outside of Vitrine registers: found, run, opened again, refused when
their name is taken; nothing is left registered."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import vitrine
from explain.run.engine import run
from explain.run.images import original
from explain.run.model import network_of
from explain.run.reader import open_run
from models import checkpoints, registry
from models.data import registry as data_registry
from models.data.kind import DataRequest
from models.data.open import open_data
from models.data.reopen import is_private, reopen
from models.data.source import ImageSource, Item, NoParts
from models.errors import UserError
from models.preprocessing import Preprocessing

CLASSES = ("dark", "light")
FED = Preprocessing((32, 32), None, (0.5,) * 3, (0.5,) * 3)


def network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, outputs),
    )


def grey(item_id: str) -> Image.Image:
    return Image.new("RGB", (32, 32), (int(item_id) * 20,) * 3)


class Greys(ImageSource):
    """Twelve squares from black to light grey, drawn from their numbers."""

    def __init__(self, request: DataRequest):
        if request.split:
            raise NoParts("greys have no splits")
        self.name, self.root, self.classes = "greys", "greys:12", CLASSES
        self.items = [Item(f"{i}", CLASSES[i // 6]) for i in range(12)]

    def load(self, index: int) -> Image.Image:
        return grey(self.items[index].id)


@pytest.fixture
def registered() -> Iterator[None]:
    before = (registry.names(), data_registry.kinds())
    vitrine.register_model("greynet", lambda: network(), CLASSES, FED, "two greys")
    vitrine.register_data_source("greys", Greys, reopen=lambda root, item_id: grey(item_id), private=False)
    yield
    registry.unregister_model("greynet")
    data_registry.unregister_data_source("greys")
    assert (registry.names(), data_registry.kinds()) == before


@pytest.mark.usefixtures("registered")
def test_a_run_of_what_was_registered_is_opened_again(tmp_path: Path) -> None:
    classifier, source = registry.load("greynet"), open_data("greys", known=CLASSES)
    assert (classifier.name, classifier.classes, classifier.preprocessing) == ("greynet", CLASSES, FED)
    run(classifier, source, tmp_path / "run", ["grad_cam"])
    opened = open_run(tmp_path / "run")
    assert opened.manifest.data_root == "greys:12"
    row = opened.table.index[opened.table["id"] == "7"][0]
    assert original(opened, row) == grey("7")
    again = network_of(opened.manifest)
    assert (again.classes, again.weights_hash) == (CLASSES, classifier.weights_hash)


@pytest.mark.usefixtures("registered")
def test_vitrine_runs_them_by_name(tmp_path: Path) -> None:
    made = vitrine.run(vitrine.load("greynet"), "greys:any", tmp_path / "run", split="test")
    assert set(made.table["label"]) == {0, 1}  # held out, class by class
    assert ("greynet", "two greys") in list(registry.listed())


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "name",
    ["greynet", "fer_vgg", "fer_vgg:toon_faces", "resnet50", "timm:x", "x.pth", "", "a b!/x", "-x", "é"],
)
def test_a_model_under_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"exists|is no name"):
        vitrine.register_model(name, network, CLASSES, FED)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "name", ["greys", "toon_faces", "torchvision", "table", "folder", "c", "a:b", "a/b", "!! $x", "-xy"]
)
def test_a_data_source_under_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"exists|is no name"):
        vitrine.register_data_source(name, Greys)


@pytest.mark.usefixtures("registered")
def test_weights_of_a_file_fill_a_registered_model(tmp_path: Path) -> None:
    other = network()
    with torch.no_grad():
        other[0].weight.mul_(2)
    checkpoints.save(tmp_path / "own.safetensors", other, {"architecture": "greynet", "classes": ["a", "b"]})
    by_file = registry.load(str(tmp_path / "own.safetensors"))
    assert (by_file.classes, by_file.name) == (("a", "b"), "greynet")
    assert by_file.weights_hash != registry.load("greynet").weights_hash
    torch.save(other.state_dict(), tmp_path / "foreign.pth")
    assert registry.load("greynet", tmp_path / "foreign.pth").classes == CLASSES
    with pytest.raises(UserError, match="registered for 2 classes, 5 are needed"):
        registry.spec("greynet").build(5)


def test_a_builder_that_takes_the_number_of_classes() -> None:
    registry.register_model("greynets", network, ["a", "b", "c"], FED)  # its argument has a default
    try:
        with pytest.raises(UserError, match="3 class names for 2 outputs"):
            registry.load("greynets")
    finally:
        registry.unregister_model("greynets")
    registry.register_model("greynets", lambda classes: network(classes), ["a", "b", "c"], FED)
    try:
        assert registry.load("greynets").classes == ("a", "b", "c")
        assert registry.spec("greynets").build(7)(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    finally:
        registry.unregister_model("greynets")
    with pytest.raises(UserError, match="No model 'greynets'"):
        registry.load("greynets")
    with pytest.raises(UserError, match="No model 'greynets' is registered"):
        registry.unregister_model("greynets")


def test_private_pictures_need_trust_and_odd_sources_are_refused() -> None:
    data_registry.register_data_source(
        "lines", lambda request: request.text, lambda text: text.endswith(".lines"), lambda root, i: grey(i)
    )
    try:
        assert is_private("lines:a")
        assert reopen("lines:a", "3") == grey("3")
        assert reopen("lines:a", "3", trusted=False) is None
        with pytest.raises(UserError, match=r"'lines' opens a str: return a .*ImageSource"):
            open_data("my.lines")
    finally:
        data_registry.unregister_data_source("lines")
    with pytest.raises(UserError, match="No data source 'lines' is registered"):
        data_registry.unregister_data_source("lines")
    assert is_private("lines:a")  # a folder of this name, as any other
    assert not is_private("toon_faces:0")
    assert not is_private("torchvision:CIFAR10:test")


@pytest.mark.slow
def test_every_kind_of_model_is_listed_by_names_that_it_recognizes() -> None:
    for source in registry.SOURCES:
        for name, about in source.listed():
            assert source.recognizes(name)
            assert about
            assert registry.spec(name).build(3, None) is not None
    assert np.unique(registry.names()).size == len(registry.names())


def test_what_is_no_builder_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="pass a function that returns the network"):
        vitrine.register_model("mine", network(), CLASSES, FED)
    vitrine.register_model("mine", lambda: None, CLASSES, FED)  # type: ignore[arg-type, return-value]
    try:
        with pytest.raises(UserError, match="returned NoneType"):
            registry.load("mine")
    finally:
        vitrine.unregister_model("mine")


def test_every_public_name_is_listed() -> None:
    assert set(vitrine.__all__) <= set(dir(vitrine))
    assert all(callable(getattr(vitrine, name)) for name in vitrine.__all__)
