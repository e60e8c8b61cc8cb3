"""A synthetic run folder, with planted faults: for measuring and testing the analysis.

The network of such a run is optimal and perfectly calibrated: images are points of a normal distribution
around the corner of their class, and the probabilities are the posterior.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from explain.run.format import (
    OTHER,
    Manifest,
    Request,
    begin,
    finish,
    map_column,
    pack_maps,
    rows_to_table,
)
from explain.run.map_stats import attention_statistics
from explain.run.part_writer import PartWriter


@dataclass(frozen=True)
class Faults:
    """`flipped`: share of labels replaced by another class. `blurred`, `border`: a class whose pictures are
    blurred, whose maps lie in the corner; `starved`: one that has a tenth of the images. `confidence`: what
    logits are multiplied by. `pair`: two classes that lie close. `exchanged`: (class, other, share) of its
    images that are labeled as the other; `expected`: whether the network was trained on such labels."""

    flipped: float = 0.0
    blurred: int | None = None
    border: int | None = None
    starved: int | None = None
    confidence: float = 1.0
    pair: tuple[int, int] | None = None
    dark: bool = False
    exchanged: tuple[int, int, float] | None = None
    expected: bool = False


NONE = Faults()


def synthetic_run(
    folder: Path,
    images: int,
    classes: int,
    faults: Faults = NONE,
    apart: float = 3.0,
    seed: int = 0,
    methods: tuple[str, ...] = ("layer_cam",),
    shape: tuple[int, int] = (7, 7),
    part_rows: int = 512,
) -> None:
    """Write it. `apart`: distance of the classes' corners in standard deviations, which sets the accuracy."""
    rng = np.random.default_rng(seed)
    truth = np.arange(images) % classes
    if faults.starved is not None:
        truth = truth[(truth != faults.starved) | (rng.random(images) < 0.1)]
    names = tuple(f"class {i}" for i in range(classes))
    request = Request(
        "synthetic", "0" * 16, "synthetic", f"{seed:016d}", names, methods, "layer", shape, "fp32"
    )
    begin(folder, request)
    writer = PartWriter(folder, request, part_rows)
    for start in range(0, len(truth), part_rows):
        writer.add(_part(rng, truth[start : start + part_rows], start, request, faults, apart))
    writer.flush()
    finish(
        folder,
        Manifest(
            request,
            "complete",
            {"ok": len(truth), "failed": 0},
            titles={m: m.replace("_", " ") for m in methods},
        ),
    )


def _part(
    rng: np.random.Generator, truth: np.ndarray, start: int, request: Request, faults: Faults, apart: float
) -> pa.Table:
    n, k = len(truth), len(request.classes)
    facts = facts_of(rng, n)
    blurred = truth == faults.blurred
    facts["sharpness"] = np.where(blurred, facts["sharpness"] / 12, facts["sharpness"])
    distance = np.where(blurred | ((facts["brightness"] < 0.4) & faults.dark), apart / 2, apart)
    centers = np.eye(k, dtype=np.float32)[truth] * distance[:, None]
    if faults.pair:
        for a, b in (faults.pair, faults.pair[::-1]):
            centers[truth == a, b] = 0.6 * apart
    logits = apart * (centers + rng.standard_normal((n, k), np.float32)) * faults.confidence
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    prob = (shifted / shifted.sum(1, keepdims=True)).astype(np.float32)
    label, pred = truth.copy(), prob.argmax(1)
    flipped = rng.random(n) < faults.flipped
    label[flipped] = (truth[flipped] + rng.integers(1, k, flipped.sum())) % k
    if faults.exchanged:
        label, prob = _exchanged(rng, label, truth, prob, faults)
        pred = prob.argmax(1)
    columns = {
        "id": [f"{start + i:06d}.png" for i in range(n)],
        "label": label.astype(np.int16),
        "pred": pred.astype(np.int16),
        "confidence": prob.max(1),
        "loss": -np.log(np.maximum(prob[np.arange(n), label], 1e-12)),
        "thumbnail": thumbnails(rng, n),
        "prob": pa.ListArray.from_arrays(
            pa.array(np.arange(0, n * k + 1, k, dtype=np.int32)), pa.array(prob.ravel())
        ),
    } | facts
    at_border = (pred == faults.border) & (truth == faults.border)
    return rows_to_table(columns | _maps(rng, request, pred == label, at_border), request)


def _exchanged(
    rng: np.random.Generator, label: np.ndarray, truth: np.ndarray, prob: np.ndarray, faults: Faults
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and probabilities (n, K) with the share of the class under the other's name; a network that
    was trained on such labels gives them the same share of its probability."""
    assert faults.exchanged
    a, b, share = faults.exchanged
    label = np.where((truth == a) & (rng.random(len(truth)) < share), b, label)
    if faults.expected:
        prob = prob.copy()
        prob[:, b] += share * prob[:, a]
        prob[:, a] *= 1 - share
    return label, prob


def facts_of(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """What is known of n images without a network."""
    return {
        "brightness": rng.beta(8, 8, n),
        "contrast": rng.beta(6, 20, n),
        "sharpness": rng.lognormal(0, 0.4, n),
        "colour": rng.gamma(6, 6, n),
        "width": np.full(n, 224),
        "height": np.full(n, 224),
        "hash": rng.integers(0, 2**63, n, np.uint64),
    }


def _maps(
    rng: np.random.Generator, request: Request, right: np.ndarray, at_border: np.ndarray
) -> dict[str, Any]:
    """Columns of maps; where `right`, those for the predicted and the true class are the same."""
    columns: dict[str, Any] = {}
    for method in request.methods:
        of_pred, of_label = (blobs(rng, len(right), request.map_shape, at_border) for _ in range(2))
        of_label[right] = of_pred[right]
        found = {"pred": of_pred, "label": of_label}
        if OTHER in request.targets:
            none = np.zeros(len(right), bool)
            found[OTHER] = np.where(
                right[:, None, None], blobs(rng, len(right), request.map_shape, none), of_label
            )
        for target, maps in found.items():
            name = map_column(method, target)
            columns[name], columns[f"{name}.scale"] = pack_maps(maps)
            columns |= {f"{name}.{s}": v for s, v in attention_statistics(maps).items()}
    return columns


def blobs(rng: np.random.Generator, n: int, shape: tuple[int, int], cornered: np.ndarray) -> np.ndarray:
    """Maps (n, h, w): a round spot about the middle, or in the upper left corner."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    at = rng.normal(0, 0.08, (n, 2)) + np.where(cornered[:, None], 0.02, 0.5)
    center = at * (np.array(shape) - 1)
    square = (y[None] - center[:, 0, None, None]) ** 2 + (x[None] - center[:, 1, None, None]) ** 2
    spots: np.ndarray = np.exp(-square / (2 * (0.16 * shape[0]) ** 2)).astype(np.float32)
    return spots


def thumbnails(rng: np.random.Generator, n: int) -> list[bytes]:
    """JPEGs of noise, a few that are used again, each followed by its number: a file stores equal ones
    once."""
    made = []
    for pixels in rng.integers(0, 255, (8, 32, 32, 3), np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((112, 112)).save(buffer, "JPEG", quality=70)
        made.append(buffer.getvalue())
    return [made[i % len(made)] + i.to_bytes(4) for i in range(n)]
