"""A CSV or Parquet table with a column of image paths and a column of labels."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from models.classes import one_spelling, plain
from models.data.columns import grouping_columns
from models.data.files import FileSource
from models.data.folder import SPLITS
from models.data.images import SUFFIXES
from models.data.labels import class_labels
from models.data.paths import locate
from models.data.source import Item, NoParts, NoSuchPart, joined
from models.errors import UserError

IMAGE_COLUMNS = (
    "image",
    "path",
    "file",
    "filename",
    "file_name",
    "image_path",
    "filepath",
    "img",
    "subdirectory_filepath",
)
LABEL_COLUMNS = (
    "label",
    "class",
    "target",
    "category",
    "expression",
    "emotion",
    "y",
    "label_name",
    "class_name",
)
MISSING = ("NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "-nan", "<NA>")
"""What stands for an empty cell, in columns that are neither images nor labels."""
SPLIT_COLUMNS = ("split", "subset", "partition", "set")


class TableSource(FileSource):
    """Paths are relative to the table's folder, or to one in or beside it. `note`: one line on the columns
    that are used, merged spellings (`merged`: spelling -> class), contradictions and missing files. `split`
    keeps the rows of this value in a column split (or subset, partition, set); `known`: classes of a network,
    which are never merged. Raises UserError for a table without usable rows."""

    def __init__(
        self,
        path: Path,
        image_col: str | None = None,
        label_col: str | None = None,
        split: str | None = None,
        known: Sequence[str] = (),
    ):
        whole = read_table(path, words=True)
        self.image_col = find_column(whole, image_col, IMAGE_COLUMNS, "--image-col", path)
        self.label_col = find_column(whole, label_col, LABEL_COLUMNS, "--label-col", path)
        used = [self.image_col, self.label_col]
        others = [name for name in whole.columns if name not in used]
        # a class may be called None, a measure may not
        whole[others] = whole[others].mask(whole[others].isin(MISSING))
        labels = class_labels(whole[self.label_col].dropna(), self.label_col, path)
        spelling = one_spelling(labels.tolist(), known)  # the same in every part
        table = rows_of(whole, split, path) if split else whole
        named = _named_images(table[self.image_col], labels.map(spelling), path, list(table.columns))
        located = locate(path, named["image"].unique().tolist())
        named["image"] = named["image"].map(dict(zip(named["image"].unique(), located.names, strict=True)))
        rows = named.drop_duplicates("image")
        self._others = table.drop(columns=used).loc[rows.index].reset_index(drop=True)
        self.merged = {name: kept for name, kept in spelling.items() if kept != name}
        self.items = [Item(name, label) for name, label in rows[["image", "label"]].itertuples(index=False)]
        self.base, self.root = located.base, str(located.base)
        self.name = f"{path.stem}/{split}" if split else path.stem
        self.classes = tuple(sorted({item.label for item in self.items}, key=_natural))
        empty, again = len(table) - len(named), len(named) - len(rows)
        self.note = joined(
            f"images from column '{self.image_col}', labels from column '{self.label_col}'",
            f"{empty} rows without image or label left out" if empty else "",
            f"{again} rows that name an image again left out" if again else "",
            _contradictions(named),
            _merged(self.merged),
            _two_spellings(self.classes),
            located.note,
        )

    @cached_property
    def metadata(self) -> pd.DataFrame | None:
        """The table's other columns, as `grouping_columns` takes them."""
        found = grouping_columns(self._others)
        return found if len(found.columns) else None


