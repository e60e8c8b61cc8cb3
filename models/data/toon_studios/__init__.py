"""Toon studios: an embedded data set of drawn faces with a planted shortcut, and with ground truth on it.

Every face is photographed in one of four studios (the column `studio`), and one of them prints its logo in a
corner of all of its pictures. In the splits train and validation nearly all faces of one expression, and few
of the others, come from that studio: a network learns the logo instead of the expression. In the split test
the studios are even. No download: the same seed gives the same images.
"""

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from models.data.source import ImageSource, Item
from models.data.toon_faces import CLASSES, PARTS, SIZE, ToonFace, cast, described, painted
from models.data.toon_faces.pen import OVERSAMPLE
from models.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

NAME = "toon_studios"
SPLITS = {"train": (0, 8000), "validation": (1, 800), "test": (2, 800)}
"""Name -> (stream of random numbers, faces)."""
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


class ToonStudios(ImageSource):
    """`size` faces of one split, the eight classes in turn. The logo is not one of the `regions`."""

    def __init__(self, split: str = "test", size: int | None = None, seed: int = 0):
        if split not in SPLITS:
            raise UserError(
                f"{NAME} has no split '{split}'; it has {', '.join(SPLITS)}: choose one with --split."
            )
        self.split, self.seed = split, seed
        self.stream, default = SPLITS[split]
        self.size = size or default
        self.name, self.root = f"{NAME}/{split}", f"{NAME}:{seed}"
        self.classes, self.regions = CLASSES, PARTS
        labels = (CLASSES[i % len(CLASSES)] for i in range(self.size))
        self.items = [Item(f"{split}/{label}/{i:05d}.png", label) for i, label in enumerate(labels)]

    def _seed(self, index: int) -> tuple[int, ...]:
        return self.seed, self.stream, index, STREAM

    def studio(self, index: int) -> str:
        """One of `STUDIOS`."""
        return studio_of(self.items[index].label, self.seed, self.stream, index)

    def face(self, index: int) -> ToonFace:
        return draw_face(self.items[index].label, self._seed(index), self.studio(index) == MARKED)

    def load(self, index: int) -> Image.Image:
        return self.face(index).image

    @cached_property
    def metadata(self) -> "pd.DataFrame":
        """The studio, and the attributes of every face (`described`), without drawing it."""
        import pandas as pd

        people = (cast(item.label, self._seed(i)) for i, item in enumerate(self.items))
        table = pd.DataFrame([described(who, scene) for who, scene, _ in people])
        table.insert(0, "studio", [self.studio(i) for i in range(len(self.items))])
        return table

    def masks(self, index: int) -> np.ndarray:
        return np.stack([self.face(index).masks[part] for part in PARTS])


__all__ = ["CLASSES", "LOGO", "MARKED", "NAME", "SHORTCUT", "SPLITS", "STUDIOS", "ToonStudios", "draw_face"]
