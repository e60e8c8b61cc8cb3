"""Label errors of images with any number of labels: how well the labels of an image fit the network's
answers.

cleanlab is imported where it is needed: it imports scikit-learn, and most commands ask for no label errors.
"""

import numpy as np

ALPHA = 0.8
"""Weight of the label that fits worst; the next one has 0.8 · 0.2, and so on."""


def image_quality(truth: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """(n,) in [0, 1], small where labels look wrong, of `truth` (n, K) bool and the probabilities `prob`
    (n, K), finite; each label must be there in some images and not in others. The probability of each given
    answer (p, or 1 - p where the image lacks the label), from the largest to the smallest, averaged with
    exponentially growing weights.

    A. Thyagarajan, E. Snorrason, C. Northcutt, J. Mueller, *Identifying Incorrect Annotations in Multi-Label
    Classification Data*, 2023, by cleanlab, with its default (self-confidence, `ALPHA`).
    """
    from cleanlab.multilabel_classification import get_label_quality_scores

    if not truth.size:
        return np.ones(len(truth))
    if truth.shape[1] == 1:  # cleanlab refuses a single label: there is nothing to average
        return np.where(truth, prob, 1 - prob)[:, 0].astype(float)
    labels = [np.flatnonzero(row).tolist() for row in truth]
    how = {"method": "exponential_moving_average", "alpha": ALPHA}
    found = get_label_quality_scores(labels, prob.astype(float), aggregator_kwargs=how)
    return np.asarray(found, float)
