"""Parquet tables that hold the images themselves: a column of {bytes, path}, as Hugging Face's `datasets`
writes them, with the names of the classes in the schema.

The layout: https://huggingface.co/docs/hub/datasets-image and `datasets.Features.arrow_schema`.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.counts import counted
from models.data.arrays import MAX_BYTES
from models.data.images import UnreadableImage
from models.data.label_sets import RowLabels
from models.data.labels import natural
from models.data.packed.members import PackedSource, choose_files, is_safe_name, must_be_small, packed_files
from models.data.packed.parquet_cells import read_cell
from models.data.packed.schema_labels import class_names, schema_labels
from models.data.remote.location import Location, name_below, seekable, stamp_of
from models.data.source import Item, joined, labels_per_image
from models.data.tables.columns import grouping_columns
from models.data.tables.number_columns import RowNumbers, find_numbers
from models.data.tables.table import rows_of
from models.errors import UserError
from models.outputs.task import REGRESSION

SUFFIX = ".parquet"
MAX_ROWS = 50_000_000  # of a file
LABELS = ("label", "labels", "class", "target", "category", "fine_label")
IMAGES = ("image", "img", "picture")
"""Names of a column of plain bytes that holds images."""


class ParquetImages(PackedSource):
    """A Parquet file, or a folder of them. Labels that are numbers get the names that the schema has."""

    def __init__(
        self,
        path: Location,
        image_col: str | None = None,
        label_col: str | None = None,
        split: str | None = None,
        known: Sequence[str] = (),
        labels_as: str = "",
    ):
        """`known` and `labels_as` as in `DataRequest`. Raises UserError where no column holds images, or none
        holds labels."""
        self.base = path if path.is_dir() else path.parent
        self.root = str(self.base.resolve())
        files, part = _chosen(path, split)
        self.files, schemas = files, {file: _schema(file) for file in files}
        self._column = _image_column(schemas[files[0]], image_col, path)
        self._labels = _label_columns(schemas[files[0]], label_col, self._column, path, labels_as)
        self.label_col = self._labels[0]
        _must_agree(schemas, self._column, self._labels)
        rows = pd.concat([self._rows(i, schemas[file]) for i, file in enumerate(files)], ignore_index=True)
        kept = rows_of(rows, split, path) if split and part is None else rows
        names = class_names(schemas[files[0]], self.label_col)
        self.name = "/".join(filter(None, (path.resolve().stem, part or split)))
        wanted = label_col if len(self._labels) > 1 else self.label_col
        numbers = None if names else find_numbers(kept[self._labels], wanted, None, (), path, labels_as)
        if numbers is not None:
            self._take_numbers(kept, numbers)
            return
        labels = schema_labels(kept[self.label_col], names, path, known, labels_as)
        self._take_labels(kept, labels, names, path)

    def _take_numbers(self, kept: pd.DataFrame, numbers: RowNumbers) -> None:
        self._table, self.regression = kept.loc[numbers.values.index], True
        self.classes = tuple(map(str, numbers.values.columns))
        pairs = zip(self._table[_ID], numbers.values.to_numpy(), strict=True)
        self.items = [Item.of_numbers(*pair) for pair in pairs]
        missing = len(kept) - len(self._table)
        self.note = joined(
            f"images from column '{self._column}', {numbers.described}",
            f"{counted(missing, 'row')} without a number left out" if missing else "",
            numbers.note,
        )

    def _take_labels(
        self, kept: pd.DataFrame, found: RowLabels, names: tuple[str, ...], path: Location
    ) -> None:
        """`names`: of the classes, by the schema. Raises UserError where no row has a label."""
        if not len(found.names):
            raise UserError(f"'{path}' has no row with a label in column '{self.label_col}'.")
        self._table, self.multi_label = kept.loc[found.rows], found.multi_label
        self.classes = tuple(sorted(set(names) or set(found.names), key=natural))
        if self.multi_label:
            self.classes = names or self.classes
        self.items = _items(self._table[_ID], found, self.classes)
        missing, sets = len(kept) - len(self._table), f", {found.how}: {labels_per_image(self.items)}"
        self.note = joined(
            f"images from column '{self._column}', labels from column '{self.label_col}'"
            + (sets if self.multi_label else ""),
            f"{counted(missing, 'row')} without a label left out" if missing else "",
            f"no image of class {', '.join(self.empty[:6])}" if self.empty else "",
            found.both,
        )
        self.both_readings = found.both

    def _rows(self, number: int, schema: pa.Schema) -> pd.DataFrame:
        """One row an image of a file: its id and place, its label, and columns that may group images."""
        file = self.files[number]
        others = [
            f.name
            for f in schema
            if f.name not in (self._column, *self._labels)
            and not (pa.types.is_nested(f.type) or _is_bytes(f.type))
        ]
        try:
            table = _read(file, [*self._labels, *others])
        except UserError:  # long texts
            table = _read(file, self._labels)
        where = name_below(file, self.base)
        names = member_names(file, self._column, stamp_of(file))
        return table.assign(
            **{_ID: [f"{where}/{name}" for name in names], _FILE: number, _ROW: range(len(table))}
        )

    def member(self, index: int) -> bytes:
        place = self._table.iloc[index]
        return cell_bytes(self.files[int(place[_FILE])], self._column, int(place[_ROW]))

    @property
    def metadata(self) -> pd.DataFrame | None:
        """The other columns, as `grouping_columns` takes them."""
        others = self._table.drop(columns=[*self._labels, _ID, _FILE, _ROW]).reset_index(drop=True)
        found = grouping_columns(others)
        return found if len(found.columns) else None


_ID, _FILE, _ROW = "\0id", "\0file", "\0row"  # names that no column has


def has_images(path: Location, image_col: str | None = None) -> bool:
    """Whether a Parquet file, or the Parquet files in a folder, hold images as bytes."""
    try:
        files = packed_files(path, SUFFIX)
        schema = _schema(files[0]) if files else pa.schema([])
        columns = _image_columns(schema)
        if image_col in _byte_columns(schema):
            return True
        return bool(columns) and (image_col in (None, *columns) or path.is_dir())
    except (UserError, OSError):
        return False


def _chosen(path: Location, split: str | None) -> tuple[list[Location], str | None]:
    """As `choose_files`; files that name no split may have a column that does."""
    files = packed_files(path, SUFFIX)
    if split and any(
        name.lower() in ("split", "subset", "partition", "set") for name in _schema(files[0]).names
    ):
        return files, None
    return choose_files(path, files, split)


def _schema(file: Location) -> pa.Schema:
    try:
        return pq.read_schema(seekable(file))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Location, error: Exception) -> UserError:
    return UserError(f"'{file}' cannot be read as Parquet ({str(error).splitlines()[0][:80]}).")


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


def _image_columns(schema: pa.Schema) -> list[str]:
    """Columns of {bytes, path}; without any, a column of bytes that is called as an image."""
    structs = [
        str(f.name)
        for f in schema
        if pa.types.is_struct(f.type)
        and f.type.get_field_index("bytes") >= 0
        and f.type.get_field_index("path") >= 0
    ]
    return structs or [str(f.name) for f in schema if f.name.lower() in IMAGES and _is_bytes(f.type)]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _byte_columns(schema: pa.Schema) -> list[str]:
    """Columns of plain bytes, of any name: images where `--image-col` says so."""
    return [str(f.name) for f in schema if _is_bytes(f.type)]


def _image_column(schema: pa.Schema, wanted: str | None, path: Location) -> str:
    found = _image_columns(schema)
    if wanted in (*found, *_byte_columns(schema)) or (not wanted and len(found) == 1):
        return wanted or found[0]
    got = f"no column '{wanted}' of images" if wanted else f"{counted(len(found), 'column')} of images"
    raise UserError(f"'{path}' has {got}: choose one of {', '.join(found) or 'none'} with --image-col.")


def _label_columns(
    schema: pa.Schema, wanted: str | None, image: str, path: Location, labels_as: str
) -> list[str]:
    """The one column of labels, or those of numbers, which commas separate."""
    parts = [part.strip() for part in (wanted or "").split(",") if part.strip()]
    if wanted not in schema.names and len(parts) > 1 and labels_as in ("", REGRESSION):
        return [_label_column(schema, part, image, path) for part in parts]
    return [_label_column(schema, wanted, image, path)]


def _label_column(schema: pa.Schema, wanted: str | None, image: str, path: Location) -> str:
    found = wanted if wanted in schema.names else None
    if wanted is None:
        # a column of one class each comes before columns of lists of them
        names = [name for name in schema.names if class_names(schema, name)]
        named = [name for name in names if not _is_list(schema.field(name).type)] or names
        found = next((name for name in LABELS if name in (named or schema.names)), None)
        found = found or (named[0] if len(named) == 1 else None)
    if found is None:
        got = f"no column '{wanted}'" if wanted else f"no single column called {', '.join(LABELS[:4])}"
        others = ", ".join(name for name in schema.names[:12] if name != image)
        raise UserError(f"'{path}' has {got}: choose one of {others or 'none'} with --label-col.")
    return found


def _must_agree(schemas: dict[Location, pa.Schema], image: str, labels: Sequence[str]) -> None:
    """Raises UserError for files of which one lacks a column, or numbers its classes in another way."""
    first, *others = schemas.items()
    for file, schema in others:
        lacks = next((name for name in (image, *labels) if name not in schema.names), None)
        if lacks or class_names(schema, labels[0]) != class_names(first[1], labels[0]):
            got = f"no column '{lacks}'" if lacks else f"other names of the classes in column '{labels[0]}'"
            raise UserError(f"'{file}' has {got} than '{first[0].name}': give one of them with --data.")


def _items(ids: pd.Series, found: RowLabels, classes: Sequence[str]) -> list[Item]:
    """An item for each row that says what it has."""
    if not found.multi_label:
        return [Item(*pair) for pair in zip(ids, found.names, strict=True)]
    sets = found.names.groupby(level=0).agg(set).to_dict()
    return [Item.of_set(name, sets.get(row, ()), classes) for row, name in ids.items()]


def _read(file: Location, columns: list[str]) -> pd.DataFrame:
    """Whole columns, a few rows at a time: what is small in the file may unpack to more than fits. Raises
    UserError."""
    found, size = [], 0
    try:
        opened = pq.ParquetFile(seekable(file))
        if opened.metadata.num_rows > MAX_ROWS:
            raise UserError(
                f"'{file}' has {counted(opened.metadata.num_rows, 'row')}: at most {MAX_ROWS:,} are read."
            )
        for batch in opened.iter_batches(batch_size=1024, columns=columns, use_threads=False):
            found.append(batch)
            size += batch.nbytes
            if size > MAX_BYTES:
                raise UserError(
                    f"Columns {', '.join(columns)[:80]} of '{file}' hold more than fits in memory."
                )
        return pa.Table.from_batches(found, None if found else _schema(file)).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


@lru_cache(maxsize=64)
def member_names(file: Location, column: str, stamp: str) -> tuple[str, ...]:
    """A name for each row, the same every time: the image's own path where each row has one and no two have
    the same, otherwise its number. In a file with several columns of images, and for bytes of another name,
    the column's name comes before it. `stamp` is the file's, so that a changed file is read again."""
    schema = _schema(file)
    kind, rows = schema.field(column).type, min(pq.ParquetFile(seekable(file)).metadata.num_rows, MAX_ROWS)
    paths: list[Any] = []
    if pa.types.is_struct(kind):
        cells = _read(file, [f"{column}.path"])[column]
        paths = [cell.get("path") if isinstance(cell, dict) else None for cell in cells]
    named = (
        len(paths) == rows > 0
        and all(isinstance(path, str) and is_safe_name(path) for path in paths)
        and max(Counter(paths).values()) == 1
    )
    before = "" if _image_columns(schema) == [column] else f"{column}/"
    return tuple(f"{before}{name}" for name in (paths if named else range(rows)))


def cell_bytes(file: Location, column: str, row: int) -> bytes:
    """Raises `UnreadableImage` for an empty cell, and for a file that cannot be read."""
    is_struct = pa.types.is_struct(_schema_of(file, stamp_of(file)).field(column).type)
    value = read_cell(file, f"{column}.bytes" if is_struct else column, row)
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or not data:
        raise UnreadableImage("the row holds no bytes of an image")
    must_be_small(len(data))
    return data


@lru_cache(maxsize=64)
def _schema_of(file: Location, stamp: str) -> pa.Schema:
    return _schema(file)


def row_bytes(file: Location, name: str) -> bytes | None:
    """The bytes of the image of this name (`member_names`) within a Parquet file; None where it is not there.
    Raises UserError for a file that cannot be read."""
    schema = _schema(file)
    for column in dict.fromkeys((*_image_columns(schema), *_byte_columns(schema))):
        place = _index(file, column, stamp_of(file)).get(name)
        if place is not None:
            return cell_bytes(file, column, place)
    return None


@lru_cache(maxsize=8)
def _index(file: Location, column: str, stamp: str) -> dict[str, int]:
    return {name: row for row, name in enumerate(member_names(file, column, stamp))}
