"""Networks that are built to be filled from a file: without the random numbers that the file replaces."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_RANDOM = {
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.erfinv_,  # a truncated normal is made of a uniform distribution by it
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
    nn.init.xavier_uniform_,
    nn.init.xavier_normal_,
}


class _Unfilled(TorchFunctionMode):
    """Parameters get zeros for random numbers (a truncated normal distribution draws again what is outside of
    its bounds). All other tensors get their numbers, buffers too."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _RANDOM:
            filled = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(filled, nn.Parameter):
                filled.data.zero_()
                return filled
        return func(*args, **(kwargs or {}))


@contextmanager
def unfilled(keys: Collection[str] | None) -> Iterator[None]:
    """Networks that are built in the block, in this thread, get no random parameters where those of a file,
    `keys`, will replace all of them; None: they stay new, and nothing changes. Only for builders that do
    nothing else with their parameters: those of Vitrine, torchvision and timm, not a person's own."""
    if keys is None:
        yield
        return
    with _Unfilled():
        yield
