"""Training with several labels per image: losses against plain loops, sampling against its formula, measures
against scikit-learn, and a small training from the data to a run."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn import metrics

from models import checkpoints
from models.data import toon_attributes
from models.data.holdout import split_off
from models.data.open import open_data
from models.data.parts import Parts, open_parts
from models.data.source import ImageSource, Subset
from models.data.tensors import PixelDataset, readable, truth
from models.data.toon_attributes import CLASSES, ToonAttributes
from models.errors import UserError
from models.outputs.task import MULTI
from models.preprocessing import Preprocessing
from models.registry import load
from models.training.augment import Augmentation
from models.training.balance import draw_weights
from models.training.charts import Bars, charts
from models.training.keep import KeepBest
from models.training.measure import measure
from models.training.preview import format_text, preview
from models.training.progress import predictions_file
from models.training.recipe import Recipe
from models.training.seeds import train_seeds
from models.training.studies import fc_vs_conv, study
from models.training.tasks import TASKS
from models.training.train import Training
from models.training.trained import open_trained
from tests.command import launch, one_line
from tests.test_label_set_data import many

SIZE = 24


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """All faces of these tests are kept, not the last 64 alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toon_attributes, "draw_face", lru_cache(256)(toon_attributes.draw_face.__wrapped__))
        yield


@pytest.fixture(scope="module")
def faces() -> Parts:
    """Few drawn faces: 24 to train."""
    return Parts(
        ToonAttributes("train", SIZE), ToonAttributes("validation", SIZE), ToonAttributes("test", SIZE)
    )


# -- data --------------------------------------------------------------------------------------------


def test_sets_as_tensors(faces: Parts) -> None:
    sets = truth(faces.training, CLASSES)
    for row, item in zip(sets, faces.training.items, strict=True):
        assert [CLASSES[k] for k in row.nonzero()[:, 0]] == list(item.labels or ())
    rest, _ = split_off(faces.training, "validation")
    assert isinstance(rest, Subset)
    assert torch.equal(truth(rest, CLASSES), sets[torch.as_tensor(rest.kept)])


