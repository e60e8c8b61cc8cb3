"""Attention computed explicitly equals PyTorch's own functions."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.network.explicit_attention import ExplicitAttention


def masks(kind: str, queries: int, keys: int) -> dict[str, Any]:
    torch.manual_seed(5)
    some = torch.rand(queries, keys) > 0.4
    some[:, 0] = True
    return {
        "none": {},
        "bool": {"attn_mask": some},
        "float": {"attn_mask": torch.randn(2, 1, queries, keys)},
        "causal": {"is_causal": True},
        "scale": {"scale": 0.3},
        "groups": {"enable_gqa": True},
    }[kind]


@pytest.mark.parametrize("kind", ["none", "bool", "float", "causal", "scale", "groups"])
@pytest.mark.parametrize("queries", [9, 4])
def test_scaled_dot_product(kind: str, queries: int) -> None:
    """The function's own value and gradients, and rows that sum to 1."""
    given, kept = masks(kind, queries, 9), list[Tensor]()
    q, k, v = (torch.randn(2, n, t, 6, requires_grad=True) for n, t in ((4, queries), (4, 9), (4, 9)))
    if kind == "groups":
        k, v = (t[:, :2].detach().requires_grad_() for t in (k, v))
    expected = F.scaled_dot_product_attention(q, k, v, **given)
    with ExplicitAttention(lambda a: kept.append(a) or a):  # type: ignore[func-returns-value]
        found = F.scaled_dot_product_attention(q, k, v, **given)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    (attention,) = kept
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4, queries))
    cotangent = torch.randn_like(expected)
    for ours_, theirs in zip(
        torch.autograd.grad(found, (q, k, v), cotangent),
        torch.autograd.grad(expected, (q, k, v), cotangent),
        strict=True,
    ):
        torch.testing.assert_close(ours_, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("given", [{}, {"batch_first": True}, {"bias": False}, {"kdim": 5, "vdim": 7}])
def test_multi_head_attention(given: dict[str, Any], weights: bool) -> None:
    torch.manual_seed(1)
    module, kept = nn.MultiheadAttention(8, 2, **given).eval(), list[Tensor]()
    sizes = (6, 3) if not given.get("batch_first") else (3, 6)
    q, k, v = (torch.randn(*sizes, given.get(name, 8)) for name in ("", "kdim", "vdim"))
    mask = torch.rand(6, 6) > 0.7
    mask[:, 0] = False
    for masked in (None, mask):
        with torch.no_grad():
            expected = module(q, k, v, attn_mask=masked, need_weights=weights)
            with ExplicitAttention(lambda a: kept.append(a) or a):  # type: ignore[func-returns-value]
                found = module(q, k, v, attn_mask=masked, need_weights=weights)
        torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
        assert (found[1] is None) == (not weights)
        if weights:
            torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)
    assert [a.shape for a in kept] == [(3, 2, 6, 6)] * 2


def test_dropout_in_use_is_left_alone() -> None:
    """Attention with dropout is random, and not taken apart."""
    kept, q = list[Tensor](), torch.randn(1, 2, 5, 4)
    with ExplicitAttention(lambda a: kept.append(a) or a):  # type: ignore[func-returns-value]
        assert F.scaled_dot_product_attention(q, q, q, None, 0.5).shape == q.shape
        assert F.scaled_dot_product_attention(q, q, q, dropout_p=0.5).shape == q.shape
        F.scaled_dot_product_attention(q, q, q, None, 0.0)
    assert len(kept) == 1
