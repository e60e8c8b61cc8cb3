"""The answers of a network of numbers to images, as columns of a run, and the outputs that its maps are kept
of."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explain.run.format import MOST_OUTPUTS
from explain.run.rows import lists
from models.outputs.probabilities import log_loss


class NumberRows:
    """See `explain.run.outputs.output_rows.TaskRows`; `truth` (N, R) float64: the true numbers of each image.
    `spread` (R,): the standard deviation of those of the whole data."""

    def __init__(self, spread: np.ndarray):
        self.spread = np.where(spread > 0, spread, 1)

    def truth(self, truth: np.ndarray) -> list[list[float]]:
        found: list[list[float]] = truth.tolist()
        return found

    def answers(
        self, model: nn.Module, scores: Tensor, truth: np.ndarray
    ) -> tuple[dict[str, Any], list[list[int]]]:
        predicted = scores.float().cpu().numpy()
        loss = log_loss(model, scores.cpu(), torch.from_numpy(truth))
        columns = {"predicted": lists(predicted), "loss": loss.numpy()}
        return columns, mapped_outputs(predicted, truth, self.spread)


def mapped_outputs(predicted: np.ndarray, truth: np.ndarray, spread: np.ndarray) -> list[list[int]]:
    """For each image, the outputs that its maps are kept of, ascending: all, or the `MOST_OUTPUTS` with the
    largest residual, divided by `spread` (R,). `predicted`, `truth` (N, R)."""
    residual = np.abs(predicted - truth) / spread
    order = np.argsort(-residual, axis=1, kind="stable")[:, :MOST_OUTPUTS]
    chosen: list[list[int]] = np.sort(order, 1).tolist()
    return chosen
