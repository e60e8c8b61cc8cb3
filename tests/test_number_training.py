"""Training for numbers: losses against plain loops, units that the file answers in, and a small training from
the data to a run."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn
from torchmetrics.functional import concordance_corrcoef, pearson_corrcoef

from dashboard.components.listed.training_list import outcome, state
from dashboard.tabs.train_form import TrainForm
from models import checkpoints
from models.data.parts import Parts, open_parts
from models.data.source import Subset
from models.data.tensors import truth
from models.errors import UserError
from models.measures.affect import AXES
from models.measures.numbers import number_measures
from models.outputs.task import REGRESSION, as_named
from models.preprocessing import UNIT
from models.registry import load
from models.training.augment import Augmentation
from models.training.charts import charts
from models.training.number_tasks import Affect, Numbers
from models.training.preview import format_text, preview
from models.training.recipe import Recipe
from models.training.seeds import train_seeds
from models.training.tasks import TASKS
from models.training.train import Training
from models.training.trained import open_trained
from tests.command import launch, one_line
from tests.number_source import OUTPUTS, Tinted
from tests.test_label_train_tab import fields, form, shown, values

__all__ = ["form"]
QUICK = Recipe(epochs=3, batch_size=8, patience=9, augmentation=Augmentation.parse("none"))


@pytest.fixture(scope="module")
def tinted(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("tinted")
    return Parts(*(Tinted(folder / name, 24) for name in ("train", "validation", "test")))


def plain_loss(answer: Tensor, truths: Tensor, kind: str) -> float:
    """One image and output after the other; `truths` in standard deviations."""
    known = [i for i in range(len(truths)) if not torch.isnan(truths[i]).any()]
    pairs = [[(float(answer[i, k]), float(truths[i, k])) for i in known] for k in range(truths.shape[1])]
    if kind == "ccc":
        found = []
        for each in pairs:
            a, t = (np.array(column) for column in zip(*each, strict=True))
            covariance = ((a - a.mean()) * (t - t.mean())).mean()
            found.append(1 - 2 * covariance / (a.var() + t.var() + (a.mean() - t.mean()) ** 2))
        return float(np.mean(found))
    errors = [abs(a - t) for each in pairs for a, t in each]
    if kind == "mse":
        return math.fsum(e * e for e in errors) / len(errors)
    return math.fsum(e * e / 2 if e <= 1 else e - 0.5 for e in errors) / len(errors)


@pytest.mark.parametrize("kind", ["mse", "huber", "ccc"])
def test_losses_equal_plain_loops(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    answer, aim = (torch.randn(9, 3, generator=generator) * 1.5 for _ in range(2))
    mean, std = torch.tensor([0.0, 100.0, -3.0]), torch.tensor([1.0, 20.0, 0.1])
    aim[4] = math.nan
    task = Numbers(("a", "b", "c"), kind, mean, std)
    assert float(task.loss(answer, aim * std + mean)) == pytest.approx(
        plain_loss(answer, aim, kind), rel=1e-4
    )
    assert float(Affect(AXES, kind).loss(answer[:, :2], aim[:, :2])) == pytest.approx(
        plain_loss(answer[:, :2], aim[:, :2], kind), rel=1e-5
    )
    assert float(task.loss(answer, torch.full((9, 3), math.nan))) == 0


def test_measures_equal_those_of_others() -> None:
    rng = np.random.default_rng(0)
    truths = rng.normal(50, 10, (60, 2))
    answer = truths * 0.8 + rng.normal(5, 4, truths.shape)
    found = number_measures(answer, truths)
    for k in range(2):
        a, t = answer[:, k], truths[:, k]
        assert found["mae"][k] == pytest.approx(metrics.mean_absolute_error(t, a))
        assert found["rmse"][k] == pytest.approx(metrics.mean_squared_error(t, a) ** 0.5)
        assert found["r2"][k] == pytest.approx(metrics.r2_score(t, a))
        both = torch.tensor(a), torch.tensor(t)
        assert found["pearson"][k] == pytest.approx(float(pearson_corrcoef(*both)))
    assert np.isnan(number_measures(answer, np.ones((60, 2)))["r2"]).all()
    assert found["ccc"].shape == concordance_corrcoef(torch.tensor(answer), torch.tensor(truths)).shape


def test_what_is_saved_answers_in_units_of_the_data() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    task = Numbers(("a", "b"), "mse", torch.tensor([40.0, -1.0]), torch.tensor([12.0, 0.01]))
    x, before = torch.randn(3, 3, 2, 2), {k: v.clone() for k, v in model.state_dict().items()}
    plain = model(x)
    with task.as_saved(model):
        torch.testing.assert_close(model(x), plain * task.std + task.mean)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    task.require_network(model, x)
    with pytest.raises(UserError, match="are not those of its last linear layer"):
        task.require_network(nn.Sequential(*model, nn.Sigmoid()), x)
    with pytest.raises(UserError, match="does not end in a linear layer"):
        task.require_network(nn.Sequential(nn.Conv2d(3, 2, 2), nn.Flatten()), x)


def test_the_task_is_that_of_the_data(tinted: Parts) -> None:
    recipe = Recipe().of_data(tinted.training)
    assert (recipe.task, recipe.loss_name, recipe.smoothing) == (REGRESSION, "mse", 0.0)
    task = TASKS[REGRESSION].begun(recipe, tinted.training)
    assert isinstance(task, Numbers)
    numbers = np.array([item.numbers for item in tinted.training.items])
    np.testing.assert_allclose(truth(tinted.training, OUTPUTS), numbers, rtol=1e-6)
    np.testing.assert_allclose(task.mean, numbers.mean(0), rtol=1e-5)
    np.testing.assert_allclose(task.std, numbers.std(0), rtol=1e-5)
    some = Subset(tinted.training, np.array([3, 1]))
    np.testing.assert_allclose(truth(some, OUTPUTS), numbers[[3, 1]], rtol=1e-6)
    same = Subset(tinted.training, np.array([3, 3]))
    with pytest.raises(UserError, match="red is the same for all images"):
        TASKS[REGRESSION].begun(recipe, same)
    with pytest.raises(UserError, match="--balance is for classes, and tinted has none"):
        TASKS[REGRESSION].begun(replace(recipe, balance="sampler"), tinted.training)
    with pytest.raises(UserError, match="choose from mse, huber, ccc"):
        replace(recipe, loss="bce")
    assert [p.name for p in preview(tinted.training, UNIT, Augmentation(), each=1)] == ["all"]
    assert "24 of them distinct" in format_text(tinted.training, Recipe())


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
@pytest.mark.parametrize("loss", ["", "ccc"])
def test_trained_measured_and_read_again(loss: str, tinted: Parts, tmp_path: Path) -> None:
    """What is measured equals the answers of the file, in units of the data."""
    out, lines = tmp_path / "a.safetensors", list[str]()
    recipe = replace(QUICK, loss=loss, epochs=12, learning_rate=0.01)
    assert train_seeds("small_conv", None, tinted, out, recipe, [0], "", False, lines.append)
    about, made = checkpoints.describe(out), as_named(load(str(out)))
    assert (about["task"], tuple(about["classes"]), made.task) == (REGRESSION, OUTPUTS, REGRESSION)
    assert tinted.test is not None
    with torch.inference_mode():
        answer = made.model(made.batch([tinted.test.load(i) for i in range(24)])).numpy()
    truths = np.array([item.numbers for item in tinted.test.items])
    for k, name in enumerate(OUTPUTS):
        measured = {m: about["metrics"]["test"][m][name] for m in ("mae", "rmse", "r2")}
        assert measured["mae"] == pytest.approx(
            metrics.mean_absolute_error(truths[:, k], answer[:, k]), rel=1e-3
        )
        assert measured["r2"] == pytest.approx(metrics.r2_score(truths[:, k], answer[:, k]), abs=1e-3)
    assert np.corrcoef(answer[:, 2], truths[:, 2])[0, 1] > 0.8  # it has learned
    trained = open_trained(out)
    assert [c.key for c in charts(trained)] == ["loss", "ccc"]
    assert state(trained).startswith("CCC red ")
    assert "mae light" in outcome(trained)
    assert any("measured   red: MAE " in line and "R² " in line for line in lines)
    again = Training(
        "small_conv", None, tinted, tmp_path / "b.safetensors", replace(recipe, recipe="scratch")
    )
    assert again.recipe.differences(about["training"]) == []


@pytest.mark.slow
def test_from_the_command_line_to_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output, of a table; `run` and `check` read the task from the file and the data."""
    monkeypatch.setattr("models.training.measure.save_charts", lambda charts, folder: None)
    source, out = Tinted(tmp_path / "images", 60), tmp_path / "a.safetensors"
    data = ("--data", source.table(tmp_path / "t.csv"), "--label-col", "light")
    said = launch("train", "--model", "small_conv", *data, "--epochs", 2, "--batch-size", 8, "--out", out)
    assert "loss       squared error of light" in said
    assert "light: MAE " in said
    assert f"run --model {out} --data {data[1]} --label-col light --split test" in said
    run = tmp_path / "run"
    launch("run", "--model", out, *data, "--split", "test", "--out", run, "--force")
    assert '"task": "regression"' in (run / "request.json").read_text()
    single = ("train", "--task", "single-label", "--model", "small_conv", *data)
    assert "holds measured numbers" in one_line(*single, "--out", tmp_path / "b.safetensors")
    assert (
        "study takes data with one label per image, or several, as it compares accuracy or mAP; t"
        in one_line("study", "fc-vs-conv", *data, "--out", tmp_path / "study")
    )
    parts = open_parts(str(data[1]), label_col="red,light")
    assert parts.training.classes == ("red", "light")