def test_an_image_that_cannot_be_read_has_no_labels(faces: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: ImageSource, index: int) -> None:
        raise UserError("broken")

    monkeypatch.setattr(ToonAttributes, "load", broken)
    size = Preprocessing(size=(32, 32), resize=None, mean=(0.5,) * 3, std=(0.5,) * 3)
    x, y = PixelDataset(faces.training, size, CLASSES)[0]
    assert not x.any()
    assert not bool(readable(y[None]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": MULTI, "balance": "weights"}, "pos_weight balances the loss"),
        ({"task": MULTI, "balance": "sampler", "balance_by": "x"}, "balance_by is for one class"),
        ({"task": MULTI, "pos_weight": "much"}, "give balanced, none, or a number"),
        ({"task": MULTI, "pos_weight": "-1"}, "a number above 0"),
        ({"task": MULTI, "loss": "mse"}, "choose from bce, focal"),
        ({"task": "classes", "loss": "focal"}, "choose from cross-entropy"),
        ({"task": "classes", "pos_weight": "none"}, "several labels per image, the task is classes"),
        ({"focal_gamma": -1.0}, "at least 0"),
        ({"loss": "hinge"}, "No loss 'hinge'"),
        ({"task": "x"}, "No task 'x': choose from single-label, multi-label, regression, affect"),
    ],
)
def test_recipe_says_what_does_not_apply(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Recipe(**changed)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_task_is_that_of_the_data(faces: Parts, pictures: Path, tmp_path: Path) -> None:
    one = open_parts(str(pictures))
    assert Recipe().of_data(one.training).task == "classes"
    assert Recipe().of_data(faces.training).task == MULTI
    assert (Recipe().smoothing, Recipe(task=MULTI).smoothing, Recipe(label_smoothing=0.1).smoothing) == (
        0.05,
        0.0,
        0.1,
    )
    assert Recipe(task=MULTI).differences({"task": MULTI}) == []
    assert Recipe(task="classes").differences({"label_smoothing": 0.05, "task": "classes"}) == []
    with pytest.raises(UserError, match="data of task multi-label: leave the task out"):
        Recipe(task="classes").of_data(faces.training)
    as_sets = open_parts(str(pictures), task=MULTI)
    assert all(part.multi_label for part in (as_sets.training, as_sets.validation, as_sets.test) if part)
    source = many(tmp_path)
    assert open_parts(str(tmp_path / "d" / "t.csv")).training.multi_label
    assert source.multi_label
    with pytest.raises(UserError, match="has one class only"):
        TASKS[MULTI].begun(Recipe(task=MULTI), _of_classes(faces.training, CLASSES[:1]))


def _of_classes(source: ImageSource, classes: tuple[str, ...]) -> ImageSource:
    made = ToonAttributes("train", len(source))
    made.classes = classes
    return made


def test_nothing_to_learn_or_to_choose_by(faces: Parts, tmp_path: Path) -> None:
    same = Subset(faces.training, np.array([0, 0, 0]))
    with pytest.raises(UserError, match=r"Every image of .* has the same labels"):
        Training("small_conv", None, replace(faces, training=same), tmp_path / "a.safetensors", Recipe())
    with pytest.raises(UserError, match=r"No label of .* add images to validation"):
        Training("small_conv", None, replace(faces, validation=same), tmp_path / "a.safetensors", Recipe())


def test_splits_that_show_one_label_each_are_read_as_sets(tmp_path: Path) -> None:
    """A test split in which no image happens to have two labels is of the same task as train."""
    for split, labels in {"train": ("a|b", "a", "b", "b|a") * 4, "test": ("a", "b")}.items():
        (tmp_path / split).mkdir()
        names = [f"{i}.png" for i in range(len(labels))]
        for i, name in enumerate(names):
            Image.new("RGB", (8, 8), (i * 9, 5 if split == "test" else 0, 0)).save(tmp_path / split / name)
        table = pd.DataFrame({"file_name": names, "label": labels})
        table.to_csv(tmp_path / split / "metadata.csv", index=False)
    assert not open_data(str(tmp_path), "test").multi_label
    parts = open_parts(str(tmp_path))
    assert parts.test is not None
    assert parts.test.multi_label
    assert parts.training.multi_label


@pytest.mark.slow
def test_corrected_sets_are_trained_on(tmp_path: Path) -> None:
    names = ToonAttributes("train", 3).items
    rows = [("toon_attributes/train", names[0].id, "hat|beard"), ("toon_attributes/train", names[1].id, "")]
    pd.DataFrame(rows, columns=["data", "image", "label"]).to_csv(tmp_path / "l.csv", index=False)
    training = open_parts("toon_attributes", labels=tmp_path / "l.csv").training
    sets = truth(training, CLASSES)
    assert {CLASSES[k] for k in sets[0].nonzero()[:, 0]} == {"hat", "beard"}
    assert [item.id for item in training.items[:2]] == [names[0].id, names[2].id]
    assert torch.equal(sets[1:], truth(ToonAttributes("train"), CLASSES)[2:])


@pytest.mark.slow
def test_preview_of_labels(faces: Parts) -> None:
    size = Preprocessing(size=(32, 32), resize=None, mean=(0.5,) * 3, std=(0.5,) * 3)
    found = {p.name: p for p in preview(faces.training, size, Augmentation(), each=1)}
    for name in CLASSES:
        assert found[name].count == sum(name in (item.labels or ()) for item in faces.training.items)
        assert len(found[name].before) == min(1, found[name].count)
    assert "24 of them distinct" in format_text(faces.training, Recipe())
    p = draw_weights(truth(faces.training, CLASSES)).numpy()
    assert f"{(1 - (1 - p) ** SIZE).sum():.0f} of them distinct" in format_text(
        faces.training, Recipe(balance="sampler")
    )


# -- trainings ---------------------------------------------------------------------------------------

QUICK = Recipe(epochs=2, batch_size=8, augmentation=Augmentation.parse("none"))


def curves(out: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(out.with_suffix(".csv").open())
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_trained_measured_and_read_again(faces: Parts, tmp_path: Path) -> None:
    """The file says its task; what is measured equals a plain loop over the network that was loaded from
    it."""
    out, lines = tmp_path / "a.safetensors", list[str]()
    assert train_seeds("small_conv", None, faces, out, QUICK, [0], "", False, lines.append)
    assert any(line.startswith("loss       binary cross-entropy of 14 labels") for line in lines)
    assert any("measured   mAP " in line and "of 24 test images" in line for line in lines)
    about, made = checkpoints.describe(out), load(str(out))
    assert (about["task"], tuple(about["classes"]), made.task) == (MULTI, CLASSES, MULTI)
    assert about["training"]["task"] == MULTI
    assert about["data"]["counts"]["glasses"] == sum(
        "glasses" in (i.labels or ()) for i in faces.training.items
    )
    assert faces.test is not None
    with torch.inference_mode():
        logits = made.model(made.batch([faces.test.load(i) for i in range(SIZE)])).numpy()
    truths = truth(faces.test, CLASSES).numpy() > 0
    known = [k for k in range(14) if 0 < truths[:, k].sum() < SIZE]
    each = [metrics.average_precision_score(truths[:, k], logits[:, k]) for k in known]
    assert about["metrics"]["test_mAP"] == pytest.approx(np.mean(each), abs=1e-6)
    assert about["metrics"]["validation_mAP"] == max(float(row["val_mAP"]) for row in curves(out))
    trained = open_trained(out)
    assert [c.key for c in charts(trained)] == ["loss", "mAP", "macro_f1", "ap"]
    bars = charts(trained)[-1]
    assert isinstance(bars, Bars)
    assert bars.names[0] == CLASSES[known[int(np.argmax(each))]]
    assert bars.values[0] == pytest.approx(max(each), abs=1e-6)
    assert trained.judged[2].shape == (SIZE, 14)


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_a_stopped_training_goes_on_as_if_nothing_had_been(
    balance: str, faces: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(QUICK, epochs=3, balance=balance, loss="focal", augmentation=Augmentation(), mixup=0.4)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    assert Training("small_conv", None, faces, whole, recipe).fit()
    real = KeepBest.on_train_epoch_start

    def power_cut(self: KeepBest, *args: object) -> None:
        if len(self.rows) == 1:
            raise OSError("power cut")
        real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(KeepBest, "on_train_epoch_start", power_cut)
    with pytest.raises(OSError, match="power cut"):
        Training("small_conv", None, faces, broken, recipe).fit()
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"pos_weight balanced \(now none\)"):
        Training("small_conv", None, faces, broken, replace(recipe, pos_weight="none")).fit()
    assert Training("small_conv", None, faces, broken, recipe).fit()
    assert len(curves(broken)) == 3
    for a, b in zip(curves(broken), curves(whole), strict=True):
        assert list(a) == list(b)
        np.testing.assert_allclose(
            [float(a[k]) for k in a if k != "step"], [float(b[k]) for k in b if k != "step"], rtol=2e-2
        )


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_a_head_for_other_labels(faces: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features and fine-tuning start from a network of several labels, and from one of classes."""
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    base, out = tmp_path / "base.safetensors", tmp_path / "a.safetensors"
    assert Training("small_conv", None, faces, base, replace(QUICK, epochs=1)).fit()
    recipe = replace(QUICK, recipe="finetune", head_epochs=2, epochs=1, unfreeze=1)
    training = Training(str(base), None, faces, out, recipe)
    assert training.fit()
    assert [step["step"] for step in training.keeper.description["steps"]] == ["head", "fine-tune"]
    assert load(str(out)).task == MULTI
    measured = measure(out, faces)
    assert 0 <= measured["test_mAP"] <= 1


@pytest.mark.slow
def test_commands_read_the_task_from_the_file(
    faces: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train` on data of sets, then `check` and `run` of its file without --task; the comparison of two
    trainings."""
    sizes = {"train": (0, SIZE), "validation": (1, SIZE), "test": (2, 12)}
    monkeypatch.setattr("models.data.toon_attributes.ToonAttributes.splits", sizes)
    monkeypatch.setattr("models.training.measure.save_charts", lambda charts, folder: None)
    out = tmp_path / "a.safetensors"
    words = ("train", "--model", "small_conv", "--data", "toon_attributes", "--epochs", 1, "--batch-size", 8)
    said = launch(*words, "--seeds", "0,1", "--balance", "sampler", "--out", out)
    assert "loss       binary cross-entropy of 14 labels" in said
    assert "test mAP" in said
    assert "over 2 seeds" in said
    assert "--data toon_attributes --split test" in said
    seeds = [out.with_suffix(f".seed{k}.safetensors") for k in (0, 1)]
    compared = launch("models", *seeds)
    assert "mAP by chance" in compared
    assert "AP\n" in compared
    run = tmp_path / "run"
    assert "mAP" in launch("run", "--model", seeds[0], "--data", "toon_attributes", "--out", run, "--force")
    assert '"task": "multi-label"' in (run / "request.json").read_text()
    assert "any number of labels per image" in one_line(
        "train", "--task", "single-label", "--data", "toon_attributes", "--out", tmp_path / "b.safetensors"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_a_study_of_several_labels(faces: Parts, tmp_path: Path) -> None:
    """Its table has the measures of the checkpoints; loss and mAP are counted anew here."""
    text, out = list[str](), tmp_path / "study"
    recipe = Recipe(epochs=1, batch_size=8, patience=1, augmentation=Augmentation.parse("none"))
    table = study(fc_vs_conv(recipe), faces, out, say=text.append)
    assert table is not None
    for _, row in table.iterrows():
        answers = pd.read_parquet(predictions_file(out / f"{row['model']}.safetensors"))
        answers = answers[answers["part"] == "test"]
        logits, truths = (torch.tensor(np.stack(answers[c].to_list())).double() for c in ("answer", "truth"))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truths)
        assert row["loss"] == pytest.approx(float(loss), rel=1e-5)
        there = [k for k in range(len(CLASSES)) if truths[:, k].any()]
        each = [metrics.average_precision_score(truths[:, k], logits[:, k]) for k in there]
        assert row["mAP"] == pytest.approx(np.mean(each))
        assert row["from"] <= row["mAP"] <= row["to"]
        assert f"{row['mAP']:.3f} ({row['from']:.3f} to {row['to']:.3f})" in text[-1]
    written = (out / "study.md").read_text()
    assert "mAP (95 % interval)" in written
    assert "24 images of 14 labels to train; loss (binary cross-entropy, nats) and mAP of 24 test" in written
