"""Known answers: toon faces are drawn, so the true effect of a thing on the network's score is measured by
drawing the face again without it. Which methods follow these effects, and which figures say so?

    python benchmarks/known_effects.py [--faces 100] [--repeated 48] [--methods grad_cam,layer_cam]
        [--network fer_vgg:toon_faces] [--rows rows.parquet]

For each face the logit of the predicted class is compared with that of the face without each part (brows,
eyes, nose, mouth, hair, ..., background), or without each action unit. A map follows the effects if its mean
over the place of a thing, the pixels in which the two drawings differ, ranks the things as their effects do:
Spearman's correlation over the things of a face (R. Hesse et al., *FunnyBirds*, ICCV 2023, arXiv:2308.06248).
A map without an order counts as 0. Controls are measured in the same way.

The second table says which of the figures that need no known answer ranks maps as their known answers do.
`--repeated`: faces of the figures that compute maps many times (smooth MPRT, max-sensitivity), for methods of
few passes. `--rows`: a Parquet file of what was measured, to which faces are added; faces that it has are
not measured again, and the tables show those of `--methods` that were measured.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.known_tables import figure_table, outcome_table, ranking_table
from benchmarks.redrawn_faces import removable, without_each
from benchmarks.timing import hardware
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.registry import METHODS, methods_in_runs
from explain.methods.request import MapRequest
from explain.network.fused import fused_copy
from explain.network.hooks import logits
from explain.network.target_layers import default_layer
from explain.quality.cells import grid_of, on_cells
from explain.quality.controls import IMAGE_CONTROLS, OTHER_IMAGE, RANDOM_NETWORK, image_controls, partners
from explain.quality.curves import KINDS, CurveSettings, Scorer, curves_of
from explain.quality.described.agreement import agreement
from explain.quality.described.complexity import entropy, gini
from explain.quality.described.mprt import discrete_entropy, smooth_mprt
from explain.quality.described.randomized import randomized
from explain.quality.described.stability import max_sensitivity
from explain.quality.similarity import spearman
from models.classifier import Classifier
from models.data.toon_faces import SPLITS, ToonFaces
from models.errors import UserError
from models.registry import load

OTHERS: dict[str, dict[str, Any]] = {
    "shapley_cam": {},
    "ablation_cam": {},
    "recipro_cam": {},
    "fullgrad": {},
    "input_gradient": {},
    "input_x_gradient": {},
    "guided_backprop": {},
    "deep_lift": {},
    "integrated_gradients": {"steps": 8},
    "smooth_grad": {"samples": 8},
    "occlusion": {"window": 0.25},
}
"""Methods besides those of runs, with their parameters."""
FEW_PASSES = 8  # of the methods whose maps are computed many times
FEWEST_THINGS = 4  # of a face, to rank them
BLOCK = 16  # faces whose maps are made together


@dataclass(frozen=True, eq=False)
class Effects:
    """What is known of a face: `places` (P, H, W) of its things, bool; `changes` (P,) of the logit; which
    things belong to each group."""

    places: Tensor
    changes: Tensor
    groups: dict[str, list[int]]


def masses(maps: Tensor, places: Tensor) -> Tensor:
    """(M, P): the mean of maps (M, h, w) over each place (P, H, W) bool; they are enlarged bilinearly."""
    large = F.interpolate(maps[:, None].float(), places.shape[1:], mode="bilinear", align_corners=False)
    inside = places.flatten(1).float()
    return large.flatten(1) @ inside.T / inside.sum(1)


def follows(mass: Tensor, changes: Tensor) -> Tensor:
    """(M,): Spearman's correlation over things between masses (M, P) and changes of the score (P,); 0 where
    there is no order."""
    found = spearman(mass[:, None], changes[None, None].expand(len(mass), 1, -1))
    return found.nan_to_num(0)


def known_scores(maps: Tensor, known: Effects) -> dict[str, Tensor]:
    """How well maps (M, h, w) follow the effects, for each group and reading of a map; groups of too few
    things are left out."""
    area = known.places.flatten(1).sum(1)
    readings = {"": masses(maps, known.places), ".positive": masses(maps.clamp_min(0), known.places)}
    readings[".sum"] = readings[""] * area
    return {
        group + reading: follows(mass[:, of], known.changes[of])
        for group, of in known.groups.items()
        if len(of) >= FEWEST_THINGS
        for reading, mass in readings.items()
    }


@dataclass(frozen=True, eq=False)
class Bench:
    """A network, its copy with random weights, and `indices` of faces whose maps are made together.
    `reference`: images (N, C, H, W) for the statistics of random networks;"""

    classifier: Classifier
    random: nn.Module
    scorer: Scorer
    reference: Tensor
    layer: str
    methods: Sequence[str]
    faces: ToonFaces
    indices: range

    @classmethod
    def of(cls, classifier: Classifier, methods: Sequence[str], faces: ToonFaces) -> "Bench":
        """Of the first block of faces. Raises UserError for a network that does not take the whole image."""
        if classifier.preprocessing.resize is not None:
            raise UserError(
                f"{classifier.name} gets a part of each image: choose a network that takes the whole image "
                "(its preprocessing has resize=None), for the places of things are those of the whole face."
            )
        first = range(min(BLOCK, len(faces)))
        x, model = classifier.batch([faces.load(i) for i in first]), classifier.model
        layer = classifier.default_layer or default_layer(model, x[:1])
        scorer = Scorer(fused_copy(model, x, precision="bf16"), "bf16")
        return cls(classifier, randomized(model, x=x), scorer, x, layer, methods, faces, first)

    def blocks(self) -> "Iterator[Bench]":
        """All faces, block by block."""
        for start in range(0, len(self.faces), BLOCK):
            yield replace(self, indices=range(start, min(start + BLOCK, len(self.faces))))

    @cached_property
    def x(self) -> Tensor:
        return self.classifier.batch([self.faces.load(i) for i in self.indices])

    @cached_property
    def targets(self) -> list[int]:
        """The predicted classes."""
        found: list[int] = logits(self.classifier.model, self.x).argmax(1).tolist()
        return found

    def effects(self, k: int) -> Effects:
        """Of the k-th face of the block: it is drawn again without each thing."""
        index = self.indices[k]
        expression, seed = (
            self.faces.items[index].label,
            (self.faces.seed, SPLITS[self.faces.split][0], index),
        )
        removed = list(without_each(expression, seed))
        x = torch.cat([self.x[k : k + 1], self.classifier.batch([one.image for one in removed])])
        score = logits(self.classifier.model, x)[:, self.targets[k]]
        places = torch.from_numpy(np.stack([one.place for one in removed]))
        of = {
            group: [j for j, one in enumerate(removed) if one.name in names]
            for group, names in removable(expression, seed).items()
        }
        return Effects(places, score[0] - score[1:], of)

    def map(self, method: str, model: nn.Module, x: Tensor, target: Sequence[int], passes=None) -> Tensor:  # type: ignore[no-untyped-def]
        parameters = tuple(OTHERS.get(method, {}).items())
        request = MapRequest(method, self.layer, tuple(target), parameters=parameters)
        return compute_maps(model, x, request, passes=passes).maps

    def maps(self, model: nn.Module) -> dict[str, Tensor]:
        """The maps (N, h, w) of every method."""
        passes = Passes(model, self.x)
        return {method: self.map(method, model, self.x, self.targets, passes) for method in self.methods}

    def repeated(self, method: str, count: int) -> dict[str, Tensor]:
        """`repeated_figures` of the first `count` faces."""
        maps = partial(self.map, method)
        x, target = self.x[:count], self.targets[:count]
        return repeated_figures(maps, self.classifier.model, x, target, self.reference)


def repeated_figures(
    maps: Callable[[nn.Module, Tensor, Sequence[int]], Tensor],
    model: nn.Module,
    x: Tensor,
    target: Sequence[int],
    reference: Tensor,
) -> dict[str, Tensor]:
    """Smooth MPRT and max-sensitivity (N,) of images `x`, larger is better. `maps(network, images, classes)`
    computes the maps."""
    alike = smooth_mprt(
        lambda network, images: maps(network, images, target),
        model,
        x,
        steps=1,
        samples=3,
        reference=reference,
    )
    change = max_sensitivity(
        lambda images, classes: maps(model, images, classes.tolist()), x, torch.tensor(target), samples=3
    )
    return {"smooth_mprt": -alike.signed[0], "max_sensitivity": -change}


def rows_of(bench: Bench, repeated: int) -> Iterator[dict[str, Any]]:
    """Rows of a face, method and variant: how well the map follows the effects, and every other figure. The
    columns of one map are in several rows. `repeated`: of so many faces also the figures of many maps."""
    own, random = bench.maps(bench.classifier.model), bench.maps(bench.random)
    cheap = [m for m in bench.methods if passes_of(m) <= FEW_PASSES] if repeated > 0 else []
    again = {method: bench.repeated(method, repeated) for method in cheap}
    neighbors = partners(bench.targets)
    for k, name in enumerate(bench.indices):
        known = bench.effects(k)
        for variant, of, at in (("", own, k), (OTHER_IMAGE, own, neighbors[k]), (RANDOM_NETWORK, random, k)):
            for method in bench.methods:
                scores = known_scores(of[method][at : at + 1], known)
                row = {"id": name, "method": method, "variant": variant}
                yield row | {n: float(v) for n, v in scores.items()}
        for method in bench.methods:
            row = {"id": name, "method": method, "variant": ""}
            yield row | single_figures(own[method][k : k + 1], random[method][k : k + 1])
            if method in again and k < repeated:
                yield row | {n: float(v[k]) for n, v in again[method].items()}
        yield from shared_figures(bench, k, own, known)


def passes_of(method: str) -> float:
    """About how many forward passes a map costs."""
    return METHODS[method].passes(128, 64, METHODS[method].settings(OTHERS.get(method)))


def single_figures(own: Tensor, random: Tensor) -> dict[str, float]:
    """Of one map (1, h, w) alone and beside that of the random network; larger is better, or simpler."""
    before, after = discrete_entropy(own), discrete_entropy(random)
    return {
        "efficient_mprt": float((after - before) / before),
        "unlike_random": -float(spearman(own, random)),
        "simple": -float(entropy(own) / np.log(own[0].numel())),
        "gini": float(gini(own)),
    }


def curve_figures(
    scorer: Scorer, x: Tensor, target: int, own: Sequence[Tensor], controls: Tensor
) -> dict[str, Tensor]:
    """The figures of the curves of methods' maps (1, h, w) and of those of `IMAGE_CONTROLS` (3, h, w), their
    agreement with the methods' and likeness to the center; (M + 3,) each."""
    settings = CurveSettings()
    grid = grid_of(x, settings.cells)
    every = torch.cat([on_cells(maps, grid) for maps in (*own, controls)])
    curves = curves_of(scorer, x, target, every, list(KINDS), settings)
    columns = {kind: curve.figure(curve.probabilities) for kind, curve in curves.items()}
    columns |= {f"{kind}.logit": curve.figure(curve.logits) for kind, curve in curves.items()}
    alike, m = agreement(list(every[:, None]))[0], len(own)
    return columns | {"like_center": alike[:, m], "agreement": (alike[:, :m].nansum(1) - 1) / (m - 1)}


