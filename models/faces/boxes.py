"""Boxes of faces, in pixels of the upright picture."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

SMALLEST_FACE = 16
"""Side in pixels of the photo below which a box is no face. The window that the cascade of `lbp` was trained
on has 24 pixels: a smaller face is enlarged for it, and what it accepts then is mostly no face. In two small
portraits false boxes have up to 11 pixels, faces 10 to 20 and more (docs/faces.md)."""


class FaceBox(NamedTuple):
    """A box in pixels of a picture; `score`: how sure the detector is, in units of its own."""

    left: float
    top: float
    width: float
    height: float
    score: float

    @property
    def side(self) -> float:
        """Of the square around it."""
        return max(self.width, self.height)

    @property
    def center(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2

    def scaled(self, factor: float) -> "FaceBox":
        left, top, width, height = (value * factor for value in self[:4])
        return FaceBox(left, top, width, height, self.score)


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared) if shared else 0.0


def grouped(windows: Iterable[tuple[float, float, float, float]], least: float) -> list[FaceBox]:
    """Windows (left, top, width, height) that overlap by more than `least` as one box, their mean; its score
    is their number. The order in which windows are given changes nothing."""
    groups: list[list[tuple[float, float, float, float]]] = []
    for window in sorted(windows, key=lambda w: (-w[2], w[0], w[1])):
        for group in groups:
            if overlap(window, np.mean(group, axis=0)) > least:
                group.append(window)
                break
        else:
            groups.append([window])
    boxes: list[FaceBox] = []
    for group in groups:
        left, top, width, height = map(float, np.mean(group, axis=0))
        boxes.append(FaceBox(left, top, width, height, float(len(group))))
    return boxes


def without_overlaps(boxes: Iterable[FaceBox], most: float) -> list[FaceBox]:
    """Non-maximum suppression: from the highest score down, boxes that overlap no better one by more than
    `most`."""
    best = sorted(boxes, key=lambda b: (-b.score, b.left, b.top))
    sides = np.array([[b.left, b.top, b.left + b.width, b.top + b.height] for b in best]).reshape(-1, 4)
    areas, left = np.array([b.width * b.height for b in best]), np.ones(len(best), bool)
    kept: list[FaceBox] = []
    for i, box in enumerate(best):
        if left[i]:
            kept.append(box)
            inside = np.minimum(sides[:, 2:], sides[i, 2:]) - np.maximum(sides[:, :2], sides[i, :2])
            shared = np.maximum(inside, 0).prod(1)
            left &= shared <= most * (areas + areas[i] - shared)
    return kept


def large_enough(boxes: Iterable[FaceBox]) -> list[FaceBox]:
    """Those that may be faces by their side, whichever detector found them. The side of the box counts, not
    that of the crop: a wide margin makes no face of a false box."""
    return [box for box in boxes if box.side >= SMALLEST_FACE]


def largest_first(boxes: Iterable[FaceBox]) -> tuple[FaceBox, ...]:
    """By area; of equal ones that on the left first. This order numbers the faces of a picture."""
    return tuple(sorted(boxes, key=lambda b: (-b.width * b.height, b.left, b.top)))
