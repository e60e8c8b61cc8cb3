"""The Train tab with several labels per image: fields that apply, curves, results and comparisons."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
import pytest

from dashboard.components.listed.training_list import comparison, outcome, state, training_list
from dashboard.plots import figure
from dashboard.tabs.train import PLACES, PLOTS
from dashboard.tabs.train_form import OF_TASK, TrainForm, found_task
from dashboard.tabs.train_state import TrainView
from models.data.parts import Parts
from models.data.toon_attributes import CLASSES, ToonAttributes
from models.outputs.task import MULTI
from models.training.augment import Augmentation
from models.training.charts import Bars, charts
from models.training.compare import class_measure, side_by_side
from models.training.draw import save_charts
from models.training.measure import measure
from models.training.progress import Progress
from models.training.recipe import Recipe
from models.training.train import Training
from models.training.trained import Trained, open_trained
from tests.pages import open_tab
from tests.test_label_set_data import many
from tests.test_trained import fake

if TYPE_CHECKING:
    from playwright import sync_api as playwright


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Trained]:
    """Two trainings of a few drawn faces."""
    folder, found = tmp_path_factory.mktemp("trainings"), []
    parts = Parts(*(ToonAttributes(split, 12) for split in ("train", "validation", "test")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.training.measure.save_charts", lambda charts, folder: None)
        for seed in (0, 1):
            out = folder / f"{seed}.safetensors"
            recipe = Recipe(epochs=1, batch_size=8, augmentation=Augmentation.parse("none"), seed=seed)
            training = Training("small_conv", None, parts, out, recipe)
            assert training.fit()
            measure(out, parts)
            training.finish("")
            found.append(open_trained(out))
    return found


@pytest.fixture(scope="module")
def form() -> TrainForm:
    with gr.Blocks():
        return TrainForm()


def values(form: TrainForm, **changed: Any) -> list[Any]:
    plain = {name: control.value for name, control in form.controls.items()}
    return list((plain | changed).values())


def fields(form: TrainForm, **changed: Any) -> dict[str, Any]:
    return dict(zip(OF_TASK, form.fields(values(form, **changed)), strict=True))


def shown(form: TrainForm, **changed: Any) -> set[str]:
    return {name for name, update in fields(form, **changed).items() if update["visible"]}


@pytest.mark.slow
def test_only_fields_that_apply_are_shown(form: TrainForm, pictures: Path, tmp_path: Path) -> None:
    assert {name for name in OF_TASK if form.controls[name].visible} == {"balance", "label_smoothing"}
    assert shown(form) == shown(form, data=str(pictures)) == {"balance", "label_smoothing"}
    assert shown(form, balance="sampler") == {"balance", "label_smoothing", "balance_by"}
    several = {"balance", "label_smoothing", "loss", "pos_weight"}
    for data in ({"data": "toon_attributes"}, {"data": str(pictures), "task": MULTI}):
        assert shown(form, **data) == several
        assert shown(form, **data, loss="focal", balance="sampler") == {*several, "focal_gamma"}
    assert shown(form, task="affect") == {"loss"}
    many(tmp_path)
    assert found_task(str(tmp_path / "d" / "t.csv"), "", "") == MULTI
    assert found_task("nowhere.csv", "", "") == found_task("", "", "") == "classes"


def test_fields_that_are_hidden_have_their_defaults(form: TrainForm) -> None:
    update = fields(form, data="toon_attributes", balance="weights")["balance"]
    assert (update["choices"], update["value"]) == (["none", "sampler"], "none")
    hidden = fields(form, task="classes", loss="focal", pos_weight="3", balance_by="x")
    assert [hidden[k]["value"] for k in ("loss", "pos_weight", "focal_gamma", "balance_by")] == [
        "",
        "balanced",
        2.0,
        "",
    ]


def test_the_form_writes_the_options(form: TrainForm) -> None:
    plain = form.command(values(form, data="toon_attributes"), Path("t"))
    assert plain == [
        *("train", "--model", "fer_vgg", "--data", "toon_attributes"),
        *("--out", str(Path("t") / "first.safetensors")),
    ]
    chosen = {"loss": "focal", "pos_weight": "none", "focal_gamma": 1.5, "balance": "sampler", "task": MULTI}
    words = form.command(values(form, data="toon_attributes", **chosen), Path("t"))
    for option, value in chosen.items():
        assert words[words.index(f"--{option.replace('_', '-')}") + 1] == str(value)


@pytest.mark.slow
def test_results_are_mAP(two: list[Trained]) -> None:
    first = two[0]
    assert state(first) == f"mAP {first.measured['mAP']:.3f} test"
    running = replace(first, progress=Progress({}, step="scratch", epoch=1, epochs=5, state="stopped"))
    assert state(running) == f"stopped at scratch 1/5, best mAP {first.curves['val_mAP'].max():.3f}"
    assert f"mAP {first.measured['mAP']:.3f} test" in training_list([("0", first)], "0", [])
    page = outcome(first)
    for text in ("mAP by chance", "macro F1", "95 % interval", "AU12 lip corner puller", "prevalence"):
        assert text in page
    table = side_by_side(two)
    assert table["mAP"].tolist() == [t.measured["mAP"] for t in two]
    both = comparison(two)
    assert "Average precision of each label" in both
    assert "Recall" not in both
    assert TrainView().stamp(first) != TrainView().stamp(two[1])


def test_trainings_of_other_tasks_are_compared_by_cost_alone(two: list[Trained], tmp_path: Path) -> None:
    mixed = [two[0], fake(tmp_path / "a.safetensors", 0)]
    assert (class_measure(two), class_measure(mixed[1:]), class_measure(mixed)) == ("AP", "recall", "")
    page = comparison(mixed)
    assert "parameters" in page
    assert "of each" not in page


@pytest.mark.slow
def test_charts_of_labels(two: list[Trained], tmp_path: Path) -> None:
    made = charts(two[0])
    assert [c.key for c in made] == ["loss", "mAP", "macro_f1", "ap"]
    assert all(PLACES.get(c.key, c.key) in PLOTS for c in made)
    bars = made[-1]
    assert isinstance(bars, Bars)
    assert sorted(bars.names) == sorted(CLASSES)
    known = bars.values[np.isfinite(bars.values)]
    assert (np.diff(known) <= 0).all()
    assert known.mean() == pytest.approx(two[0].measured["mAP"])
    assert bars.marks.tolist() == [two[0].measured["classes"][name]["prevalence"] for name in bars.names]
    drawn = figure(bars)
    assert [trace.type for trace in drawn.data] == ["bar", "scatter"]
    assert list(drawn.data[0].y) == list(bars.names)
    files = save_charts([bars], tmp_path)
    assert files[0].stat().st_size > 5000
    assert (tmp_path / "ap.csv").read_text().startswith("name,average precision,chance (prevalence)\n")


@pytest.mark.slow
def test_fields_of_labels_appear_in_the_page(page: "playwright.Page") -> None:
    """When the data is named, before anything is started; and the command follows."""
    open_tab(page, "Train")
    page.click("button:has-text('Data and augmentation')")
    loss = page.get_by_label("Loss", exact=True)
    page.wait_for_selector("#vt-train-task")
    assert loss.count() == 0 or not loss.first.is_visible()
    page.fill("#vt-train-data textarea, #vt-train-data input", "toon_attributes")
    page.keyboard.press("Tab")
    loss.first.wait_for(state="visible")
    assert not page.get_by_label("Gamma of the focal loss").first.is_visible()
    loss.first.click()
    page.get_by_role("option", name="focal").click()
    page.get_by_label("Gamma of the focal loss").first.wait_for(state="visible")
    page.wait_for_function(
        "document.querySelector('#vt-typed textarea').value.endsWith('first.safetensors --loss focal')"
    )
