"""Curves of maps (insertion, deletion, ROAD) against the forward passes that they need, and against
pytorch-grad-cam on the same image and maps.

Bare passes: as many images as the curves need go through the same fused network in the same batches.
pytorch-grad-cam gets the network as it is; ROAD removes 20, 40, 60 and 80 % in both. Quantus is in
`imputation.py`: its ROAD (0.6) ends with an IndexError for color images and maps of one channel. Budget: 1.2
bare passes for insertion and deletion, a quarter of pytorch-grad-cam's time for ROAD.

    python benchmarks/quality.py [--maps 6] [--peer-maps 1] [--rounds 3] [--threads 1]
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import hardware, take_turns
from explain.network.fused import fused_copy
from explain.network.hooks import logits
from explain.quality.curves import CurveSettings, Scorer, curves_of
from models.memory import reuse_memory

SIDE, LABEL, KINDS = 224, 3, ("insertion", "deletion")
ROAD = ("most_relevant_first", "least_relevant_first")


def bare(scorer: Scorer, x: Tensor, settings: CurveSettings, kinds: Sequence[str], maps: int) -> None:
    """The passes of `curves_of` alone: those of the image and its baseline, then those of each kind."""
    for count in (2, *(maps * settings.passes([kind]) for kind in kinds)):
        for start in range(0, count, scorer.batch_size):
            size = min(scorer.batch_size, count - start)
            logits(scorer.model, x.expand(size, -1, -1, -1).contiguous(memory_format=torch.channels_last))


def show(title: str, times: dict[str, list[float]]) -> None:
    middle = {name: median(values) for name, values in times.items()}
    first = next(iter(middle.values()))
    print(title)
    for name, seconds in middle.items():
        print(f"  {name:44} {seconds:8.3f} s  {seconds / first:7.2f} x")


def against_pytorch_grad_cam(model: nn.Module, scorer: Scorer, x: Tensor, maps: Tensor, rounds: int) -> None:
    from pytorch_grad_cam.metrics.road import ROADCombined

    pixels = F.interpolate(maps[:, None], (SIDE, SIDE), mode="bilinear")[:, 0].numpy()
    batch, settings = x.expand(len(maps), -1, -1, -1), CurveSettings()
    targets = [lambda scores: scores.softmax(0)[LABEL]] * len(maps)
    combined = ROADCombined(percentiles=[20, 40, 60, 80])
    rivals: dict[str, Callable[[], object]] = {
        "Vitrine, ROAD both ways": lambda: curves_of(scorer, x, LABEL, maps, ROAD, settings),
        "pytorch-grad-cam, ROADCombined": lambda: combined(batch, pixels, targets, model),
    }
    show(f"{len(maps)} map(s) of one image", take_turns(rivals, rounds, time.process_time))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=6)
    parser.add_argument("--peer-maps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    reuse_memory()  # as in a run
    from torchvision.models import mobilenet_v2

    generator = torch.Generator().manual_seed(0)
    model, x = mobilenet_v2().eval(), torch.randn(1, 3, SIDE, SIDE, generator=generator)
    maps, settings = torch.rand(given.maps, 14, 14, generator=generator), CurveSettings()
    scorer = Scorer(fused_copy(model, x, (), "fp32"))
    print(f"MobileNetV2, {SIDE} x {SIDE}, {given.maps} maps of one image; CPU time; {hardware()}")
    for title, kinds in (("insertion and deletion", KINDS), ("ROAD both ways", ROAD)):
        rivals: dict[str, Callable[[], object]] = {
            "bare passes": lambda kinds=kinds: bare(scorer, x, settings, kinds, len(maps)),  # type: ignore[misc]
            title: lambda kinds=kinds: curves_of(scorer, x, LABEL, maps, kinds, settings),  # type: ignore[misc]
        }
        show(title, take_turns(rivals, given.rounds, time.process_time))
    against_pytorch_grad_cam(model, scorer, x, maps[: given.peer_maps], min(given.rounds, 2))


if __name__ == "__main__":
    main()
