"""Open a run folder for reading: its light columns at once, and where to find the rest."""

from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from explain.run.damaged_parts import is_damaged
from explain.run.format import (
    COLUMNS,
    OTHER,
    TARGETS,
    Manifest,
    Request,
    area_column,
    map_column,
    part_files,
    part_schema,
    read_manifest,
)
from explain.run.image_stats import FACTS, HASH
from explain.run.light_columns import keep, kept, key_of
from explain.run.outputs.label_sets import SEVERAL, LabelSets
from explain.run.outputs.number_run import OF_NUMBERS, NumbersRun
from explain.run.parquet import Damaged, read_part
from explain.run.run_data import RunData
from models.errors import UserError

__all__ = ["RunData", "open_answers", "open_run"]

LIGHT = ("id", "label", "pred", "confidence", "loss", "error")
WHERE = ("part", "row")  # of an image: the number of its part, and its row in there
LATER = (*FACTS, HASH)  # columns that runs of earlier versions lack


def open_run(folder: Path, label: str = "") -> RunData:
    """The run of a folder. Of several labels per image: all of them, or where `label` names one, the run of
    two classes that asks for it (`explain.run.outputs.label_sets`). Of numbers: a `NumbersRun`, which `label`
    makes that of one output. Raises UserError where the folder is no run, holds nothing yet, or cannot be
    read, and for a label or an output that there is not."""
    manifest = read_manifest(folder)
    request = manifest.request
    if request.multi_label:
        wanted = ["id", *SEVERAL, "loss", "error", *map(area_column, request.regions), *LATER]
        table, damaged = _read_all(folder, manifest, wanted, set(LATER))
        sets = LabelSets.of(folder, manifest, table, damaged)
        return sets.label(sets.number(label)) if label else sets.whole
    if request.regression:
        wanted = ["id", *OF_NUMBERS, "loss", "error", *map(area_column, request.regions), *LATER]
        table, damaged = _read_all(folder, manifest, wanted, set(LATER))
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
    table, damaged = _read_all(folder, manifest, wanted, {*LATER, *added})
    return RunData(folder, manifest, table, damaged)


def open_answers(folder: Path) -> RunData:
    """As `open_run`; of one class per image, with the columns alone that an evaluation needs, and nothing is
    written."""
    manifest = read_manifest(folder)
    if manifest.request.maps_apart:
        return open_run(folder)
    table, damaged = _read_parts(folder, manifest.request, LIGHT, set())
    return RunData(folder, manifest, _frame(table), damaged)


def _read_all(
    folder: Path, manifest: Manifest, wanted: Sequence[str], later: Set[str]
) -> tuple[pd.DataFrame, int]:
    """As `_read_parts`, as a DataFrame; of one class per image from one file, which is written where the
    folder lacks it."""
    of_one = not manifest.request.maps_apart and manifest.status == "complete"
    of_one = of_one and not any(map(is_damaged, part_files(folder)))
    key = key_of(folder, wanted) if of_one else b""
    if of_one and (table := kept(folder, key, {*wanted, *WHERE} - later)) is not None:
        with suppress(Damaged):
            return _frame(_fitting(table, folder / COLUMNS, manifest.request)), 0
    table, damaged = _read_parts(folder, manifest.request, wanted, later)
    if of_one and not damaged:
        keep(folder, key, table)
    return _frame(table), damaged


def _frame(table: pa.Table) -> pd.DataFrame:
    """Columns of numbers are not copied where they are in one piece. Hashes keep their 64 bits where images
    that cannot be read have none: pandas would make floats of them, which hold 53."""
    nulls = HASH in table.column_names and table[HASH].null_count > 0
    return table.to_pandas(
        split_blocks=True, types_mapper={pa.uint64(): pd.UInt64Dtype()}.get if nulls else None
    )


def _read_parts(
    folder: Path, request: Request, wanted: Sequence[str], later: Set[str]
) -> tuple[pa.Table, int]:
    """The wanted columns of all parts, with `part` and `row`, and how many parts are damaged and left out.
    `later`: columns that a part may lack. Raises UserError where there is none."""
    tables, damaged = [], list[Damaged]()
    for number, path in enumerate(part_files(folder)):
        try:
            if is_damaged(path):
                raise Damaged(path, ValueError("a column that was read later"))
            part, schema = read_part(path, wanted, later)
            _must_have_maps(schema, path, request)
            part = _fitting(part, path, request)
        except Damaged as error:
            damaged.append(error)
            continue
        where = np.full(len(part), number, np.int32), np.arange(len(part), dtype=np.int32)
        tables.append(part.append_column(WHERE[0], [where[0]]).append_column(WHERE[1], [where[1]]))
    if damaged and not tables:
        raise damaged[0]
    if not tables:
        raise UserError(f"The run '{folder}' holds no images yet: start it again to resume.")
    table = pa.concat_tables(tables, promote_options="default")
    again = table["id"].to_pandas().duplicated().to_numpy()  # two writers at once doubled rows once
    return table.filter(pa.array(~again)) if again.any() else table, len(damaged)


def _fitting(table: pa.Table, path: Path, request: Request) -> pa.Table:
    """The table with the types of the format. Raises `Damaged` for rows that no run writes: of other types,
    without an id, or of a class that there is not."""
    types = part_schema(request)
    try:
        named = [(n, types.field(n).type if n in types.names else pa.int32()) for n in table.column_names]
        table = table.cast(pa.schema(named))
    except pa.ArrowException as error:
        raise Damaged(path, error) from error
    if table["id"].null_count or pc.any(pc.match_substring(table["id"], "\0")).as_py():
        raise Damaged(path, ValueError("an id that is none"))
    readable = table if table["error"].null_count == len(table) else table.filter(table["error"].is_null())
    if request.multi_label:
        _answers_must_fit(readable.select(SEVERAL).to_pandas(), path, len(request.classes))
    elif request.regression:
        for name in OF_NUMBERS:
            _each_output(readable.select([name]).to_pandas(), name, path, request)
    else:
        for name in ("label", "pred"):
            _must_be_classes(readable[name], name, path, request)
    return table


def _must_be_classes(numbers: pa.ChunkedArray, name: str, path: Path, request: Request) -> None:
    ends = pc.min_max(numbers).as_py()
    known = not len(numbers) or (
        ends["min"] is not None and 0 <= ends["min"] <= ends["max"] < len(request.classes)
    )
    if numbers.null_count or not known:
        raise Damaged(path, ValueError(f"a {name} that is no class"))


def _must_have_maps(schema: pa.Schema, path: Path, request: Request) -> None:
    if request.maps_apart:
        return
    h, w = request.map_shape
    name = map_column(request.methods[0], TARGETS[0])
    if name not in schema.names or getattr(schema.field(name).type, "list_size", h * w) != h * w:
        raise Damaged(path, ValueError("maps of another size"))


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
