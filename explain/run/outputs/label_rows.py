"""The answers of a network to images with any number of labels, as columns of a run, and the classes that its
maps are kept of."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explain.run.format import CALLED
from explain.run.rows import lists
from models.outputs.probabilities import log_loss, probabilities

MOST_HITS = 4
"""At most so many maps an image are kept of classes that are true and called: the ones the network is least
sure of."""


def mapped_classes(prob: np.ndarray, truth: np.ndarray) -> list[list[int]]:
    """For each image, the classes that its maps are kept of, ascending: all that are missed or called in
    error, and at most `MOST_HITS` that are found. `prob` (N, K); `truth` (N, K) bool."""
    called = prob >= CALLED
    chosen = []
    for p, true, yes in zip(prob, truth, called, strict=True):
        hits = np.flatnonzero(true & yes)
        unsure = hits[np.argsort(p[hits], kind="stable")][:MOST_HITS]
        chosen.append(sorted({*np.flatnonzero(true != yes).tolist(), *unsure.tolist()}))
    return chosen


class LabelRows:
    """See `explain.run.outputs.output_rows.TaskRows`; `truth` (N, K) bool: which classes each image has."""

    def truth(self, truth: np.ndarray) -> list[list[int]]:
        return label_lists(truth)

    def answers(
        self, model: nn.Module, scores: Tensor, truth: np.ndarray
    ) -> tuple[dict[str, Any], list[list[int]]]:
        prob = probabilities(model, scores).cpu().numpy()
        loss = log_loss(model, scores, torch.from_numpy(truth).to(scores.device))
        columns = {
            "logit": lists(scores.float().cpu().numpy()),
            "loss": loss.cpu().numpy(),
            "prob": lists(prob),
        }
        return columns, mapped_classes(prob, truth)


def label_lists(truth: np.ndarray) -> list[list[int]]:
    """The classes of each image, ascending, of `truth` (N, K) bool."""
    return [np.flatnonzero(row).tolist() for row in truth]
