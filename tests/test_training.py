"""Training: balance, augmentation, parts that are kept apart, and images that cannot be read."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight

from models import checkpoints
from models.data import tensors
from models.data.folder import FolderSource
from models.data.holdout import held_out, split_off
from models.data.open import open_data
from models.data.parts import Parts, parts_of
from models.data.source import ImageSource, Item, NoSuchPart
from models.data.tensors import pixels, truth, workers
from models.errors import UserError
from models.preprocessing import UNIT
from models.training.augment import Augmentation
from models.training.balance import class_weights, sampler
from models.training.recipe import Recipe
from models.training.train import Training


def test_class_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2], [70, 25, 5])
    np.testing.assert_allclose(
        class_weights(labels, 3), compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-6
    )
    assert class_weights(labels, 4)[3] == 0


def test_sampler_draws_every_class_as_often() -> None:
    labels = torch.tensor([0] * 7000 + [1] * 2500 + [2] * 500)
    order = sampler(labels, "sampler", 3, seed=0)
    drawn = Counter(labels[list(order)].tolist())
    assert sum(drawn.values()) == len(order) == 10_000
    assert all(abs(count - 10_000 / 3) < 200 for count in drawn.values())


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_order_depends_on_seed_and_epoch_alone(balance: str) -> None:
    labels = torch.tensor([0, 1, 1, 2] * 50)
    first, second = sampler(labels, balance, 3, seed=1), sampler(labels, balance, 3, seed=1)
    list(first)  # an epoch that the other did not see
    first.set_epoch(1)
    second.set_epoch(1)
    assert list(first) == list(second)
    second.set_epoch(2)
    assert list(first) != list(second)
    if balance == "none":
        assert sorted(first) == list(range(200))


FACES = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)


def test_augmentation_keeps_shape_and_range_and_is_seeded() -> None:
    strong = Augmentation(light=0.5, contrast=0.5, erase=1)
    torch.manual_seed(3)
    first = strong(FACES)
    torch.manual_seed(3)
    assert torch.equal(strong(FACES), first)
    assert first.shape == FACES.shape
    assert float(first.min()) >= 0
    assert float(first.max()) <= 255 + 1e-3
    flat = torch.full((4, 3, 16, 16), 94, dtype=torch.uint8)
    torch.testing.assert_close(
        Augmentation(erase=1)(flat), flat.float(), atol=1e-3, rtol=0
    )  # no border is made up


def test_each_strength_does_what_it_says() -> None:
    off = Augmentation.parse("none")
    assert not off.varies
    torch.testing.assert_close(off(FACES), FACES.float())
    always = Augmentation(1, 0, 0, 0)
    torch.testing.assert_close(
        always(FACES), FACES.float().flip(3), atol=1e-3, rtol=1e-4
    )  # a mirror, never upside down
    lit = Augmentation(0, 0, 0, 0, light=0.2)(torch.full((200, 1, 4, 4), 100, dtype=torch.uint8))
    assert 40 < float(lit.min()) < 60  # 100 - 51
    assert 140 < float(lit.max()) < 160
    torch.testing.assert_close(lit, lit[:, :, :1, :1].expand_as(lit))  # one offset an image
    contrast = Augmentation(0, 0, 0, 0, contrast=0.5)(FACES.float().clamp(100, 150).byte())
    torch.testing.assert_close(
        contrast.mean((1, 2, 3)),
        FACES.float().clamp(100, 150).byte().float().mean((1, 2, 3)),
        atol=0.1,
        rtol=0,
    )
    ramp = torch.arange(0, 256, dtype=torch.uint8).repeat(64, 3, 64, 1)[..., ::4]
    erased = Augmentation(0, 0, 0, 0, erase=0.5)(ramp) != ramp.float()
    hit = erased.any(1).flatten(1).double().mean(1)
    assert 0.25 < float((hit > 0).double().mean()) < 0.75  # about half of the images
    assert float(hit[hit > 0].max()) < 0.25


def test_strengths_are_read_and_limited() -> None:
    assert Augmentation.parse("rotation=5, erase=0.25") == Augmentation(rotation=5, erase=0.25)
    assert Augmentation.parse(str(Augmentation(erase=0.1))) == Augmentation(erase=0.1)
    for text, message in (
        ("tilt=3", "no 'tilt'"),
        ("rotation", "NAME=NUMBER"),
        ("rotation=90", "between 0 and 45"),
        ("flip=-1", "between 0 and 1"),
    ):
        with pytest.raises(UserError, match=message):
            Augmentation.parse(text)


class Part(ImageSource):
    """Pictures of one color each; the right answer is the color's name."""

    def __init__(self, root: str, labels: list[str]):
        self.name = self.root = root
        self.classes = tuple(sorted(set(labels)))
        self.items = [Item(str(i), label) for i, label in enumerate(labels)]

    def load(self, index: int) -> Image.Image:
        return Image.new("RGB", (8, 8), self.items[index].label)


