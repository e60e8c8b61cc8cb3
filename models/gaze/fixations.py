"""Images and where people looked at them: from tables of fixations, and from the folders of well-known sets
(`layouts`)."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from models.data.images import FORMATS, UnreadableImage, open_image
from models.data.paths import image_folder
from models.data.table import IMAGE_COLUMNS, find_column, guessed_column, read_table
from models.errors import UserError

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
PARTS = ("train", "validation", "test")
MOST_OUTSIDE = 0.5  # of all fixations: more than that cannot be a matter of a few blinks


@dataclass(frozen=True, eq=False)
class Viewed:
    """One image: `size` (height, width); `x`, `y` (n,) float32 in pixels, 0 being the left or upper edge of
    the first one; `subject` (n,) int, -1 where nobody says who looked. `map_file`: a picture of the density
    of fixations, for sets that have it."""

    id: str
    path: Path
    size: tuple[int, int]
    x: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    map_file: Path | None = None

    @property
    def rows(self) -> np.ndarray:
        """Whole pixels, as the reference implementations of all metrics count."""
        return self.y.astype(np.int64)

    @property
    def cols(self) -> np.ndarray:
        return self.x.astype(np.int64)

    @property
    def subjects(self) -> list[int]:
        return [int(s) for s in np.unique(self.subject) if s >= 0]

    def load(self) -> Image.Image:
        """The picture, upright RGB. Raises `UnreadableImage`."""
        return open_image(self.path)

    def only(self, chosen: np.ndarray) -> "Viewed":
        """With these of its fixations, (n,) bool."""
        return replace(self, x=self.x[chosen], y=self.y[chosen], subject=self.subject[chosen])


@dataclass(frozen=True, eq=False)
class GazeSet:
    """`images` sorted by name; `note` says what was guessed and left out."""

    name: str
    root: str
    images: tuple[Viewed, ...]
    note: str = ""

    @property
    def fixations(self) -> int:
        return sum(len(image.x) for image in self.images)

    def part(self, which: str) -> "GazeSet":
        """Every fifth image is test; of the others every tenth is validation. The same every time."""
        if which not in (*PARTS, "all"):
            raise UserError(f"No part '{which}': choose from {', '.join(PARTS)}, all.")
        if which == "all":
            return self
        test = np.arange(len(self.images)) % 5 == 4
        rest = np.cumsum(~test) - 1
        chosen = {"test": test, "validation": ~test & (rest % 10 == 9), "train": ~test & (rest % 10 != 9)}[
            which
        ]
        images = tuple(image for image, keep in zip(self.images, chosen, strict=True) if keep)
        if not images:
            raise UserError(
                f"{self.name} has {len(self.images)} images, none of them in the part '{which}': ten are "
                "the least for all parts."
            )
        return replace(self, name=f"{self.name}/{which}", images=images)

    def fingerprint(self) -> str:
        """A hash of every id and fixation."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.id.encode() + image.x.tobytes() + image.y.tobytes())
        return digest.hexdigest()[:16]


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
    first pixel, 0 or 1; layouts know theirs.

    Raises UserError for what fits nothing of this.
    """
    from models.gaze.layouts import read_layout

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
    return _from_table(path, origin, image_col, x_col, y_col, subject_col)


def _from_table(
    path: Path,
    origin: int,
    image_col: str | None,
    x_col: str | None,
    y_col: str | None,
    subject_col: str | None,
) -> GazeSet:
    table = read_table(path)
    name = find_column(
        table, image_col, (*IMAGE_COLUMNS, "stimulus", "image_name", "image_id"), "--image-col", path
    )
    columns = [
        find_column(table, wanted, usual, option, path)
        for wanted, usual, option in ((x_col, X_COLUMNS, "--x-col"), (y_col, Y_COLUMNS, "--y-col"))
    ]
    subject = (
        find_column(table, subject_col, SUBJECT_COLUMNS, "--subject-col", path)
        if subject_col
        else guessed_column(table, SUBJECT_COLUMNS)
    )
    places = table[columns].apply(pd.to_numeric, errors="coerce")
    whole = places.notna().all(axis=1) & table[name].notna()
    if not whole.any():
        raise UserError(
            f"Columns '{columns[0]}' and '{columns[1]}' of '{path}' hold no numbers: name the right ones "
            "with --x-col and --y-col."
        )
    note = (
        f"columns {name}, {columns[0]}, {columns[1]}{f', {subject}' if subject else ''}, counted from "
        f"{origin}"
    )
    note += f"; {int((~whole).sum()):,} rows without a place left out" if not whole.all() else ""
    table, places = table[whole], places[whole].to_numpy(np.float32)
    fractions = bool((places >= 0).all() and (places <= 1).all() and (places % 1 != 0).any())
    note = note.replace(f"counted from {origin}", "shares of width and height") if fractions else note
    places = places if fractions else places - origin
    who = pd.factorize(table[subject])[0] if subject else np.full(len(table), -1)
    folder = image_folder(path.resolve().parent, table[name].astype(str).unique().tolist())
    groups = table.groupby(table[name].astype(str)).indices
    made, missing = [], []
    for image in sorted(groups):
        chosen = groups[image]
        try:
            size = size_of(folder / image)
        except UnreadableImage as error:
            missing.append(f"{image} ({error})")
            continue
        wide, high = (size[1] - 1e-3, size[0] - 1e-3) if fractions else (1, 1)
        made.append(
            Viewed(
                image,
                folder / image,
                size,
                places[chosen, 0] * wide,
                places[chosen, 1] * high,
                np.asarray(who[chosen], np.int64),
            )
        )
    if not made:
        raise UserError(
            f"None of the {len(groups)} images that '{path}' names can be read (first: {missing[0]}): put "
            "them below or beside it."
        )
    note += f"; {len(missing)} images that cannot be read left out (first: {missing[0]})" if missing else ""
    title = path.stem if path.stem != "fixations" else path.resolve().parent.name
    return checked(GazeSet(title, str(folder), tuple(made), note), (columns[0], columns[1]))


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of an upright picture, by its header. Raises `UnreadableImage`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(274, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)
    except FileNotFoundError as error:
        raise UnreadableImage("file not found") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UnreadableImage(f"cannot be decoded ({str(error)[:100] or type(error).__name__})") from error


def checked(data: GazeSet, columns: tuple[str, str] | None = None) -> GazeSet:
    """Without the fixations that lie outside of their images, which are counted. Raises UserError where that
    is most of them, and says so where x and y look exchanged."""
    inside = [(i.x >= 0) & (i.y >= 0) & (i.x < i.size[1]) & (i.y < i.size[0]) for i in data.images]
    total, kept = data.fixations, int(sum(k.sum() for k in inside))
    if (total and kept < MOST_OUTSIDE * total) or (columns and _exchanged(data, kept)):
        x, y = columns or ("x", "y")
        if _exchanged(data, kept):
            raise UserError(
                f"{total - kept:,} of {total:,} fixations lie outside of their images, and none would if "
                f"'{x}' and '{y}' were exchanged: "
                f"add --x-col {y} --y-col {x}."
            )
        raise UserError(
            f"{total - kept:,} of {total:,} fixations lie outside of their images: are coordinates in "
            "pixels of these very images?"
        )
    images = tuple(image.only(keep) for image, keep in zip(data.images, inside, strict=True))
    bare = sum(not len(image.x) and image.map_file is None for image in images)
    note = data.note + (
        f"; {total - kept:,} of {total:,} fixations outside of their images dropped" if kept < total else ""
    )
    note += f"; {bare} images without a fixation left out" if bare else ""
    images = tuple(image for image in images if len(image.x) or image.map_file is not None)
    if not images:
        raise UserError(f"{data.name} has no image with a fixation.")
    return replace(data, images=images, note=note.removeprefix("; "))


def _exchanged(data: GazeSet, kept: int) -> bool:
    """Whether clearly more would lie inside if x and y changed places, and nearly all."""
    other = sum(
        int(((i.y >= 0) & (i.x >= 0) & (i.y < i.size[1]) & (i.x < i.size[0])).sum()) for i in data.images
    )
    return kept < 0.95 * data.fixations and other > 0.99 * data.fixations
