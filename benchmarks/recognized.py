"""Are feature visualizations of classes recognized? Those of one network are classified by another one, with
noise as control.

    python benchmarks/recognized.py --weights mobilenet_v2.safetensors \\
        --other-weights mobilenetv1_100.safetensors [--classes 20] [--steps 128]
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from PIL import Image

from explain.features.activation_maximization import Settings, maximize
from explain.network.hooks import logits
from models.classifier import Classifier
from models.memory import reuse_memory
from models.registry import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mobilenet_v2")
    parser.add_argument("--weights")
    parser.add_argument("--other", default="mobilenet_v1")
    parser.add_argument("--other-weights")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    reuse_memory()
    first, second = load(chosen.model, chosen.weights), load(chosen.other, chosen.other_weights)
    count = len(first.classes)
    units = [
        int((i + 0.5) * count / chosen.classes) for i in range(chosen.classes)
    ]  # evenly spread, none chosen
    began, noise = time.perf_counter(), np.zeros(0)
    for made in maximize(first, units, Settings(steps=chosen.steps, seed=chosen.seed)):
        noise = made.pictures if made.step == 0 else noise
    print(
        f"{len(units)} classes of {first.name}, {chosen.steps} steps in {time.perf_counter() - began:.0f} "
        f"s, before {second.name}"
    )
    told = [
        ("itself, maximized", first, made.pictures),
        ("the other, maximized", second, made.pictures),
        ("the other, noise", second, noise),
    ]
    for name, judge, pictures in told:
        print(f"  {name:24} {format_text(ranks(judge, pictures, units))}")
    for unit, rank in zip(units, ranks(second, made.pictures, units), strict=True):
        print(f"  {rank + 1:5}. {first.classes[unit]}")


def ranks(judge: Classifier, pictures: np.ndarray, units: list[int]) -> np.ndarray:
    """How many classes the second network finds more probable than the visualized one."""
    text = logits(judge.model, judge.batch([Image.fromarray(picture) for picture in pictures])).cpu().numpy()
    own: np.ndarray = text[np.arange(len(units)), units]
    return np.asarray((text > own[:, None]).sum(1))


def format_text(rank: np.ndarray) -> str:
    fractions = ", ".join(
        f"{name} {np.mean(rank < top):5.0%}"
        for name, top in (("first", 1), ("among five", 5), ("among fifty", 50))
    )
    return f"{fractions}, median rank {np.median(rank) + 1:.0f}"


if __name__ == "__main__":
    main()
