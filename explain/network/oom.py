"""Batches that become smaller where memory does not suffice."""

from collections.abc import Callable
from typing import TypeVar

import torch

from models.errors import UserError

Result = TypeVar("Result")


def shrinking(work: Callable[[int], Result], size: int) -> Result:
    """`work(size)`; where memory does not suffice, with half the size, down to one. Raises UserError where
    one is too many."""
    while True:
        try:
            return work(size)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise UserError(
                    "Memory does not suffice even for one image at a time: use a smaller input, or another "
                    "device."
                ) from None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size = max(1, size // 2)


def out_of_memory(error: BaseException) -> bool:
    """On accelerators torch raises its own error; on CPUs only the message tells."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "not enough memory" in text
        or "can't allocate memory" in text
    )
