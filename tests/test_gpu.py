"""On a GPU a run gives what it gives on the processor; what `benchmarks/gpu.py` writes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gpu
from explain.run.engine import run
from explain.run.reader import open_run
from models.classifier import Classifier
from models.data.folder import FolderSource

METHODS = ["grad_cam", "layer_cam"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("precision", "near"), [("fp32", 1e-3), ("bf16", 5e-2)])
def test_a_run_is_that_of_the_processor(
    tiny: Classifier, pictures: Path, tmp_path: Path, precision: str, near: float
) -> None:
    """Products in float32 without TensorFloat-32, which rounds to ten bits."""
    made = []
    for device in ("cpu", "cuda"):
        tiny.model.to(device)
        with gpu.rounded("fp32"):
            run(tiny, FolderSource(pictures), tmp_path / device, METHODS, precision=precision)
        made.append(open_run(tmp_path / device))
    here, there = made
    assert here.table["id"].tolist() == there.table["id"].tolist()
    rows = range(len(here.table))
    for method in METHODS:
        maps = [one.maps(method, "pred", [*rows]) for one in made]
        assert np.abs(maps[0] - maps[1]).max() <= near * np.abs(maps[0]).max()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gpu.py", "--device", "cuda", "--out", str(tmp_path / "gpu.json")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        gpu.main()
    assert "finds no GPU here; give --device cpu" in capsys.readouterr().err


@pytest.mark.slow
def test_the_benchmark_names_all_that_it_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--models", "tiny_conv:toon_studios,mobilenet_v2", "--batches", "2,3"]
    monkeypatch.setattr(gpu, "PHOTOS", 4)
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words, "--out", str(out)])
    real = gpu.measured

    def first_alone(report: gpu.Report, name: str, *given: object) -> None:
        if name == "mobilenet_v2":
            raise torch.OutOfMemoryError
        real(report, name, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(gpu, "measured", first_alone)
    gpu.main()
    found = json.loads(out.read_text())
    measured = [(one["precision"], one["batch"]) for one in found["rates"]]
    assert measured == [(p, size) for p in ("fp32", "bf16") for size in (2, 3)]
    assert all(one["forward"] > 0 and one["run"] > 0 for one in found["rates"])
    assert [set(one) >= {"Vitrine", "pytorch-grad-cam", "torch-cam"} for one in found["grad_cam"]] == [
        True,
        False,
    ]
    assert found["decoding"][0]["images"] == found["runs"][0]["images"] == 8
    assert found["left_out"] == [{"what": "mobilenet_v2", "why": "out of memory"}]
    assert torch.backends.cudnn.allow_tf32
