"""In which order do the outputs stand? The permutation that makes most images of a sample right."""

from collections.abc import Mapping

import numpy as np

from models.measures.evaluation import confusion_matrix


def permutation(label: np.ndarray, pred: np.ndarray) -> dict[int, int]:
    """Output -> the output whose class it seems to be: the assignment problem on the confusion matrix (H. W.
    Kuhn 1955). Of equally good ones, that which moves fewer outputs; outputs that do not occur are absent."""
    used, matrix = _confusions(label, pred)
    return {int(used[c]): int(used[t]) for t, c in _assigned(matrix).items()}


def right_when_permuted(label: np.ndarray, pred: np.ndarray) -> np.ndarray:
    """Which images are right under the best permutation, (n,) bool. Each half of the sample is judged with
    the permutation of the other, because the best one fits any data."""
    right = np.zeros(len(label), bool)
    turn = np.array([(label[:k] == own).sum() for k, own in enumerate(label)])  # within its class
    for half in (0, 1):
        fitted, judged = turn % 2 == half, turn % 2 != half
        to = permutation(label[fitted], pred[fitted])
        right[judged] = np.array([to.get(k, k) for k in pred[judged].tolist()], int) == label[judged]
    return right


def outputs_found(
    label: np.ndarray, pred: np.ndarray, outputs: Mapping[str, int], size: int
) -> dict[str, int | None]:
    """For each class of the data, the output that answers it under the best permutation; None where the
    sample leaves it open: no image shows it, or another permutation is as good.

    `outputs`: as they are matched now (-1: none, left out); `size`: number of the network's outputs."""
    used, matrix = _confusions(label, pred)
    called, found = _assigned(matrix), dict[int, int | None]()
    for t, c in called.items():
        shown = matrix[t, c] > 0 or len(used) == size  # by elimination, where every output occurs
        stays = t == c and (matrix[t, t] > 0 or not matrix[t].any())  # as a person says, unless contradicted
        known = stays or (shown and not _may_be_another(matrix, called, t))
        found[int(used[t])] = int(used[c]) if known else None
    return {name: found.get(now, now) for name, now in outputs.items() if now >= 0}


def _confusions(label: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outputs that occur, (k,), and their confusion matrix (k, k)."""
    used = np.unique(np.concatenate([label, pred]))
    return used, confusion_matrix(np.searchsorted(used, label), np.searchsorted(used, pred), len(used))


def _assigned(matrix: np.ndarray) -> dict[int, int]:
    """Row -> column, so that the sum is the largest; of equal sums, with most on the diagonal."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(matrix + np.eye(len(matrix)) / (2 * len(matrix)), maximize=True)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))


def _may_be_another(matrix: np.ndarray, called: Mapping[int, int], row: int) -> bool:
    """Whether an assignment that gives this row another column has the same sum."""
    without = matrix.copy()
    without[row, called[row]] = -1
    other = _assigned(without)
    return bool(_total(without, other) == _total(matrix, called))


def _total(matrix: np.ndarray, called: Mapping[int, int]) -> int:
    return int(sum(matrix[row, column] for row, column in called.items()))
