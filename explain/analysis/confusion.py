"""The confusion matrix for display: fractions of rows or columns, and orders of the classes."""

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from models.errors import UserError

NORMS = {"counts": "counts", "row": "% of the true class", "column": "% of the predicted class"}
ORDERS = {"class": "class", "support": "support", "confused": "confused together"}


def normalized(confusion: np.ndarray, norm: str) -> np.ndarray:
    """(K, K): fractions of each row (recall on the diagonal) or of each column (precision on it); counts
    stay; NaN for an empty row or column."""
    if norm not in NORMS:
        raise UserError(f"No such numbers '{norm}': choose from {', '.join(NORMS)}.")
    if norm == "counts":
        return confusion
    whole = confusion.sum(1, keepdims=True) if norm == "row" else confusion.sum(0, keepdims=True)
    return np.divide(confusion, whole, out=np.full(confusion.shape, np.nan), where=whole > 0)


def in_order(confusion: np.ndarray, classes: list[int], order: str) -> list[int]:
    """`classes` as the model has them, with the most images first, or so that those that are confused stand
    together: leaves of an average linkage in their best order (Z. Bar-Joseph, D. Gifford, T. Jaakkola, *Fast
    optimal leaf ordering for hierarchical clustering*, 2001)."""
    if order not in ORDERS:
        raise UserError(f"No order '{order}': choose from {', '.join(ORDERS)}.")
    if order == "support":
        support = confusion.sum(1)
        return sorted(classes, key=lambda i: (-support[i], i))
    if order == "class" or len(classes) < 3:
        return classes
    part = confusion[np.ix_(classes, classes)].astype(float)
    fraction = part / np.maximum(part.sum(1, keepdims=True), 1)
    apart = 1 - (fraction + fraction.T) / 2
    np.fill_diagonal(apart, 0)
    flat = squareform(apart, checks=False)
    return [classes[i] for i in leaves_list(optimal_leaf_ordering(linkage(flat, "average"), flat))]


def largest(confusion: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """(true, predicted, count) of the largest cells off the diagonal."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    flat = wrong.ravel()
    top = (
        np.argpartition(-flat, min(most, len(flat) - 1))[:most] if len(flat) > most else np.arange(len(flat))
    )
    top = top[np.lexsort((top, -flat[top]))]
    return [
        (int(i), int(j), int(wrong[i, j]))
        for i, j in zip(*np.unravel_index(top, wrong.shape), strict=True)
        if wrong[i, j]
    ]
