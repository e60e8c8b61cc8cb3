"""What comes with Vitrine: each network with its card, its curves, and the accuracy that it claims."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset

from explain.network.fused import fused_copy
from models import checkpoints, registry
from models.data.open import open_data
from models.data.tables.votes import VoteColumns
from models.data.tensors import PixelDataset
from models.shipped import shipped
from models.training.progress import Progress
from models.training.recipe import Recipe
from models.training.trained import described

SHIPPED = shipped()
GOLDEN = Path(__file__).parent / "golden"
VOTES = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt"
FACES: dict[str, tuple[dict[str, Any], int]] = {
    "fer2013": ({"label_col": "fer2013"}, 3558),
    "ferplus": ({"votes": VoteColumns.parse(VOTES, "unknown,NF")}, 3153),
}
"""Labels of the same faces -> how they are opened, and how many test faces have one."""


@pytest.mark.parametrize("name", SHIPPED)
def test_card_curves_and_size(name: str) -> None:
    path = SHIPPED[name]
    about = checkpoints.describe(path)
    assert path.stat().st_size <= 8e6
    recipe = about["training"]
    epochs = recipe["epochs"] + (recipe["head_epochs"] if recipe.get("recipe") == "finetune" else 0)
    assert path.with_suffix(".csv").read_text().count("\n") == epochs + 1
    card = " ".join(path.with_suffix(".md").read_text().split())
    assert f"{100 * about['metrics']['test_accuracy']:.1f} %" in card
    assert all(word in card for word in (about["architecture"], "must not be used", *about["classes"]))


def test_recipes_of_earlier_versions_are_read_with_current_keys(tmp_path: Path) -> None:
    """The key was `optimiser`, which is as long."""
    path, now = tmp_path / "old.safetensors", SHIPPED["tiny_conv:toon_studios"].read_bytes()
    assert now.count(b"optimizer") == 1
    path.write_bytes(now.replace(b"optimizer", b"optimiser"))
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
@pytest.mark.parametrize("name", [name for name in SHIPPED if name.partition(":")[2] in FACES])
def test_accuracy_on_faces_is_what_the_card_says(name: str, ferplus: Path) -> None:
    """By predictions of all test faces that were kept as digits; every 24th face is predicted again.

    In bfloat16, which takes a third of the time: one of these 150 may be called otherwise.
    """
    classifier = registry.load(name)
    options, count = FACES[name.partition(":")[2]]
    fed, source = classifier.preprocessing, open_data(str(ferplus), "test", **options)
    kept = [int(digit) for digit in (GOLDEN / f"{name.replace(':', '.')}.txt").read_text().strip()]
    truth = [classifier.classes.index(item.label) for item in source.items]
    claimed = classifier.metadata["metrics"]["test"]
    assert len(kept) == len(source) == claimed["images"] == count
    accuracy = sum(a == b for a, b in zip(kept, truth, strict=True)) / count
    assert accuracy == pytest.approx(claimed["accuracy"], abs=2e-3)
    few, again = range(0, count, 24), list[int]()
    faces = Subset(PixelDataset(source, fed, classifier.classes), few)
    network = fused_copy(classifier.model, torch.zeros(1, 3, *fed.size), (), "bf16")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for x, _ in DataLoader(faces, 64):
            again += network(fed.normalize(x)).argmax(1).tolist()
    assert sum(kept[face] != found for face, found in zip(few, again, strict=True)) <= 1
