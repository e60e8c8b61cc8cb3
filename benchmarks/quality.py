"""Curves of maps (insertion, deletion, ROAD) against the forward passes that they need, and against
pytorch-grad-cam and Quantus on the same images, maps, order and steps.

Bare passes: as many images as the curves need go through the same fused network in the same batches. The
other libraries get the network as it is. All remove cells of 16 x 16 pixels; each table prints the largest
difference of the figures without noise. Quantus gets a network of one channel and two classes: its ROAD (0.6)
ends with an IndexError for color images and maps of one channel, and counts right images, those whose class
has more than a half. Its pixel flipping is deletion with the mean of the data in place of removed cells.
Budget: 1.2 bare passes; a quarter of the time of the others.

    python benchmarks/quality.py [--maps 6] [--peer-maps 1] [--rounds 3] [--threads 1]
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
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


def enlarged(maps: Tensor) -> Tensor:
    """Cells (M, g, h) -> pixels (M, H, W), without values between."""
    return F.interpolate(maps[:, None], (SIDE, SIDE), mode="nearest")[:, 0]


def road_figure(scorer: Scorer, x: Tensor, maps: Tensor, settings: CurveSettings) -> np.ndarray:
    """(M,): least minus most relevant first, halved."""
    found = curves_of(scorer, x, LABEL, maps, ROAD, settings)
    most, least = (found[kind].figure(found[kind].probabilities) for kind in ROAD)
    return ((least - most) / 2).numpy()


def against_pytorch_grad_cam(model: nn.Module, scorer: Scorer, x: Tensor, maps: Tensor, rounds: int) -> None:
    from pytorch_grad_cam.metrics import road

    cells, pixels = maps[0].numel(), enlarged(maps).numpy()
    batch, settings = x.expand(len(maps), -1, -1, -1), CurveSettings()
    targets = [lambda scores: scores.softmax(0)[LABEL]] * len(maps)
    # It keeps what lies below a percentile, so that these remove as many of the cells.
    counts = [round(fraction * cells) for fraction in settings.fractions]
    most = [100 * (cells - count - 0.5) / (cells - 1) for count in counts]
    metrics = [road.ROADMostRelevantFirst(p) for p in most], [road.ROADLeastRelevantFirst(p) for p in most]

    def theirs() -> np.ndarray:
        first, last = (np.mean([m(batch, pixels, targets, model) for m in kind], 0) for kind in metrics)
        return (last - first) / 2

    rivals: dict[str, Callable[[], object]] = {
        "Vitrine, ROAD both ways": lambda: road_figure(scorer, x, maps, settings),
        "pytorch-grad-cam, ROAD both ways": theirs,
    }
    show(f"{len(maps)} map(s) of one image", take_turns(rivals, rounds, time.process_time))
    for metric in (*metrics[0], *metrics[1]):
        metric.perturbation.imputer.noise = 0
    off = np.abs(theirs() - road_figure(scorer, x, maps, CurveSettings(noise=0))).max()
    print(f"  largest difference of the figures: {off:.1e}")


def against_quantus(maps: Tensor, rounds: int) -> None:
    import quantus

    cells, label, steps = maps[0].numel(), 1, 14
    model, x = one_channel()
    scorer = Scorer(fused_copy(model, x, (), "fp32"))
    pixels, batch = enlarged(maps)[:, None].numpy(), np.repeat(x.numpy(), len(maps), 0)
    labels, plain = np.full(len(maps), label), {"normalise": False, "disable_warnings": True}
    counts = [round(fraction * cells) for fraction in CurveSettings().fractions]
    percent = [100 * (count + 1e-4) / cells for count in counts]
    flipping = quantus.PixelFlipping(features_in_step=SIDE**2 // steps, perturb_baseline=0.0, **plain)

    def their_road(noise: float = 0.01) -> np.ndarray:
        road = quantus.ROAD(noise=noise, percentages=percent, **plain)
        return np.array(list(road(model, batch, labels, pixels, device="cpu").values()))

    def our_road(noise: float = 0.01) -> np.ndarray:
        found = curves_of(scorer, x, label, maps, ROAD[:1], CurveSettings(noise=noise))[ROAD[0]]
        return (found.probabilities > 0.5).float().mean(0).numpy()

    def their_deletion() -> np.ndarray:
        return np.array(flipping(model, batch, labels, pixels, device="cpu"))

    def our_deletion() -> np.ndarray:
        settings = CurveSettings(steps=steps, baseline="mean")
        return curves_of(scorer, x, label, maps, ["deletion"], settings)["deletion"].probabilities.numpy()[
            :, 1:
        ]

    for title, ours, theirs in (
        ("ROAD, most relevant first", our_road, their_road),
        ("deletion, pixel flipping", our_deletion, their_deletion),
    ):
        rivals: dict[str, Callable[[], object]] = {f"Vitrine, {title}": ours, f"Quantus, {title}": theirs}
        show(f"{len(maps)} maps of one gray image", take_turns(rivals, rounds, time.process_time))
    print(f"  largest difference of ROAD without noise: {np.abs(our_road(0) - their_road(0)).max():.1e}")
    print(f"  of the points of deletion: {np.abs(our_deletion() - their_deletion()).max():.1e}")


def responsive(model: nn.Module, channels: int) -> nn.Module:
    """With batch norms set to statistics of noise: at random weights, scores hardly depend on the image
    otherwise."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.train()(torch.randn(16, channels, SIDE, SIDE, generator=generator))
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
        model(torch.randn(16, channels, SIDE, SIDE, generator=generator))
        model.classifier[-1].weight.mul_(20)  # type: ignore[union-attr, operator, index]
    return model.eval()


def one_channel() -> tuple[nn.Module, Tensor]:
    """MobileNetV2 of gray images and two classes with random weights, and an image."""
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    model = mobilenet_v2(num_classes=2)
    model.features[0][0] = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
    return responsive(model, 1), torch.randn(1, 1, SIDE, SIDE)


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
    torch.manual_seed(0)
    model, x = responsive(mobilenet_v2(), 3), torch.randn(1, 3, SIDE, SIDE, generator=generator)
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
    against_quantus(maps, min(given.rounds, 2))


if __name__ == "__main__":
    main()
