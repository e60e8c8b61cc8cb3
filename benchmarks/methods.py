"""What each method costs: milliseconds an image, one image and a batch, and as multiples of a forward pass of
the network as it is.

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
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.registry import METHODS
from explain.methods.request import MapRequest
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
    """Seconds an image."""
    layer, target = default_layer(model, x), tuple(range(len(x)))
    c, h, w = capture(model, x[:1], layer).activation.shape[1:]
    works: dict[str, Callable[[], object]] = {
        "forward": lambda: logits(model, x),
        "all that share a pass": lambda: all_shared(model, x, layer, target),
    }
    dear: dict[str, Callable[[], object]] = {}
    for name, method in ((name, METHODS[name]) for name in chosen):
        kind = dear if method.passes(c, h * w, method.settings()) > CHEAP else works
        rows = slice(FEW) if kind is dear else slice(None)
        kind[name] = lambda name=name, rows=rows: compute_maps(  # type: ignore[misc]
            model, x[rows], MapRequest(name, layer, target[rows])
        )
    works = {name: work for name, work in works.items() if _works(name, work)}
    seconds = {name: median(times) / len(x) for name, times in take_turns(works, 3).items()}
    seconds |= {name: _once(work) / min(len(x), FEW) for name, work in dear.items()}
    return {name: seconds[name] for name in ["forward", "all that share a pass", *METHODS] if name in seconds}


def all_shared(model: nn.Module, x: Tensor, layer: str, target: tuple[int, ...]) -> None:
    """Every method that needs one pass, from the same pass."""
    passes = Passes(model, x)
    for name in (m.name for m in METHODS.values() if m.needs == "pass"):
        compute_maps(model, x, MapRequest(name, layer, target), passes=passes)


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
