"""A person's own code is part of what a run computes."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from explain.run.model import network_of
from explain.run.reader import open_run
from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.registry import load
from tests.command import launch, one_line

NET = """
import json, torch
from torch import nn
import {beside}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        from {beside} import factor
        return self.head(self.features(x).mean((2, 3))) * factor()

def build():
    torch.manual_seed(0)
    return Net()
"""
TOLD = PreprocessingOptions(input_size="16", resize="squash", mean="0.4", std="0.2")
WORDS = ("--input-size", 16, "--resize", "squash", "--mean", "0.4", "--std", "0.2", "--classes", "sorted")


def written(folder: Path, beside: str) -> Path:
    """Three files: the network, the module that it imports, and one that this imports."""
    folder.mkdir()
    (folder / f"{beside}.py").write_text(
        f"from {beside}_more import FACTOR\n\ndef factor():\n    return FACTOR\n"
    )
    (folder / f"{beside}_more.py").write_text("FACTOR = 1.0\n")
    (folder / "unused.py").write_text("FACTOR = 2.0\n")
    (folder / "net.py").write_text(NET.format(beside=beside))
    return folder / "net.py"


def hashed(net: Path) -> str:
    """As in a process of its own: Python reads a module once, so what was read before is forgotten."""
    for name in [name for name in sys.modules if name.startswith("beside_a")]:
        del sys.modules[name]
    shutil.rmtree(net.parent / "__pycache__", ignore_errors=True)  # it knows a file by its second and size
    importlib.invalidate_caches()
    return load(f"{net}:build", options=TOLD).code


@pytest.mark.slow
def test_modules_beside_the_code_belong_to_it(tmp_path: Path) -> None:
    net = written(tmp_path / "a", "beside_a")
    first = hashed(net)
    assert len(first) == 16
    (net.parent / "unused.py").write_text("FACTOR = 3.0\n")
    net.write_bytes(net.read_bytes().replace(b"\n", b"\r\n"))
    moved = (tmp_path / "a").rename(tmp_path / "b") / "net.py"
    assert hashed(moved) == first
    (moved.parent / "beside_a_more.py").write_text("FACTOR = 2.0\n")
    assert hashed(moved) != first


@pytest.mark.slow
def test_an_edited_forward_is_another_run(pictures: Path, tmp_path: Path) -> None:
    net, out = written(tmp_path / "code", "beside_c"), tmp_path / "run"
    words = ("run", "--model", f"{net}:build", "--data", pictures, "--out", out, *WORDS)
    launch(*words)
    before = open_run(out)
    net.write_text(net.read_text().replace(".mean((2, 3))", ".amax((2, 3))"))
    assert "holds another run (the code of the network (" in one_line(*words)
    with pytest.raises(UserError, match="has changed since the run was made"):
        network_of(before.manifest)
    launch(*words, "--restart")
    assert open_run(out).manifest.request.code != before.manifest.request.code
    assert network_of(open_run(out).manifest).code == open_run(out).manifest.request.code


@pytest.mark.slow
def test_runs_of_earlier_versions_go_on(pictures: Path, tmp_path: Path) -> None:
    net, out = written(tmp_path / "code", "beside_d"), tmp_path / "run"
    words = ("run", "--model", f"{net}:build", "--data", pictures, "--out", out, *WORDS)
    launch(*words)
    request = json.loads((out / "request.json").read_text())
    assert request.pop("code") == load(f"{net}:build", options=TOLD).code
    (out / "request.json").write_text(json.dumps(request))
    launch(*words)
    assert open_run(out).manifest.request.code == ""
