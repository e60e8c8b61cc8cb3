"""Maps of attention: the matrices are the network's own, and the maps are the formulas written out."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.network.attention import attention_pass, find_attention
from tests.maps import ATTENTION
from tests.networks import TinyViT, state

CLASSES = (1, 2)


def images(side: int = 16, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def ours(model: nn.Module, x: Tensor, method: str, **given: Any) -> Tensor:
    values = {k: v for k, v in given.items() if k == "blocks"}
    rest = {k: v for k, v in given.items() if k not in values}
    request = MapRequest(method, "", CLASSES, parameters=tuple(values.items()), **rest)
    return compute_maps(model, x, request).maps


def tiny(**given: Any) -> tuple[TinyViT, TinyViT]:
    """Attention written out, and by PyTorch's kernel, with the same weights."""
    return TinyViT(positions=16, **given).eval(), TinyViT(positions=16, kernel=True, **given).eval()


def score(logits: Tensor, contrast: tuple[int, ...] | None) -> Tensor:
    total = logits[range(len(logits)), CLASSES].sum()
    return total if contrast is None else total - logits[range(len(logits)), contrast].sum()


def block_by_block(model: TinyViT, x: Tensor, last: int, contrast: tuple[int, ...] | None) -> Tensor:
    """LeGrad as a loop: the tokens after each block, the head, one backward pass."""
    tokens, total = model.features[0](x), torch.zeros(len(x), 16)
    for number, block in enumerate(list(model.features)[1:]):
        tokens = block(tokens.detach())
        if number >= 3 - last:
            (gradient,) = torch.autograd.grad(score(model.read(tokens), contrast), block.attention)
            for head in range(3):
                for query in range(17):
                    total += gradient[:, head, query, 1:].clamp_min(0) / (3 * 17)
    return total.reshape(-1, 4, 4)


