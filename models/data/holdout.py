"""Train, validation and test for data without splits: by a hash of the images' names, so the same every
time."""

import hashlib
from collections import Counter

import numpy as np

from models.data.source import ImageSource, Subset, joined

SHARE = 0.15  # of every class for validation, and for test
NAMES = ("test", "validation", "train")


def held_out(source: ImageSource, part: str) -> ImageSource:
    """One split of a source: 15 % of every class are test, 15 % validation, the rest train.

    A class of three images or more is in every split; a class of one or two is in train only. Of images with
    any number of labels, those with the same rarest label are one class, and so are those without any. Images
    with numbers are one class.
    """
    chosen = Subset(source, _parts(source)[part], f"{source.name}/{part}")
    chosen.note = joined(chosen.note, f"{part} held out: the data has no splits")
    return chosen


def split_off(source: ImageSource, part: str, fraction: float = SHARE) -> tuple[ImageSource, ImageSource]:
    """The source without a `fraction` of every class, and that fraction, named `part`."""
    taken = np.sort(np.concatenate([order[: _size(len(order), fraction)] for order in _orders(source)]))
    rest = Subset(source, np.setdiff1d(np.arange(len(source)), taken))
    return rest, Subset(source, taken, f"{source.name} ({part})")


def _parts(source: ImageSource) -> dict[str, np.ndarray]:
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for order in _orders(source):
        n = _size(len(order), SHARE)
        for name, piece in zip(NAMES, np.split(order, [n, 2 * n]), strict=True):
            pieces[name].append(piece)
    return {name: np.sort(np.concatenate(found)).astype(int) for name, found in pieces.items()}


def _size(n: int, fraction: float) -> int:
    return max(1, round(fraction * n)) if n >= 3 else 0


def _orders(source: ImageSource) -> list[np.ndarray]:
    """For each class (`_classes`), its images in an order that depends on their names only."""
    keys = np.array([hashlib.sha256(item.id.encode()).hexdigest()[:16] for item in source.items])
    if source.regression:
        return [np.argsort(keys, kind="stable")]
    labels = np.array(_classes(source))
    order = np.argsort(keys, kind="stable")
    names = (*source.classes, "") if source.multi_label else source.classes
    return [order[labels[order] == name] for name in names]


def _classes(source: ImageSource) -> list[str]:
    """The class of each image; of sets their rarest label, empty for none."""
    if not source.multi_label:
        return [item.label for item in source.items]
    count = Counter(name for item in source.items for name in item.labels or ())
    return [min(item.labels or ("",), key=lambda name: count[name]) for item in source.items]
