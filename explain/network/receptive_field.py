"""Which part of the image a spatial position of a layer depends on: kernels, strides, paddings and dilations
followed through whatever the network calls.

Works on the operations that run, not on modules, so that functions, branches and re-used layers count. After
Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
doi:10.23915/distill.00021.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Pair = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Field:
    """Position (i, j) depends on rows `start[0] + i · stride[0]` and the `size[0]` from there on, columns
    alike, in pixels; what lies outside the image is padding. `size` is None where it depends on the whole
    image. `positions`: how many there are."""

    size: Pair | None
    stride: Pair
    start: Pair
    positions: int

    def pixels(self, i: int, j: int) -> tuple[int, int, int, int] | None:
        """(upper, left, lower, right) of position (i, j), the last two exclusive; None for the whole
        image."""
        if self.size is None:
            return None
        low = [
            int(start + k * stride) for start, stride, k in zip(self.start, self.stride, (i, j), strict=True)
        ]
        return low[0], low[1], low[0] + int(self.size[0]), low[1] + int(self.size[1])


UNKNOWN = object()
aten = torch.ops.aten
POOLS = {aten.max_pool2d_with_indices, aten.avg_pool2d}
MIXERS = {
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_attention_math,
    aten._scaled_dot_product_efficient_attention,
    aten._scaled_dot_product_flash_attention,
    aten.bmm,
    aten.baddbmm,
    aten._softmax,
}
REDUCTIONS = {aten.mean, aten.sum, aten.amax, aten.amin, aten.var, aten.std, aten.linalg_vector_norm}
KEEPERS = {
    aten.view,
    aten._unsafe_view,
    aten.reshape,
    aten.permute,
    aten.transpose,
    aten.t,
    aten.expand,
    aten.squeeze,
    aten.unsqueeze,
    aten.clone,
    aten.copy_,
    aten._to_copy,
    aten.detach,
    aten.alias,
    aten.contiguous,
    aten.cat,
    aten.stack,
    aten.split,
    aten.split_with_sizes,
    aten.chunk,
    aten.unbind,
    aten.select,
    aten.slice,
    aten.native_dropout,
    aten.mm,
    aten.addmm,
    aten.native_layer_norm,
    aten.native_group_norm,
    aten.native_batch_norm,
    aten.unsafe_split,
    aten.lift_fresh,
    aten._reshape_alias,
    aten.flatten,
}
"""Operations that move or weigh values without mixing positions; `_pointwise` checks some more closely."""


class ReceptiveFields(TorchDispatchMode):
    """While active, follows an image (1, C, H, W) through the network; `of(output)` during the pass or
    afterwards."""

    def __init__(self, image: Tensor):
        super().__init__()
        one, none = (Fraction(1), Fraction(1)), (Fraction(0), Fraction(0))
        self._fields: dict[int, Any] = {id(image): Field(one, one, none, image.shape[2] * image.shape[3])}
        self._held: list[Any] = [image]  # so that no two tensors have one id

    def of(self, tensor: Any) -> Field | None:
        """None where it is not known, or where the tensor does not depend on the image."""
        field = self._fields.get(id(tensor))
        return field if isinstance(field, Field) else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        tensors = [
            t for a in args for t in (a if isinstance(a, list | tuple) else [a]) if isinstance(t, Tensor)
        ]
        fields = [self._fields[id(t)] for t in tensors if id(t) in self._fields]
        if fields:
            field = self._next(func, args, tensors, fields, output)
            for made in output if isinstance(output, list | tuple) else [output]:
                if isinstance(made, Tensor):
                    self._fields[id(made)] = field
                    self._held.append(made)
        return output

    def _next(self, func: Any, args: Any, tensors: list[Tensor], fields: list[Any], output: Any) -> Any:
        if UNKNOWN in fields:
            return UNKNOWN
        if all(f.size is None and f.positions == 1 for f in fields):
            return fields[0]  # what is computed from one value has the field of that value
        op, field = func.overloadpacket, fields[0]
        made = output[0] if isinstance(output, list | tuple) else output
        spatial = isinstance(made, Tensor) and made.ndim == 4
        if op is aten.convolution:
            if args[6]:
                return _spread(field, args[1].shape[2:], args[3], args[4], args[5], made)
            return _gathered(field, args[1].shape[2:], args[3], args[4], args[5], made)
        if op in POOLS:
            kernel, stride, padding = (args[k] if len(args) > k else None for k in (1, 2, 3))
            dilation = args[4] if op is aten.max_pool2d_with_indices and len(args) > 4 else 1
            return _gathered(field, kernel, stride or kernel, padding or 0, dilation, made)
        if op in (aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d):
            return _adaptive(field, args[0].shape[2:], made)
        if op is aten.constant_pad_nd and spatial:
            left, upper = args[1][0], (args[1][2] if len(args[1]) > 2 else 0)
            start = (field.start[0] - upper * field.stride[0], field.start[1] - left * field.stride[1])
            return Field(field.size, field.stride, start, made.shape[2] * made.shape[3])
        if "upsample" in str(op) and spatial:
            return _enlarged(field, args[0].shape[2:], made, "nearest" in str(op))
        if op in (aten.roll, aten.flip, aten.grid_sampler_2d, aten.index, aten.gather):
            return UNKNOWN
        if op is aten.slice and spatial and args[0].ndim == 4 and len(args) > 1 and args[1] in (2, 3):
            return UNKNOWN
        if op in MIXERS:
            return _mixed(field, tensors)
        if torch.Tag.pointwise not in func.tags and op not in KEEPERS | REDUCTIONS:
            return UNKNOWN
        return _pointwise(op, args, field, fields, tensors, made)


def _pointwise(
    op: Any, args: Any, field: Field, fields: list[Field], tensors: list[Tensor], made: Any
) -> Any:
    """What works position by position keeps the field; sums over positions, and products of flattened
    positions, depend on everything."""
    positions = max(f.positions for f in fields)
    if positions == 1 or not isinstance(made, Tensor):
        return _union(fields, positions)
    if (
        op in REDUCTIONS
        and len(args) > 1
        and set(_spatial(args[0], positions)) & {d % args[0].ndim for d in _list(args[1])}
    ):
        return _whole(field, 1)
    if op in (aten.mm, aten.addmm) and args[1 if op is aten.addmm else 0].shape[0] < positions:
        return _whole(field, 1)
    if op is aten.native_layer_norm and args[0].numel() // torch.Size(args[1]).numel() < positions:
        return _whole(field, positions)
    if op is aten.native_group_norm or (op is aten.native_batch_norm and args[5] is True):
        return _whole(field, positions)
    return _union(fields, positions)


def _spatial(tensor: Tensor, positions: int) -> tuple[int, ...]:
    """Which of its dimensions are positions."""
    for dims in ((2, 3), (1, 2), (1,), (2,)):
        if max(dims) < tensor.ndim and torch.Size([tensor.shape[d] for d in dims]).numel() in (
            positions,
            positions + 1,
        ):
            return dims
    return ()


def _list(value: Any) -> list[int]:
    return list(value) if isinstance(value, list | tuple) else [value] if isinstance(value, int) else []


def _pair(value: Any) -> Sequence[int]:
    values = list(value) if isinstance(value, list | tuple | torch.Size) else [value]
    return values * 2 if len(values) == 1 else values


def _gathered(f: Field, kernel: Any, stride: Any, padding: Any, dilation: Any, made: Tensor) -> Any:
    """A convolution or pooling."""
    kernel, stride, padding, dilation = (_pair(v) for v in (kernel, stride, padding, dilation))
    if len(kernel) != 2:
        return UNKNOWN
    size = (
        None
        if f.size is None
        else tuple(f.size[k] + (kernel[k] - 1) * dilation[k] * f.stride[k] for k in (0, 1))
    )
    return Field(
        size,
        tuple(f.stride[k] * stride[k] for k in (0, 1)),
        tuple(f.start[k] - padding[k] * f.stride[k] for k in (0, 1)),  # type: ignore[arg-type]
        made.shape[2] * made.shape[3],
    )


def _spread(f: Field, kernel: Any, stride: Any, padding: Any, dilation: Any, made: Tensor) -> Any:
    """A transposed convolution: the largest field of its positions, which differ where the kernel is no
    multiple of the stride."""
    kernel, stride, padding, dilation = (_pair(v) for v in (kernel, stride, padding, dilation))
    reach = [(kernel[k] - 1) * dilation[k] for k in (0, 1)]
    size = (
        None if f.size is None else tuple(f.size[k] + (reach[k] // stride[k]) * f.stride[k] for k in (0, 1))
    )
    start = tuple(f.start[k] + f.stride[k] * Fraction(padding[k] - reach[k], stride[k]) for k in (0, 1))
    return Field(size, tuple(f.stride[k] / stride[k] for k in (0, 1)), start, made.shape[2] * made.shape[3])  # type: ignore[arg-type]


def _enlarged(f: Field, before: Any, made: Tensor, nearest: bool) -> Field:
    scale = [Fraction(made.shape[k + 2], before[k]) for k in (0, 1)]
    extra = 0 if nearest else 1
    size = None if f.size is None else (f.size[0] + extra * f.stride[0], f.size[1] + extra * f.stride[1])
    return Field(
        size, (f.stride[0] / scale[0], f.stride[1] / scale[1]), f.start, made.shape[2] * made.shape[3]
    )


def _adaptive(f: Field, before: Any, made: Any) -> Any:
    after = made.shape[2:]
    if tuple(after) == tuple(before):
        return f
    if tuple(after) == (1, 1):
        return _whole(f, 1)
    if any(b % a for a, b in zip(after, before, strict=True)):
        return UNKNOWN
    step = [b // a for a, b in zip(after, before, strict=True)]
    return _gathered(f, step, step, 0, 1, made)


def _mixed(f: Field, tensors: list[Tensor]) -> Any:
    """Attention over all positions depends on everything; attention in windows is not followed."""
    return (
        _whole(f, f.positions) if max(t.shape[-2] for t in tensors if t.ndim > 1) >= f.positions else UNKNOWN
    )


def _whole(f: Field, positions: int) -> Field:
    return Field(None, f.stride, f.start, positions)


def _union(fields: list[Field], positions: int) -> Any:
    """Branches that meet: everything that any of them depends on."""
    finest = min(fields, key=lambda f: (f.positions != positions, f.stride))
    if any(f.size is None for f in fields):
        return _whole(finest, positions)
    if any(f.stride != finest.stride for f in fields):
        return UNKNOWN
    start = tuple(min(f.start[k] for f in fields) for k in (0, 1))
    end = [max(f.start[k] + f.size[k] for f in fields if f.size) for k in (0, 1)]
    return Field((end[0] - start[0], end[1] - start[1]), finest.stride, start, positions)  # type: ignore[arg-type]