def shared_figures(bench: Bench, k: int, own: dict[str, Tensor], known: Effects) -> Iterator[dict[str, Any]]:
    """Rows of a face whose maps need each other, and of its controls."""
    x, name = bench.x[k : k + 1], bench.indices[k]
    controls = image_controls(x[0], str(name), (x.shape[2], x.shape[3]))
    maps = [of[k : k + 1] for of in own.values()]
    columns = curve_figures(bench.scorer, x, bench.targets[k], maps, controls)
    labels = [(method, "") for method in own] + [("", control) for control in IMAGE_CONTROLS]
    for j, (method, variant) in enumerate(labels):
        row = {"id": name, "method": method, "variant": variant}
        yield row | {c: float(v[j]) for c, v in columns.items()}
    scores = known_scores(controls, known)
    for j, control in enumerate(IMAGE_CONTROLS):
        row = {"id": name, "method": "", "variant": control}
        yield row | {n: float(v[j]) for n, v in scores.items()}


def usable(classifier: Classifier, names: Sequence[str], x: Tensor) -> list[str]:
    """The methods that this network can be explained with; the others are printed with the reason."""
    found = []
    for name in names:
        try:
            compute_maps(classifier.model, x, MapRequest(name, target=0))
            found.append(name)
        except UserError as error:
            print(f"without {name}: {error}")
    return found


