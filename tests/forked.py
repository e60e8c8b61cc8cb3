"""Commands as processes of their own that need no imports.

A fresh interpreter needs four to eight CPU seconds to import torch, Gradio and Lightning. Here one process
imports them once, and each command is a fork of it: with its own process id, signals, environment, working
directory and exit code. What is about the start of an interpreter itself belongs into a test that starts one.
"""

import atexit
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import pytest


ROOT = Path(__file__).parent.parent
RUN = ("torch", "torchvision", "pandas", "pyarrow.parquet", "scipy.stats", "PIL.Image")
OURS = ("models.registry", "explain.run.engine", "explain.analysis.findings")
TRAIN = ("models.training.train", "models.training.measure", "models.training.seeds")
NEEDS = {"serve": (*RUN, "gradio"), "train": (*RUN, *OURS, *TRAIN), "run": (*RUN, *OURS)}
"""Command -> modules that it imports. None of `dashboard`, which makes a folder when it is imported."""
NO_STUBS = ROOT / "dashboard" / "server" / "no_stubs.py"
"""Halves the time of the import of Gradio, as in the product."""
INTERPRETER = subprocess.Popen  # which tests replace by `Forked`
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
PAUSED = "TESTS_PAUSE_AFTER"
"""Environment variable: `NUMBER module:Class.name`, the call of a function after which the process stops
itself (SIGSTOP), so that a test finds it there, however busy the machine is."""
ANEW = "TESTS_IMPORT_ANEW"
"""Environment variable: the packages, with spaces between them, that the process imports itself, as they read
its environment while they are imported."""
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl: whose parent ends becomes a child of this process


class Forked(subprocess.Popen[Any]):
    """`subprocess.Popen` of `python launch.py …`, `python -m MODULE …` or `python -c CODE …`, as a fork;
    elsewhere than on Linux, a fresh interpreter."""

    def _execute_child(self, args: Any, *more: Any) -> None:
        words = list(map(str, args))
        known = words[0] == sys.executable and words[1:2] in ([str(ROOT / "launch.py")], ["-m"], ["-c"])
        if sys.platform != "linux" or not known:
            super()._execute_child(args, *more)  # type: ignore[misc]
            return
        cwd, env, fds, own_session = more[4], more[5], more[9:15], more[20]
        asked = {"words": words[1:], "cwd": str(cwd or os.getcwd()), "env": dict(env or os.environ)}
        given = [fd if fd >= 0 else number for number, fd in enumerate((fds[0], fds[3], fds[5]))]
        try:
            self.pid = _fork({**asked, "own_session": own_session}, given)
            self._child_created = True
        finally:
            self._close_pipe_fds(*fds)  # type: ignore[attr-defined]


def forked(*words: object, cwd: Path = ROOT, **options: Any) -> "subprocess.Popen[str]":
    """`python launch.py WORDS` as a fork, with texts in its pipes."""
    command = [sys.executable, str(ROOT / "launch.py"), *map(str, words)]
    return Forked(command, cwd=cwd, text=True, **options)


