"""From a batch of images to rows of a run: predictions, maps and their statistics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from explain.methods import registry
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.request import MapRequest
from explain.network.hooks import layers_in
from explain.run.format import (
    NO_ANSWER,
    OTHER,
    STAMP,
    Request,
    area_column,
    map_column,
    pack_maps,
    rows_to_table,
)
from explain.run.loading import Loaded
from explain.run.map_stats import attention_statistics
from explain.run.regions import face_bands, reduced
from models.classifier import Classifier
from models.errors import UserError
from models.outputs.probabilities import log_loss, probabilities
from models.preprocessing import stack

SIDE = 32
"""Positions on a side of the maps that a run keeps of methods whose maps are as large as the image, and of
several layers."""


def kept(method: str, maps: Tensor, layer: str = "") -> Tensor:
    """Maps (N, h, w) as a run keeps them: those at the input's resolution as means of blocks, at most `SIDE`
    on a side, and those of several layers as means of equal blocks. Maps of one layer, and of methods from
    outside, stay."""
    m, (h, w) = registry.get(method), maps.shape[1:]
    fused = m.layered and len(layers_in(layer)) > 1
    if max(h, w) <= SIDE or m.from_outside or (m.coarse and not fused):
        return maps
    rows, columns = (side // -(-side // SIDE) if fused else min(side, SIDE) for side in (h, w))
    return F.adaptive_avg_pool2d(maps[:, None], (rows, columns))[:, 0]


def map_shape(passes: Passes, methods: Sequence[str], layer: str) -> tuple[int, int]:
    """(h, w) of the maps of several methods. Raises UserError where they differ: a run holds maps of one
    size."""
    requests = {name: MapRequest(name, layer, 0) for name in methods}
    maps = {
        m: kept(m, compute_maps(passes.model, passes.x, r, passes=passes).maps, layer)
        for m, r in requests.items()
    }
    shapes = {m: (int(made.shape[1]), int(made.shape[2])) for m, made in maps.items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{m} {h} x {w}" for m, (h, w) in shapes.items())
        raise UserError(f"A run holds maps of one size, and these differ ({sizes}): make one run each.")
    return shapes[methods[0]]


def maps_of_targets(
    passes: Passes, request: Request, pred: Tensor, label: Tensor
) -> dict[tuple[str, str], Tensor]:
    """Raw maps (N, h, w) of every method for each of the request's targets, from one pass."""

    def maps(chosen: Sequence[str], classes: Tensor) -> dict[str, Tensor]:
        target = tuple(classes.tolist())
        given = {m: MapRequest(m, request.layer, target) for m in chosen}
        return {
            m: kept(m, compute_maps(passes.model, passes.x, one, passes=passes).maps, request.layer)
            for m, one in given.items()
        }

    methods, of_pred = request.methods, maps(request.methods, pred)
    specific = [m for m in methods if registry.get(m).class_specific]
    found = {"pred": of_pred}
    if OTHER in request.targets:  # of two classes, the true one is predicted or it is the other
        other = of_pred | maps(specific, 1 - pred)
        wrong = (pred != label)[:, None, None]
        found[OTHER] = other
        found["label"] = {m: torch.where(wrong.to(other[m].device), other[m], of_pred[m]) for m in methods}
    else:
        differs = bool((pred != label).any())
        found["label"] = of_pred | (maps(specific, label) if specific and differs else {})
    return {(m, t): found[t][m] for m in methods for t in request.targets}


