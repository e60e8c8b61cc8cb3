"""A CSV or Parquet table with a column of image paths and a column of labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from models.classes.names import one_spelling, plain
from models.counts import be, counted, plural
from models.data.files import FileSource
from models.data.folder import SPLITS
from models.data.images import ARRAY, REFUSED, SUFFIXES
from models.data.label_sets import RowLabels, column_labels
from models.data.labels import natural
from models.data.remote.location import Location
from models.data.source import Item, NoParts, NoSuchPart, joined, labels_per_image
from models.data.tables.columns import grouping_columns
from models.data.tables.files import LISTS, read_image_table, read_list
from models.data.tables.ids import locate_ids
from models.data.tables.number_columns import RowNumbers, find_numbers
from models.data.tables.one_hot import one_hot_columns, one_hot_labels
from models.data.tables.paths import Located, locate
from models.data.tables.votes import RowVotes, VoteColumns, read_votes
from models.errors import UserError
from models.outputs.task_names import SINGLE

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
    "image_file_name",
)
ID_COLUMNS = ("image_name", "image_id", "id_code", "id")
"""Names of a column of ids, which name images without suffix (`models.data.tables.ids`)."""
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
    "labels",
)
MISSING = ("NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "-nan", "<NA>")
"""What stands for an empty cell, in columns that are neither images nor labels."""
SPLIT_COLUMNS = ("split", "subset", "partition", "set")


class TableSource(FileSource):
    """Paths are relative to the table's folder, or to one in or beside it. `note`: one line on the columns
    that are used, merged spellings (`merged`: spelling -> class), contradictions and missing files. `split`
    keeps the rows of this value in a column split (or subset, partition, set); `known`: classes of a network,
    which are never merged; `labels_as` and `votes` as in `DataRequest`. Of sets of labels, rows of one image
    are united. Raises UserError for a table without usable rows."""

    def __init__(
        self,
        path: Location,
        image_col: str | None = None,
        label_col: str | None = None,
        split: str | None = None,
        known: Sequence[str] = (),
        labels_as: str = "",
        votes: VoteColumns | None = None,
    ):
        is_list = path.suffix.lower() in LISTS
        whole, headless = (read_list(path), "") if is_list else read_image_table(path)
        usual = IMAGE_COLUMNS + (() if _holds_paths(whole) else ID_COLUMNS)
        self.image_col = find_column(whole, image_col, usual, "--image-col", path)
        find = partial(_of_votes, votes) if votes else partial(_find_labels, self.image_col, known)
        found = find(whole, label_col, path, labels_as)
        used, self.label_col = [self.image_col, *found.columns], "" if found.classes else found.columns[0]
        _empty_where_missing(whole, [name for name in whole.columns if name not in used])
        table = rows_of(whole, split, path) if split else whole
        named = _named_images(table[self.image_col], found.read, path)
        located = _located(path, named["image"], self.image_col, list(table.columns))
        named["image"] = named["image"].map(dict(zip(named["image"].unique(), located.names, strict=True)))
        rows = named.drop_duplicates("image")
        self._others = _others(table.drop(columns=used).loc[rows.index], found)
        self.base, self.root = located.base, str(located.base)
        self.name = f"{path.stem}/{split}" if split else path.stem
        self.merged, self.both_readings = found.merged, found.read.both
        self.multi_label, self.regression = found.read.multi_label, found.numbers is not None
        self.has_votes = found.votes is not None
        self.classes, self.items = _sets_of(named, found) if self.multi_label else _classes_of(rows, found)
        self.note = joined(
            headless,
            f"images from column '{self.image_col}', {found.described}"
            + (f": {labels_per_image(self.items)}" if self.multi_label else ""),
            f"no image of class {', '.join(self.empty[:6])}" if self.empty else "",
            _left_out(len(table), named, len(rows), found),
            "" if self.multi_label else _contradictions(named),
            _merged(self.merged),
            joined(_two_spellings(self.classes), self.both_readings, located.note),
        )

    @cached_property
    def metadata(self) -> pd.DataFrame | None:
        """The table's other columns, as `grouping_columns` takes them."""
        found = grouping_columns(self._others)
        return found if len(found.columns) else None


