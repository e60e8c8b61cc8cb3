"""Which labels are exchanged for which: the confident joint of labels and true classes, and what it says of
single images.

The confident joint counts every image under its label and the class that the network is confident of. It is
about kinds of errors: where fear is often contradicted and happy is not, a contradicted fear is a label error
more often than a contradicted happy. `wrong_probability` puts both together.
"""

import numpy as np
import pandas as pd

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
    for rows, prob in run.probabilities():
        label = run.ok.loc[rows, "label"].to_numpy()
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
    for rows, prob in run.probabilities():
        label = run.ok.loc[rows, "label"].to_numpy()
        total += np.bincount(label, prob[np.arange(len(prob)), label], classes)
        support += np.bincount(label, minlength=classes)
    return np.where(support > 0, total / np.maximum(support, 1), 2.0), support


def wrong_probability(run: RunData, joint: np.ndarray | None = None) -> pd.Series:
    """Of every readable row, the probability in [0, 1] that its label is wrong, if the network's
    probabilities are those of the true class and labels are exchanged as the joint (default: the run's) says:
    by Bayes' rule, P(true = j | image, label) is proportional to p_j P(label | true = j); P(label | true) are
    the columns of the joint, each scaled to sum 1 (*noise matrix*, Northcutt et al. 2021, section 2).

    As a ranking it is compared with others by `benchmarks/label_truth.py`. As a fraction it counts errors of
    the network as label errors: only answers of people say how many labels are wrong.
    """
    joint = confident_joint(run) if joint is None else joint
    given = noise_matrix(joint)
    found = pd.Series(0.0, index=run.ok.index)
    for rows, prob in run.probabilities():
        label = run.ok.loc[rows, "label"].to_numpy()
        weight = prob.astype(float) * given[label]
        right = weight[np.arange(len(prob)), label]
        found.loc[rows] = 1 - right / np.maximum(weight.sum(1), _TINY)
    return found.clip(0, 1)


def noise_matrix(joint: np.ndarray) -> np.ndarray:
    """P(label | true class) (K, K), labels in rows, of a joint (K, K). One image is added to each count
    (Laplace's rule), so that a pair that was never seen is rare and not impossible."""
    smooth = joint + 1
    return np.asarray(smooth / smooth.sum(0, keepdims=True))
