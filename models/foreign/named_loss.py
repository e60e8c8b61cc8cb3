"""The task that a checkpoint of Lightning names by the loss of its training."""

import re
from typing import Any

from torch import Tensor

from models.outputs.task_names import MULTI, REGRESSION, SINGLE

PROGRAM = "pytorch-lightning_version"
PLACES = ("hyper_parameters", "hparams")
NAMES = ("loss", "loss_fn", "loss_func", "loss_function", "loss_name", "criterion")
"""Options whose text may be the name of a loss."""
LOSSES = {
    SINGLE: ("crossentropy", "ce", "nll"),
    MULTI: ("bcewithlogits", "bce", "binarycrossentropy", "binarycrossentropywithlogits")
    + ("multilabelsoftmargin", "asymmetric"),
    REGRESSION: ("mse", "l1", "mae", "smoothl1", "huber"),
}
"""Task -> names of its losses, as `_plain` writes them."""
_OF_LABELS = re.compile(r"(^|\.)(loss|loss_fn|criterion)\.pos_weight$")
"""A parameter that only the binary cross-entropy of several outputs has."""


def task_by_loss(raw: dict[Any, Any]) -> tuple[str, str]:
    """The task (`models.outputs.task.TASKS`), and the words of the file that name it; empty texts where a
    file of Lightning names no loss that is known, and for other files. Binary cross-entropy is that of
    several labels; of a network with one output it is of two classes, which the caller knows."""
    if PROGRAM not in raw:
        return "", ""
    state = raw.get("state_dict")
    for key, value in state.items() if isinstance(state, dict) else ():
        if _OF_LABELS.search(str(key)) and isinstance(value, Tensor) and value.numel() > 1:
            return MULTI, str(key)
    for place in PLACES:
        found = getattr(raw.get(place), "texts", raw.get(place))
        options: dict[str, Any] = found if isinstance(found, dict) else {}
        for name in NAMES:
            if isinstance(text := options.get(name), str) and (task := _task_of(text)):
                return task, f"{name}: {text}"
    return "", ""


def _task_of(text: str) -> str:
    return next((task for task, names in LOSSES.items() if _plain(text) in names), "")


def _plain(text: str) -> str:
    """'torch.nn.BCEWithLogitsLoss' -> 'bcewithlogits'."""
    letters = "".join(c for c in text.rpartition(".")[2].lower() if c.isalnum())
    return letters.removesuffix("loss")
