"""Fair timings: warm up, take turns, compare medians in one process, name the hardware."""

import platform
import time
from collections.abc import Callable

import torch


def take_turns(rivals: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, list[float]]:
    """Seconds of each rival in each round after a first one that is left out; they take turns, so that a slow
    minute hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds + 1):
        for name, work in rivals.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: measured[1:] for name, measured in times.items()}


def hardware() -> str:
    return (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}"
    )
