"""From a batch of images to rows of a run that asks for each output alone, several labels per image or
numbers: an answer of every output, and maps of some, in rows of their own."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from explain.methods import registry
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.request import MapRequest
from explain.network.hooks import layers_in
from explain.run.format import OF_CLASS, Request, map_schema, rows_to_table, table_of
from explain.run.loading import Loaded
from explain.run.rows import image_columns, kept, map_columns, no_answers
from models.classifier import Classifier
from models.preprocessing import stack


class TaskRows(Protocol):
    """What differs between tasks. `truth` (N, K): what is true of each image for each output."""

    def truth(self, truth: np.ndarray) -> list[Any]:
        """As cells of the column `Request.truth_column`."""

    def answers(
        self, model: nn.Module, scores: Tensor, truth: np.ndarray
    ) -> tuple[dict[str, Any], list[list[int]]]:
        """Columns of scores (N, K), and for each image the outputs that its maps are kept of, ascending."""


def process_outputs(
    classifier: Classifier,
    request: Request,
    ids: list[str],
    loaded: list[Loaded],
    truth: np.ndarray,
    task: TaskRows,
) -> tuple[pa.Table, pa.Table]:
    """One batch of readable images -> rows of the images, and rows of their maps. Where the network's answer
    is no number, the row has an error, and no maps."""
    x = classifier.preprocessing.normalize(
        stack([i.pixels for i in loaded if i.pixels is not None]), classifier.device
    )
    passes = Passes(classifier.model, x, request.precision)
    scores = passes.captured(layers_in(request.layer)).logits
    cells = task.truth(truth)
    finite = scores.isfinite().all(1).cpu()
    if not finite.all():
        bad, good = (~finite).nonzero()[:, 0].tolist(), finite.nonzero()[:, 0].tolist()
        rows, maps = [no_answers(request, ids, loaded, cells, scores, bad)], _no_maps(request)
        if good:
            some = [ids[i] for i in good], [loaded[i] for i in good], truth[good]
            answered, maps = process_outputs(classifier, request, *some, task)
            rows = [answered, *rows]
        return pa.concat_tables(rows), maps
    answers, chosen = task.answers(classifier.model, scores, truth)
    columns = {request.truth_column: cells} | answers | image_columns(request, ids, loaded)
    return rows_to_table(columns, request), _maps(passes, request, ids, loaded, chosen)


def _no_maps(request: Request) -> pa.Table:
    return map_schema(request).empty_table()


def _maps(
    passes: Passes, request: Request, ids: list[str], loaded: list[Loaded], chosen: list[list[int]]
) -> pa.Table:
    """A row for each of the chosen outputs of each image."""
    pairs = [(image, label) for image, labels in enumerate(chosen) for label in labels]
    if not pairs:
        return _no_maps(request)
    maps = {(m, OF_CLASS): _of_pairs(passes, request, m, chosen) for m in request.methods}
    columns = {"id": [ids[image] for image, _ in pairs], "class": [label for _, label in pairs]}
    return table_of(
        columns | map_columns(request, [loaded[image] for image, _ in pairs], maps), map_schema(request)
    )


def _of_pairs(passes: Passes, request: Request, method: str, chosen: Sequence[Sequence[int]]) -> Tensor:
    """Raw maps (P, h, w) of one method, image by image and output by output: one call for the first of
    all images, one for the second, and so on."""
    turns = max(map(len, chosen)) if registry.get(method).class_specific else 1
    made = []
    for turn in range(turns):
        target = tuple(labels[min(turn, len(labels) - 1)] if labels else 0 for labels in chosen)
        result = compute_maps(
            passes.model, passes.x, MapRequest(method, request.layer, target), passes=passes
        )
        made.append(kept(method, result.maps, request.layer))
    places = [(min(k, turns - 1), image) for image, labels in enumerate(chosen) for k in range(len(labels))]
    return torch.stack([made[turn][image] for turn, image in places])