def process(
    classifier: Classifier, request: Request, ids: list[str], loaded: list[Loaded], label: Tensor
) -> pa.Table:
    """One batch of readable images -> rows of the run. Where the network's answer is no number, the row has
    an error."""
    x = classifier.preprocessing.normalize(
        stack([i.pixels for i in loaded if i.pixels is not None]), classifier.device
    )
    passes = Passes(classifier.model, x, request.precision)
    captured = passes.captured(layers_in(request.layer))
    finite = captured.logits.isfinite().all(1).cpu()
    if not finite.all():
        good, bad = finite.nonzero()[:, 0].tolist(), (~finite).nonzero()[:, 0].tolist()
        rows = (
            process(classifier, request, [ids[i] for i in good], [loaded[i] for i in good], label[good])
            if good
            else None
        )
        return pa.concat_tables(
            [
                *([rows] if rows else []),
                no_answers(request, ids, loaded, label.tolist(), captured.logits, bad),
            ]
        )
    label = label.to(captured.logits.device)
    prob, pred = probabilities(classifier.model, captured.logits), captured.logits.argmax(1)
    columns: dict[str, Any] = {
        "label": label.cpu().numpy().astype(np.int16),
        "pred": pred.cpu().numpy().astype(np.int16),
        "confidence": prob.gather(1, pred[:, None])[:, 0].cpu().numpy(),
        "loss": log_loss(classifier.model, captured.logits, label).cpu().numpy(),
        "prob": lists(prob.cpu().numpy()),
    }
    maps = maps_of_targets(passes, request, pred, label)
    columns |= image_columns(request, ids, loaded) | map_columns(request, loaded, maps)
    return rows_to_table(columns, request)


def image_columns(request: Request, ids: list[str], loaded: list[Loaded]) -> dict[str, Any]:
    """Columns of what is known of readable images without the network, with the areas of regions."""
    areas = {
        area_column(name): np.broadcast_to(fraction, (len(loaded), *request.map_shape)).mean((1, 2))
        for name, fraction in _regions(request, loaded).items()
    }
    facts = {name: [i.facts[name] for i in loaded] for name in loaded[0].facts}
    stamps = {"thumbnail": [i.thumbnail for i in loaded], STAMP: [i.stamp for i in loaded]}
    return {"id": ids} | areas | facts | stamps


def map_columns(
    request: Request, loaded: list[Loaded], maps: dict[tuple[str, str], Tensor]
) -> dict[str, Any]:
    """The columns of maps (N, h, w) by method and target, and of their statistics; `loaded`: the image of
    each."""
    regions, columns = _regions(request, loaded), dict[str, Any]()
    for (method, target), values in maps.items():
        name, raw = map_column(method, target), values.cpu().numpy()
        columns[name], columns[f"{name}.scale"] = pack_maps(raw)
        columns |= {f"{name}.{k}": v for k, v in attention_statistics(raw, regions).items()}
    return columns


def no_answers(
    request: Request, ids: list[str], loaded: list[Loaded], label: Any, logits: Tensor, rows: list[int]
) -> pa.Table:
    """The rows of images to which the network answers NaN or infinite numbers: they have their label (N,), or
    their lists of labels or numbers, and no prediction."""
    columns = {
        "id": [ids[i] for i in rows],
        request.truth_column: [label[i] for i in rows],
        "thumbnail": [loaded[i].thumbnail for i in rows],
        STAMP: [loaded[i].stamp for i in rows],
        "error": [NO_ANSWER + ("NaN" if logits[i].isnan().any() else "infinite numbers") for i in rows],
    }
    return rows_to_table(columns, request)


def _regions(request: Request, loaded: list[Loaded]) -> dict[str, np.ndarray]:
    """Name -> the fraction of each position of a map that lies in that region: (h, w), or (N, h, w) where the
    data has masks of every image."""
    known = [i.masks for i in loaded if i.masks is not None]
    fractions = (
        reduced(np.stack(known), request.map_shape).swapaxes(0, 1)
        if known
        else face_bands(request.map_shape)
        if request.regions
        else ()
    )
    return dict(zip(request.regions, fractions, strict=True))


def lists(values: np.ndarray) -> pa.Array:
    """Rows (n, k) as a column of lists."""
    n, k = values.shape
    return pa.ListArray.from_arrays(
        pa.array(np.arange(0, n * k + 1, k, dtype=np.int32)), pa.array(values.reshape(-1))
    )
