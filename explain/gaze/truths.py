"""The ground truth of each image of a set: its fixations, those of the other images, and their density as the
prior."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from cachetools import LRUCache

from explain.gaze.metrics import Truth
from models.gaze.density import blurred, distribution, people
from models.gaze.gaze_set import GazeSet, Viewed

SUM_BYTES = 64 * 2**20
"""At most so much memory is kept in sums of fixations, one per image size."""


class Truths:
    """`judged`: the images that are scored; `known`: the images whose fixations are the negatives of shuffled
    AUC and make the prior; the image itself is left out where it is among them. Positions are transferred to
    images of other sizes as fractions of height and width."""

    def __init__(self, judged: GazeSet, known: GazeSet, sigma: float):
        self.judged, self.known, self.sigma = judged, known, sigma
        self._sums = LRUCache[tuple[int, int], np.ndarray](
            SUM_BYTES, getsizeof=lambda total: min(total.nbytes, SUM_BYTES)
        )

    @cached_property
    def _positions(self) -> tuple[np.ndarray, np.ndarray]:
        """All known fixations (n, 2) as row and column, and the sizes (n, 2) of their images."""
        positions = [np.stack([i.y, i.x], 1).astype(np.float64) for i in self.known.images]
        sizes = [np.full((len(i.x), 2), i.size, np.float64) for i in self.known.images]
        return (
            (np.concatenate(positions), np.concatenate(sizes))
            if positions
            else (np.zeros((0, 2)), np.ones((0, 2)))
        )

    def _carried(self, size: tuple[int, int]) -> np.ndarray:
        """All known fixations (n, 2) as pixels of an image of some size."""
        positions, sizes = self._positions
        return np.minimum((positions * (size / sizes)).astype(np.int64), np.array(size) - 1)

    @cached_property
    def _begins(self) -> np.ndarray:
        return np.cumsum([0, *(len(i.x) for i in self.known.images)])

    @cached_property
    def _number(self) -> dict[str, int]:
        return {image.id: k for k, image in enumerate(self.known.images)}

    def of(self, image: Viewed) -> Truth:
        others, borders = self._others(image)
        return Truth(image.rows, image.cols, people(image, self.sigma), others, borders, self.prior(image))

    def narrowed(self, truth: Truth, theirs: Viewed) -> Truth:
        """The same image's truth with the fixations of some people alone."""
        return replace(truth, rows=theirs.rows, cols=theirs.cols, people=people(theirs, self.sigma))

    def _others(self, image: Viewed) -> tuple[np.ndarray, np.ndarray]:
        pixels, begins, k = self._carried(image.size), self._begins, self._number.get(image.id)
        if k is None:
            return pixels, begins[:-1]
        own = slice(begins[k], begins[k + 1])
        return np.delete(pixels, own, axis=0), np.r_[begins[:k], begins[k + 1 : -1] - (own.stop - own.start)]

    def prior(self, image: Viewed) -> np.ndarray:
        """(h, w) that sums to 1: where people look in the other images, blurred by sigma; uniform where
        there are no others."""
        if image.size not in self._sums:
            pixels = self._carried(image.size)
            self._sums[image.size] = blurred(pixels[:, 0], pixels[:, 1], image.size, self.sigma)
        total, k = self._sums[image.size], self._number.get(image.id)
        if k is not None and len(image.x):
            total = total - blurred(image.rows, image.cols, image.size, self.sigma)
        total = np.maximum(
            total, 1e-12 * max(float(total.max()), 1e-12)
        )  # a difference of two sums: no value is below zero, or zero
        return distribution(total)


def one_against_the_rest(image: Viewed, rng: np.random.Generator) -> tuple[Viewed, Viewed] | None:
    """(one person's fixations, those of all others), the person drawn; None where fewer than two looked."""
    chosen = _someone(image.subjects, rng)
    return (
        None if chosen is None else (image.only(image.subject == chosen), image.only(image.subject != chosen))
    )


def _someone(subjects: Sequence[int], rng: np.random.Generator) -> int | None:
    return int(rng.choice(subjects)) if len(subjects) > 1 else None
