"""Named regions of an image, as the fraction of each position of a map that lies in them."""

from collections.abc import Sequence

import numpy as np

from models.classes.names import SYNONYMS, fold

FACE_BANDS = {"brows": (0.19, 0.33), "eyes": (0.33, 0.46), "nose": (0.46, 0.66), "mouth": (0.66, 0.88)}
"""Top and bottom, as fractions of the height, on faces that are cropped as FER2013's and AffectNet's are:
read off FER2013's mean face."""
FACE_SIDES = (0.12, 0.88)
EYES_COVERED = {"toon_faces": (0.3, 0.68)}
"""Data -> top and bottom of what hides the eyes of every picture, with the brows: read off the masks. Other
aligned faces: `HIDDEN`."""
HIDDEN = (0.22, 0.52)  # the bands of brows and eyes, and a little more: faces are not aligned to the pixel
_EXPRESSIONS = {fold(sorted(group)[0]) for group in SYNONYMS}


def are_expressions(classes: Sequence[str]) -> bool:
    """Whether nearly all classes are names of facial expressions: then pictures are taken to be aligned
    faces."""
    known = sum(fold(name) in _EXPRESSIONS for name in classes)
    return known >= 4 and known >= len(classes) - 1


def covered(n: int, low: float, high: float) -> np.ndarray:
    """For each of n cells of a side, the fraction of it that lies between `low` and `high` (in [0, 1])."""
    left, right = np.arange(n) / n, np.arange(1, n + 1) / n
    return np.clip(np.minimum(right, high) - np.maximum(left, low), 0, None) * n


def face_bands(shape: tuple[int, int]) -> np.ndarray:
    """`FACE_BANDS` for maps of (h, w): (4, h, w) in [0, 1]."""
    h, w = shape
    return np.stack(
        [covered(h, *band)[:, None] * covered(w, *FACE_SIDES)[None] for band in FACE_BANDS.values()]
    )


def reduced(maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Maps (..., H, W) -> (..., h, w): every cell is the mean of the area that it covers. Their means over
    all positions stay."""
    (rows, columns), (h, w) = maps.shape[-2:], shape
    down = np.stack([covered(rows, i / h, (i + 1) / h) for i in range(h)]) * h / rows
    across = np.stack([covered(columns, j / w, (j + 1) / w) for j in range(w)]) * w / columns
    made: np.ndarray = np.einsum("ih,...hw,jw->...ij", down, maps, across, optimize=True)
    return made
