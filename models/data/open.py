"""From the text after `--data` to a labeled set of images."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.counts import counted
from models.data.folder import SPLITS
from models.data.holdout import held_out
from models.data.kind import DataKind, DataRequest
from models.data.registry import REGISTERED, kind_of
from models.data.remote.location import is_url
from models.data.remote.path import RemotePath
from models.data.source import ImageSource, Item, NoParts, Subset, has_numbers, joined
from models.data.tables.votes import VoteColumns
from models.errors import UserError
from models.outputs.task_names import MULTI, REGRESSION, SINGLE, TASKS


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
    votes: VoteColumns | None = None,
) -> ImageSource:
    """A folder, a table, Parquet files of images, .tar shards, `toon_faces`, `torchvision:NAME`, or a
    registered kind (`models.data.registry`); `limit` keeps that many, evenly spread.

    With `task` affect, a table with columns valence and arousal. Data without splits is split automatically
    into train, validation and test, the same every time. `known`: classes of a network, whose spellings a
    table keeps apart. `labels_as`: 'single-label', one class a cell, 'multi-label', sets of labels, or
    'regression', numbers; without it, sets where the data shows several labels of an image, and numbers where
    some are not whole. `votes`: columns of a table with people's votes, in place of labels. Raises UserError
    where the text is no data, and where its labels cannot be read so.
    """
    if labels_as not in ("", *TASKS):
        raise UserError(f"Labels are read as {' or '.join(map(repr, TASKS))}, not as '{labels_as}'.")
    request = DataRequest(spec, split, image_col, label_col, seed, task, tuple(known), labels_as, votes)
    kind = _kind_that_is_there(request)
    try:
        source = kind.open(request)
    except NoParts:
        if split is None or split.lower() not in SPLITS:
            raise
        source = held_out(kind.open(replace(request, split=None)), SPLITS[split.lower()])
    if votes and not source.has_votes:
        raise UserError(
            f"--label-columns are columns of a table, and {source.name} is none: give a .csv, .jsonl or "
            ".parquet table, or leave them out."
        )
    if task == "classes":
        source = _as_asked(source, labels_as)
    return source if limit is None or limit >= len(source) else thinned(source, limit)


def _kind_that_is_there(request: DataRequest) -> DataKind:
    """The kind that opens it. Raises UserError for a URL where nothing is."""
    kind = kind_of(request)
    if is_url(request.text) and kind.name not in REGISTERED and isinstance(request.path, RemotePath):
        request.path.must_be_there()
    return kind


def _as_asked(source: ImageSource, labels_as: str) -> ImageSource:
    """The source itself, or with its one label of each image as a set, or as a number. Raises UserError for
    sets or numbers where one label per image is asked for, and for labels that are no numbers."""
    if labels_as == REGRESSION and not source.regression:
        return _as_numbers(source)
    if source.regression and labels_as in ("", REGRESSION):
        return _with_numbers(source)
    if source.regression:
        raise UserError(f"{source.name} has numbers for each image: it is no data of the task {labels_as}.")
    if labels_as == SINGLE and source.multi_label:
        raise UserError(f"{source.name} has any number of labels per image: it is no data of task {SINGLE}.")
    if labels_as != MULTI or source.multi_label:
        return source
    sets = copy.copy(source)
    sets.items, sets.multi_label = [Item(item.id, item.label, (item.label,)) for item in source.items], True
    sets.note = joined(source.note, "the one label of each image is read as a set")
    return sets


def _with_numbers(source: ImageSource) -> ImageSource:
    """Without the images that lack a finite number. Raises UserError where none has them."""
    known = [i for i, item in enumerate(source.items) if has_numbers(item, len(source.classes))]
    if len(known) == len(source):
        return source
    if not known:
        raise UserError(f"No image of {source.name} has a finite number for {', '.join(source.classes[:6])}.")
    rest = Subset(source, np.array(known))
    rest.note = joined(source.note, f"{counted(len(source) - len(known), 'image')} without a number left out")
    return rest


def _as_numbers(source: ImageSource) -> ImageSource:
    """With the name of each image's class as its number; images of other classes are left out and counted.
    Raises UserError where no class is a number."""
    values = {name: _finite(name) for name in source.classes}
    known = [] if source.multi_label else [i for i, item in enumerate(source.items) if values[item.label]]
    if not known:
        raise UserError(
            f"The labels of {source.name} are no numbers ({', '.join(source.classes[:4])} ...): name the "
            f"columns of numbers with --label-col, or leave --task {REGRESSION} out."
        )
    numbers = Subset(source, np.array(known))
    numbers.classes, numbers.regression = (getattr(source, "label_col", None) or "number",), True
    numbers.items = [Item.of_numbers(item.id, values[item.label]) for item in numbers.items]
    lost = len(source) - len(known)
    numbers.note = joined(
        source.note,
        "labels are read as numbers",
        f"{counted(lost, 'image')} whose label is no number left out" if lost else "",
    )
    return numbers


def _finite(text: str) -> tuple[float, ...]:
    """The number that a name is; none where it is no finite one."""
    try:
        number = float(text)
    except ValueError:
        return ()
    return (number,) if math.isfinite(number) else ()


def thinned(source: ImageSource, size: int) -> ImageSource:
    """`size` images of a source, evenly spread over its order; its note says of how many, as other counts of
    the note are those of all. Raises UserError for a size below 1."""
    if size < 1:
        raise UserError(f"--limit {size}: at least one image is needed.")
    chosen = Subset(source, np.unique(np.linspace(0, len(source) - 1, size).round().astype(int)))
    chosen.note = joined(chosen.note, f"{size:,} of these {counted(len(source), 'image')} are used")
    return chosen
