"""Runs that show nothing: the exit code says so where no image has an answer, a line where maps are empty."""

from collections.abc import Callable
from pathlib import Path

import pytest

from explain.run.reader import open_run
from tests.command import Done, run_command
from tests.test_preflight import WORDS

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(20 * torch.eye(3)[[2, 1, 0]][:, :, None, None])

    def forward(self, x):
        y = self.mix(x)
        return ANSWER
"""
PLAIN = "y.mean((2, 3))"


@pytest.fixture
def command(tmp_path: Path, pictures: Path) -> Callable[..., Done]:
    def of(answer: str = PLAIN, *more: object) -> Done:
        (tmp_path / "net.py").write_text(NET.replace("ANSWER", answer))
        words = ("--model", f"{tmp_path / 'net.py'}:Net", "--data", pictures, *WORDS, "--classes", "sorted")
        done = run_command("run", *words, "--out", tmp_path / "run", "--force", *more)
        assert "Traceback" not in done.stderr
        return done

    return of


def test_no_image_can_be_read(command: Callable[..., Done], pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.rglob("*.png"))
    kept = files[0].read_bytes()
    for path in files:
        path.write_text("x")
    done = command()
    assert done.returncode == 1
    assert "None of the 18 images has an answer" in " ".join(done.stdout.split())
    assert open_run(tmp_path / "run").manifest.counts == {"ok": 0, "failed": 18}
    files[0].write_bytes(kept)
    done = command()  # resumed, with one image
    assert done.returncode == 0
    assert "left out   17 of 18 images" in done.stdout


def test_every_answer_is_nan(command: Callable[..., Done]) -> None:
    done = command("y.mean((2, 3)) * float('nan')")
    assert done.returncode == 1
    assert "the network answered NaN (18)" in done.stdout


@pytest.mark.slow
def test_every_map_is_nan(command: Callable[..., Done]) -> None:
    """Predictions are right, and the gradient of a root at 0 is none."""
    root = "(y - y.detach()).abs().sqrt().sum((2, 3))"
    done = command(f"{PLAIN} + {root}", "--methods", "grad_cam,eigen_cam")
    assert done.returncode == 0
    assert "accuracy   100.0 %" in done.stdout
    assert "every map of grad_cam is NaN: choose another method or layer" in done.stdout
    assert "every map of eigen_cam" not in done.stdout
    assert "every map" not in command(PLAIN, "--methods", "grad_cam", "--restart").stdout


def test_maps_without_evidence_are_no_failure(command: Callable[..., Done]) -> None:
    done = command("-y.mean((2, 3))[:, [1, 2, 0]].square()", "--methods", "grad_cam")
    assert done.returncode == 0
    assert "every map of grad_cam is without positive evidence" in done.stdout
