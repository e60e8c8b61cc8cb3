"""Images and where people looked at them: what a table of fixations, or the folder of a well-known set, is
read as."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

import numpy as np
from PIL import Image

from models.counts import be, counted
from models.data.images import FORMATS, UnreadableImage, open_image
from models.errors import UserError

PARTS = ("train", "validation", "test")
MOST_OUTSIDE = 0.5  # of all fixations: more than that cannot be a matter of a few blinks


@dataclass(frozen=True, eq=False)
class Viewed:
    """One image: `size` (height, width); `x`, `y` (n,) float32 in pixels, 0 being the left or upper edge of
    the first one; `subject` (n,) int, -1 where the data does not name the observer. `map_file`: an image of
    the fixation density, for sets that have one."""

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

    def load(self, alpha: bool = False) -> Image.Image:
        """The image, upright RGB, or RGBA. Raises `UnreadableImage`."""
        return open_image(self.path, alpha=alpha)

    def only(self, chosen: np.ndarray) -> "Viewed":
        """The same image with the fixations of a mask, (n,) bool."""
        return replace(self, x=self.x[chosen], y=self.y[chosen], subject=self.subject[chosen])


@dataclass(frozen=True, eq=False)
class GazeSet:
    """`images` sorted by name; `note`: one line on what was guessed and left out."""

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
                f"{self.name} has {counted(len(self.images), 'image')}, none of them in the part '{which}': "
                "ten are the least for all parts."
            )
        return replace(self, name=f"{self.name}/{which}", images=images)

    def fingerprint(self) -> str:
        """A hash of every id and fixation."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(image.id.encode() + image.x.tobytes() + image.y.tobytes())
        return digest.hexdigest()[:16]


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) of an upright image, by its header. Raises `UnreadableImage`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            turned = image.getexif().get(274, 1) in (5, 6, 7, 8)
            return (image.width, image.height) if turned else (image.height, image.width)
    except FileNotFoundError as error:
        raise UnreadableImage("file not found") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UnreadableImage(f"cannot be decoded ({str(error)[:100] or type(error).__name__})") from error


def checked(data: GazeSet, columns: tuple[str, str] | None = None) -> GazeSet:
    """The set without fixations outside of their images, which `note` counts. Raises UserError where most are
    outside, or x and y seem exchanged."""
    inside = [(i.x >= 0) & (i.y >= 0) & (i.x < i.size[1]) & (i.y < i.size[0]) for i in data.images]
    total, kept = data.fixations, int(sum(k.sum() for k in inside))
    if (total and kept < MOST_OUTSIDE * total) or (columns and _exchanged(data, kept)):
        x, y = columns or ("x", "y")
        if _exchanged(data, kept):
            raise UserError(
                f"{total - kept:,} of {counted(total, 'fixation')} {be(total - kept)} outside of their "
                f"images, and none would be if '{x}' and '{y}' were exchanged: add --x-col {quote(y)} "
                f"--y-col {quote(x)}."
            )
        raise UserError(
            f"{total - kept:,} of {counted(total, 'fixation')} {be(total - kept)} outside of their images: "
            "are coordinates in pixels of these images?"
        )
    images = tuple(image.only(keep) for image, keep in zip(data.images, inside, strict=True))
    bare = sum(not len(image.x) and image.map_file is None for image in images)
    note = data.note + (
        f"; {total - kept:,} of {counted(total, 'fixation')} outside of their images dropped"
        if kept < total
        else ""
    )
    note += f"; {counted(bare, 'image')} without a fixation left out" if bare else ""
    images = tuple(image for image in images if len(image.x) or image.map_file is not None)
    if not images:
        raise UserError(f"{data.name} has no image with a fixation.")
    return replace(data, images=images, note=note.removeprefix("; "))


def _exchanged(data: GazeSet, kept: int) -> bool:
    """Whether nearly all fixations, and clearly more, lie inside with x and y exchanged."""
    other = sum(
        int(((i.y >= 0) & (i.x >= 0) & (i.y < i.size[1]) & (i.x < i.size[0])).sum()) for i in data.images
    )
    return kept < 0.95 * data.fixations and other > 0.99 * data.fixations