@pytest.mark.slow
def test_whole_numbers_are_numbers_for_what_was_trained_on_them(tmp_path: Path) -> None:
    """The file names its output as the column of the data."""
    source, out = Tinted(tmp_path / "images", 40), tmp_path / "a.safetensors"
    path = source.table(tmp_path / "t.csv")
    pd.read_csv(path).assign(age=range(20, 60))[["image", "age"]].to_csv(path, index=False)
    words = ("--data", path, "--label-col", "age")
    told = (*words, "--task", "regression", "--epochs", 1, "--batch-size", 8)
    launch("train", "--model", "small_conv", *told, "--out", out)
    assert "with the number age" in launch("check", "--model", out, *words)


def test_fields_of_numbers(form: TrainForm, tmp_path: Path) -> None:
    path = str(Tinted(tmp_path / "images").table(tmp_path / "t.csv"))
    assert shown(form, data=path, label_col="light") == {"loss"}
    assert shown(form, task="affect") == {"loss"}
    update = fields(form, data=path, label_col="light", loss="focal")["loss"]
    assert update["value"] == ""
    assert [value for _, value in update["choices"]] == ["", "huber", "ccc"]
    words = form.command(values(form, data=path, label_col="light", loss="huber"), tmp_path)
    assert words[-2:] == ["--loss", "huber"]


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
def test_a_head_for_other_numbers_of_any_size(
    tinted: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fine-tuning starts from a network of numbers; and a file holds weights that are no float16."""
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    base, out = tmp_path / "base.safetensors", tmp_path / "a.safetensors"
    assert Training("small_conv", None, tinted, base, replace(QUICK, epochs=1)).fit()
    large = Tinted(tmp_path / "large", 24)
    large.items = [replace(item, numbers=(1e9 * item.numbers[2],)) for item in large.items if item.numbers]
    large.classes = ("price",)
    recipe = replace(QUICK, recipe="finetune", head_epochs=5, epochs=2, unfreeze=1, loss="huber")
    assert Training(str(base), None, Parts(large, large, None), out, recipe).fit()
    made = as_named(load(str(out)))
    with torch.inference_mode():
        answer = made.model(made.batch([large.load(i) for i in range(24)])).numpy()[:, 0]
    truths = np.array([item.numbers for item in large.items])[:, 0]
    assert np.isfinite(answer).all()
    assert abs(answer.mean() - truths.mean()) < truths.std()


@pytest.mark.slow
@pytest.mark.usefixtures("charts_not_drawn")
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_the_curves_have_the_rate_that_an_epoch_used(schedule: str, tinted: Parts, tmp_path: Path) -> None:
    """Three steps an epoch; OneCycleLR is stepped by a plain loop, the plateau keeps the rate here."""
    out = tmp_path / "a.safetensors"
    recipe = replace(QUICK, schedule=schedule, learning_rate=0.01)
    assert train_seeds("small_conv", None, tinted, out, recipe, [0], "", False, lambda text: None)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.01)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=9, pct_start=0.25)
    steps = []
    for _ in range(9):
        steps.append(one_cycle.get_last_lr()[0] if schedule == "cosine" else 0.01)
        optimizer.step()
        if len(steps) < 9:
            one_cycle.step()
    expected = [float(np.mean(steps[k : k + 3])) for k in (0, 3, 6)]
    assert pd.read_csv(out.with_suffix(".csv"))["learning_rate"].tolist() == pytest.approx(expected, rel=1e-6)
