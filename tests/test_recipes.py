"""Heads, frozen bases, features, fine-tuning, valence and arousal, and trainings that are killed and go
on."""

import csv
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from models import checkpoints
from models.data.folder import FolderSource
from models.data.open import open_data
from models.data.parts import Parts, open_parts
from models.errors import UserError
from models.layers.heads import Head, attach, blocks, freeze
from models.registry import load, spec
from models.training import features as cached
from models.training.augment import Augmentation
from models.training.keep import KeepBest
from models.training.measure import measure
from models.training.progress import Progress, predictions_file
from models.training.recipe import Recipe, seeds_in
from models.training.train import Training

BASE, DEEP = "tiny_conv:toon_studios", "fer_vgg:toon_faces"
pytestmark = pytest.mark.usefixtures("charts_not_drawn")
QUICK = Recipe(epochs=3, batch_size=6, head_epochs=3)


@pytest.mark.parametrize(("text", "seeds"), [("0", [0]), ("2, 0,1", [2, 0, 1]), ("1,1", [1])])
def test_seeds(text: str, seeds: list[int]) -> None:
    assert seeds_in(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "0,", "-1", "1.5", "4294967296"])
def test_wrong_seeds(text: str) -> None:
    with pytest.raises(UserError, match="whole numbers"):
        seeds_in(text)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def parts(pictures: Path) -> Parts:
    source = FolderSource(pictures)
    return Parts(source, source, source)


@pytest.fixture
def few(pictures: Path) -> Parts:
    """Two pictures of each class, for large networks."""
    for path in pictures.rglob("[2-5].png"):
        path.unlink()
    source = FolderSource(pictures)
    return Parts(source, source, source)


def train(
    parts: Parts, out: Path, recipe: Recipe, model: str = "small_conv", again: bool = False
) -> Training:
    training = Training(model, None, parts, out, recipe)
    assert training.fit(again)
    return training


def curves(out: Path) -> list[dict[str, str]]:
    """Without the one column that differs from time to time."""
    return [
        {k: v for k, v in row.items() if k != "seconds"}
        for row in csv.DictReader(out.with_suffix(".csv").open())
    ]


# -- heads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2",
        "resnet18",
        pytest.param("alexnet", marks=pytest.mark.slow),
        "mobilenet_v3_small",
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
        pytest.param("vit_b_16", marks=pytest.mark.slow),
        "timm:mobilenetv1_100",
        "timm:convnext_atto",
        "fer_vgg",
        "fer_mobilenet",
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_a_new_head_fits_every_base(name: str) -> None:
    entry = spec(name)
    base = entry.build(None).eval()
    before, size = base.state_dict(), entry.preprocessing.size
    if not name.startswith(("vit", "fer")):  # of any size
        size = (64, 64)
    x = torch.rand(1, 3, *size)
    for kind, linears in (("linear", 1), ("dense", 3)):
        model = deepcopy(base)
        head = attach(model, kind, 5, size)
        assert isinstance(model.get_submodule(head), Head)
        assert sum(isinstance(m, nn.Linear) for m in model.get_submodule(head).modules()) == linears
        assert model(x).shape == (1, 5)
        for key, value in model.state_dict().items():
            assert key.startswith(head) or torch.equal(value, before[key])
        assert not any(m.training for m in model.modules())
        attach(model, kind, 4, size)  # a head of ours is exchanged whole
        assert model(x).shape == (1, 4)
        assert sum(isinstance(m, Head) for m in model.modules()) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("random_weights")
def test_vgg_and_alexnet_are_pooled_globally() -> None:
    model = spec("vgg11").build(None)
    attach(model, "linear", 3, (224, 224))
    assert model.classifier.linear.in_features == 512
    assert model.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    assert sum(p.numel() for p in model.parameters()) < 10e6  # 129 million before


@pytest.mark.slow
def test_blocks_stand_in_the_order_in_which_they_run() -> None:
    model = spec("mobilenet_v2").build(None)
    head = attach(model, "linear", 3, (224, 224))
    assert [n for n, _ in blocks(model, head)] == [f"features.{i}" for i in range(19)]
    model = spec("resnet50").build(None)
    names = [n for n, _ in blocks(model, attach(model, "linear", 3, (224, 224)))]
    assert names[0] == "conv1"  # with its batch-norm
    assert names[1] == "layer1.0"
    assert names[-1] == "layer4.2"
    assert len(names) == 17
    model = spec("fer_vgg").build(None)
    names = [n for n, _ in blocks(model, attach(model, "linear", 3, (128, 128)))]
    assert len(names) == 12  # ten convolutions and two dense layers, each with its batch-norm