def _named_images(images: pd.Series, labels: pd.Series, path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns `image` and `label` (both text) of the rows that have both. Raises UserError where there is no
    such row, and for a column that holds no image paths."""
    named = pd.DataFrame({"image": images, "label": labels}, index=images.index).dropna().astype(str)
    named["image"] = named["image"].str.strip()
    if not len(named):
        raise UserError(
            f"'{path}' has no row with both an image and a label: check --image-col and --label-col."
        )
    if all(Path(name).suffix.lower() not in SUFFIXES for name in named["image"][:100]):
        raise UserError(
            f"Column '{images.name}' of '{path}' holds no image paths (first: "
            f"'{named['image'].iloc[0][:60]}'): name the right one with --image-col; columns: "
            f"{', '.join(columns)}."
        )
    return named


def _contradictions(named: pd.DataFrame) -> str:
    """Images with more than one label."""
    labels = named.drop_duplicates().groupby("image", sort=False)["label"].agg(list)
    found = labels[labels.map(len) > 1]
    if not len(found):
        return ""
    shown = ", ".join(f"{image} is {' and '.join(each)}" for image, each in found.head(3).items())
    return (
        f"{len(found)} images are named under different labels, of which the first is taken "
        f"({shown}{' ...' if len(found) > 3 else ''})"
    )


def _merged(merged: dict[str, str]) -> str:
    """'HAPPY, Happy → happy'."""
    groups: dict[str, list[str]] = {}
    for name, kept in merged.items():
        groups.setdefault(kept, []).append(name)
    shown = [f"{', '.join(sorted(names))} → {kept}" for kept, names in sorted(groups.items())[:4]]
    return (
        f"rare spellings merged: {'; '.join(shown)}{' ...' if len(groups) > 4 else ''}".replace("; ", " · ")
        if groups
        else ""
    )


def _two_spellings(classes: Sequence[str]) -> str:
    """Classes that differ only in spelling and are not merged."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(plain(name), []).append(name)
    found = [" and ".join(names) for names in groups.values() if len(names) > 1]
    return (
        f"{', '.join(found[:4])} are spelled alike and stay separate classes (--classes FILE can count "
        "them as one)"
        if found
        else ""
    )


def rows_of(table: pd.DataFrame, split: str, path: Path) -> pd.DataFrame:
    column = next((c for c in table.columns if str(c).lower() in SPLIT_COLUMNS), None)
    if column is None:
        raise NoParts(f"'{path}' has no column {' or '.join(SPLIT_COLUMNS)}: leave --split out, or add one.")
    values = table[column].astype(str).str.lower().map(lambda v: SPLITS.get(v, v))
    kept = table[values == SPLITS.get(split.lower(), split.lower())]
    if kept.empty:
        raise NoSuchPart(
            f"'{path}' has no rows of split '{split}': column '{column}' holds "
            f"{', '.join(sorted(set(values))[:6])}."
        )
    return kept


def _natural(label: str) -> tuple[bool, float, str]:
    return (False, float(label), "") if label.lstrip("-").isdigit() else (True, 0.0, label)


def read_table(path: Path, *, words: bool = False) -> pd.DataFrame:
    """CSV (UTF-8, also with a byte order mark) as text, Parquet with its types; rows are renumbered. `words`:
    NA, None and null are text, and only a cell without characters is empty. Raises UserError for a file that
    is no table."""
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).reset_index(drop=True)
        empty = {"keep_default_na": False, "na_values": [""]} if words else {}
        return pd.read_csv(path, sep=None, engine="python", dtype=str, encoding="utf-8-sig", **empty)
    except Exception as error:  # pandas and pyarrow each have their own kinds
        raise UserError(
            f"'{path}' cannot be read as a table ({str(error).splitlines()[0][:100]}): give CSV or Parquet."
        ) from error


def find_column(
    table: pd.DataFrame, wanted: str | None, usual: tuple[str, ...], option: str, path: Path
) -> str:
    """The column that was named, otherwise the first of the usual names that exists. Raises UserError, which
    lists the columns."""
    columns = [str(c) for c in table.columns]
    if wanted in columns:
        return str(wanted)
    if guess := None if wanted else guessed_column(table, usual):
        return guess
    got = f"no column '{wanted}'" if wanted else f"no column called {', '.join(usual[:4])} ..."
    raise UserError(f"'{path}' has {got}: choose one of {', '.join(columns[:12])} with {option}.")


def guessed_column(table: pd.DataFrame, usual: tuple[str, ...]) -> str | None:
    """The column with the first of the usual names that exists, ignoring case, spaces and punctuation; None
    where there is none."""
    named = {_letters(str(c)): str(c) for c in reversed(table.columns)}
    return next((named[_letters(name)] for name in usual if _letters(name) in named), None)


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
