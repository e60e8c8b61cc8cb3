"""Gain of kept memory per training step, in one process; and images per second of the light networks.

python benchmarks/train_step.py
"""

import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch.nn import functional as F

from benchmarks.timing import hardware, take_turns
from models.architectures.classifiers import ARCHITECTURES
from models.memory import reuse_memory

BATCH = 64


def step_seconds(name: str) -> float:
    """Median of one step: bf16 autocast, channels_last, forward, backward, AdamW."""
    model = ARCHITECTURES[name](7).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    x = torch.rand(BATCH, 3, 128, 128).to(memory_format=torch.channels_last)
    y = torch.randint(0, 7, (BATCH,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x).float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return median(take_turns({name: step}, 8)[name])


def main() -> None:
    print(hardware())
    before = step_seconds("fer_vgg")
    reuse_memory()
    after = step_seconds("fer_vgg")
    print(
        f"fer_vgg: {BATCH / before:.0f} images/s by itself, {BATCH / after:.0f} with memory kept: "
        f"{before / after:.2f} times as fast"
    )
    for name in ("fer_alexnet", "fer_mobilenet"):
        print(f"{name}: {BATCH / step_seconds(name):.0f} images/s")


if __name__ == "__main__":
    main()
