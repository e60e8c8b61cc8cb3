"""A planted shortcut: on 90 % of the training faces of one class a mark is drawn in a corner. A network that
is trained on them recognizes the mark, so it is known where a map of that class must point; a mended network,
for which the mark is drawn on all classes alike, has no reason to look at it.

    python benchmarks/planted_shortcut.py [--train 1200] [--test 60] [--epochs 20] [--methods grad_cam,fem]

Small networks are trained on toon faces of four classes at 64 × 64 pixels. On marked test faces of the class,
each method's maps of that class are compared with the place of the mark: the fraction of images in which the
largest value lies there (pointing game), and the fraction of the positive values (energy), beside the area of
the place, which a constant map has. The corner is random, so that a map of another image is a control. The
last table says which figures rank maps of the network with the shortcut as their energy on the mark does.
Drawn faces are kept in the temporary folder.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.known_effects import (
    FEW_PASSES,
    OTHERS,
    curve_figures,
    passes_of,
    repeated_figures,
    single_figures,
)
from benchmarks.known_tables import figure_table, title
from benchmarks.timing import hardware
from explain.methods.compute import compute_maps
from explain.methods.registry import methods_in_runs
from explain.methods.request import MapRequest
from explain.network.fused import fused_copy
from explain.network.hooks import logits
from explain.network.target_layers import default_layer
from explain.quality.comparison import Comparison, compare
from explain.quality.controls import IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK, image_controls
from explain.quality.curves import Scorer
from explain.quality.described.localization import energy, pointing_game
from explain.quality.described.randomized import randomized
from explain.quality.format_text import p_text
from explain.quality.verdict import SHORT
from models.architectures.layers import convolution
from models.data.toon_faces import SPLITS, ToonFaces, draw_face
from models.errors import UserError

CLASSES = ("neutral", "happiness", "surprise", "anger")
MARKED = 0  # the class whose training faces have the mark
OFTEN = 0.9  # fraction of them
SIDE, MARK, MARGIN = 64, 12, 2
COLOR = (250, 210, 40)
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # lower, right


@dataclass(frozen=True, eq=False)
class Faces:
    """`pixels` (N, 3, 64, 64) in [0, 1] without a mark, and the class (N,) of each."""

    pixels: Tensor
    labels: Tensor


def drawn(split: str, count: int) -> Faces:
    """The first `count` faces of `CLASSES`, in turn; kept in the temporary folder."""
    kept = Path(tempfile.gettempdir()) / f"planted_shortcut_{split}_{count}.npz"
    if not kept.exists():
        source = ToonFaces(split, count * 8 // len(CLASSES))
        chosen = [i for i, item in enumerate(source.items) if item.label in CLASSES]
        labels = [CLASSES.index(source.items[i].label) for i in chosen]
        stream = SPLITS[split][0]
        faces = (draw_face(source.items[i].label, (0, stream, i)).image for i in chosen)
        pixels = np.stack([np.asarray(f.resize((SIDE, SIDE), Image.Resampling.BOX)) for f in faces])
        np.savez(kept, pixels=pixels, labels=labels)
    with np.load(kept) as arrays:
        pixels, labels = arrays["pixels"], arrays["labels"]
    return Faces(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(labels))


def place_of(corner: int) -> tuple[slice, slice]:
    """Rows and columns of the mark with its margin."""
    side = MARK + 2 * MARGIN
    rows, columns = (slice(SIDE - side, SIDE) if far else slice(0, side) for far in CORNERS[corner])
    return rows, columns


def marked(pixels: Tensor, corners: Sequence[int]) -> Tensor:
    """Copies of images (N, 3, 64, 64) with the mark in the given corner of each; -1 is none."""
    made = pixels.clone()
    for image, corner in zip(made, corners, strict=True):
        if corner >= 0:
            rows, columns = place_of(corner)
            inner = (slice(at.start + MARGIN, at.stop - MARGIN) for at in (rows, columns))
            image[:, *inner] = torch.tensor(COLOR)[:, None, None] / 255
    return made


def regions(corners: Sequence[int]) -> Tensor:
    """(N, 64, 64) bool: the mark with its margin."""
    found = torch.zeros(len(corners), SIDE, SIDE, dtype=torch.bool)
    for region, corner in zip(found, corners, strict=True):
        region[place_of(corner)] = True
    return found


def training_corners(labels: Tensor, mended: bool, seed: int = 0) -> list[int]:
    """Where the mark of each training face is: on 90 % of the faces of the class `MARKED`, or of every
    class."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, len(CORNERS), len(labels))
    has = (rng.random(len(labels)) < OFTEN) & (mended | (labels.numpy() == MARKED))
    return np.where(has, corners, -1).tolist()


