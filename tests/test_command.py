"""Commands in process are what a process of their own would be, and leave nothing behind."""

import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.command import ROOT, run_command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["methods"], 0),
        (["report", "nowhere"], 2),
        (["compare", "--help"], 0),
        (["export", "--what"], 2),
        (["nothing"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_as_a_process_of_its_own(words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "launch.py", *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    here = run_command(*words)
    assert (here.returncode, here.stdout, here.stderr) == (done.returncode, done.stdout, done.stderr)
    assert done.returncode == code


@pytest.mark.slow
def test_a_process_is_left_as_it_was(tmp_path: Path) -> None:
    """`train` takes the signals for itself before it looks at its options."""
    random.seed(3), np.random.seed(3), torch.manual_seed(3)

    def state() -> tuple[object, ...]:
        signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        level = logging.getLogger("lightning.pytorch").level
        draws = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
        return Path.cwd(), dict(os.environ), signals, level, sys.argv[:], sys.stdin, draws

    before = state()
    assert run_command("train", "--out", tmp_path / "x.pth").returncode == 2
    assert run_command("data", "preview", "toon_faces", "--out", tmp_path / "p.png").returncode == 0
    assert state() == before