def test_parts_are_kept_apart() -> None:
    both, same, odd = ["red", "blue"], Part("train", ["red", "blue"]), Part("test", ["red", "green"])
    parts = {"train": Part("train", both), "validation": Part("val", both), "test": Part("test", both)}
    assert parts_of(lambda split: parts[split]).test is parts["test"]
    assert parts_of(lambda split: (parts | {"test": parts["validation"]})[split]).test is None
    with pytest.raises(UserError, match="classes that train lacks: green"):
        parts_of(lambda split: (parts | {"test": odd})[split])
    with pytest.raises(UserError, match="the same images"):
        parts_of(lambda split: (parts | {"validation": same})[split])


def test_validation_is_held_out_where_there_is_none() -> None:
    whole = {"train": Part("train", ["red"] * 40 + ["blue"] * 20), "test": Part("test", ["red", "blue"])}

    def open_split(name: str) -> ImageSource:
        if name not in whole:
            raise NoSuchPart("none")
        return whole[name]

    parts = parts_of(open_split)
    assert (len(parts.training), len(parts.validation)) == (51, 9)
    assert not {i.id for i in parts.training.items} & {i.id for i in parts.validation.items}
    assert "9 images held out of train" in parts.note
    assert Counter(i.label for i in parts.validation.items) == {"red": 6, "blue": 3}


def test_parts_are_held_out_of_data_without_any(pictures: Path) -> None:
    """Every class in every part, nothing twice, the same the next time; a class of two images is in train
    alone."""
    for extra in range(2):
        (pictures / "rare").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(pictures / "rare" / f"{extra}.png")
    parts = {name: open_data(str(pictures), name) for name in ("train", "validation", "test")}
    ids = [{i.id for i in part.items} for part in parts.values()]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 20
    assert Counter(i.label for i in parts["train"].items) == {"red": 4, "green": 4, "blue": 4, "rare": 2}
    assert Counter(i.label for i in parts["test"].items) == {"red": 1, "green": 1, "blue": 1}
    assert [i.id for i in open_data(str(pictures), "test").items] == [i.id for i in parts["test"].items]
    parts["test"].load(0)
    with pytest.raises(UserError, match="no split 'odd'"):
        open_data(str(pictures), "odd")


def test_held_out_shares() -> None:
    many = Part("many", ["red"] * 1000 + ["blue"] * 100)
    assert {name: len(held_out(many, name)) for name in ("train", "validation", "test")} == {
        "train": 770,
        "validation": 165,
        "test": 165,
    }
    rest, taken = split_off(many, "validation", 0.5)
    assert (len(rest), len(taken)) == (550, 550)


def test_labels_of_a_part_without_some_classes() -> None:
    """A test part that lacks the first class must not shift the others."""
    data = pixels(Part("test", ["red", "green", "red"]), UNIT, ("blue", "green", "red"), processes=0)
    assert [int(data[i][1]) for i in range(3)] == [2, 1, 2]


def test_one_batch_is_read_without_processes() -> None:
    assert workers(1, 64) == workers(64, 64) == 0
    assert workers(65, 64) == min(2, os.cpu_count() or 1)
    assert 1 <= workers(10_000, 64) <= 8


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"balance": "magic"}, "choose from none, weights, sampler"),
        ({"recipe": "x"}, "No recipe 'x'"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"epochs": 0}, "at least 1"),
        ({"label_smoothing": 1.0}, "between 0 and 1"),
        ({"unfreeze": 0}, "at least 1"),
    ],
)
def test_recipe_says_what_is_wrong(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Recipe(**changed)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kept", "balance"), [(0, "weights"), (0, "sampler"), (2**31, "sampler"), (2**31, "none")]
)
def test_unreadable_images_are_left_out(
    kept: int, balance: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory and read on the way (`kept` 0): neither losses nor counts break."""
    monkeypatch.setattr(tensors, "KEEP_BYTES", kept)
    (pictures / "red" / "0.png").write_text("no picture")
    source, out = FolderSource(pictures), tmp_path / "x.safetensors"
    assert truth(source, source.classes).tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert Training(
        "fer_vgg", None, Parts(source, source, None), out, Recipe(epochs=1, batch_size=6, balance=balance)
    ).fit()
    row = out.with_suffix(".csv").read_text().splitlines()[1]
    assert "nan" not in row
    assert checkpoints.describe(out)["training"]["balance"] == balance
