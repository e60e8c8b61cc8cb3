"""Labels among the predictions that a network is surest of: doubts are rare there, and a wrong label is as
frequent as anywhere."""

import numpy as np

from explain.run.reader import RunData


def surer_half(pred: np.ndarray, confidence: np.ndarray, predicted: int) -> np.ndarray:
    """Places in `pred` (n,) of the surer half of the predictions of a class, by `confidence` (n,), the surest
    first."""
    places = np.flatnonzero(pred == predicted)
    return places[np.argsort(-confidence[places], kind="stable")][: len(places) // 2]


def sure_labels(
    pred: np.ndarray, confidence: np.ndarray, label: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """(K, K) images by prediction (rows) and label (columns), of the surer half of the predictions of each
    class; and how many these are (K,). `pred`, `confidence`, `label`: (n,)."""
    halves = [surer_half(pred, confidence, k) for k in range(classes)]
    counts = np.array([np.bincount(label[half], minlength=classes) for half in halves])
    return counts.reshape(classes, classes), np.array([len(half) for half in halves])


def sure_counts(run: RunData) -> tuple[np.ndarray, np.ndarray]:
    """As `sure_labels`, of a run."""
    return sure_labels(*_columns(run), run.ok["label"].to_numpy(), len(run.classes))


def sure_rows(run: RunData, true: int, label: int) -> np.ndarray:
    """Rows of the surer half of the predictions of a class that have another label, the surest first."""
    rows = run.ok.index.to_numpy()[surer_half(*_columns(run), true)]
    return np.asarray(rows[run.ok.loc[rows, "label"].to_numpy() == label])


def _columns(run: RunData) -> tuple[np.ndarray, np.ndarray]:
    return run.ok["pred"].to_numpy(), run.ok["confidence"].to_numpy(float)
