"""Near duplicates: pictures of a run that are nearly the same, and whether their labels agree."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from explain.picture_facts import HASH
from explain.run_data import RunData
from explain.thumbnails import open_thumbnail
from models.errors import UserError

BITS = 3  # of 64 that may differ
ALIKE = 0.98  # correlation of two 16 × 16 thumbnails that are the same picture
_WORDS, _LARGEST = 4, 2000


@dataclass(frozen=True)
class Twins:
    """Two rows whose pictures are nearly the same, `alike` in correlation."""

    row: int
    other: int
    alike: float
    agree: bool


def near_duplicates(run: RunData) -> list[Twins]:
    """Pairs of nearly the same picture, those whose labels differ first. Found by the hash of the run (`picture_facts`), then looked at."""
    if HASH not in run.ok or not (known := run.ok[run.ok[HASH].notna()]).shape[0]:
        return []
    label, found = run.ok["label"], []
    pictures: dict[int, np.ndarray] = {}
    for first, second in _candidates(known[HASH].to_numpy(np.uint64), known.index.to_numpy()):
        alike = float((_thumbnail(run, first, pictures) * _thumbnail(run, second, pictures)).mean())
        if alike >= ALIKE:
            found.append(Twins(first, second, alike, bool(label[first] == label[second])))
    return sorted(found, key=lambda t: (t.agree, -t.alike, t.row))


def _candidates(hashes: np.ndarray, rows: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows whose hashes differ in at most `BITS` bits. Of four words of 16 bits one is then the same in both, so only rows that share
    a word are compared; a word that thousands share (plain pictures) is no sign of anything."""
    pairs: set[tuple[int, int]] = set()
    for word in range(_WORDS):
        key = (hashes >> np.uint64(16 * word)) & np.uint64(0xFFFF)
        order = np.argsort(key, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            if 1 < len(group) <= _LARGEST:
                apart = np.bitwise_count(hashes[group][:, None] ^ hashes[group][None])
                i, j = np.nonzero(np.triu(apart <= BITS, 1))
                pairs |= {(int(min(a, b)), int(max(a, b))) for a, b in zip(rows[group[i]], rows[group[j]], strict=True)}
    return sorted(pairs)


def _thumbnail(run: RunData, row: int, kept: dict[int, np.ndarray]) -> np.ndarray:
    """16 × 16 grey values of mean 0 and variance 1; a plain picture is all zeros, and like nothing."""
    if row not in kept:
        try:
            image = open_thumbnail(run.thumbnails([row])[0])
            values = np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), float)
        except UserError:  # a damaged one is like nothing
            values = np.zeros((16, 16))
        kept[row] = (values - values.mean()) / (values.std() or 1)
    return kept[row]
