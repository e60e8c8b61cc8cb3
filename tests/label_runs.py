"""Runs of several labels per image that are made of numbers: which labels each image has, and what the
network answers. No network, and no file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from explain.run.format import OF_CLASS, Manifest, Request, area_column, map_column
from explain.run.outputs.kept_maps import KeptMaps
from explain.run.outputs.label_rows import mapped_classes
from explain.run.outputs.label_sets import LabelSets
from models.outputs.task import MULTI

METHOD = "grad_cam"


def drawn(
    images: int, prevalence: Sequence[float], apart: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n, K) bool, each on its own, and probabilities (n, K) that are calibrated: of two normal
    distributions `apart` standard deviations from each other."""
    rng, prior = np.random.default_rng(seed), np.asarray(prevalence, float)
    truth = rng.random((images, len(prior))) < prior
    x = rng.normal(size=truth.shape) + apart * truth
    return truth, sigmoid(apart * x - apart**2 / 2 + np.log(prior / (1 - prior)))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-z)))


def logit(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(p) - np.log1p(-p))


def label_sets(
    folder: Path,
    truth: np.ndarray,
    prob: np.ndarray,
    border: np.ndarray | None = None,
    inside: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
    facts: dict[str, np.ndarray] | None = None,
) -> LabelSets:
    """The run. `border` (n, K): the border mass of the map of each image and label, by default about that of
    an even map; `inside`: region -> mass of the maps in it (n, K), and its area (n,); `facts`: columns of
    images."""
    n, count = truth.shape
    regions, rng = tuple(inside or {}), np.random.default_rng(9)
    names = tuple(regions) + tuple(f"label {k}" for k in range(len(regions), count))
    request = Request(
        "net", "w", "drawn", "f", names, (METHOD,), "l", (2, 2), "fp32", schema=2, regions=regions, task=MULTI
    )
    manifest = Manifest(request, "complete", {"ok": n, "failed": 0}, titles={METHOD: "Grad-CAM"})
    ids = [f"{i:05d}.png" for i in range(n)]
    columns = {"id": ids, "error": [None] * n, "loss": np.zeros(n), "part": 0, "row": np.arange(n)}
    columns |= facts or {}
    areas = {area_column(r): area for r, (_, area) in (inside or {}).items()}
    pairs = [(i, k) for i, chosen in enumerate(mapped_classes(prob, truth)) for k in chosen]
    row, label = np.array(pairs, int).reshape(-1, 2).T
    values = {name: rng.random((n, count)) for name in request.statistics}
    values["border_mass"] = rng.normal(0.42, 0.05, (n, count)) if border is None else border
    values |= {f"in_{r}": mass for r, (mass, _) in (inside or {}).items()}
    places = pd.DataFrame({"row": row, "class": label, "part": 0, "at": np.arange(len(row))})
    for name, each in values.items():
        places[f"{map_column(METHOD, OF_CLASS)}.{name}"] = each[row, label].astype(np.float32)
    kept, z = prob.astype(np.float32), logit(np.clip(prob, 1e-7, 1 - 1e-7)).astype(np.float32)
    maps = KeptMaps(folder, request, places, n)
    return LabelSets(folder, manifest, pd.DataFrame(columns | areas), truth, kept, z, maps)
