"""From the text after `--data` to a labeled set of images."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.data.folder import SPLITS
from models.data.holdout import held_out
from models.data.kind import DataRequest
from models.data.registry import kind_of
from models.data.source import ImageSource, Item, NoParts, Subset, joined
from models.errors import UserError
from models.task import MULTI, SINGLE


def open_data(
    spec: str,
    split: str | None = None,
    image_col: str | None = None,
    label_col: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    task: str = "classes",
    known: Sequence[str] = (),
    labels_as: str = "",
) -> ImageSource:
    """A folder, a table, Parquet files of images, .tar shards, `toon_faces`, `torchvision:NAME`, or a
    registered kind (`models.data.registry`); `limit` keeps that many, evenly spread.

    With `task` affect, a table with columns valence and arousal. Data without splits is split automatically
    into train, validation and test, the same every time. `known`: classes of a network, whose spellings a
    table keeps apart. `labels_as`: 'single-label', one class a cell, or 'multi-label', sets of labels;
    without it, sets where the data shows several labels of an image. Raises UserError where the text is no
    data, and where its labels cannot be read so.
    """
    if labels_as not in ("", SINGLE, MULTI):
        raise UserError(f"Labels are read as '{SINGLE}' or '{MULTI}', not as '{labels_as}'.")
    request = DataRequest(spec, split, image_col, label_col, seed, task, tuple(known), labels_as)
    kind = kind_of(request)
    try:
        source = kind.open(request)
    except NoParts:
        if split is None or split.lower() not in SPLITS:
            raise
        source = held_out(kind.open(replace(request, split=None)), SPLITS[split.lower()])
    if task == "classes":
        source = _as_asked(source, labels_as)
    return source if limit is None or limit >= len(source) else thinned(source, limit)


def _as_asked(source: ImageSource, labels_as: str) -> ImageSource:
    """The source itself, or with its one label of each image as a set. Raises UserError for sets where one
    label per image is asked for."""
    if labels_as == SINGLE and source.multi_label:
        raise UserError(f"{source.name} has any number of labels per image: it is no data of task {SINGLE}.")
    if labels_as != MULTI or source.multi_label:
        return source
    sets = copy.copy(source)
    sets.items, sets.multi_label = [Item(item.id, item.label, (item.label,)) for item in source.items], True
    sets.note = joined(source.note, "the one label of each image is read as a set")
    return sets


def thinned(source: ImageSource, size: int) -> ImageSource:
    """`size` images of a source, evenly spread over its order. Raises UserError for a size below 1."""
    if size < 1:
        raise UserError(f"--limit {size}: at least one image is needed.")
    return Subset(source, np.unique(np.linspace(0, len(source) - 1, size).round().astype(int)))
