"""Time of the Layers tab as multiples of a forward pass of one image; of feature visualization, as multiples
of a batch of sixteen.

    python benchmarks/layers.py [--models mobilenet_v2,resnet50,fer_vgg] [--steps 128]
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from PIL import Image

from benchmarks.timing import hardware, take_turns
from dashboard.components.network.layer_view import channel_sheet
from explain.features.activation_maximization import BATCH, Settings, maximize
from explain.features.activations import activations, order
from explain.features.depth import block_outputs, depth
from explain.features.projection import projections
from explain.network.hooks import logits
from explain.network.summary import Layer, layers
from models.classifier import Classifier
from models.memory import reuse_memory
from models.registry import spec

VIEW = {"order": "index", "scale": "each channel", "colors": "viridis", "page": 0, "channel": None}


def network(name: str) -> Classifier:
    """The network with random weights: times do not depend on them."""
    torch.manual_seed(0)
    entry = spec(name)
    model = entry.build(8).eval().to(memory_format=torch.channels_last)
    return Classifier(name, model, tuple("abcdefgh"), entry.preprocessing, "", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="mobilenet_v2,resnet50,fer_vgg")
    parser.add_argument("--steps", type=int, default=128)
    chosen = parser.parse_args()
    reuse_memory()
    print(hardware())
    for name in chosen.models.split(","):
        about(network(name), chosen.steps)


def about(classifier: Classifier, steps: int) -> None:
    model, picture = classifier.model, Image.effect_noise(classifier.input_size[::-1], 80).convert("RGB")
    x = classifier.batch([picture])
    table = layers(model, x)
    way, spatial = block_outputs(table), [layer for layer in table if layer.spatial]
    first, widest = spatial[0], max(spatial, key=lambda layer: (layer.shape[0], -layer.shape[1]))

    def page(layer: Layer) -> str:
        found = activations(model, x, layer.name, layer.runs)
        return channel_sheet(found, VIEW, order(model, x, found, "index", 0), "")

    found = activations(model, x, widest.name, widest.runs)
    works = {
        "forward": lambda: logits(model, x),
        f"table of {len(table)} layers": lambda: layers(model, x),
        f"page of {first.name}, {'×'.join(map(str, first.shape))}": lambda: page(first),
        f"page of {widest.name}, {'×'.join(map(str, widest.shape))}": lambda: page(widest),
        "what a unit saw, two ways": lambda: projections(model, x, found, 0),
        f"curves of an image over {len(way)} layers": lambda: depth(model, x, way),
    }
    times = {work: median(each) for work, each in take_turns(works).items()}
    print(f"\n{classifier.name}, {'×'.join(map(str, classifier.input_size))}, one image")
    for work, seconds in times.items():
        print(f"  {work:44} {1000 * seconds:8.1f} ms {seconds / times['forward']:7.2f} forwards")
    sixteen = x.repeat(BATCH, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    forward = median(take_turns({"forward": lambda: logits(model, sixteen)})["forward"])
    for layer in (spatial[len(spatial) // 2].name, widest.name, ""):
        began, preview = time.perf_counter(), 0.0
        for made in maximize(classifier, range(8 if not layer else BATCH), Settings(layer, steps=steps)):
            if made.step == 1:
                preview = time.perf_counter() - began
        took = time.perf_counter() - began
        what = f"{len(made.units)} units of {layer}" if layer else "8 classes"
        print(
            f"  maximize {what:35} {took:8.1f} s  {took / made.steps / forward:7.2f} forwards of 16 a "
            f"step, first preview {preview:.2f} s"
        )


if __name__ == "__main__":
    main()
