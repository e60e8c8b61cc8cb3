"""What lies beside a checkpoint: progress, charts, comparisons, previews."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import save_file
from sklearn import metrics
from torch import nn, zeros

from models.data.folder import FolderSource
from models.errors import UserError
from models.measures.calibration import softmax
from models.measures.cost import macs
from models.preprocessing import UNIT
from models.registry import spec
from models.training.augment import Augmentation
from models.training.charts import Chart, Matrix, charts, curves
from models.training.compare import class_difference, format_text, side_by_side
from models.training.draw import save_charts
from models.training.measure import _classes, _plain
from models.training.preview import distinct_images, preview, sheet
from models.training.progress import Progress, predictions_file
from models.training.trained import Trained, find_trained, open_trained

CLASSES = ("anger", "fear", "joy")


def fake(path: Path, seed: int, cost: int = 1000) -> Trained:
    """Files as `train` leaves them, with answers that are known."""
    rng = np.random.default_rng(seed)
    tables = []
    for part, n in (("validation", 60), ("test", 90)):
        label = np.arange(n) % 3
        logits = rng.normal(0, 1, (n, 3)) + 1.5 * np.eye(3)[label]
        tables.append(
            pd.DataFrame(
                {
                    "part": part,
                    "id": [f"{i}" for i in range(n)],
                    "truth": label,
                    "answer": list(logits.astype(np.float32)),
                }
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(tables).to_parquet(predictions_file(path))
    measured = _plain(_classes(tables, CLASSES)) | {
        "cost": {"parameters": cost, "macs": 2 * cost, "bytes": 4 * cost, "images_per_second": 9.5}
    }
    about = {
        "architecture": "fer_vgg",
        "classes": CLASSES,
        "metrics": measured,
        "training": {"recipe": "scratch"},
        "data": {"name": "faces"},
    }
    save_file({"x": zeros(1)}, path, {"vitrine": json.dumps(about)})
    rows = [
        ("head", 1, 0.9, 0.3, 1.0, 0.4),
        ("head", 2, 0.8, 0.4, 0.9, 0.5),
        ("fine-tune", 3, 0.5, 0.6, 0.7, 0.6),
    ]
    pd.DataFrame(rows, columns=["step", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]).to_csv(
        path.with_suffix(".csv"), index=False
    )
    return open_trained(path)


def test_charts_show_what_was_measured(tmp_path: Path) -> None:
    trained = fake(tmp_path / "a.safetensors", 0)
    made = {c.key: c for c in charts(trained)}
    assert list(made) == ["loss", "accuracy", "roc", "confusion", "confusion-normalized", "reliability"]
    loss, matrix, roc = made["loss"], made["confusion"], made["roc"]
    assert isinstance(loss, Chart)
    assert loss.marks == ((2.5, "fine-tune"),)
    assert {line.name: line.y.tolist() for line in loss.lines} == {
        "training": [0.9, 0.8, 0.5],
        "validation": [1.0, 0.9, 0.7],
    }
    _, logits, label = trained.judged
    assert isinstance(matrix, Matrix)
    assert np.array_equal(matrix.values, metrics.confusion_matrix(label, logits.argmax(1)))
    assert isinstance(roc, Chart)
    area = metrics.roc_auc_score(label, softmax(logits), multi_class="ovr", average="macro")
    assert roc.lines[-1].name == f"macro average {area:.3f}"
    assert trained.measured["accuracy"] == metrics.accuracy_score(label, logits.argmax(1))


@pytest.mark.slow
def test_charts_are_saved_with_their_numbers(tmp_path: Path) -> None:
    made = charts(fake(tmp_path / "a.safetensors", 0))
    files = save_charts(made, tmp_path / "charts")
    assert [f.name for f in files] == [f"{c.key}.png" for c in made]
    for file in files:
        with Image.open(file) as image:
            assert len(set(image.convert("L").tobytes())) > 20  # something was drawn
    back = pd.read_csv(tmp_path / "charts" / "confusion.csv")
    assert back.iloc[:, 1:].to_numpy().sum() == 90
    long = pd.read_csv(tmp_path / "charts" / "loss.csv")
    assert long[long.line == "validation"]["loss"].tolist() == [1.0, 0.9, 0.7]


def test_charts_of_an_unfinished_training(tmp_path: Path) -> None:
    trained = fake(tmp_path / "a.safetensors", 0)
    predictions_file(trained.path).unlink()
    assert [c.key for c in charts(open_trained(trained.path))] == ["loss", "accuracy"]
    ccc = curves(
        pd.DataFrame({"step": ["scratch"], "epoch": [1], "loss": [1.0], "val_loss": [1.0], "val_ccc": [0.5]})
    )
    assert [c.key for c in ccc] == ["loss", "ccc"]


def test_side_by_side(tmp_path: Path) -> None:
    first, second = fake(tmp_path / "a.safetensors", 0), fake(tmp_path / "b.safetensors", 1, cost=5_000_000)
    table = side_by_side([first, second])
    assert table["accuracy"].tolist() == [first.measured["accuracy"], second.measured["accuracy"]]
    assert format_text(table).loc["b", "parameters"] == "5.00 M"
    gain = class_difference([first, second])
    assert list(gain.index) == list(CLASSES)
    np.testing.assert_allclose(gain["b − a"], gain["b"] - gain["a"])
    assert gain["a"]["fear"] == first.measured["classes"]["fear"]["recall"]
    empty = Trained(tmp_path / "c.safetensors", {}, pd.DataFrame(), None)
    with pytest.raises(UserError, match="c was not measured yet"):
        side_by_side([first, empty])


def test_trainings_are_found_and_foreign_files_are_not(tmp_path: Path) -> None:
    fake(tmp_path / "deep" / "a.safetensors", 0)
    Progress({}, state="stopped").write(tmp_path / "b.safetensors")
    save_file({"x": zeros(1)}, tmp_path / "foreign.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(struct.pack("<Q", 10**15) + b"x")
    assert {t.name for t in find_trained(tmp_path)} == {"a", "b"}
    assert find_trained(tmp_path / "nowhere") == []
    with pytest.raises(UserError, match="no checkpoint that Vitrine trained"):
        open_trained(tmp_path / "foreign.safetensors")


@pytest.mark.slow
def test_a_part_of_one_class_has_no_roc(tmp_path: Path) -> None:
    trained = fake(tmp_path / "a.safetensors", 0)
    table = pd.read_parquet(predictions_file(trained.path))
    table.assign(truth=1).to_parquet(predictions_file(trained.path))
    made = charts(open_trained(trained.path))
    assert [c.key for c in made] == ["loss", "accuracy", "confusion", "confusion-normalized", "reliability"]
    assert len(save_charts(made, tmp_path / "charts")) == 5


def test_progress_tells_the_living_from_the_dead(tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    Progress({"epochs": 3}, "python launch.py train").write(out)
    found = Progress.read(out)
    assert found is not None
    assert found.alive
    assert found.pid == os.getpid()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    Progress({}, born="1").write(out)  # another process had this number once
    assert (Progress.read(out).alive) is (sys.platform != "linux")  # type: ignore[union-attr]
    Progress({}, pid=child.pid).write(out)
    assert not Progress.read(out).alive  # type: ignore[union-attr]
    Progress.path(out).write_text("{broken")
    assert Progress.read(out) is None


def test_macs_of_known_layers() -> None:
    """Hewitt & Gunes's networks as tabulated, and one convolution by hand: 8 · 3 · 3 · 3 · 16 · 16."""
    assert macs(nn.Conv2d(3, 8, 3, padding=1), (3, 16, 16)) == 8 * 27 * 256
    for name, expected in (("fer_alexnet", 0.250e9), ("fer_vgg", 0.237e9), ("fer_mobilenet", 0.185e9)):
        assert macs(spec(name).build(8).eval(), (3, 128, 128)) == pytest.approx(expected, rel=0.01)


def test_preview_shows_every_class(pictures: Path) -> None:
    (pictures / "red" / "0.png").write_text("no picture")
    shown = preview(FolderSource(pictures), UNIT, Augmentation(1, 0, 0, 0), each=3)
    assert [(c.count, len(c.before), len(c.after)) for c in shown] == [(6, 3, 3)] * 3
    for c in shown:  # augmented as told: mirrored
        for before, after in zip(c.before, c.after, strict=True):
            difference = np.abs(np.asarray(before)[:, ::-1].astype(int) - np.asarray(after))
            assert difference.max() <= 1
    page = sheet(shown)
    assert page.width < 1300
    assert page.height > 250


def test_distinct_images_of_an_epoch() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert distinct_images(labels, 2, "none") == 100
    seen = distinct_images(labels, 2, "sampler")
    rng = np.random.default_rng(0)
    p = np.where(labels == 0, 0.5 / 90, 0.5 / 10)
    drawn = [len(set(rng.choice(100, 100, p=p).tolist())) for _ in range(2000)]
    assert seen == pytest.approx(np.mean(drawn), rel=0.01)
