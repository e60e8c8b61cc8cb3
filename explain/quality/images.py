"""Images of a run as its network gets them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from explain.run.image_stats import HASH
from explain.run.loading import load_batches
from explain.run.reader import RunData
from explain.run.run_images import RunImages
from models.classifier import Classifier
from models.one_by_one import takes_one_image

AT_ONCE = 16
MOST_BITS = 4
"""Bits of 64 in which hashes of one picture may differ, where another version of a library decodes it."""


def image_batches(
    classifier: Classifier, run: RunData, rows: Sequence[int]
) -> Iterator[list[tuple[int, Tensor]]]:
    """Batches of rows and images (1, C, H, W), those left out that cannot be read, and those whose picture is
    another one than when the run was made (`is_of_run`)."""
    source, size = RunImages(run, rows), 1 if takes_one_image(classifier.model) else AT_ONCE
    normalize, device = classifier.preprocessing.normalize, classifier.device
    for batch in load_batches(source, range(len(source)), classifier, size):
        pixels = [
            (good.index, good.pixels[None])
            for good in batch
            if good.pixels is not None and is_of_run(run, source.rows[good.index], good.facts)
        ]
        if pixels:
            yield [(source.rows[index], normalize(image, device)) for index, image in pixels]


def read_image(classifier: Classifier, run: RunData, row: int) -> tuple[Tensor, int] | None:
    """One image as the network gets it (1, C, H, W), and its perceptual hash; None where `image_batches`
    leaves it out."""
    source = RunImages(run, [row])
    [[found]] = load_batches(source, [0], classifier, 1)
    if found.pixels is None or not is_of_run(run, row, found.facts):
        return None
    image = classifier.preprocessing.normalize(found.pixels[None], classifier.device)
    return image, int(found.facts[HASH])


def is_of_run(run: RunData, row: int, facts: Mapping[str, float | int]) -> bool:
    """Whether the picture is the one that the run has in the row, by its perceptual hash: files keep it where
    they are copied, not where others take their place. True of runs that hold no hashes."""
    before = hash_of(run, row)
    return before is None or alike(before, int(facts[HASH]))


def same_picture(run: RunData, row: int, other: int) -> bool:
    """Whether two rows hold the same picture, or near duplicates, by their perceptual hashes; False of runs
    that hold none."""
    one, two = hash_of(run, row), hash_of(run, other)
    return one is not None and two is not None and alike(one, two)


def near(run: RunData, rows: np.ndarray, pictures: Sequence[int]) -> np.ndarray:
    """Whether the picture of each row (n,) is one of `pictures`, perceptual hashes, or a near duplicate of
    it: (n,) bool. False of runs that hold no hashes."""
    found = np.zeros(len(rows), bool)
    if HASH not in run.table:
        return found
    column = run.table.loc[rows, HASH]
    known = column.notna().to_numpy()
    hashes = column[known].to_numpy(np.uint64)
    for picture in pictures:
        differ = (hashes ^ np.uint64(picture)).view(np.uint8).reshape(-1, hashes.itemsize)
        found[known] |= np.unpackbits(differ, axis=1).sum(1) <= MOST_BITS
    return found


def hash_of(run: RunData, row: int) -> int | None:
    """The perceptual hash of the picture that the run has in a row; None of runs that hold none."""
    value = run.table.at[row, HASH] if HASH in run.table else None
    return None if value is None or pd.isna(value) else int(value)


def alike(one: int, two: int) -> bool:
    """Whether hashes are of one picture, or of near duplicates."""
    return (one ^ two).bit_count() <= MOST_BITS