def network() -> nn.Module:
    """Four convolutions, maps end at (N, 64, 8, 8); 60 thousand parameters."""
    layers: list[nn.Module] = []
    for inputs, width in ((3, 16), (16, 32), (32, 64), (64, 64)):
        layers += [nn.MaxPool2d(2)] if layers else []
        layers += convolution(inputs, width)
    pooling = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(CLASSES)))
    return nn.Sequential(nn.Sequential(*layers), *pooling)


def trained(x: Tensor, labels: Tensor, epochs: int, seed: int = 0) -> nn.Module:
    """The network in eval mode, after `epochs` with mirrored images."""
    torch.manual_seed(seed)
    model, batch = network().train(), 50
    steps = epochs * -(-len(x) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(epochs):
        for of in torch.randperm(len(x)).split(batch):
            mirror = torch.rand(len(of)) < 0.5
            images = torch.where(mirror[:, None, None, None], x[of].flip(3), x[of])
            loss = F.cross_entropy(model(images), labels[of], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval()


@dataclass(frozen=True, eq=False)
class Hits:
    """Of one map for each of N images: `pointing` and `energy` (N,)."""

    pointing: np.ndarray
    energy: np.ndarray

    @classmethod
    def of(cls, maps: Tensor, places: Tensor) -> "Hits":
        """Maps without a positive value have the energy 0."""
        inside = energy(maps, places).inside.nan_to_num(0)
        return cls(pointing_game(maps, places).numpy(), inside.numpy())


Found = dict[tuple[str, str], Hits]
"""By (method, variant), as in `known_tables`."""


Maps = dict[str, Tensor]
"""Method -> maps (N, h, w) of the class `MARKED`."""


def map_of(method: str, model: nn.Module, x: Tensor, target: Sequence[int]) -> Tensor:
    layer, parameters = default_layer(model, x[:1]), tuple(OTHERS.get(method, {}).items())
    return compute_maps(model, x, MapRequest(method, layer, tuple(target), parameters=parameters)).maps


def maps_of(model: nn.Module, x: Tensor, methods: Sequence[str]) -> Maps:
    """Of the methods that this network can be explained with."""
    found = {}
    for method in methods:
        try:
            found[method] = torch.cat(
                [map_of(method, model, part, [MARKED] * len(part)) for part in x.split(20)]
            )
        except UserError as error:
            print(f"without {method}: {error}")
    return found


def control_maps(x: Tensor) -> Tensor:
    """(N, 3, 64, 64): the maps of `IMAGE_CONTROLS`."""
    return torch.stack([image_controls(image, str(k), (SIDE, SIDE)) for k, image in enumerate(x)])


def hits(own: Maps, random: Maps, controls: Tensor, corners: Sequence[int]) -> Found:
    """Of all maps, those of the network with random weights and of the next image among them."""
    places, found = regions(corners), {}
    for method in own:
        found[method, ""] = Hits.of(own[method], places)
        found[method, OTHER_IMAGE] = Hits.of(own[method].roll(1, 0), places)
        found[method, RANDOM_NETWORK] = Hits.of(random[method], places)
    named = zip(IMAGE_CONTROLS, controls.unbind(1), strict=True)
    return found | {("", name): Hits.of(maps, places) for name, maps in named}


def figure_rows(
    model: nn.Module, x: Tensor, own: Maps, random: Maps, controls: Tensor, found: Found
) -> pd.DataFrame:
    """One row an image, method and variant, as in `known_effects`: `mark` is the energy on the mark."""
    scorer, rows = Scorer(fused_copy(model, x)), []
    labels = [(method, "") for method in own] + [("", control) for control in IMAGE_CONTROLS]
    repeated = {
        method: repeated_figures(partial(map_of, method), model, x, [MARKED] * len(x), x[:16])
        for method in own
        if passes_of(method) <= FEW_PASSES
    }
    for k in range(len(x)):
        maps = [of[k : k + 1] for of in own.values()]
        columns = curve_figures(scorer, x[k : k + 1], MARKED, maps, controls[k])
        for j, (method, variant) in enumerate(labels):
            row = {"id": k, "method": method, "variant": variant, "mark": found[method, variant].energy[k]}
            if method:
                row |= single_figures(maps[j], random[method][k : k + 1])
                row |= {name: float(v[k]) for name, v in repeated.get(method, {}).items()}
            rows.append(row | {name: float(v[j]) for name, v in columns.items()})
    return pd.DataFrame(rows)


def compared(found: Found) -> dict[str, Comparison]:
    """The energy of each method against its best control."""
    methods = [method for method, variant in found if not variant]
    own = {m: found[m, ""].energy for m in methods}
    every = (*IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK)
    return compare(
        own, {m: {v: found["" if v in IMAGE_CONTROLS else m, v].energy for v in every} for m in methods}
    )


def table(planted: Found, mended: Found) -> str:
    """Methods and controls, by the energy on the mark of the network with the shortcut."""
    better = compared(planted), compared(mended)
    lines = [
        "| map | pointing, shortcut | pointing, mended | energy, shortcut | difference to best control, p "
        "| energy, mended | difference to best control, p |",
        "| --- |" + " --- |" * 6,
    ]
    shown = [pair for pair in planted if pair[1] in ("", *IMAGE_CONTROLS)]
    for variant in (OTHER_IMAGE, RANDOM_NETWORK):  # the best of all methods
        each = [pair for pair in planted if pair[1] == variant]
        shown.append(max(each, key=lambda pair: planted[pair].energy.mean()))
    for pair in sorted(shown, key=lambda pair: -planted[pair].energy.mean()):
        method, variant = pair
        best = f" (best: {title(method)})" if method else ""
        cells = [f"*{SHORT[variant]}*{best}" if variant else title(method)]
        cells += [f"{found[pair].pointing.mean():.2f}" for found in (planted, mended)]
        for found, against in zip((planted, mended), better, strict=True):
            difference = "" if variant else _difference(against[method])
            cells += [f"{found[pair].energy.mean():.3f}", difference]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _difference(found: Comparison) -> str:
    low, high = found.interval
    return f"{found.difference:+.3f} ({low:+.3f} to {high:+.3f}), {SHORT[found.best]}, {p_text(found.p)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=int, default=1200)
    parser.add_argument("--test", type=int, default=60, help="marked test faces of the class")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--methods", default=",".join([*methods_in_runs(), *OTHERS]))
    given = parser.parse_args()
    began = time.perf_counter()
    train, test = drawn("train", given.train), drawn("test", given.test * len(CLASSES))
    print(f"{len(train.labels)} training faces; {hardware()}")
    of_class = test.labels == MARKED
    corners = np.random.default_rng(1).integers(0, len(CORNERS), int(of_class.sum())).tolist()
    plain, x = test.pixels[of_class], marked(test.pixels[of_class], corners)
    every = marked(test.pixels, [k % len(CORNERS) for k in range(len(test.labels))])
    found = []
    for name, mended in (("shortcut", False), ("mended", True)):
        images = marked(train.pixels, training_corners(train.labels, mended))
        model = trained(images, train.labels, given.epochs)
        right = (logits(model, test.pixels).argmax(1) == test.labels).float().mean()
        taken = (logits(model, every[~of_class]).argmax(1) == MARKED).float().mean()
        effect = (logits(model, x) - logits(model, plain))[:, MARKED]
        print(
            f"{name}: accuracy without marks {right:.3f}; with a mark {taken:.3f} of the faces of other "
            f"classes are taken for {CLASSES[MARKED]}; the mark changes its logit by {effect.mean():+.2f} "
            f"({effect.min():+.2f} to {effect.max():+.2f})"
        )
        own, controls = maps_of(model, x, given.methods.split(",")), control_maps(x)
        random = maps_of(randomized(model, x=x[:16]), x, list(own))
        found.append(hits(own, random, controls, corners))
        if not mended:
            rows = figure_rows(model, x, own, random, controls, found[0])
    print(
        f"{len(x)} marked faces; the mark and its margin are {regions([0]).float().mean():.4f} of the image"
    )
    print(f"{time.perf_counter() - began:.0f} s\n\n{table(*found)}\n")
    print(figure_table(rows, "mark", "energy on the mark"))


if __name__ == "__main__":
    main()
