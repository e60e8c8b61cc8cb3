"""Imputation of removed pixels (ROAD): Vitrine against pytorch-grad-cam and Quantus, on one CPU thread.

The other libraries impute one image after the other; their time is that of one image, ours that of a batch
divided by its images, in CPU time. Budget: 1/20 of pytorch-grad-cam's time, all masks together.

    python benchmarks/imputation.py [--side 224] [--batch 32] [--rounds 3] [--threads 1]
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from quantus.functions.perturb_func import noisy_linear_imputation
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import hardware, take_turns
from explain.quality.road.imputation import impute
from models.memory import reuse_memory


def photo_like(side: int, generator: torch.Generator) -> Tensor:
    """Smooth noise with some grain, (3, side, side)."""
    coarse = torch.randn(1, 3, side // 16, side // 16, generator=generator)
    grain = torch.randn(3, side, side, generator=generator)
    return F.interpolate(coarse, (side, side), mode="bicubic")[0] + 0.2 * grain


def masks(side: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Kept pixels (side, side): the most relevant removed first, of maps of one value per cell or pixel."""
    made = {}
    cells = torch.rand(1, 1, side // 16, side // 16, generator=generator)
    smooth = F.interpolate(torch.randn(1, 1, 7, 7, generator=generator), (side, side), mode="bilinear")
    for removed in (0.1, 0.5, 0.9):
        for name, values in {
            "cells of 16 x 16": F.interpolate(cells, (side, side), mode="nearest"),
            "a coarse map": smooth,
            "pixels": torch.rand(1, 1, side, side, generator=generator),
        }.items():
            made[f"{name}, {removed:.0%} removed"] = values[0, 0] <= values.quantile(1 - removed)
    return made


def compare(x: Tensor, keep: Tensor, batch: int, rounds: int) -> tuple[list[float], float]:
    """Seconds per image (Vitrine, pytorch-grad-cam, Quantus), and the largest difference to the others."""
    peer, away = NoisyLinearImputer(noise=0.01), np.flatnonzero(~keep.numpy())
    images, kept = x.expand(batch, -1, -1, -1).contiguous(), keep.expand(batch, -1, -1).contiguous()
    rivals: dict[str, Callable[[], object]] = {
        "vitrine": lambda: impute(images, kept),
        "pytorch-grad-cam": lambda: peer(x, keep.float()),
        "quantus": lambda: noisy_linear_imputation(x.numpy(), away, noise=0.01),
    }
    ours, *theirs = [median(times) for times in take_turns(rivals, rounds, time.process_time).values()]
    exact = NoisyLinearImputer(noise=0)(x, keep.float())
    error = (impute(x[None], keep[None], noise=0)[0] - exact).abs().max() / x.std()
    return [ours / batch, *theirs], float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    reuse_memory()  # as in a run
    generator = torch.Generator().manual_seed(0)
    x = photo_like(given.side, generator)
    print(f"batches of {given.batch} images of {given.side} x {given.side}; {hardware()}")
    print(f"{'CPU ms per image':34} vitrine  pytorch-grad-cam      Quantus           error / std")
    all_times = []
    for name, keep in masks(given.side, generator).items():
        times, error = compare(x, keep, given.batch, given.rounds)
        all_times.append(times)
        ours, *theirs = (1000 * t for t in times)
        columns = "  ".join(f"{t:8.1f} ({t / ours:4.0f} x)" for t in theirs)
        print(f"{name:34} {ours:7.1f}  {columns}  {error:.0e}", flush=True)
    sums = [sum(column) for column in zip(*all_times, strict=True)]
    ratios = [median(times[k] / times[0] for times in all_times) for k in (1, 2)]
    print(f"all masks: {sums[1] / sums[0]:.0f} x, {sums[2] / sums[0]:.0f} x", end="; ")
    print(f"median of the masks: {ratios[0]:.0f} x, {ratios[1]:.0f} x")


if __name__ == "__main__":
    main()
