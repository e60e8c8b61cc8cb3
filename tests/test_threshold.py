"""Runs of two classes at a threshold: predictions, maps and statistics, without asking the network again."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

import vitrine
from benchmarks.synthetic import synthetic_run
from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.run.decision import nudged
from explain.run.engine import run
from explain.run.format import OTHER, map_column, part_files
from explain.run.map_stats import attention_statistics
from explain.run.parquet import read, write
from explain.run.reader import RunData, open_run
from models.architectures.classifiers import ARCHITECTURES
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError
from models.preprocessing import Preprocessing
from tests.command import launch

FED = Preprocessing((32, 32), None, (0.5,) * 3, (0.5,) * 3)
CLASSES = ("blue", "red")
THRESHOLDS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)


class Net(nn.Module):
    """Small logits, so that probabilities are spread."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU())
        self.head = nn.Linear(8, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 6 * self.head(self.features(x).mean((2, 3)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy pictures from blue to red, whatever their label; and one that cannot be read."""
    root, rng = tmp_path_factory.mktemp("two") / "data", np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[..., 0] += np.uint8(rng.integers(0, 130))
            pixels[..., 2] += np.uint8(rng.integers(0, 130))
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    (root / "red" / "bad.png").write_bytes(b"no picture")
    return root


def network(outputs: int) -> Classifier:
    return vitrine.wrap(Net(outputs), CLASSES, FED)


@pytest.fixture(scope="module", params=[1, 2], ids=["one logit", "two logits"])
def made(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunData:
    out = tmp_path_factory.mktemp("run") / "run"
    run(network(request.param), FolderSource(data), out, ["grad_cam", "eigen_cam"], batch_size=6, part_rows=7)
    return open_run(out)


def of_run(opened: RunData) -> Classifier:
    """The network that made it."""
    return next(n for n in map(network, (1, 2)) if n.weights_hash == opened.manifest.request.weights_hash)


@pytest.mark.slow
@pytest.mark.parametrize("positive", [0, 1])
def test_predictions_follow_the_threshold(made: RunData, positive: int) -> None:
    """Row by row, from the stored probabilities."""
    flipped = 0
    for threshold in THRESHOLDS:
        at = made.at(threshold, positive)
        assert len(at.table) == len(made.table)
        for row, item in at.ok.iterrows():
            p = float(made.prob(int(str(row)))[positive])
            pred = positive if p >= threshold else 1 - positive
            assert item["pred"] == pred
            assert item["correct"] == (pred == item["label"])
            confidence = p if pred == positive else 1 - p
            assert item["confidence"] == pytest.approx(confidence, abs=1e-6)
            flipped += pred != made.ok.at[row, "pred"]
        assert at.evaluation.accuracy == pytest.approx(at.ok["correct"].mean())
    assert flipped > 20
    assert made.at(0.5, 1) is made
    assert made.at(0.7).at(0.5) is made
    assert made.at(0.5, 0).ok["pred"].tolist() == made.ok["pred"].tolist()


@pytest.mark.parametrize("threshold", [0.0, 0.7, 1.0])
def test_maps_are_those_of_the_predicted_side(made: RunData, data: Path, threshold: float) -> None:
    """Against a pass of the network for the class that the threshold predicts."""
    at = made.at(threshold)
    rows = at.ok.index.tolist()
    maps = {t: at.maps("grad_cam", t, rows) for t in ("pred", "label")}
    model, layer = of_run(made).model, at.manifest.request.layer
    for k, row in enumerate(rows):
        pixels = np.asarray(Image.open(data / at.table.at[row, "id"]).convert("RGB"), np.float32)
        x = torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]
        for target, found in maps.items():
            one = int(at.table.at[row, target])
            expected = compute_maps(model, x, MapRequest("grad_cam", layer, one)).maps[0].detach().numpy()
            np.testing.assert_allclose(found[k], expected, rtol=0.02, atol=0.01 * np.abs(expected).max())
    np.testing.assert_allclose(at.maps("eigen_cam", "pred", rows), made.maps("eigen_cam", "pred", rows))


def test_statistics_are_those_of_the_shown_map(made: RunData) -> None:
    at = made.at(0.8)
    rows = at.ok.index.tolist()
    for statistic, values in attention_statistics(at.maps("grad_cam", "pred", rows)).items():
        found = at.ok[f"{map_column('grad_cam', 'pred')}.{statistic}"].to_numpy(float)
        np.testing.assert_allclose(found, values, atol=5e-3)


def test_runs_without_the_other_class_open(made: RunData, tmp_path: Path) -> None:
    """As earlier versions wrote them: maps of the side that was not computed are missing, all else works."""
    old = Path(shutil.copytree(made.folder, tmp_path / "old"))
    for path in part_files(old):
        table = read(path)
        write(table.drop_columns([n for n in table.column_names if f".{OTHER}" in n]), path)
    opened = open_run(old)
    at, whole = opened.at(0.8), made.at(0.8)
    assert at.ok["pred"].tolist() == whole.ok["pred"].tolist()
    rows = at.ok.index.to_numpy()
    missing = (at.ok["pred"] != opened.ok["pred"]) & ~at.ok["correct"]
    assert missing.any()
    there, all_maps = at.maps("grad_cam", "pred", rows), whole.maps("grad_cam", "pred", rows)
    assert np.isnan(there[missing.to_numpy()]).all()
    np.testing.assert_array_equal(there[~missing.to_numpy()], all_maps[~missing.to_numpy()])
    assert at.ok[f"{map_column('grad_cam', 'pred')}.border_mass"][missing].isna().all()


def test_an_old_run_is_resumed(made: RunData, data: Path, tmp_path: Path) -> None:
    """The request is the same; rows that are missing get the maps of this version."""
    old = Path(shutil.copytree(made.folder, tmp_path / "old"))
    first, *others = part_files(old)
    table = read(first)
    write(table.drop_columns([n for n in table.column_names if f".{OTHER}" in n]), first)
    for path in (*others, old / "manifest.json"):
        path.unlink()
    run(of_run(made), FolderSource(data), old, ["grad_cam", "eigen_cam"], batch_size=6, part_rows=7)
    opened = open_run(old)
    assert len(opened.ok) == len(made.ok)
    assert not np.isnan(opened.at(1.0).maps("grad_cam", "pred", [int(opened.ok.index[-1])])).any()


def test_the_columns_of_two_classes(made: RunData, small_run: RunData) -> None:
    names = pq.read_schema(part_files(made.folder)[0]).names
    assert map_column("grad_cam", OTHER) in names
    assert not [n for n in pq.read_schema(part_files(small_run.folder)[0]).names if f".{OTHER}" in n]
    with pytest.raises(UserError, match="runs of two classes; this one has 3"):
        small_run.at(0.7)
    assert not small_run.binary


def test_what_decides_is_said(made: RunData) -> None:
    assert made.decision == ""
    assert made.at(0.75).decision == "red is predicted where its probability is at least 0.75"
    assert made.at(0.75, 0).decision == "blue is predicted where its probability is at least 0.75"


def test_half_is_the_networks_own_prediction() -> None:
    """Equal scores, and probabilities that rounding moved across 0.5, in either class."""
    half = np.array([0.5, 0.5, 0.4999, 0.50001, 0.2, 0.9, 0.9], np.float32)
    called = np.array([True, False, True, False, False, True, False])
    found = nudged(half, called)
    assert ((found >= 0.5) == called)[:6].all()
    assert np.isnan(found[6])  # no rounding: the two contradict each other
    assert (np.abs(found - half)[:6] < 2e-4).all()
    assert found[1] > np.nextafter(np.float32(0.5), np.float32(0))  # no score below changes places with it


def test_rows_whose_probability_contradicts_keep_their_prediction(made: RunData) -> None:
    table = made.table.copy()
    row = int(made.ok.index[made.ok["confidence"].argmax()])
    table.loc[row, "pred"] = 1 - table.at[row, "pred"]
    odd = replace(made, table=table)
    assert np.isnan(odd.positive_score).sum() == 1
    assert {int(odd.at(t).ok.at[row, "pred"]) for t in THRESHOLDS} == {int(table.at[row, "pred"])}


@pytest.mark.slow
def test_a_threshold_takes_no_time(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "run", 6000, 2, apart=1.5, part_rows=3000)
    opened = open_run(tmp_path / "run")
    _ = opened.at(0.4).evaluation
    began = time.perf_counter()
    _ = opened.at(0.6).evaluation
    assert time.perf_counter() - began < 0.3


@pytest.mark.slow
def test_run_prints_both_areas(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(ARCHITECTURES["small_conv"](1).state_dict(), tmp_path / "one.pth")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(CLASSES))
    text = launch(
        *("run", "--model", "small_conv", "--weights", tmp_path / "one.pth", "--class-names", names),
        *("--data", data, "--out", tmp_path / "run", "--force"),
    )
    opened = open_run(tmp_path / "run")
    truth = (opened.ok["label"] == 1).to_numpy()
    p = [float(opened.prob(int(row))[1]) for row in opened.ok.index]
    accuracy, auc, ap = text[text.index("accuracy") :].splitlines()[:3]
    assert accuracy.startswith("accuracy")
    assert auc.startswith(f"AUC        {roc_auc_score(truth, p):.3f}  (95 % interval")
    assert ap.startswith(f"AP         {average_precision_score(truth, p):.3f}  (95 % interval")