def _holds_paths(table: pd.DataFrame) -> bool:
    """Whether a column holds paths of images: an id is then a number, and no name of an image."""
    return any(
        Path(str(cell)).suffix.lower() in (*SUFFIXES, ARRAY)
        for name in table.columns
        for cell in table[name].dropna().head(3)
    )


@dataclass(frozen=True)
class _Labels:
    """Labels of the rows as they were `read`; the `columns` that they are from; `merged`: rare spelling ->
    common one; `classes`: all classes, where the table names them; `numbers`: of a regression, whose names
    are texts of them; `votes`: of a table of votes."""

    read: RowLabels
    columns: list[str]
    merged: dict[str, str]
    classes: tuple[str, ...] = ()
    numbers: RowNumbers | None = None
    votes: RowVotes | None = None

    @property
    def described(self) -> str:
        if self.numbers is not None:
            return self.numbers.described
        if self.votes is not None:
            return (
                f"votes from {len(self.classes)} columns ({', '.join(self.classes[:8])}): {self.votes.note}"
            )
        if self.classes:
            return f"labels from {self.read.how or f'{len(self.columns)} columns of 0 and 1'}"
        return ", ".join(filter(None, (f"labels from column '{self.columns[0]}'", self.read.how)))


def _empty_where_missing(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """A class may be called None, a measure may not."""
    table[columns] = table[columns].mask(table[columns].isin(MISSING))


def _others(columns: pd.DataFrame, found: _Labels) -> pd.DataFrame:
    """What the table says besides, and what follows from votes, a row each image."""
    if found.votes is not None:
        columns = found.votes.metadata.loc[columns.index].join(columns, rsuffix=" (column)")
    return columns.reset_index(drop=True)


def _find_labels(
    image: str, known: Sequence[str], table: pd.DataFrame, wanted: str | None, path: Location, labels_as: str
) -> _Labels:
    """The columns of numbers or the column of labels, otherwise columns of 0 and 1, one a class. Raises
    UserError for none of them."""
    besides = [image, *(str(c) for c in table.columns if str(c).lower() in SPLIT_COLUMNS)]
    usual = guessed_column(table, LABEL_COLUMNS)
    if (numbers := find_numbers(table, wanted, usual, besides, path, labels_as)) is not None:
        texts = numbers.values.apply(lambda row: Item.of_numbers("", row).label, axis=1)
        read = RowLabels(texts, numbers.values.index)
        return _Labels(read, numbers.columns, {}, tuple(map(str, numbers.values.columns)), numbers)
    if wanted is None and usual is None and len(classes := one_hot_columns(table, besides)) > 1:
        read = one_hot_labels(table, classes, besides, path, labels_as)
        return _Labels(read, classes, {}, tuple(classes))
    others = table if wanted else table.drop(columns=image)
    column = find_column(others, wanted, LABEL_COLUMNS, "--label-col", path)
    read = column_labels(table[column], column, path, known, labels_as)
    spelling = one_spelling(read.names.tolist(), known)  # the same in every part
    merged = {name: kept for name, kept in spelling.items() if kept != name}
    return _Labels(replace(read, names=read.names.map(spelling)), [column], merged)


def _of_votes(
    columns: VoteColumns, table: pd.DataFrame, label_col: str | None, path: Location, labels_as: str
) -> _Labels:
    """Labels by the majority of people's votes. Raises UserError, as `read_votes`; and beside a column of
    labels, or another task than one class per image."""
    if label_col or labels_as not in ("", SINGLE):
        other = f"--label-col {label_col}" if label_col else f"--task {labels_as}"
        raise UserError(
            f"--label-columns ({', '.join(columns.classes[:6])}) are votes for one class per image, and "
            f"{other} asks for other labels: leave one of them out."
        )
    votes = read_votes(table, columns, path)
    used = [*columns.classes, *columns.others]
    return _Labels(RowLabels(votes.labels, votes.labels.index), used, {}, columns.classes, votes=votes)


def _named_images(images: pd.Series, read: RowLabels, path: Location) -> pd.DataFrame:
    """Columns `image` and `label` (both text) of the rows that have both, under the index of the row; of
    sets, one for each label, and one with an empty label for a row without any. Raises UserError where no row
    has both."""
    filled = images.dropna()
    filled = filled[filled.index.isin(read.rows)].astype(str).str.strip()
    named = filled.to_frame("image").join(read.names.rename("label"))
    if not named["label"].notna().any():
        raise UserError(
            f"'{path}' has no row with both an image and a label: check --image-col and --label-col."
        )
    return named.astype({"label": object})


def _classes_of(rows: pd.DataFrame, found: _Labels) -> tuple[tuple[str, ...], list[Item]]:
    """Classes, and an item for each row."""
    if found.numbers is not None:
        values = found.numbers.values.loc[rows.index].to_numpy()
        return found.classes, [Item.of_numbers(*pair) for pair in zip(rows["image"], values, strict=True)]
    if found.votes is not None:
        shares = map(tuple, found.votes.shares.loc[rows.index].to_numpy().tolist())
        given = zip(rows["image"], rows["label"], shares, strict=True)
        return found.classes, [Item(name, label, votes=votes) for name, label, votes in given]
    items = [Item(name, str(label)) for name, label in rows[["image", "label"]].itertuples(index=False)]
    return tuple(sorted(found.classes or {item.label for item in items}, key=natural)), items


def _sets_of(named: pd.DataFrame, found: _Labels) -> tuple[tuple[str, ...], list[Item]]:
    """Classes of the whole table, and an item for each image, with the labels of all its rows."""
    classes = found.classes or tuple(sorted(set(found.read.names), key=natural))
    sets = named.dropna().groupby("image")["label"].agg(set).to_dict()
    return classes, [Item.of_set(name, sets.get(name, ()), classes) for name in named["image"].unique()]


def _left_out(size: int, named: pd.DataFrame, images: int, found: _Labels) -> str:
    """How many of the table's rows are not used, and name an image again."""
    rows = named.index.nunique()
    empty, again = size - rows, rows - images
    what = "are united with its other labels" if found.read.multi_label else "left out"
    label = "label" if found.numbers is None else "number"
    if found.votes is not None:
        label = "majority of votes for a class"
    return joined(
        f"{counted(empty, 'row')} without image or {label} left out" if empty else "",
        f"{counted(again, 'row')} that {plural(again, 'names', 'name')} an image again {what}"
        if again
        else "",
        found.numbers.note if found.numbers else "",
    )


def _located(path: Location, images: pd.Series, column: str, columns: Sequence[str]) -> Located:
    """The files of paths, or of ids without a suffix. Raises UserError for a column that holds neither."""
    names = images.unique().tolist()
    suffixes = {Path(name.replace("\\", "/")).suffix.lower() for name in names[:100]}
    if suffixes <= set(REFUSED):
        kind, remedy = REFUSED[Path(names[0].replace("\\", "/")).suffix.lower()]
        raise UserError(
            f"Column '{column}' of '{path}' names {kind} (first: '{names[0][:60]}'), which is not read: "
            f"{remedy}."
        )
    if suffixes & {*SUFFIXES, ARRAY}:
        return locate(path, names)
    if (found := locate_ids(path, names)) is not None:
        return found
    raise UserError(
        f"Column '{column}' of '{path}' holds no image paths (first: '{names[0][:60]}'): no image near the "
        f"table is called so; name the right one with --image-col; columns: {', '.join(columns)}."
    )


def _contradictions(named: pd.DataFrame) -> str:
    """Images with more than one label."""
    labels = named.drop_duplicates().groupby("image", sort=False)["label"].agg(list)
    found = labels[labels.map(len) > 1]
    if not len(found):
        return ""
    shown = ", ".join(f"{image} is {' and '.join(each)}" for image, each in found.head(3).items())
    return (
        f"{counted(len(found), 'image')} {be(len(found))} named under different labels, of which the first "
        f"is taken ({shown}{' ...' if len(found) > 3 else ''})"
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


def rows_of(table: pd.DataFrame, split: str, path: Location) -> pd.DataFrame:
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


def find_column(
    table: pd.DataFrame, wanted: str | None, usual: tuple[str, ...], option: str, path: Location
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
