"""What each method costs: milliseconds an image, one image and a batch, and as multiples of a forward pass.

    python benchmarks/methods.py [--model mobilenet_v2] [--batch 32] [--dear]
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch import Tensor, nn

from benchmarks.timing import hardware, take_turns
from explain.capture import capture, default_layer, logits
from explain.case import Case, answer, explain
from explain.methods import METHODS, names_from_a_pass
from explain.target import Target
from models.errors import UserError
from models.registry import spec

CHEAP = 12  # forward passes that a method may cost in a batch, unless --dear


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--dear", action="store_true")
    given = parser.parse_args()
    torch.manual_seed(0)
    entry = spec(given.model)
    model = entry.build(None).eval().to(memory_format=torch.channels_last)
    print(f"{given.model}, random weights, {'×'.join(map(str, entry.preprocessing.size))}; {hardware()}")
    for n in (1, given.batch):
        x = torch.randn(n, 3, *entry.preprocessing.size).contiguous(memory_format=torch.channels_last)
        measure(model, x, 400 if n == 1 else 1e9 if given.dear else CHEAP)


def measure(model: nn.Module, x: Tensor, most: float) -> None:
    """Those that cost at most so many forward passes."""
    layer, target = default_layer(model, x), Target(torch.arange(len(x)))
    c, h, w = capture(model, x[:1], layer).activation.shape[1:]
    rivals: dict[str, Callable[[], object]] = {
        "forward": lambda: logits(model, x), "all that share a pass": lambda: explain(capture(model, x, layer), names_from_a_pass(), target)
    }  # fmt: skip
    for name, method in METHODS.items():
        if method.passes(c, h * w, method.settings()) <= most:
            rivals[name] = lambda name=name: answer(Case(model, x, (layer,), target), name)  # type: ignore[misc]
    print(f"\nbatch of {len(x)}")
    rivals = {name: work for name, work in rivals.items() if _works(name, work)}
    seconds = {name: median(times) for name, times in take_turns(rivals, 3).items()}
    for name, value in seconds.items():
        print(f"  {name:24} {1000 * value / len(x):9.1f} ms an image {value / seconds['forward']:8.2f} × forward")


def _works(name: str, work: Callable[[], object]) -> bool:
    try:
        work()
    except UserError as error:
        print(f"  {name}: {error}")
        return False
    return True


if __name__ == "__main__":
    main()
