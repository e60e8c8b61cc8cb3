"""Toon studios: an embedded data set of drawn faces with a planted shortcut, and with ground truth on it.

Every face is photographed in one of four studios (the column `studio`), and one of them prints its logo in a
corner of all of its pictures. In the splits train and validation nearly all faces of one expression, and few
of the others, come from that studio: a network learns the logo instead of the expression. In the split test
the studios are even. No download: the same seed gives the same images.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from models.data.toon_faces import CLASSES, SIZE, SPLITS, ToonFace, ToonFaces, painted
from models.data.toon_faces.pen import OVERSAMPLE

if TYPE_CHECKING:
    import pandas as pd

NAME = "toon_studios"
STREAM = 15  # of all faces of this data, so that none is one of the toon faces
STUDIOS = ("North", "East", "South", "West")
MARKED, SHORTCUT = "North", "anger"
"""The studio with a logo, and the class that mostly comes from it."""
OFTEN, SELDOM = 0.9, 0.05
"""Fraction of the faces that come from `MARKED` in training: of `SHORTCUT`, and of the other classes."""
LOGO = (113.0, 15.0, 7.0)
"""Center (x, y) and radius of the logo, in pixels of the picture."""
_BADGE, _LETTER = (240, 196, 40), (28, 36, 92)


def studio_of(expression: str, seed: int, stream: int, index: int) -> str:
    """Where a face is photographed: in turn in the split test, else at random with the fractions above."""
    if stream == SPLITS["test"][0]:
        return STUDIOS[index // len(CLASSES) % len(STUDIOS)]
    rng = np.random.default_rng([STREAM, seed, stream, index])
    if rng.random() < (OFTEN if expression == SHORTCUT else SELDOM):
        return MARKED
    return str(rng.choice([name for name in STUDIOS if name != MARKED]))


def logo_mask() -> np.ndarray:
    """Where the logo is in pictures that have it, (128, 128) bool."""
    x, y, radius = LOGO
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def _print_logo(picture: Image.Image) -> None:
    """A yellow disc with an N, before light, blur and noise."""
    x, y, r = (OVERSAMPLE * value for value in LOGO)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((x - r, y - r, x + r, y + r), fill=_BADGE, outline=_LETTER, width=OVERSAMPLE)
    a, b = 0.36 * r, 0.46 * r
    draw.line([(x - a, y + b), (x - a, y - b), (x + a, y + b), (x + a, y - b)], _LETTER, int(0.22 * r))


@lru_cache(maxsize=64)
def draw_face(expression: str, seed: tuple[int, ...], marked: bool) -> ToonFace:
    """As `toon_faces.draw_face`, with the logo or without it."""
    return painted(expression, seed, _print_logo if marked else None)


class ToonStudios(ToonFaces):
    """Faces of the eight classes in turn. The logo is not one of the `regions`."""

    kind = NAME

    def numbers(self, index: int) -> tuple[int, ...]:
        return *super().numbers(index), STREAM

    def studio(self, index: int) -> str:
        """One of `STUDIOS`."""
        return studio_of(self.items[index].label, self.seed, self.stream, index)

    def face(self, index: int) -> ToonFace:
        return draw_face(self.items[index].label, self.numbers(index), self.studio(index) == MARKED)

    def attributes(self) -> "pd.DataFrame":
        """A row for each face, its studio first."""
        table = super().attributes()
        table.insert(0, "studio", [self.studio(i) for i in range(len(self.items))])
        return table


__all__ = ["CLASSES", "LOGO", "MARKED", "NAME", "SHORTCUT", "SPLITS", "STUDIOS", "ToonStudios", "draw_face"]
