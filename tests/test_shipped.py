"""What comes with Vitrine: each network with its card, its curves, and the accuracy that it claims."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Subset

from explain.network.fused import fused_copy
from models import checkpoints, registry
from models.data.folder import FolderSource
from models.data.tensors import PixelDataset
from models.shipped import shipped
from models.training.progress import Progress
from models.training.recipe import Recipe
from models.training.trained import described

SHIPPED = shipped()
GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", SHIPPED)
def test_card_curves_and_size(name: str) -> None:
    path = SHIPPED[name]
    about = checkpoints.describe(path)
    assert path.stat().st_size <= 8e6
    assert path.with_suffix(".csv").read_text().count("\n") == about["training"]["epochs"] + 1
    card = path.with_suffix(".md").read_text()
    assert f"{100 * about['metrics']['test_accuracy']:.1f} %" in card
    assert all(word in card for word in (about["architecture"], "must not be used", *about["classes"]))


def test_recipes_of_earlier_versions_are_read_with_current_keys(tmp_path: Path) -> None:
    """Shipped files were written when the key was `optimiser`."""
    path = SHIPPED["fer_vgg:fer2013"]
    assert b"optimiser" in path.read_bytes()[:20_000]
    for about in (checkpoints.describe(path), checkpoints.read(path)[1], described(path)):
        assert about["training"]["optimizer"] == "adamw"
        assert "optimiser" not in about["training"]
    kept = Recipe(optimizer="sgd").as_dict()
    kept["optimiser"] = kept.pop("optimizer")
    out = tmp_path / "out.safetensors"
    Progress({"recipe": kept}).write(out)
    before = Progress.read(out)
    assert before is not None
    assert Recipe(optimizer="sgd").differences(before.plan["recipe"]) == []
    assert Recipe().differences(before.plan["recipe"])[0] == "learning_rate 0.02 (now 0.002)"


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in SHIPPED if name.endswith(":fer2013")])
def test_fer2013_accuracy_is_what_the_card_says(name: str, fer2013: Path) -> None:
    """By predictions of all 3,589 faces that were kept as digits; every twelfth face is predicted again.

    In bfloat16, which takes a third of the time: a few of these 300 may be called otherwise.
    """
    classifier = registry.load(name)
    fed, source = classifier.preprocessing, FolderSource(fer2013, "test")
    kept = [int(digit) for digit in (GOLDEN / f"{name.replace(':', '.')}.txt").read_text().strip()]
    truth = [classifier.classes.index(item.label) for item in source.items]
    claimed = classifier.metadata["metrics"]["test"]
    assert len(kept) == len(source) == claimed["images"] == 3589
    accuracy = sum(a == b for a, b in zip(kept, truth, strict=True)) / 3589
    assert accuracy == pytest.approx(claimed["accuracy"], abs=2e-3)
    few, again = range(0, 3589, 12), list[int]()
    faces = Subset(PixelDataset(source, fed, classifier.classes), few)
    network = fused_copy(classifier.model, torch.zeros(1, 3, *fed.size), (), "bf16")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for x, _ in DataLoader(faces, 64):
            again += network(fed.normalize(x)).argmax(1).tolist()
    assert sum(kept[face] != found for face, found in zip(few, again, strict=True)) <= 3
