"""The engines of a run: what computes the rows of its batches."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from explain.run.job import Schedule, local
from models.classifier import Classifier
from models.data.source import ImageSource
from models.errors import UserError

LOCAL = "local"
ENGINES = {LOCAL: "explain.run.engines:in_this_process", "ray": "explain.run.ray_engine:on_workers"}
"""Name -> the function that makes its `Schedule` from `Workers` and a `Reopen`."""

Reopen = Callable[[str], tuple[Classifier, ImageSource, dict[str, int]]]
"""From a device to the network on it, the images, and class of the data -> output: what a worker opens for
itself. Can be pickled."""


@dataclass(frozen=True)
class Workers:
    """Processes of an engine that has some. `address`: of the cluster, empty for this machine; `count`: how
    many (None: one per GPU or core); `gpus`: of each, may be a fraction (None: 1 where the network's device
    is a GPU)."""

    address: str = ""
    count: int | None = None
    gpus: float | None = None


def schedule(name: str, workers: Workers, reopen: Reopen) -> Schedule:
    """Raises UserError for no such engine, for what it does not take, and for a package that is missing."""
    if name not in ENGINES:
        raise UserError(f"No engine '{name[:40]}': choose from {', '.join(ENGINES)}.")
    module, function = ENGINES[name].split(":")
    made: Schedule = getattr(import_module(module), function)(workers, reopen)
    return made


def in_this_process(workers: Workers, reopen: Reopen) -> Schedule:
    """The engine `local`. Raises UserError for options of workers."""
    if workers != Workers():
        raise UserError(
            f"The engine {LOCAL} has no workers: add --engine ray, or leave out --address, --workers and "
            "--gpus-per-worker."
        )
    return local
