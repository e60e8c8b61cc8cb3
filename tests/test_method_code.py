"""A method of a person's own is known by all that it does: figures of other code are not of it."""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch

from explain.methods.own_code import code_of
from explain.methods.registry import register_method, unregister_method


def spot(model: Any, x: Any, target: Any, at: float = 0.5) -> float:
    return at


def around(at: Any) -> Callable[..., Any]:
    return lambda model, x, target: at


class Spot:
    def __init__(self, at: Any):
        self.at = at

    def __call__(self, model: Any, x: Any, target: Any) -> Any:
        return self.at

    def maps(self, model: Any, x: Any, target: Any) -> Any:
        return self.at


def with_default(at: float) -> Callable[..., Any]:
    return FunctionType(spot.__code__, globals(), "spot", (at,))


@pytest.mark.parametrize(
    "made",
    [
        lambda at: partial(spot, at=at),
        lambda at: partial(partial(spot), None, None, at),
        around,
        Spot,
        lambda at: Spot(at).maps,
        lambda at: partial(Spot(0), target=Spot([at, {"at": at}])),
        lambda at: around(np.full((2, 2), at)),
        lambda at: Spot(torch.full((2, 2), at)),
        lambda at: around(around(at)),
        with_default,
    ],
)
def test_what_it_is_made_of_counts(made: Callable[[float], Callable[..., Any]]) -> None:
    assert code_of(made(0.5)) == code_of(made(0.5))
    assert code_of(made(0.5)) != code_of(made(0.9))


MODULE = """
import torch
import {name}_beside as beside
from {name}_beside import Base, place

WIDTH = {width}

def helper(x):
    return x + {added}

class Mine(Base):
    def __call__(self, model, x, target):
        return place(x)

def method(model, x, target):
    def inner(x):
        return beside.other(helper(x) * WIDTH)
    return inner(x)
"""
BESIDE = """
def place(x):
    return x * {factor}

def other(x):
    return x - {less}

class Base:
    power = {power}
    def used(self):
        return {given}
"""
VALUES = {"width": 1, "added": 1, "factor": 1, "less": 1, "power": 1, "given": 1}


def written(folder: Path, name: str, values: dict[str, int]) -> Any:
    """The module as a fresh process would read it."""
    for module, text in ((f"{name}_beside", BESIDE), (name, MODULE)):
        (folder / f"{module}.py").write_text(text.format(name=name, **values))
    importlib.invalidate_caches()
    return importlib.import_module(name)


@pytest.mark.parametrize(
    ("changed", "method", "mine"),
    [
        ("width", True, False),
        ("added", True, False),
        ("less", True, False),
        ("factor", True, True),  # of a module that it names, every line counts
        ("power", True, True),
        ("given", True, True),
    ],
)
def test_what_it_calls_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, method: bool, mine: bool
) -> None:
    """Of the same file and of others of the same person."""
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for k, values in enumerate((VALUES, VALUES, VALUES | {changed: 2})):
        place = tmp_path / str(k)
        place.mkdir()
        monkeypatch.syspath_prepend(place)
        module = written(place, "own_method", values)
        found.append((code_of(module.method), code_of(module.Mine())))
        for name in ("own_method", "own_method_beside"):
            del sys.modules[name]
    first, again, other = found
    assert first == again
    assert (first[0] != other[0], first[1] != other[1]) == (method, mine)


def test_what_a_call_changes_is_no_other_method() -> None:
    class Counts:
        calls = 0

        def __call__(self, model: Any, x: torch.Tensor, target: Any) -> torch.Tensor:
            self.calls += 1
            return x.mean(1)

    function = Counts()
    method = register_method("counts_calls", function)
    before = method.code
    function(None, torch.zeros(1, 3, 4, 4), None)
    assert method.code == before
    unregister_method("counts_calls")
    assert register_method("counts_calls", function).code != before
    unregister_method("counts_calls")
