"""The answers of a run of several labels per image, as scores of all labels at once."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from explain.analysis.multi_label.measures import LabelScores
from explain.run.format import CALLED
from explain.run.outputs.label_sets import LabelSets


@lru_cache(maxsize=4)
def label_scores(sets: LabelSets) -> LabelScores:
    """Of the images that have an answer."""
    good = sets.table["error"].isna().to_numpy()
    return LabelScores.of(sets.truth[good], sets.prob[good], sets.classes, int((~good).sum()))


def is_at_chance(scores: LabelScores, k: int) -> bool:
    """Whether nothing says that the network ranks images with label k above others: the interval of its
    average precision includes the fraction of images that have it; where every image with the label is ranked
    first, and the bootstrap gives no interval, that of the AUC includes 0.5. False for a label that no image
    has, or every image: it is not defined (`LabelScores.undefined`)."""
    if scores.of_class(k).undefined:
        return False
    low = scores.average_precision_interval[k, 0]
    if np.isnan(low):
        return scores.of_class(k).auc_interval[0] <= 0.5
    return bool(low <= scores.positives[k] / scores.images)


def chosen_thresholds(sets: LabelSets, chosen: Mapping[str, float]) -> np.ndarray:
    """(K,): those that a person chose, by the number of the label as text; otherwise the network's own."""
    found = np.full(len(sets.classes), CALLED)
    for index, value in chosen.items():
        found[int(index)] = value
    return found
