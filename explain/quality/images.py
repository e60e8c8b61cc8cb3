"""Images of a run as its network gets them."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from explain.run.image_stats import HASH
from explain.run.images import MOST_BITS, alike, hash_of, is_of_run
from explain.run.loading import load_batches
from explain.run.reader import RunData
from explain.run.run_images import RunImages
from models.classifier import Classifier
from models.outputs.one_by_one import takes_one_image

AT_ONCE = 16


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
            if good.pixels is not None and is_of_run(run, source.rows[good.index], int(good.facts[HASH]))
        ]
        if pixels:
            yield [(source.rows[index], normalize(image, device)) for index, image in pixels]


def read_image(classifier: Classifier, run: RunData, row: int) -> tuple[Tensor, int] | None:
    """One image as the network gets it (1, C, H, W), and its perceptual hash; None where `image_batches`
    leaves it out."""
    source = RunImages(run, [row])
    [[found]] = load_batches(source, [0], classifier, 1)
    if found.pixels is None or not is_of_run(run, row, int(found.facts[HASH])):
        return None
    image = classifier.preprocessing.normalize(found.pixels[None], classifier.device)
    return image, int(found.facts[HASH])


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
