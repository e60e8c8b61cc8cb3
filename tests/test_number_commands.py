"""The commands on networks that answer numbers, and on their runs."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pearsonr
from sklearn import metrics

from explain.analysis.numbers.compare import compare_numbers
from explain.analysis.numbers.compare import side_by_side as number_differences
from explain.analysis.numbers.measures import scores_of
from explain.methods.live import open_session
from explain.methods.request import MapRequest
from explain.run.model import network_of
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import open_run
from models.checkpoints import fingerprint, save
from models.classifier import Classifier
from models.data.source import Item
from models.outputs.regression import is_regression
from models.outputs.task import REGRESSION, with_task
from models.registry import load
from tests.command import launch, one_line, run_command
from tests.conftest import TINY
from tests.number_source import OUTPUTS, Tinted, answering, network, opened, plain_numbers


@pytest.fixture
def tinted(tmp_path: Path) -> Tinted:
    return Tinted(tmp_path / "tinted")


@pytest.fixture
def net(tinted: Tinted) -> Classifier:
    return answering(tinted)


FED = ("--input-size", "32", "--resize", "squash", "--mean", "0.5", "--std", "0.5")


@pytest.fixture
def words(tinted: Tinted, tmp_path: Path) -> list[Any]:
    """The options of a network and a table with three measured columns."""
    code = "from tests.conftest import TinyNet\n\ndef build():\n    return TinyNet(3)\n"
    (tmp_path / "net.py").write_text(code)
    torch.save(network(tinted).state_dict(), tmp_path / "net.pth")
    table = tinted.table(tmp_path / "t.csv")
    return [
        "--model",
        f"{tmp_path / 'net.py'}:build",
        "--weights",
        tmp_path / "net.pth",
        "--data",
        table,
        *FED,
    ]


@pytest.mark.slow
def test_the_commands(words: list[Any], tinted: Tinted, tmp_path: Path) -> None:
    columns = ["--label-col", "red,blue,light"]
    text = launch("check", *words, *columns)
    assert "each of its 3 outputs is read as a number" in text
    assert "with the numbers red, blue, light; images from column 'image', numbers from columns" in text
    assert "outputs: outputs without names, in the order of the columns: red → output 0" in text
    assert "RMSE of answering the mean" in text
    answer = json.loads(launch("check", *words, *columns, "--json"))
    assert answer["outputs"] == list(OUTPUTS)
    assert "accuracy" not in answer
    r2 = {name: answer["measures"][name]["r2"] for name in OUTPUTS}
    assert min(r2.values()) > 0
    assert answer["measures"]["light"]["rmse_of_mean"] == pytest.approx(tinted.truth[:, 2].std())
    assert not answer["wrong"]
    out = tmp_path / "run"
    text = launch("run", *words, *columns, "--out", out)
    assert text.count("answering the mean: MAE") == 3
    assert f"serve --run {out}" in text
    found = open_run(out)
    assert isinstance(found, NumbersRun)
    assert found.outputs == OUTPUTS
    assert "red" in launch("analyze", out)
    (out / "notes.jsonl").write_text(
        json.dumps(
            {"id": found.table["id"][0], "field": "text", "value": "odd", "by": "me", "at": "2026-01-01"}
        )
    )
    launch("notes", out, "--out", tmp_path / "notes.csv")
    noted = pd.read_csv(tmp_path / "notes.csv").iloc[0]
    assert [float(value) for value in noted["true"].split(", ")] == pytest.approx(found.truth[0], rel=1e-5)
    assert [float(v) for v in noted["predicted"].split(", ")] == pytest.approx(found.predicted[0], rel=1e-5)
    assert "red" not in launch("analyze", out, "--label", "blue")
    for option, value in (("--threshold", "0.7"), ("--positive", "red")):
        for command in ("analyze", "report", "export"):
            line = one_line(
                command, out, option, value, *(["--out", tmp_path / "x"] * (command != "analyze"))
            )
            assert f"{option} is for classes, of which one is predicted from a probability on" in line
            assert "numbers (red, blue, light), which have none: leave it out" in line
    launch("report", out, "--out", tmp_path / "r.html")
    assert "answering the mean" in (tmp_path / "r.html").read_text()
    launch("export", out, "--out", tmp_path / "exported")
    assert (tmp_path / "exported" / "export.csv").is_file()
    assert "takes runs of one class" in one_line("top-activations", out)


@pytest.mark.slow
def test_the_network_of_a_run_is_opened_again(words: list[Any], tinted: Tinted, tmp_path: Path) -> None:
    """By the page, and from `model.json`: it answers the same numbers, and explains the same maps."""
    out = tmp_path / "run"
    launch("run", *words, "--label-col", "red,blue,light", "--out", out, "--methods", "grad_cam")
    found = open_run(out)
    assert isinstance(found, NumbersRun)
    again = [network_of(found.manifest), with_task(load(str(out / "model.json")), REGRESSION)]
    for net in again:
        assert (net.classes, is_regression(net.model)) == (OUTPUTS, True)
        session = open_session(net, tinted.load(3))
        row = next(k for k, name in enumerate(found.table["id"]) if Path(name).name == "3.png")
        np.testing.assert_allclose(session.prob, found.predicted[row], rtol=1e-4)
        raw = session.map(MapRequest("grad_cam", found.manifest.request.layer, 2)).raw
        stored = found.maps_of("grad_cam", 2, [row])[0]
        np.testing.assert_allclose(raw, stored, atol=2e-3 * np.abs(stored).max())
    model = ("--model", out / "model.json")
    text = launch(
        "explain", Path(tinted.root) / "3.png", *model, "--target", "blue", "--out", tmp_path / "maps"
    )
    assert "for blue:" in text
    own = ("invert", "image", Path(tinted.root) / "3.png", *model, "--layer", "features", "--out", tmp_path)
    launch(*own, "--steps", "2", "--restarts", "1")  # a layer's inversion needs no classes
    said = launch(*own, "--steps", "2", "--restarts", "1")
    before = next(line for line in said.splitlines() if line.startswith("the image "))
    shown = [float(part.split()[-1]) for part in before.removeprefix("the image").split(",")]
    assert shown == pytest.approx(again[0].model(again[0].batch([tinted.load(3)]))[0].tolist(), rel=1e-3)
    assert re.search(r"features +red [-0-9.e+]+, blue [-0-9.e+]+, light [-0-9.e+]+ ", said)


@pytest.mark.slow
def test_what_the_commands_refuse(words: list[Any], tinted: Tinted, tmp_path: Path) -> None:
    run_to = ("--out", tmp_path / "run")
    assert "name a column of numbers for each output" in one_line(
        "run", *words, "--label-col", "red", *run_to
    )
    assert "has no column 'pink'" in one_line("run", *words, "--label-col", "red,pink", *run_to)
    assert "has 3 columns of numbers (red, blue, light): name those" in one_line(
        "run", *words, "--task", "regression", *run_to
    )
    assert "holds measured numbers" in one_line(
        "run", *words, "--label-col", "red", "--task", "single-label", *run_to
    )
    assert "--expect is an accuracy" in one_line(
        "check", *words, "--label-col", "red,blue,light", "--expect", "0.9"
    )
    study = ("study", "fc-vs-conv", "--data", words[5], "--label-col", "red", "--out", tmp_path / "s")
    assert "study takes data with one label per image, or several" in one_line(*study)


@pytest.mark.slow
def test_other_colors_are_found(words: list[Any], tmp_path: Path) -> None:
    """A network that is given BGR is nearer with RGB."""
    more = Tinted(tmp_path / "more", 96)
    torch.save(network(more).state_dict(), words[3])
    more.table(words[5])
    answer = json.loads(
        run_command("check", *words, "--label-col", "red,blue,light", "--channels", "bgr", "--json").stdout
    )
    assert answer["wrong"]
    assert answer["readings"][0]["words"][:2] == ["--channels", "rgb"]
    assert "are nearer to the true numbers than their mean with" in answer["verdict"]


def test_explain_says_the_numbers(words: list[Any], tinted: Tinted, tmp_path: Path) -> None:
    own = [word for k, word in enumerate(words) if k not in (4, 5)]
    picture = Path(tinted.root) / "0.png"
    (tmp_path / "names.txt").write_text("\n".join(OUTPUTS))
    named = ("--class-names", tmp_path / "names.txt", "--task", "regression", "--out", tmp_path / "maps")
    text = launch("explain", picture, *own, *named, "--target", "light")
    numbers = plain_numbers(answering(tinted), tinted)[0]
    for name, value in zip(OUTPUTS, numbers, strict=True):
        shown = next(line for line in text.splitlines() if line.startswith(f"{name} "))
        assert float(shown.split()[1]) == pytest.approx(value, rel=1e-3)
    assert "%" not in text
    assert "for light:" in text
    wrong = one_line("explain", picture, *own, *named, "--target", "zz")
    assert "No output 'zz': there are red, blue, light; a number from 0 to 2 is taken too." in wrong


@pytest.mark.slow
def test_compare_two_runs(words: list[Any], tinted: Tinted, tmp_path: Path) -> None:
    """Differences of MAE and RMSE, with intervals of a bootstrap that draws the same images for both."""
    first = opened(answering(tinted), tinted, tmp_path / "a")
    model = network(tinted)
    with torch.no_grad():
        model.head.bias += torch.tensor([0.0, 5.0, 0.0])
    worse = with_task(Classifier("w", model, OUTPUTS, TINY, "", fingerprint(model)), REGRESSION)
    second = opened(worse, tinted, tmp_path / "b")
    text = launch("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c.csv")
    assert "blue MAE" in text
    found = compare_numbers(first, second)
    for k, name in enumerate(OUTPUTS):
        for run_, predicted in (("a", found.predicted_a), ("b", found.predicted_b)):
            t, p = found.truth[:, k], predicted[:, k]
            mae, rmse = (getattr(m, run_) for m in found.metrics[k])
            assert mae == pytest.approx(metrics.mean_absolute_error(t, p), abs=1e-6)
            assert rmse == pytest.approx(metrics.root_mean_squared_error(t, p), abs=1e-6)
        assert all(m.sure == (name == "blue") for m in found.metrics[k])
    table = pd.read_csv(tmp_path / "c.csv")
    assert {"id", "blue true", "blue predicted_a", "blue predicted_b"} <= {*table}
    first_metric = number_differences(*(p - found.truth for p in (found.predicted_a, found.predicted_b)))[1][
        0
    ]
    rng, drawn = np.random.default_rng(0), []
    a, b = (np.abs(p - found.truth)[:, 1] for p in (found.predicted_a, found.predicted_b))
    for _ in range(1000):
        rows = rng.integers(0, len(a), len(a))
        drawn.append(b[rows].mean() - a[rows].mean())
    np.testing.assert_allclose(first_metric.interval, np.quantile(drawn, [0.025, 0.975]))


@pytest.mark.slow
def test_runs_that_cannot_be_compared(
    net: Classifier, tinted: Tinted, small_run: Any, tmp_path: Path
) -> None:
    opened(net, tinted, tmp_path / "a")
    tinted.items = [Item.of_numbers(item.id, (1, 2, 3)) for item in tinted.items]
    opened(net, tinted, tmp_path / "b")
    assert "none of them under the same true numbers" in one_line("compare", tmp_path / "a", tmp_path / "b")
    line = one_line("compare", tmp_path / "a", small_run.folder)
    assert "is a run of numbers, and '" in line
    assert "of one class per image: compare two runs of one kind" in line


@pytest.mark.slow
def test_valence_and_arousal_are_explained(tmp_path: Path) -> None:
    """A checkpoint of the training task affect: matched by the names of its outputs."""
    from models.architectures.classifiers import ARCHITECTURES

    source, table = Tinted(tmp_path / "faces", 8), tmp_path / "t.csv"
    weights = tmp_path / "affect.safetensors"
    torch.manual_seed(0)
    about = {"architecture": "tiny_conv", "task": "affect", "classes": ["valence", "arousal"]}
    save(weights, ARCHITECTURES["tiny_conv"](2), about)
    images = [str(Path(source.root) / item.id) for item in source.items]
    values = np.linspace(-0.9, 0.9, 8).round(2)
    pd.DataFrame(
        {"image": images, "expression": range(8), "arousal": -values, "valence": [*values[:7], -2]}
    ).to_csv(table, index=False)
    named = ("--model", weights, "--data", table, "--label-col", "arousal,valence")
    text = launch("run", *named, "--out", tmp_path / "run", "--methods", "grad_cam")
    assert "-2 is read as an unknown arousal or valence" in text
    assert "1 row without image or number left out" in text
    found = open_run(tmp_path / "run")
    assert isinstance(found, NumbersRun)
    assert found.outputs == ("valence", "arousal")
    np.testing.assert_allclose(found.truth, np.stack([values[:7], -values[:7]], 1))
    words = ("run", "--model", weights, "--data", table, "--methods", "grad_cam")
    launch(*words, "--out", tmp_path / "found")  # the columns that are called as the outputs
    np.testing.assert_array_equal(open_run(tmp_path / "found").truth, found.truth)
    pd.read_csv(table)[["image", "expression"]].to_csv(table, index=False)
    line = one_line(*words, "--out", tmp_path / "other")
    assert "answers with numbers, as its file says, and the data has one label per image" in line
    text = launch("explain", images[0], "--model", weights, "--target", "arousal", "--out", tmp_path / "maps")
    assert "for arousal:" in text
    assert "%" not in text


@pytest.mark.slow
@pytest.mark.data
def test_the_case_equals_its_answers(tmp_path: Path) -> None:
    """`regression` of the cases: every number, RMSE and Pearson's r; whole numbers are numbers once it is
    said."""
    if not os.environ.get("VITRINE_CASES"):
        pytest.skip("VITRINE_CASES is not set")
    cases = Path(os.environ["VITRINE_CASES"])
    known = next(c for c in json.loads((cases / "expected.json").read_text()) if c["name"] == "regression")
    fed = known["preprocessing"]
    more = [w for name in ("mean", "std") for w in (f"--{name}", ",".join(map(str, fed[name])))]
    asked = ["--model", f"{cases / 'usernet.py'}:build", "--weights", cases / known["files"][1]]
    asked += ["--data", cases / known["data"], "--input-size", "32", "--resize", "squash", *more]
    assert (
        "the labels of the data are 21 whole numbers: read them as numbers with --task regression"
        in one_line("run", *asked, "--label-col", "ink", "--out", tmp_path / "run")
    )
    text = launch("run", *asked, "--task", "regression", "--out", tmp_path / "run", "--methods", "grad_cam")
    assert "RMSE 1.517" in text
    found = open_run(tmp_path / "run")
    assert isinstance(found, NumbersRun)
    answers = pd.read_csv(cases / known["predictions"])
    ids = list(found.table["id"])
    order = [
        next(k for k, i in enumerate(ids) if name.endswith(i) or i.endswith(name))
        for name in answers["image"]
    ]
    np.testing.assert_array_equal(found.truth[order, 0], answers["ink"])
    assert np.abs(found.predicted[order, 0] - answers["pred"]).max() < 2e-5
    scores = scores_of(found)
    assert round(float(scores.values["rmse"][0]), 4) == known["metrics"]["rmse"]
    assert round(float(scores.values["pearson"][0]), 4) == known["metrics"]["pearson_r"]
    truth, predicted = answers["ink"].to_numpy(float), found.predicted[order, 0]
    expected = {
        "mae": metrics.mean_absolute_error(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "r2": metrics.r2_score(truth, predicted),
        "pearson": pearsonr(truth, predicted).statistic,
        "bias": (predicted - truth).mean(),
    }
    for name, value in expected.items():
        assert abs(scores.values[name][0] - value) < 1e-6, name
    both = [pd.Series(truth), pd.Series(predicted)]
    deviations = [values.std(ddof=0) for values in both]
    shift = both[1].mean() - both[0].mean()
    ccc = 2 * expected["pearson"] * deviations[0] * deviations[1]
    ccc /= deviations[0] ** 2 + deviations[1] ** 2 + shift**2
    assert abs(scores.values["ccc"][0] - ccc) < 1e-6
    assert found.outputs == ("ink",)
