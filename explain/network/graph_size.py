"""How much memory the graph of a tensor keeps."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def saved_bytes(output: Tensor) -> int:
    """Bytes of the tensors that the graph of `output` keeps for its backward pass, each storage once;
    parameters are not counted."""
    storages = {}
    for node in _nodes(output.grad_fn):
        for name in dir(node):
            if name.startswith("_saved_"):
                for tensor in _tensors(node, name):
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _nodes(root: Any) -> Iterator[Any]:
    seen, waiting = set[Any](), [root]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
            yield node


def _tensors(node: Any, name: str) -> list[Tensor]:
    try:
        saved = getattr(node, name)
    except RuntimeError:  # changed in place, or freed
        return []
    values = saved if isinstance(saved, list | tuple) else [saved]
    return [v for v in values if isinstance(v, Tensor) and not _is_parameter(v)]


def _is_parameter(tensor: Tensor) -> bool:
    """Or a view of one."""
    return isinstance(tensor if tensor._base is None else tensor._base, nn.Parameter)
