"""Attention computed explicitly for the duration of a pass, so that its matrices can be kept.

Fused kernels do not return them. The numbers are the same up to rounding, and the network is not changed.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Keep = Callable[[Tensor], Tensor]
SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax}
MULTI_HEAD = signature(F.multi_head_attention_forward)


class ExplicitAttention(TorchFunctionMode):
    """While active, attention is computed as softmax(q kᵀ / √d + mask) v. `keep` gets each softmax over the
    last of four dimensions or more, or over square matrices, (N, heads, T, T) or (N · heads, T, T), and
    returns what the network uses instead."""

    def __init__(self, keep: Keep):
        super().__init__()
        self.keep = keep

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            dropout = kwargs.get("dropout_p", args[4] if args[4:] else 0)
            return func(*args, **kwargs) if dropout else self._scaled_dot_product(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._multi_head(func, args, kwargs)
        output = func(*args, **kwargs)
        if func not in SOFTMAX or not _is_attention(output, kwargs.get("dim", args[1] if args[1:] else None)):
            return output
        return self.keep(output).clone()  # a copy: the network may work in place

    def _scaled_dot_product(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if enable_gqa:
            key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
        scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        exact = torch.promote_types(scores.dtype, torch.float32)
        return self.keep(scores.softmax(-1, dtype=exact)).to(value.dtype) @ value

    def _multi_head(self, func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """`nn.MultiheadAttention`: its matrices are asked for, and its output is computed from them."""
        bound = MULTI_HEAD.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        whole = given["is_causal"] and given["attn_mask"] is None
        if whole or given["bias_k"] is not None or given["add_zero_attn"] or given["query"].ndim != 3:
            return func(*args, **kwargs)  # type: ignore[no-any-return]
        asked = given | {"need_weights": True, "average_attn_weights": False}
        attention = self.keep(func(**asked)[1])  # (N, heads, T, S)
        value, bias = given["value"], given["in_proj_bias"]
        weight = given["v_proj_weight"]
        if weight is None:
            weight = given["in_proj_weight"].chunk(3)[2]
        value = F.linear(value, weight, None if bias is None else bias.chunk(3)[2])  # (S, N, E)
        value = value.unflatten(2, (given["num_heads"], -1)).permute(1, 2, 0, 3)
        output = (attention.to(value.dtype) @ value).permute(2, 0, 1, 3).flatten(2)
        output = F.linear(output, given["out_proj_weight"], given["out_proj_bias"])
        if not given["need_weights"]:
            return output, None
        return output, attention.mean(1) if given["average_attn_weights"] else attention


def _is_attention(output: Any, dim: Any) -> bool:
    if not isinstance(output, Tensor) or output.ndim < 3 or dim not in (-1, output.ndim - 1):
        return False
    return output.ndim > 3 or output.shape[1] == output.shape[2]
