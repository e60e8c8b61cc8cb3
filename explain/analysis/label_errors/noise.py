"""Which labels are exchanged for which: a joint of labels and true classes, and what it says of single
images.

A joint counts images under their label and the class that the network is sure of. It is about kinds of
errors: where fear is often contradicted and happy is not, a contradicted fear is a label error more often
than a contradicted happy. `wrong_probability` puts both together.
"""

import numpy as np
import pandas as pd

from explain.analysis.label_errors.sure_predictions import sure_counts, sure_labels
from explain.run.reader import RunData

_TOLERANCE = 1e-6  # cleanlab has the same
_TINY = 1e-12


def confident_joint(run: RunData) -> np.ndarray:
    """(K, K) float64: estimated images by label (rows) and true class (columns); a row sums to the images of
    its label, the row of a class without images is 0.

    A class is confident where its probability is at least its mean probability in images of its label; of
    several the most probable one counts (C. Northcutt, L. Jiang, I. Chuang, *Confident Learning*, 2021,
    equations 1 and 2, calibrated by equation 3). As cleanlab does, at least one image of each label counts as
    right.
    """
    classes = len(run.classes)
    thresholds, support = _thresholds(run)
    joint = np.zeros((classes, classes))
    for label, prob in run.labeled_probabilities():
        confident = prob >= thresholds - _TOLERANCE
        known = confident.any(1)
        true = np.where(confident, prob, -1.0).argmax(1)
        np.add.at(joint, (label[known], true[known]), 1)
    diagonal = np.arange(classes)
    joint[diagonal, diagonal] = np.maximum(joint[diagonal, diagonal], 1)
    return joint / joint.sum(1, keepdims=True) * support[:, None]


def _thresholds(run: RunData) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability (K,) of each class in images of its label, above 1 without any; its images (K,)."""
    classes = len(run.classes)
    total, support = np.zeros(classes), np.zeros(classes)
    for label, prob in run.labeled_probabilities():
        total += np.bincount(label, prob[np.arange(len(prob)), label], classes)
        support += np.bincount(label, minlength=classes)
    return np.where(support > 0, total / np.maximum(support, 1), 2.0), support


def sure_joint(counts: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(K, K) float64: estimated images by label (rows) and true class (columns): the labels that the surer
    half of the predictions of each class have (`counts`, as `sure_predictions.sure_labels`), times as many as
    are predicted (K,). At least one image of each class has its label. G. Patrini et al., *Making deep neural
    networks robust to label noise*, 2017, take the surest image of each class for one of it; half of them
    give counts."""
    diagonal = np.arange(len(counts))
    kept = counts.astype(float)
    kept[diagonal, diagonal] = np.maximum(kept[diagonal, diagonal], 1)
    return np.asarray((kept / kept.sum(1, keepdims=True) * np.maximum(predicted, 1)[:, None]).T)


def wrong_probability(run: RunData, joint: np.ndarray | None = None) -> pd.Series:
    """As `wrong_given`, of every readable row of a run. `joint`: by default `sure_joint` of the run."""
    classes = len(run.classes)
    if joint is None:
        joint = sure_joint(sure_counts(run)[0], np.bincount(run.ok["pred"], minlength=classes))
    given = noise_matrix(joint)
    found = [wrong_given(prob, label, given) for label, prob in run.labeled_probabilities()]
    return pd.Series(np.concatenate([np.zeros(0), *found]), run.ok.index)


def wrong_of(prob: np.ndarray, label: np.ndarray) -> np.ndarray:
    """As `wrong_probability`, of probabilities (n, K) and labels (n,)."""
    classes, pred = prob.shape[1], prob.argmax(1)
    counts, _ = sure_labels(pred, prob.max(1), label, classes)
    return wrong_given(prob, label, noise_matrix(sure_joint(counts, np.bincount(pred, minlength=classes))))


def wrong_given(prob: np.ndarray, label: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(n,) probability in [0, 1] that a label is wrong, if the network's probabilities (n, K) are those of
    the true class and P(label | true class) is `given` (K, K): by Bayes' rule, P(true = j | image, label) is
    proportional to p_j P(label | true = j).

    As a ranking it is compared with others by `benchmarks/label_truth.py`. As a fraction it counts errors of
    the network as label errors: only answers of people say how many labels are wrong.
    """
    weight = prob.astype(float) * given[label]
    right = weight[np.arange(len(prob)), label]
    return np.asarray(np.clip(1 - right / np.maximum(weight.sum(1), _TINY), 0, 1))


def noise_matrix(joint: np.ndarray) -> np.ndarray:
    """P(label | true class) (K, K), labels in rows, of a joint (K, K): each column scaled to sum 1 (*noise
    matrix*, Northcutt et al. 2021, section 2). One image is added to each count (Laplace's rule), so that a
    pair that was never seen is rare and not impossible."""
    smooth = joint + 1
    return np.asarray(smooth / smooth.sum(0, keepdims=True))
