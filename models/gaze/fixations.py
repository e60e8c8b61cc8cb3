"""Open images and where people looked at them: a table of fixations, or the folder of a well-known set."""

from pathlib import Path

from models.errors import UserError
from models.gaze.fixation_table import FixationColumns, read_fixation_table
from models.gaze.gaze_set import GazeSet
from models.gaze.layouts import read_layout


def open_gaze(
    where: str,
    origin: int = 0,
    image_col: str | None = None,
    x_col: str | None = None,
    y_col: str | None = None,
    subject_col: str | None = None,
) -> GazeSet:
    """A table `image,x,y[,subject]` (CSV or Parquet) with its images below or beside it, or a folder in the
    layout of SALICON, MIT1003 or CAT2000, or with `images` and `maps`. `origin`: the number of a table's
    first pixel, 0 or 1; that of a layout is known.

    Raises UserError for anything else.
    """
    path = Path(where)
    if path.is_dir():
        tables = [
            p for p in sorted(path.iterdir()) if p.suffix in (".csv", ".parquet") and "fix" in p.stem.lower()
        ]
        if not tables:
            return read_layout(path)
        path = tables[0]
    if not path.is_file():
        raise UserError(
            f"No fixations at '{where}': give a table (image, x, y), or the folder of a set with fixations."
        )
    if origin not in (0, 1):
        raise UserError(f"--origin is {origin}: coordinates count from 0 or from 1.")
    return read_fixation_table(path, origin, FixationColumns(image_col, x_col, y_col, subject_col))
