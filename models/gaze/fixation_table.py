"""A table of fixations, one row each: which columns it has, where its images lie, and what its coordinates
count."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from models.counts import counted
from models.data.images import UnreadableImage
from models.data.tables.files import read_table
from models.data.tables.paths import image_folder
from models.data.tables.table import IMAGE_COLUMNS, find_column, guessed_column
from models.errors import UserError
from models.gaze.gaze_set import GazeSet, Viewed, checked, size_of

STIMULUS_COLUMNS = (*IMAGE_COLUMNS, "stimulus", "image_name", "image_id")
X_COLUMNS = (
    "x",
    "fix_x",
    "fixation_x",
    "x_px",
    "gaze_x",
    "pos_x",
    "current_fix_x",
    "fpog_x",
    "gaze_point_x",
    "x_coordinate",
    "col",
    "column",
)
Y_COLUMNS = (
    "y",
    "fix_y",
    "fixation_y",
    "y_px",
    "gaze_y",
    "pos_y",
    "current_fix_y",
    "fpog_y",
    "gaze_point_y",
    "y_coordinate",
    "row",
)
SUBJECT_COLUMNS = (
    "subject",
    "participant",
    "observer",
    "user",
    "viewer",
    "person",
    "worker_id",
    "subj",
    "subject_id",
    "participant_id",
    "recording_session_label",
)


@dataclass(frozen=True)
class FixationColumns:
    """Names of columns; None where the usual names are looked for."""

    image: str | None = None
    x: str | None = None
    y: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class _Fixations:
    """`image` (n,) names; `positions` (n, 2) float32 as x, y: pixels from 0, or `fractions` of width and
    height; `subject` (n,) int, -1 where the table does not say who looked."""

    image: pd.Series
    positions: np.ndarray
    fractions: bool
    subject: np.ndarray


def read_fixation_table(path: Path, origin: int, columns: FixationColumns) -> GazeSet:
    """The images that a table names, with their fixations. `origin`: the number of the first pixel, 0 or 1.
    Raises UserError for columns that are missing or hold no numbers, and where no image can be read."""
    table = read_table(path)
    used = _columns_in(table, columns, path)
    found, note = _fixations(table, used, origin, path)
    folder = image_folder(path.resolve().parent, found.image.unique().tolist())
    images, missing = _viewed(found, Path(str(folder)))
    if not images:
        raise UserError(
            f"None of the {counted(found.image.nunique(), 'image')} that '{path}' names can be read (first: "
            f"{missing[0]}): put them below or beside it."
        )
    note += (
        f"; {counted(len(missing), 'image')} that cannot be read left out (first: {missing[0]})"
        if missing
        else ""
    )
    title = path.stem if path.stem != "fixations" else path.resolve().parent.name
    return checked(GazeSet(title, str(folder), tuple(images), note), (str(used.x), str(used.y)))


def _columns_in(table: pd.DataFrame, given: FixationColumns, path: Path) -> FixationColumns:
    """The columns that are used. `subject` stays None where there is none."""
    subject = (
        find_column(table, given.subject, SUBJECT_COLUMNS, "--subject-col", path)
        if given.subject
        else guessed_column(table, SUBJECT_COLUMNS)
    )
    return FixationColumns(
        find_column(table, given.image, STIMULUS_COLUMNS, "--image-col", path),
        find_column(table, given.x, X_COLUMNS, "--x-col", path),
        find_column(table, given.y, Y_COLUMNS, "--y-col", path),
        subject,
    )


def _fixations(table: pd.DataFrame, used: FixationColumns, origin: int, path: Path) -> tuple[_Fixations, str]:
    """The rows that have an image and a position, and a note on how they were read."""
    numbers = table[[used.x, used.y]].apply(pd.to_numeric, errors="coerce")
    complete = numbers.notna().all(axis=1) & table[used.image].notna()
    if not complete.any():
        raise UserError(
            f"Columns '{used.x}' and '{used.y}' of '{path}' hold no numbers: name the right ones "
            "with --x-col and --y-col."
        )
    table, positions = table[complete], numbers[complete].to_numpy(np.float32)
    fractions = bool(((positions >= 0) & (positions <= 1)).all() and (positions % 1 != 0).any())
    subject = pd.factorize(table[used.subject])[0] if used.subject else np.full(len(table), -1)
    names = ", ".join(name for name in (used.image, used.x, used.y, used.subject) if name)
    unit = "fractions of width and height" if fractions else f"counted from {origin}"
    left_out = int((~complete).sum())
    note = f"columns {names}, {unit}"
    note += f"; {counted(left_out, 'row')} without a position left out" if left_out else ""
    positions = positions if fractions else positions - origin
    return _Fixations(table[used.image].astype(str), positions, fractions, subject), note


def _viewed(found: _Fixations, folder: Path) -> tuple[list[Viewed], list[str]]:
    """The images that can be read, by name, and the names of the others with the reason."""
    images, missing = list[Viewed](), list[str]()
    for name, rows in sorted(found.image.groupby(found.image).indices.items()):
        try:
            size = size_of(folder / name)
        except UnreadableImage as error:
            missing.append(f"{name} ({error})")
            continue
        height, width = (size[0] - 1e-3, size[1] - 1e-3) if found.fractions else (1, 1)
        x, y = found.positions[rows, 0] * width, found.positions[rows, 1] * height
        images.append(Viewed(name, folder / name, size, x, y, np.asarray(found.subject[rows], np.int64)))
    return images, missing
