"""What a run gains over a plain forward pass before it makes any map: memory that is kept, and the fused
network; in one process.

python benchmarks/forward.py [--models mobilenet_v2,resnet50] [--batch 32]
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from benchmarks.timing import hardware, take_turns
from explain.network.fused import fused_copy
from explain.network.hooks import logits
from models.memory import reuse_memory
from models.registry import spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="mobilenet_v2,resnet50")
    parser.add_argument("--batch", type=int, default=32)
    chosen = parser.parse_args()
    print(f"batch of {chosen.batch}; {hardware()}")
    works: dict[str, Callable[[], object]] = {}
    for name in chosen.models.split(","):
        torch.manual_seed(0)
        entry = spec(name)
        model = entry.build(None).eval().to(memory_format=torch.channels_last)
        x = torch.randn(chosen.batch, 3, *entry.preprocessing.size).contiguous(
            memory_format=torch.channels_last
        )
        for precision in ("fp32", "bf16"):
            quick = fused_copy(model, x, (), precision)
            works[f"{name} {precision}"] = lambda model=model, x=x, p=precision: logits(model, x, p)  # type: ignore[misc]
            works[f"{name} {precision}, fused"] = lambda model=quick, x=x, p=precision: logits(model, x, p)  # type: ignore[misc]
    before = {name: median(times) for name, times in take_turns(works).items()}
    reuse_memory()
    after = {name: median(times) for name, times in take_turns(works).items()}
    print(f"  {'':28} {'by itself':>10} {'memory kept':>12}")
    for name in works:
        plain = before[name.removesuffix(", fused")]
        print(
            f"  {name:28} {before[name]:8.3f} s {after[name]:10.3f} s   {plain / after[name]:5.2f} times "
            "as fast as by itself"
        )


if __name__ == "__main__":
    main()