class _Parent:
    """The process that has imported everything, started at the first need."""

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
        self._process = INTERPRETER(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()
        atexit.register(self._line.close)  # with it the process ends

    def fork(self, asked: dict[str, Any], fds: list[int]) -> int:
        """The process id of a new child of ours."""
        socket.send_fds(self._line, [json.dumps(asked).encode()], fds)
        return int(self._line.recv(100))


_parents: list[_Parent] = []
_lock = threading.Lock()  # a server of the tests starts processes in its own threads


def _fork(asked: dict[str, Any], fds: list[int]) -> int:
    with _lock:
        if not _parents:
            _parents.append(_Parent())
        return _parents[0].fork(asked, fds)


def done(*words: object, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """What `subprocess.run` of `python WORDS` gives, as a fork."""
    with Forked([sys.executable, *map(str, words)], cwd=cwd, text=True, **PIPES) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(list(map(str, words)), process.returncode, out, err)


def paused_after(number: int, function: str) -> dict[str, str]:
    """The environment of a process that stops itself after so many calls of `module:Class.name`. Skips the
    test elsewhere than on Linux."""
    if sys.platform != "linux":
        import pytest

        pytest.skip("commands are forks on Linux only")
    return {PAUSED: f"{number} {function}"}


def pause_at_the_first_progress(patch: "pytest.MonkeyPatch") -> None:
    """The runs that are started now stop themselves after their first batch, which is in their log."""
    patch.setenv("TQDM_MININTERVAL", "0")
    for name, value in paused_after(1, "tqdm:tqdm.update").items():
        patch.setenv(name, value)


def wait_until_paused(pid: int, seconds: float = 120) -> None:
    """Until the process has stopped itself after the function that `PAUSED` names."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert state not in "ZX", "it has ended"
        if state == "T":
            return
        time.sleep(0.02)
    raise AssertionError("it never paused")


# -- in the other process ----------------------------------------------------------------------------------


def _serve_forks(line: socket.socket) -> None:
    """Forks for every message, until the tests have ended. In a fork: run the command."""
    gc.disable()  # what is imported stays: looking for garbage among it is a tenth of the time
    _import_no_stubs()
    while True:
        message, fds, *_ = socket.recv_fds(line, 1_000_000, 3)
        if not message:
            return
        asked = json.loads(message)
        for name in _needed(*asked["words"]):
            importlib.import_module(name)
        gc.freeze()
        ours, theirs = os.pipe()
        if between := os.fork():
            os.waitpid(between, 0)  # its child belongs to the tests now
            line.send(os.read(ours, 100))
            for fd in (ours, theirs, *fds):
                os.close(fd)
        elif pid := os.fork():
            os.write(theirs, str(pid).encode())
            os._exit(0)
        else:
            line.close(), os.close(ours), os.close(theirs)
            _run(asked, fds)


def _import_no_stubs() -> None:
    """Without the package that it is in."""
    spec = importlib.util.spec_from_file_location("no_stubs", NO_STUBS)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _needed(program: str, command: str = "serve", *more: str) -> tuple[str, ...]:
    """The modules that a process needs."""
    return {"-c": RUN, "-m": NEEDS["serve"]}.get(program) or NEEDS.get(command, RUN)


def _run(asked: dict[str, Any], fds: list[int]) -> NoReturn:
    """As a fresh interpreter would."""
    gc.enable()
    if asked["own_session"]:
        os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    if os.environ.get("PYTHONUNBUFFERED"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None
    importlib.import_module("numpy").random.seed()
    random.seed()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
        del sys.modules[name]  # it reads its environment while it is imported
    if place := os.environ.get(PAUSED):
        _pause_after(place)
    for name in os.environ.get(ANEW, "").split():
        for found in [found for found in sys.modules if found.partition(".")[0] == name]:
            del sys.modules[found]
    _as_main(*asked["words"])
    sys.exit()


def _as_main(program: str, *words: str) -> None:
    if program == "-c":
        sys.argv, sys.path = ["-c", *words[1:]], ["", *sys.path]
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
    elif program == "-m":
        sys.argv, sys.path = list(words), [os.getcwd(), *sys.path]
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["launch.py", *words]
        runpy.run_path(program, run_name="__main__")


def _pause_after(place: str) -> None:
    number, _, function = place.partition(" ")
    module, _, path = function.partition(":")
    *classes, name = path.split(".")
    owner = importlib.import_module(module)
    for part in classes:
        owner = getattr(owner, part)
    real, calls = getattr(owner, name), []

    def counted(*args: Any, **named: Any) -> Any:
        result = real(*args, **named)
        calls.append(1)
        if len(calls) == int(number):
            os.kill(os.getpid(), signal.SIGSTOP)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    _serve_forks(socket.socket(fileno=int(sys.argv[1])))
