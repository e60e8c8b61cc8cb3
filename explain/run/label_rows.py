"""From a batch of images with any number of labels to rows of a run: an answer to every class, and maps of
the classes that are true or called."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from explain.methods import registry
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.request import MapRequest
from explain.network.hooks import layers_in
from explain.run.format import CALLED, OF_CLASS, Request, map_schema, rows_to_table, table_of
from explain.run.loading import Loaded
from explain.run.rows import image_columns, kept, lists, map_columns, no_answers
from models.classifier import Classifier
from models.preprocessing import stack
from models.probabilities import log_loss, probabilities

MOST_HITS = 4
"""At most so many maps an image are kept of classes that are true and called: the ones the network is least
sure of."""


def mapped_classes(prob: np.ndarray, truth: np.ndarray) -> list[list[int]]:
    """For each image, the classes that its maps are kept of, ascending: all that are missed or called in
    error, and at most `MOST_HITS` that are found. `prob` (N, K); `truth` (N, K) bool."""
    called = prob >= CALLED
    chosen = []
    for p, true, yes in zip(prob, truth, called, strict=True):
        hits = np.flatnonzero(true & yes)
        unsure = hits[np.argsort(p[hits], kind="stable")][:MOST_HITS]
        chosen.append(sorted({*np.flatnonzero(true != yes).tolist(), *unsure.tolist()}))
    return chosen


def process_label_sets(
    classifier: Classifier, request: Request, ids: list[str], loaded: list[Loaded], truth: np.ndarray
) -> tuple[pa.Table, pa.Table]:
    """One batch of readable images with labels `truth` (N, K) bool -> rows of the images, and rows of their
    maps. Where the network's answer is no number, the row has an error, and no maps."""
    x = classifier.preprocessing.normalize(
        stack([i.pixels for i in loaded if i.pixels is not None]), classifier.device
    )
    passes = Passes(classifier.model, x, request.precision)
    logits = passes.captured(layers_in(request.layer)).logits
    labels = label_lists(truth)
    finite = logits.isfinite().all(1).cpu()
    if not finite.all():
        bad, good = (~finite).nonzero()[:, 0].tolist(), finite.nonzero()[:, 0].tolist()
        rows, maps = [no_answers(request, ids, loaded, labels, logits, bad)], _no_maps(request)
        if good:
            answered, maps = process_label_sets(
                classifier, request, [ids[i] for i in good], [loaded[i] for i in good], truth[good]
            )
            rows = [answered, *rows]
        return pa.concat_tables(rows), maps
    prob = probabilities(classifier.model, logits).cpu().numpy()
    loss = log_loss(classifier.model, logits, torch.from_numpy(truth).to(logits.device))
    columns: dict[str, Any] = {
        "labels": labels,
        "logit": lists(logits.float().cpu().numpy()),
        "loss": loss.cpu().numpy(),
        "prob": lists(prob),
    }
    table = rows_to_table(columns | image_columns(request, ids, loaded), request)
    return table, _maps(passes, request, ids, loaded, mapped_classes(prob, truth))


def label_lists(truth: np.ndarray) -> list[list[int]]:
    """The classes of each image, ascending, of `truth` (N, K) bool."""
    return [np.flatnonzero(row).tolist() for row in truth]


def _no_maps(request: Request) -> pa.Table:
    return map_schema(request).empty_table()


def _maps(
    passes: Passes, request: Request, ids: list[str], loaded: list[Loaded], chosen: list[list[int]]
) -> pa.Table:
    """A row for each of the chosen classes of each image."""
    pairs = [(image, label) for image, labels in enumerate(chosen) for label in labels]
    if not pairs:
        return _no_maps(request)
    maps = {(m, OF_CLASS): _of_pairs(passes, request, m, chosen) for m in request.methods}
    columns = {"id": [ids[image] for image, _ in pairs], "class": [label for _, label in pairs]}
    return table_of(
        columns | map_columns(request, [loaded[image] for image, _ in pairs], maps), map_schema(request)
    )


def _of_pairs(passes: Passes, request: Request, method: str, chosen: Sequence[Sequence[int]]) -> Tensor:
    """Raw maps (P, h, w) of one method, image by image and class by class: one call for the first class of
    all images, one for the second, and so on."""
    turns = max(map(len, chosen)) if registry.get(method).class_specific else 1
    made = []
    for turn in range(turns):
        target = tuple(labels[min(turn, len(labels) - 1)] if labels else 0 for labels in chosen)
        result = compute_maps(
            passes.model, passes.x, MapRequest(method, request.layer, target), passes=passes
        )
        made.append(kept(method, result.maps))
    places = [(min(k, turns - 1), image) for image, labels in enumerate(chosen) for k in range(len(labels))]
    return torch.stack([made[turn][image] for turn, image in places])
