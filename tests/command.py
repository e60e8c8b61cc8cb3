"""The command line inside this process: what `python launch.py …` prints, and its exit code.

A fresh interpreter needs seconds to import torch; here every command of a test process shares it.
"""

import contextlib
import io
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main

import launch as entry

ROOT = Path(__file__).parent.parent
SIGNALS = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if (number := getattr(signal, name, None))
)
LOGGERS = (None, "vitrine", "lightning", "lightning.pytorch", "lightning.fabric", "uvicorn")


@dataclass(frozen=True)
class Done:
    """What `subprocess.run(…, text=True)` would give: exit code, standard output, standard error."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: object, cwd: Path = ROOT, answer: str = "") -> Done:
    """Run `python launch.py ARGUMENTS` through `launch.main`; `answer` is what a person would type.

    Leaves the process as it was: working directory, environment, signal handlers, logging, warnings, random
    states.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    with _restored(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["launch.py", *map(str, arguments)])
        patch.setattr(sys.modules["__main__"], "__package__", None)  # else usage says python -m pytest
        patch.setattr(sys, "stdin", io.StringIO(answer))
        patch.setattr(typer.main, "get_command", _commands)
        patch.chdir(cwd)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                entry.main()
            except SystemExit as end:
                code = _exit_code(end)
    return Done(code, out.getvalue(), err.getvalue())


_commands = cache(typer.main.get_command)
"""Typer else reads the options of all commands anew for each that is run."""


def launch(*arguments: object, code: int = 0) -> str:
    """Run a command, check its exit code, and return what it printed: stdout, or stderr where it fails."""
    done = run_command(*arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def one_line(*arguments: object) -> str:
    """The one line with which a command refuses what it was given; its exit code is 2."""
    message = [line for line in launch(*arguments, code=2).splitlines() if line.startswith("vitrine: ")]
    assert len(message) == 1
    return message[0]


def _exit_code(end: SystemExit) -> int:
    """As the interpreter turns it into one: a text goes to standard error, and is a failure."""
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    loggers = [(log, log.level, log.handlers[:], log.filters[:]) for log in map(logging.getLogger, LOGGERS)]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in set(os.environ) - set(environment):
            if not name.startswith("GRADIO_"):  # set once, when the dashboard is imported
                del os.environ[name]
        os.environ.update(environment)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for log, level, kept, filters in loggers:
            log.setLevel(level)
            log.handlers[:], log.filters[:] = kept, filters
        random.setstate(states[0]), np.random.set_state(states[1]), torch.set_rng_state(states[2])
