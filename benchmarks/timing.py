"""Fair timings: warm up, take turns, compare medians in one process, name the hardware."""

import platform
import time
from collections.abc import Callable

import torch


def take_turns(
    rivals: dict[str, Callable[[], object]], rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each rival in each round after a first one that is left out; they take turns, so that a slow
    minute hits all of them. With `clock=time.process_time`, seconds of CPU."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds + 1):
        for name, work in rivals.items():
            began = clock()
            work()
            times[name].append(clock() - began)
    return {name: measured[1:] for name, measured in times.items()}


def hardware() -> str:
    return (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}"
    )
