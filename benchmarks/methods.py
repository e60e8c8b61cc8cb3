"""Time of each method: milliseconds per image, for one image and for a batch, and as multiples of a forward
pass of the unmodified network.

    python benchmarks/methods.py [--model mobilenet_v2] [--batch 32]
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch import Tensor, nn

from benchmarks.timing import hardware, take_turns
from explain.methods.compute import Case, answer, explain
from explain.methods.registry import METHODS, names_from_a_pass
from explain.methods.target import Target
from explain.network.hooks import capture, logits
from explain.network.target_layers import default_layer
from models.errors import UserError
from models.memory import reuse_memory
from models.registry import spec

CHEAP, FEW = (
    12,
    4,
)  # dearer than so many passes: measured once and on few images of the batch, not the median of three


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--methods", default=",".join(METHODS))
    given = parser.parse_args()
    reuse_memory()  # as in a run
    torch.manual_seed(0)
    entry = spec(given.model)
    model = entry.build(None).eval().to(memory_format=torch.channels_last)
    print(f"{given.model}, random weights, {'×'.join(map(str, entry.preprocessing.size))}; {hardware()}")
    chosen = given.methods.split(",")
    measured = [
        measure(
            model,
            chosen,
            torch.randn(n, 3, *entry.preprocessing.size).contiguous(memory_format=torch.channels_last),
        )
        for n in (1, given.batch)
    ]
    print(
        f"\n| | 1 image, ms | × forward | batch of {given.batch}, ms an image | × forward "
        "|\n|---|---|---|---|---|"
    )
    for name in measured[0]:
        cells = [
            f"{1000 * seconds[name]:.1f} | {seconds[name] / seconds['forward']:.2f}" for seconds in measured
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def measure(model: nn.Module, chosen: list[str], x: Tensor) -> dict[str, float]:
    """Seconds per image."""
    layer, target = default_layer(model, x), Target(torch.arange(len(x)))
    c, h, w = capture(model, x[:1], layer).activation.shape[1:]
    works: dict[str, Callable[[], object]] = {
        "forward": lambda: logits(model, x),
        "all that share a pass": lambda: explain(capture(model, x, layer), names_from_a_pass(), target),
    }
    dear: dict[str, Callable[[], object]] = {}
    for name, method in ((name, METHODS[name]) for name in chosen):
        kind = dear if method.passes(c, h * w, method.settings()) > CHEAP else works
        rows = slice(FEW) if kind is dear else slice(None)
        kind[name] = lambda name=name, rows=rows: answer(
            Case(model, x[rows], (layer,), target.rows(rows)), name
        )  # type: ignore[misc]
    works = {name: work for name, work in works.items() if _works(name, work)}
    seconds = {name: median(times) / len(x) for name, times in take_turns(works, 3).items()}
    seconds |= {name: _once(work) / min(len(x), FEW) for name, work in dear.items()}
    return {name: seconds[name] for name in ["forward", "all that share a pass", *METHODS] if name in seconds}


def _once(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _works(name: str, work: Callable[[], object]) -> bool:
    try:
        work()
    except UserError as error:
        print(f"  {name}: {error}")
        return False
    return True


if __name__ == "__main__":
    main()