@pytest.mark.parametrize("reads", ["class", "patches", "all"])
@pytest.mark.parametrize(("last", "contrast"), [(3, None), (2, None), (3, (0, 0))])
def test_legrad_is_a_loop_over_blocks(reads: str, last: int, contrast: tuple[int, ...] | None) -> None:
    written, kernel = tiny(reads=reads)
    expected = block_by_block(written, images(), last, contrast)
    for model in (written, kernel):
        found = ours(model, images(), "legrad", blocks=last % 3, contrast_class=contrast)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def matrices_of(model: TinyViT, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    logits = model(x)
    return logits, [block.attention for block in list(model.features)[1:]]  # type: ignore[misc]


def rows(reads: str, products: np.ndarray) -> np.ndarray:
    """(N, T, T) -> (N, 4, 4): the rows that the head reads, the columns of the patches."""
    chosen = {"class": products[:, :1], "patches": products[:, 1:], "all": products}[reads]
    maps: np.ndarray = chosen.mean(1)[:, 1:].reshape(-1, 4, 4)
    return maps


@pytest.mark.parametrize("reads", ["class", "patches", "all"])
def test_rollout_is_a_product(reads: str) -> None:
    written, kernel = tiny(reads=reads)
    _, attention = matrices_of(written, images())
    product = np.stack([np.eye(17)] * 2)
    for matrix in attention:
        product = (0.5 * matrix.detach().numpy().mean(1) + 0.5 * np.eye(17)) @ product
    for model in (written, kernel):
        found = ours(model, images(), "attention_rollout")
        np.testing.assert_allclose(found.numpy(), rows(reads, product), rtol=1e-5)


@pytest.mark.parametrize("contrast", [None, (0, 0)])
@pytest.mark.parametrize("reads", ["class", "patches", "all"])
def test_relevance_is_a_sum_of_products(reads: str, contrast: tuple[int, ...] | None) -> None:
    written, kernel = tiny(reads=reads)
    logits, attention = matrices_of(written, images())
    gradients = torch.autograd.grad(score(logits, contrast), attention)
    relevance = np.stack([np.eye(17)] * 2)
    for matrix, gradient in zip(attention, gradients, strict=True):
        positive = np.maximum(gradient.numpy() * matrix.detach().numpy(), 0).mean(1)
        relevance = relevance + positive @ relevance
    for model in (written, kernel):
        found = ours(model, images(), "attention_relevance", contrast_class=contrast)
        np.testing.assert_allclose(found.numpy(), rows(reads, relevance), rtol=1e-4, atol=1e-7)


# -- networks of others --------------------------------------------------------------------------------------


def by_hooks(model: nn.Module, x: Tensor, modules: list[nn.Module]) -> list[Tensor]:
    """The outputs of modules in a plain pass with gradients."""
    kept: list[Tensor] = []
    handles = [m.register_forward_hook(lambda _, __, output: kept.append(output)) for m in modules]
    model(x)
    for handle in handles:
        handle.remove()
    return kept


def timm_vit(**given: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=5, **given).eval()


def unfused(model: Any) -> list[nn.Module]:
    """timm's own explicit attention: the modules that output it."""
    for block in model.blocks:
        block.attn.fused_attn = False
    return [block.attn.attn_drop for block in model.blocks]


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_timm(pool: str) -> None:
    """Its own explicit attention, and LeGrad from its own blocks, norm and head."""
    model, x = timm_vit(global_pool=pool), images(64)
    assert model.blocks[0].attn.fused_attn
    done = attention_pass(model, x, find_attention(model, x, ""))
    maps = ours(model, x, "legrad")
    attention = by_hooks(model, x, unfused(model))
    for found, expected in zip(done.matrices, attention, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(done.logits, model(x), rtol=1e-4, atol=1e-5)
    total = torch.zeros(2, 17)
    for stop in (1, 2, 3):
        blocks, model.blocks = model.blocks, model.blocks[:stop]
        drop = model.blocks[-1].attn.attn_drop
        kept: list[Tensor] = []
        handle = drop.register_forward_hook(lambda _, __, output, kept=kept: kept.append(output))
        logits = model(x)
        handle.remove()
        model.blocks = blocks
        total += torch.autograd.grad(score(logits, None), kept)[0].relu().mean((1, 2))
    torch.testing.assert_close(maps, total[:, 1:].reshape(2, 4, 4), rtol=1e-4, atol=1e-7)


def test_torchvision() -> None:
    """`nn.MultiheadAttention` asked for its weights, on what it gets in the network."""
    torch.manual_seed(0)
    model, x = VisionTransformer(32, 8, 3, 4, 32, 64, num_classes=5).eval(), images(32)
    nn.init.normal_(model.heads[0].weight)
    layers = list(model.encoder.layers)
    given = by_hooks(model, x, [layer.ln_1 for layer in layers])
    expected = [
        layer.self_attention(z, z, z, need_weights=True, average_attn_weights=False)[1]
        for layer, z in zip(layers, given, strict=True)
    ]
    before = state(model)
    done = attention_pass(model, x, find_attention(model, x, ""))
    for found, matrix in zip(done.matrices, expected, strict=True):
        torch.testing.assert_close(found, matrix, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(done.logits, model(x), rtol=1e-4, atol=1e-5)
    for method in sorted(ATTENTION):
        maps = ours(model, x, method)
        assert maps.shape == (2, 4, 4)
        assert maps.amax() > 0
    assert state(model) == before
    product = np.stack([np.eye(17)] * 2)
    for matrix in expected:
        product = (0.5 * matrix.detach().numpy().mean(1) + 0.5 * np.eye(17)) @ product
    np.testing.assert_allclose(ours(model, x, "attention_rollout").numpy(), rows("class", product), rtol=1e-4)


def test_a_query_that_pools() -> None:
    """LeGrad with respect to the pooling attention, as its authors do; the others begin with its row."""
    written, kernel = tiny(reads="pool")
    x = images()
    logits, attention = matrices_of(written, x)
    gradients = torch.autograd.grad(score(logits, None), [*attention, written.pool.attention])
    row = written.pool.attention.detach().numpy().mean(1)
    relevance = np.maximum(gradients[3].numpy() * written.pool.attention.detach().numpy(), 0).mean(1)
    for matrix, gradient in zip(attention[::-1], gradients[2::-1], strict=True):
        row = row @ (0.5 * matrix.detach().numpy().mean(1) + 0.5 * np.eye(17))
        relevance = relevance @ (np.eye(17) + np.maximum((gradient * matrix).detach().numpy(), 0).mean(1))
    tokens, total = written.features[0](x), torch.zeros(2, 17)
    for block in list(written.features)[1:]:
        tokens = block(tokens.detach())
        answer = score(written.read(tokens), None)
        total += torch.autograd.grad(answer, written.pool.attention)[0].relu().mean((1, 2))
    expected = {"attention_rollout": row, "attention_relevance": relevance, "legrad": total.numpy()}
    for model in (written, kernel):
        for method, of_tokens in expected.items():
            maps = of_tokens.reshape(2, 17)[:, 1:].reshape(2, 4, 4)
            np.testing.assert_allclose(ours(model, x, method).numpy(), maps, rtol=1e-4, atol=1e-7)


def test_pooling_of_siglip() -> None:
    """timm's: its row from its query and keys."""
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_base_patch16_siglip_224", img_size=64, depth=2, num_classes=5, embed_dim=48
    ).eval()
    x = images(64)
    found = find_attention(model, x, "")
    assert (found.count, found.pooled, found.layout.size, len(found.blocks)) == (2, True, (4, 4), 2)
    done = attention_pass(model, x, found)
    q, kv = by_hooks(model, x, [model.attn_pool.q, model.attn_pool.kv])
    heads = model.attn_pool.num_heads
    k = kv.unflatten(2, (2, heads, -1))[:, :, 0]
    expected = torch.einsum("nqhd,nkhd->nhqk", q.unflatten(2, (heads, -1)), k) / k.shape[-1] ** 0.5
    torch.testing.assert_close(done.pool, expected.softmax(-1), rtol=1e-4, atol=1e-6)
