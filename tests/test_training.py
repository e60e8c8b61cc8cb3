"""Training: balance, augmentation, and data that does not fit in memory."""

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
from models.data.source import ImageSource, Item
from models.data.tensors import pixels
from models.errors import UserError
from models.preprocessing import UNIT
from models.training.augment import augment
from models.training.balance import class_weights, even_sampler, label_indices
from models.training.classify import Recipe, split_sources, train


def test_class_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2], [70, 25, 5])
    np.testing.assert_allclose(class_weights(labels, 3), compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-6)
    assert class_weights(labels, 4)[3] == 0


def test_sampler_draws_every_class_as_often() -> None:
    labels = np.repeat([0, 1, 2], [7000, 2500, 500])
    drawn = Counter(labels[list(even_sampler(labels, 3, seed=0))].tolist())
    assert sum(drawn.values()) == 10_000
    assert all(abs(count - 10_000 / 3) < 200 for count in drawn.values())
    assert list(even_sampler(labels, 3, 1)) == list(even_sampler(labels, 3, 1))


def test_augmentation_keeps_shape_and_range_and_is_seeded() -> None:
    x = torch.rand(6, 3, 32, 32)
    torch.manual_seed(3)
    first = augment(x)
    torch.manual_seed(3)
    assert torch.equal(augment(x), first)
    assert first.shape == x.shape
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1 + 1e-6
    assert not torch.allclose(first, x)
    flat = torch.full((4, 3, 16, 16), 0.37)
    torch.testing.assert_close(augment(flat), flat)  # no border is made up


class Part(ImageSource):
    """Pictures of one colour each; the right answer is the colour's name."""

    def __init__(self, root: str, labels: list[str]):
        self.name = self.root = root
        self.classes = tuple(sorted(set(labels)))
        self.items = [Item(str(i), label) for i, label in enumerate(labels)]

    def load(self, index: int) -> Image.Image:
        return Image.new("RGB", (8, 8), self.items[index].label)


def test_parts_are_kept_apart() -> None:
    both, same, odd = ["red", "blue"], Part("train", ["red", "blue"]), Part("test", ["red", "green"])
    parts = {"train": Part("train", both), "validation": Part("val", both), "test": Part("test", both)}
    assert split_sources(lambda split, _: parts[split]).test is parts["test"]
    assert split_sources(lambda split, _: (parts | {"test": parts["validation"]})[split]).test is None
    assert split_sources(lambda split, _: (parts | {"test": odd})[split]).test is None
    with pytest.raises(UserError, match="the same images"):
        split_sources(lambda split, _: (parts | {"validation": same})[split])


def test_labels_of_a_part_without_some_classes() -> None:
    """A test part that lacks the first class must not shift the others."""
    data = pixels(Part("test", ["red", "green", "red"]), UNIT, ("blue", "green", "red"), workers=0)
    assert [int(data[i][1]) for i in range(3)] == [2, 1, 2]


def test_unknown_balance(pictures: Path, tmp_path: Path) -> None:
    source = FolderSource(pictures)
    with pytest.raises(UserError, match="choose from none, weights, sampler"):
        train("fer_vgg", source, source, tmp_path / "x.safetensors", Recipe(balance="magic"))


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "balance"), [(0, "weights"), (0, "sampler"), (2**31, "sampler"), (2**31, "none")])
def test_unreadable_images_are_left_out(kept: int, balance: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory and read on the way (`kept` 0): neither losses nor counts break."""
    monkeypatch.setattr(tensors, "KEEP_BYTES", kept)
    (pictures / "red" / "0.png").write_text("no picture")
    source, out = FolderSource(pictures), tmp_path / "x.safetensors"
    result = train("fer_vgg", source, source, out, Recipe(epochs=1, batch_size=6, balance=balance))
    assert 0 <= result["validation_accuracy"] <= 1
    row = out.with_suffix(".csv").read_text().splitlines()[1]
    assert "nan" not in row
    assert checkpoints.describe(out)["training"]["balance"] == balance
    assert label_indices(source).tolist() == [0] * 6 + [1] * 6 + [2] * 6
