"""Near duplicates: pictures of a run that are nearly the same, and whether their labels agree."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image

from explain.run.image_stats import HASH
from explain.run.reader import RunData
from explain.run.thumbnails import open_thumbnail
from models.errors import UserError

BITS = 3  # of 64 that may differ
SIMILAR = 0.98  # correlation of two 16 × 16 thumbnails that are the same picture
_WORDS, _LARGEST = 4, 2000
_SIDE, _AT_ONCE = 16, 512


@dataclass(frozen=True)
class DuplicatePair:
    """Two rows whose pictures are nearly the same. `similarity`: correlation of their thumbnails; `agree`:
    whether their labels are the same."""

    row: int
    other: int
    similarity: float
    agree: bool


def near_duplicates(run: RunData) -> list[DuplicatePair]:
    """Pairs of nearly the same picture, those whose labels differ first."""
    pairs, similarity = similar_pictures(run)
    label = run.ok["label"].reindex(pairs.ravel()).to_numpy().reshape(-1, 2)
    similar = [
        DuplicatePair(int(i), int(j), float(alike), bool(one == other))
        for (i, j), alike, (one, other) in zip(pairs, similarity, label, strict=True)
    ]
    return sorted(similar, key=lambda pair: (pair.agree, -pair.similarity, pair.row))


def similar_pictures(run: RunData) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m, 2) of pairs of nearly the same picture, and their similarity (m,). Found by the hash of the
    run (`image_stats`), then compared."""
    if HASH not in run.ok or not (known := run.ok[run.ok[HASH].notna()]).shape[0]:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    pairs = _candidates(known[HASH].to_numpy(np.uint64), known.index.to_numpy())
    rows = np.unique(pairs)
    pictures, at = _thumbnails(run, rows), np.searchsorted(rows, pairs)
    similarity = np.zeros(len(pairs))
    for begin in range(0, len(pairs), _AT_ONCE):
        i, j = at[begin : begin + _AT_ONCE].T
        similarity[begin : begin + _AT_ONCE] = (_standard(pictures[i]) * _standard(pictures[j])).mean(1)
    same = similarity >= SIMILAR
    return pairs[same], similarity[same]


def _candidates(hashes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Pairs of rows (M, 2) whose hashes differ in at most `BITS` bits, the smaller first, in order. Of four
    words of 16 bits one is then the same in both, so only rows that share a word are compared; a word that
    thousands share (plain pictures) says nothing."""
    found = [np.zeros(0, np.int64)]
    for word in range(_WORDS):
        key = (hashes >> np.uint64(16 * word)) & np.uint64(0xFFFF)
        order = np.argsort(key, kind="stable")
        key, sorted_hashes, sorted_rows = key[order], hashes[order], rows[order].astype(np.int64)
        _, group, size = np.unique(key, return_inverse=True, return_counts=True)
        at, apart = np.flatnonzero(size[group] <= _LARGEST), 0
        while len(at):  # each with the one that is so far behind it in its group
            apart += 1
            at = at[at < len(key) - apart]
            at = at[key[at] == key[at + apart]]
            near = at[np.bitwise_count(sorted_hashes[at] ^ sorted_hashes[at + apart]) <= BITS]
            one, other = sorted_rows[near], sorted_rows[near + apart]
            found.append(np.minimum(one, other) << 32 | np.maximum(one, other))
    pairs = np.unique(np.concatenate(found))
    return np.stack([pairs >> 32, pairs & 0xFFFFFFFF], 1)


def _thumbnails(run: RunData, rows: np.ndarray) -> np.ndarray:
    """16 × 16 grey values (n, 256) as bytes, of rows in order; part by part, so that a million of them fit
    into memory."""
    values = np.zeros((len(rows), _SIDE * _SIDE), np.uint8)
    for where, data in run.thumbnail_parts(rows):
        for k, thumbnail in zip(where, data, strict=True):
            with suppress(UserError):  # a damaged one is like nothing
                values[k] = np.asarray(
                    open_thumbnail(thumbnail).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
                ).ravel()
    return values


def _standard(values: np.ndarray) -> np.ndarray:
    """Each row with mean 0 and variance 1; a plain picture is all zeros, and like nothing."""
    values = values.astype(np.float64)
    values -= values.mean(1, keepdims=True)
    spread = values.std(1, keepdims=True)
    return values / np.where(spread > 0, spread, 1)


def rows_of(duplicates: list[DuplicatePair], agree: bool = False) -> np.ndarray:
    """Rows of near duplicates, those of a pair next to each other."""
    return np.array([row for t in duplicates if t.agree == agree for row in (t.row, t.other)], int)