def test_what_is_frozen() -> None:
    model = spec("mobilenet_v2").build(None)
    head = attach(model, "linear", 3, (224, 224))
    still, names = freeze(model, head, 2)
    assert names == ["features.17", "features.18"]
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learning == {
        n for n, _ in model.named_parameters() if n.startswith(("features.17.", "features.18.", f"{head}."))
    }
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = {id(m) for s in still for m in s.modules()}
    assert all(id(m) in kept for m in norms)
    with pytest.raises(UserError, match="has 19 blocks before its head"):
        freeze(model, head, 20)


# -- recipes -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_features_are_what_reaches_the_head(parts: Parts) -> None:
    classifier = load(BASE)
    head = attach(classifier.model, "linear", 3, classifier.input_size)
    x, y = cached.features(
        classifier.model, head, classifier.preprocessing, parts.training, parts.training.classes
    )
    assert y.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    batch = classifier.batch([parts.training.load(i) for i in range(18)])
    with torch.inference_mode():
        whole = classifier.model(batch)
        again = classifier.model.get_submodule(head)(x)
    torch.testing.assert_close(again, whole, atol=0.02, rtol=0.05)  # features are made in bfloat16
    assert isinstance(classifier.model.get_submodule(head), Head)


@pytest.mark.slow
def test_features_are_computed_once(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(parts, tmp_path / "a.safetensors", Recipe(recipe="features", head_epochs=2, batch_size=6), BASE)
    monkeypatch.setattr(cached, "DataLoader", None)  # reading images again would break
    train(
        parts,
        tmp_path / "b.safetensors",
        Recipe(recipe="features", head_epochs=2, batch_size=6, seed=1, head="dense"),
        BASE,
    )
    assert len(curves(tmp_path / "b.safetensors")) == 2


@pytest.mark.slow
def test_features_leave_the_base_alone_and_learn(parts: Parts, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    train(
        parts,
        out,
        Recipe(recipe="features", head_epochs=8, patience=8, batch_size=6, learning_rate=1e-2),
        BASE,
    )
    assert float(curves(out)[-1]["val_accuracy"]) > 0.9  # three colors
    base, made = load(BASE).model.state_dict(), load("", out).model.state_dict()
    assert all(torch.equal(base[k], made[k]) for k in base if not k.startswith("head."))
    assert {row["step"] for row in curves(out)} == {"head"}


@pytest.mark.slow
def test_fine_tuning_in_its_steps(few: Parts, tmp_path: Path) -> None:
    """Frozen blocks and every batch-norm statistic stay; the last blocks and the head move; steps are told
    and kept."""
    out = tmp_path / "a.safetensors"
    train(
        few,
        out,
        Recipe(
            recipe="finetune",
            epochs=2,
            head_epochs=2,
            patience=9,
            batch_size=6,
            unfreeze=3,
            label_smoothing=0.0,
        ),
        DEEP,
    )
    assert [row["step"] for row in curves(out)] == ["head"] * 2 + ["fine-tune"] * 2
    assert [int(row["epoch"]) for row in curves(out)] == [1, 2, 3, 4]
    about = checkpoints.describe(out)
    steps = ["head"] if about["metrics"]["epoch"] <= 2 else ["head", "fine-tune"]
    assert [s["step"] for s in about["steps"]] == steps
    # the last epoch is not always the best: look at the network itself
    training = Training(
        DEEP,
        None,
        few,
        tmp_path / "b.safetensors",
        Recipe(recipe="finetune", epochs=1, head_epochs=1, batch_size=6, unfreeze=3),
    )
    base = load(DEEP).model.state_dict()
    assert training.fit()
    made = training.keeper.model.state_dict()
    changed = {k for k in base if not k.startswith("head.") and not torch.equal(base[k], made[k])}
    assert not any("running" in k or "batches" in k for k in changed)
    last = training.keeper.description["steps"][1]["trained"]
    assert last == ["features.35", "hidden.0", "hidden.4", "head"]
    assert {f"{name}.weight" for name in last[:3]} <= changed
    assert all(
        k.startswith(("features.35.", "features.36.", "hidden.")) for k in changed
    )  # 36 is the batch-norm of 35


@pytest.mark.slow
@pytest.mark.parametrize("head", ["linear", "dense"])
def test_a_transferred_checkpoint_is_loaded_by_its_path(head: str, few: Parts, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    checkpoints.save(tmp_path / "base.safetensors", spec("mobilenet_v2").build(None), {})
    recipe = Recipe(recipe="features", head_epochs=1, batch_size=6, head=head)
    assert Training("mobilenet_v2", str(tmp_path / "base.safetensors"), few, out, recipe).fit()
    classifier = load("", out)
    assert classifier.classes == few.training.classes
    assert classifier.input_size == (224, 224)
    assert classifier.name == "mobilenet_v2:pictures"
    with torch.inference_mode():
        assert classifier.model(classifier.batch([few.training.load(0)])).shape == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_killed_training_goes_on_as_if_nothing_had_been(
    schedule: str, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(
        epochs=4, batch_size=6, patience=9, mixup=0.4, schedule=schedule, augmentation=Augmentation(erase=0.3)
    )
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    train(parts, whole, recipe)
    real = KeepBest.on_train_epoch_start

    def power_cut(self: KeepBest, *args: object) -> None:
        if len(self.rows) == 2:
            raise OSError("power cut")
        real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(KeepBest, "on_train_epoch_start", power_cut)
    with pytest.raises(OSError, match="power cut"):
        train(parts, broken, recipe)
    monkeypatch.undo()
    assert len(curves(broken)) == 2
    before = Progress.read(broken)
    assert before is not None
    assert before.state == "failed"
    train(parts, broken, recipe)
    assert [list(row) for row in curves(broken)] == [list(row) for row in curves(whole)]
    for a, b in zip(curves(broken), curves(whole), strict=True):
        np.testing.assert_allclose(
            [float(a[k]) for k in a if k != "step"], [float(b[k]) for k in b if k != "step"], rtol=2e-2
        )


@pytest.mark.slow
def test_what_is_there_is_not_lost(parts: Parts, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    one = Recipe(epochs=1, batch_size=6)
    training = train(parts, out, one)
    training.progress.say(out, "stopped")
    with pytest.raises(UserError, match=r"epochs 1 \(now 2\).*--again"):
        train(parts, out, Recipe(epochs=2, batch_size=6))
    assert open_data(str(parts.training.root)).fingerprint() == parts.training.fingerprint()
    training.progress.say(out, "running")
    with pytest.raises(UserError, match="is being trained by process"):
        train(parts, out, one)
    training.finish("done")
    assert not out.with_suffix(".resume.ckpt").exists()
    with pytest.raises(UserError, match="is finished"):
        train(parts, out, one)
    train(parts, out, one, again=True)
    Progress.path(out).unlink()
    with pytest.raises(UserError, match="exists: choose another"):
        train(parts, out, one)


# -- measures ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_measured_from_the_file_alone(parts: Parts, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    train(parts, out, Recipe(epochs=1, batch_size=6))
    metrics = measure(out, parts)
    table = pd.read_parquet(predictions_file(out))
    assert table.groupby("part").size().to_dict() == {"test": 18, "validation": 18}
    model = load("", out)
    with torch.inference_mode():
        answer = model.model(model.batch([parts.training.load(i) for i in range(18)]))
    np.testing.assert_allclose(
        np.stack(table[table.part == "test"].answer.to_list()), answer.numpy(), atol=1e-4
    )
    hits = float((answer.argmax(1).numpy() == table[table.part == "test"].truth).mean())
    assert metrics["test_accuracy"] == metrics["test"]["accuracy"] == pytest.approx(hits)
    assert checkpoints.describe(out)["metrics"] == metrics
    assert metrics["cost"]["parameters"] == sum(p.numel() for p in model.model.parameters())
    assert metrics["cost"]["bytes"] == pytest.approx(out.stat().st_size, abs=20_000)
    assert metrics["cost"]["images_per_second"] > 0


@pytest.mark.slow
def test_valence_and_arousal_are_learned(tmp_path: Path) -> None:
    """Brightness is valence, redness arousal: a table of numbers, one row of them out of range."""
    rng, rows = np.random.default_rng(0), []
    for i in range(120):
        v, a = rng.uniform(-1, 1, 2)
        pixels = np.full((16, 16, 3), 127 + 80 * v) + np.array([40, -20, -20]) * a
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(tmp_path / f"{i}.png")
        rows.append((f"{i}.png", v, a, "test" if i % 5 == 0 else "val" if i % 5 == 1 else "train"))
    rows.append(("0.png", -2, -2, "train"))
    path, out = tmp_path / "faces.csv", tmp_path / "a.safetensors"
    pd.DataFrame(rows, columns=["image", "Valence", "Arousal", "split"]).to_csv(path, index=False)
    found = open_parts(str(path), task="affect")
    assert len(found.training) == 72
    recipe = Recipe("features", head_epochs=15, patience=15, batch_size=24, learning_rate=4e-2, task="affect")
    assert Training(BASE, None, found, out, recipe).fit()
    metrics = measure(out, found)
    assert metrics["test"]["ccc"]["valence"] > 0.5
    assert metrics["test"]["ccc"]["arousal"] > 0.4
    assert metrics["test"]["images"] == 24
    assert checkpoints.describe(out)["classes"] == ["valence", "arousal"]
    with pytest.raises(UserError, match="is no table"):
        open_parts("toon_faces", task="affect")
