"""Commands that are printed can be copied into a shell: a name in them stays one word and runs nothing."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from explain.cli import training
from explain.cli.options import LabeledColumns
from models.program import typed
from tests.command import launch, one_line

NAMES = ["my runs", "x $(touch y)", "it's `id`; ls"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["analyze", "{}"], "--out"),
        (["serve", "--gaze", "{}"], "--out"),
        (["serve", "--decoders", "{}"], "--out"),
        (["train", "--data", "toon_faces", "--out", "m.safetensors", "--labels", "{}"], "--labels"),
    ],
    ids=["run", "gaze", "decoders", "labels"],
)
def test_the_command_of_an_error_is_quoted(words: list[str], option: str, name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    if "serve" in words:
        Path(path).mkdir()
    message = one_line(*(word.format(path) if word == "{}" else word for word in words))
    command = message[message.rindex("python launch.py") :].rstrip(".")
    given = shlex.split(command)
    assert given[given.index(option) + 1] == path


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_command_after_a_run_is_quoted(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    printed = launch(
        "run", "--model", "tiny_conv:toon_studios", "--data", "toon_studios", "--limit", 8, "--out", out
    )
    command = next(line for line in printed.splitlines() if line.startswith("next "))
    assert shlex.split(command)[1:] == ["python", "launch.py", "serve", "--run", str(out)]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_after_a_training_is_quoted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    parts: Any = SimpleNamespace(test=None)
    training._say_next(Path(f"{name}.safetensors"), f"data/{name}", parts, LabeledColumns())
    given = shlex.split(capsys.readouterr().out)[3:]
    assert given == [
        "run",
        "--model",
        f"{name}.safetensors",
        "--data",
        f"data/{name}",
        "--out",
        f"runs/{name}",
    ]


def test_no_command_is_printed_with_a_bare_value() -> None:
    bare = re.compile(r"\{program\(\)\}[^\"']*?--[a-z-]+ \{(?!quote\()")
    root = Path(__file__).parents[1]
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for package in ("dashboard", "explain", "models", "vitrine")
        for path in (root / package).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if bare.search(line)
    ]
    assert not found
    assert shlex.split(typed(["run", "$(x)"]))[-1] == "$(x)"
