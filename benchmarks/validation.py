"""Validation with a known answer: for drawn faces it is known which parts an expression moved. What fraction
of each method's map is inside the moved parts?

    python benchmarks/validation.py [--faces 70] [--methods grad_cam,lime]

For faces that the shipped network predicts correctly: the fraction of the positive part of the map inside the
moved parts (energy-based pointing game, Wang et al. 2020), beside maps that do not depend on the network:
uniform, centered Gaussian, smooth noise. Maps are enlarged bilinearly, so a map of 8 × 8 positions cannot be
sharper than its positions.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import hardware
from explain.methods.compute import compute_maps
from explain.methods.registry import METHODS
from explain.methods.request import MapRequest
from explain.network.hooks import logits
from explain.network.target_layers import default_layer
from models.data.toon_faces import ToonFaces
from models.errors import UserError
from models.registry import load

NETWORK = "fer_vgg:toon_faces"


def energy(maps: Tensor, masks: Tensor) -> np.ndarray:
    """Fraction (N,) of the positive part of maps (N, h, w) inside masks (N, H, W); NaN where nothing is
    positive."""
    large = F.interpolate(maps[:, None].clamp_min(0), masks.shape[1:], mode="bilinear", align_corners=False)[
        :, 0
    ]
    total = large.sum((1, 2))
    return torch.where(total > 0, (large * masks).sum((1, 2)) / total, torch.nan).numpy()


def controls(masks: Tensor) -> dict[str, Tensor]:
    n, h, w = masks.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    middle = torch.exp(-(x**2 + y**2) / (2 * 0.4**2)).expand(n, h, w)
    noise = torch.rand(n, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"uniform": torch.ones_like(masks), "centered Gaussian": middle, "smooth noise": noise}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=70)
    parser.add_argument("--methods", default=",".join(METHODS))
    given = parser.parse_args()
    classifier, faces = load(NETWORK), ToonFaces("test")
    x, masks, label = chosen(classifier, faces, given.faces)
    layer = default_layer(classifier.model, x[:1])
    print(f"{len(x)} faces predicted correctly, layer {layer}; {hardware()}\n")
    print(
        "| map | inside the moved parts | ratio to a uniform map | faces without positive evidence |\n"
        "| --- | --- | --- | --- |"
    )
    even = float(energy(torch.ones_like(masks), masks).mean())
    for name, maps in controls(masks).items():
        on_progress(name, energy(maps, masks), even)
    for name in given.methods.split(","):
        try:
            found = torch.cat(
                [
                    compute_maps(classifier.model, part, MapRequest(name, layer, tuple(target.tolist()))).maps
                    for part, target in zip(x.split(10), label.split(10), strict=True)
                ]
            )
            on_progress(METHODS[name].title, energy(found, masks), even)
        except UserError as error:
            print(f"| {METHODS[name].title} | {error} | | |")


def chosen(classifier, faces: ToonFaces, count: int) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[no-untyped-def]
    """Inputs, masks of the moved parts, and classes of the first faces that are predicted correctly and have
    moved parts."""
    inputs, masks, labels = [], [], []
    for index in range(len(faces)):
        face = faces.face(index)
        label = classifier.classes.index(faces.items[index].label)
        image = classifier.batch([face.image])
        if len(inputs) == count:
            break
        if face.moved and int(logits(classifier.model, image).argmax()) == label:
            inputs.append(image)
            masks.append(torch.from_numpy(face.evidence.astype(np.float32)))
            labels.append(label)
    return torch.cat(inputs), torch.stack(masks), torch.tensor(labels)


def on_progress(name: str, fractions: np.ndarray, even: float) -> None:
    kept = fractions[np.isfinite(fractions)]
    error = kept.std(ddof=1) / len(kept) ** 0.5
    print(
        f"| {name} | {kept.mean():.3f} ± {error:.3f} | {kept.mean() / even:.2f} × | "
        f"{len(fractions) - len(kept)} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
