"""Open a run folder for reading: its light columns at once, and where to find the rest."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from explain.run.format import (
    OTHER,
    TARGETS,
    Request,
    area_column,
    map_column,
    part_files,
    read_manifest,
)
from explain.run.image_stats import FACTS, HASH
from explain.run.label_sets import SEVERAL, LabelSets
from explain.run.number_run import OF_NUMBERS, NumbersRun
from explain.run.parquet import Damaged, names_in, read
from explain.run.run_data import RunData
from models.errors import UserError

__all__ = ["RunData", "open_run"]

LIGHT = ("id", "label", "pred", "confidence", "loss", "error")
LATER = (*FACTS, HASH)  # columns that runs of earlier versions lack


def open_run(folder: Path, label: str = "") -> RunData:
    """The run of a folder. Of several labels per image: all of them, or where `label` names one, the run of
    two classes that asks for it (`explain.run.label_sets`). Of numbers: a `NumbersRun`, which `label` makes
    that of one output. Raises UserError where the folder is no run, holds nothing yet, or cannot be read, and
    for a label or an output that there is not."""
    manifest = read_manifest(folder)
    request = manifest.request
    if request.multi_label:
        wanted = ["id", *SEVERAL, "loss", "error", *map(area_column, request.regions), *LATER]
        table, damaged = _read_parts(folder, request, wanted, set(LATER))
        sets = LabelSets.of(folder, manifest, table, damaged)
        return sets.label(sets.number(label)) if label else sets.whole
    if request.regression:
        wanted = ["id", *OF_NUMBERS, "loss", "error", *map(area_column, request.regions), *LATER]
        table, damaged = _read_parts(folder, request, wanted, set(LATER))
        run = NumbersRun.of(folder, manifest, table, damaged)
        return run.output(run.number(label)) if label else run
    if label:
        raise UserError(f"'{folder}' is a run of one label per image: leave --label out.")
    wanted = [
        *LIGHT,
        *(f"{map_column(m, t)}.{s}" for m in request.methods for t in TARGETS for s in request.statistics),
        *map(area_column, request.regions),
        *LATER,
    ]
    added = [f"{map_column(m, OTHER)}.{s}" for m in request.methods for s in request.statistics]
    wanted += added if OTHER in request.targets else []
    table, damaged = _read_parts(folder, request, wanted, {*LATER, *added})
    return RunData(folder, manifest, table, damaged)


def _read_parts(
    folder: Path, request: Request, wanted: Sequence[str], later: set[str]
) -> tuple[pd.DataFrame, int]:
    """The wanted columns of all parts, with `part` and `row`, and how many parts are damaged and left out.
    `later`: columns that a part may lack. Raises UserError where there is none."""
    tables, damaged = [], list[Damaged]()
    for number, path in enumerate(part_files(folder)):
        try:
            there = names_in(path)
            part = read(path, [name for name in wanted if name in there or name not in later]).to_pandas()
            _must_fit(part, path, request)
        except Damaged as error:
            damaged.append(error)
            continue
        tables.append(part.assign(part=number, row=np.arange(len(part))))
    if damaged and not tables:
        raise damaged[0]
    if not tables:
        raise UserError(f"The run '{folder}' holds no images yet: start it again to resume.")
    table = pd.concat(tables, ignore_index=True)
    # two writers at once doubled rows once
    return table[~table["id"].duplicated()].reset_index(drop=True), len(damaged)


def _must_fit(part: pd.DataFrame, path: Path, request: Request) -> None:
    """Raises `Damaged` for rows that no run writes: without an id, of a class or with a map that there is
    not."""
    if part["id"].isna().any() or not part["id"].map(lambda i: isinstance(i, str) and "\0" not in i).all():
        raise Damaged(path, ValueError("an id that is none"))
    good = part[part["error"].isna()]
    if request.multi_label:
        return _answers_must_fit(good, path, len(request.classes))
    if request.regression:
        _each_output(part, "true", path, request)
        return _each_output(good, "predicted", path, request)
    for name in ("label", "pred"):
        numbers = pd.to_numeric(good[name], errors="coerce")
        if not numbers.between(0, len(request.classes) - 1).all():
            raise Damaged(path, ValueError(f"a {name} that is no class"))
    h, w = request.map_shape
    shape = pq.read_schema(path).field(map_column(request.methods[0], TARGETS[0])).type
    if getattr(shape, "list_size", h * w) != h * w:
        raise Damaged(path, ValueError("maps of another size"))
    return None


def _each_output(rows: pd.DataFrame, name: str, path: Path, request: Request) -> None:
    outputs = len(request.classes)
    if not rows[name].map(lambda values: values is not None and len(values) == outputs).all():
        raise Damaged(path, ValueError(f"a {name} without a number for each output"))


def _answers_must_fit(good: pd.DataFrame, path: Path, classes: int) -> None:
    """Of several labels per image: numbers of classes, and an answer to each."""
    for labels in good["labels"]:
        if labels is None or not all(0 <= label < classes for label in labels):
            raise Damaged(path, ValueError("a label that is no class"))
    for name in ("prob", "logit"):
        if not good[name].map(lambda values: values is not None and len(values) == classes).all():
            raise Damaged(path, ValueError(f"a {name} without an answer to each class"))
