"""The cost of a network: parameters, multiply-adds, bytes, images per second."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.classifier import Classifier

SECONDS = 1.5  # for how long images are counted


@dataclass(frozen=True)
class Cost:
    """`parameters` learned ones; `macs` multiply-adds of convolutions and matrices for one image;
    `images_per_second` of float32 forward passes, images in memory, on `device`."""

    parameters: int
    macs: int
    bytes: int
    images_per_second: float
    device: str


def macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-adds for one image (C, h, w): half of what torch counts as floating-point operations."""
    device = next(model.parameters()).device
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *shape, device=device))
    return counter.get_total_flops() // 2


def measure_cost(classifier: Classifier, file: Path, batch: int = 32) -> Cost:
    model, shape = classifier.model, (classifier.channels, *classifier.input_size)
    x = torch.rand(batch, *shape, device=classifier.device).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(x)
        began, passes = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < SECONDS:
            float(model(x).sum())  # waits for the device
            passes += 1
    parameters = sum(p.numel() for p in model.parameters())
    return Cost(
        parameters,
        macs(model, shape),
        file.stat().st_size,
        round(batch * passes / spent, 1),
        str(classifier.device),
    )