def measured(bench: Bench, repeated: int, path: Path | None) -> pd.DataFrame:
    """One row a face, method and variant; blocks whose faces are in the file at `path` are not measured."""
    found = [pd.read_parquet(path)] if path and path.exists() else []
    known = {name for table in found for name in table["id"]}
    for block in bench.blocks():
        if not known.issuperset(block.indices):
            count = min(len(block.indices), repeated - block.indices.start)
            rows = pd.DataFrame(list(rows_of(block, count)))
            found.append(rows.groupby(["id", "method", "variant"], as_index=False).first())
            if path:
                pd.concat(found).to_parquet(path)
    return pd.concat(found, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--repeated", type=int, default=48)
    parser.add_argument("--methods", default=",".join([*methods_in_runs(), *OTHERS]))
    parser.add_argument("--network", default="fer_vgg:toon_faces")
    parser.add_argument("--rows", type=Path)
    given = parser.parse_args()
    began = time.perf_counter()
    classifier, faces = load(given.network), ToonFaces("test", given.faces)
    methods = usable(classifier, given.methods.split(","), classifier.batch([faces.load(0)]))
    rows = measured(Bench.of(classifier, methods, faces), given.repeated, given.rows)
    rows = rows[rows["method"].isin([*methods, ""])]
    print(f"{given.network}, {rows['id'].nunique()} faces; {hardware()}; {time.perf_counter() - began:.0f} s")
    print("\n".join(("", ranking_table(rows, "parts"), "", ranking_table(rows, "units"))))
    readings = {"parts": "removed: parts", "units": "removed: units"}
    readings |= {f"{g}.positive": f"{t}, positive part of the map" for g, t in readings.items()}
    for group, answer in readings.items():
        print(f"\n{figure_table(rows, group, answer)}")
    print("\n".join(("", outcome_table(rows, "parts"))))


if __name__ == "__main__":
    main()
