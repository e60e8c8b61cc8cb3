"""From the text after `--data` to a labeled set of images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.data.folder import SPLITS
from models.data.holdout import held_out
from models.data.kind import DataRequest
from models.data.registry import kind_of
from models.data.source import ImageSource, NoParts, Subset
from models.errors import UserError


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
    table keeps apart. Raises UserError where the text is no data.
    """
    request = DataRequest(spec, split, image_col, label_col, seed, task, tuple(known), labels_as)
    kind = kind_of(request)
    try:
        source = kind.open(request)
    except NoParts:
        if split is None or split.lower() not in SPLITS:
            raise
        source = held_out(kind.open(replace(request, split=None)), SPLITS[split.lower()])
    return source if limit is None or limit >= len(source) else thinned(source, limit)


def thinned(source: ImageSource, size: int) -> ImageSource:
    """`size` images of a source, evenly spread over its order. Raises UserError for a size below 1."""
    if size < 1:
        raise UserError(f"--limit {size}: at least one image is needed.")
    return Subset(source, np.unique(np.linspace(0, len(source) - 1, size).round().astype(int)))
