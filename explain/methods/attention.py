"""Maps of the attention of vision transformers.

A_l is the attention of block l, (N, heads, T, T): T tokens, of which the patches lie on the image. Every
function takes `MethodInputs` and returns raw maps (N, h, w) of the patches. The rows of A_l are queries, the
columns keys. What is read are the rows of the last block on which the score depends: that of the class token,
or, where the network pools its patches, the mean over all of them. Of networks that pool by the attention of
one query, it is the row of this query.
"""

import torch
from torch import Tensor

from explain.methods.inputs import MethodInputs
from explain.methods.scorer import WHOLE, each
from explain.network.attention import (
    AttentionBlocks,
    attention_pass,
    block_gradients,
    find_attention,
    gradients,
    heads,
)
from models.errors import UserError


def legrad(inputs: MethodInputs, blocks: int = 0) -> Tensor:
    """M = Σ_l mean over heads and queries of relu(∂y_l / ∂A_l), with y_l the score that norm and head of the
    network read from the tokens after block l.

    `blocks`: only so many of the last; 0 is all. Where one query pools the tokens by attention, A_l is its
    attention to the tokens after block l.
    """
    found = find_attention(inputs.model, inputs.x, "LeGrad")
    if not found.blocks:
        raise UserError(
            "LeGrad needs a module for each block, which outputs the tokens after it, and this network has "
            "none: use Attention relevance."
        )

    def work(some: MethodInputs) -> Tensor:
        made = block_gradients(some.model, some.x, some.target, found, some.precision, blocks)
        some.on_progress(1)
        return _patches(found, torch.stack([gradient.relu().mean((1, 2)) for gradient in made]).sum(0))

    return each(inputs, work, WHOLE)


def attention_rollout(inputs: MethodInputs) -> Tensor:
    """M = the rows read of Π_l (½ I + ½ mean over heads of A_l), later blocks to the left; the same for every
    class."""
    found = find_attention(inputs.model, inputs.x, "Attention rollout")

    def work(some: MethodInputs) -> Tensor:
        done, n = attention_pass(some.model, some.x, found, some.precision, found.count - 1), len(some.x)
        if done.pool is not None:
            row = heads(done.pool, n).mean(1)
        else:
            score = done.logits.amax(1).sum()
            row = _rows_read(gradients(score, [done.matrices[-1]], n)[0])
        for attention in reversed(done.matrices):
            row = (row + row @ heads(attention, n).mean(1)) / 2
        some.on_progress(1)
        return _patches(found, row[:, 0])

    return each(inputs, work, WHOLE)


def attention_relevance(inputs: MethodInputs) -> Tensor:
    """M = the rows read of R, from R = I by R ← R + mean over heads of relu(∂y/∂A_l · A_l) R, block by
    block."""
    found = find_attention(inputs.model, inputs.x, "Attention relevance")

    def work(some: MethodInputs) -> Tensor:
        done, n = attention_pass(some.model, some.x, found, some.precision), len(some.x)
        attention = [*done.matrices, *([] if done.pool is None else [done.pool])]
        made = gradients(some.target.score(done.logits).sum(), attention, n)
        positive = [(g * heads(a, n)).relu().mean(1) for g, a in zip(made, attention, strict=True)]
        row = _rows_read(made[-1]) if done.pool is None else positive.pop()
        for matrix in reversed(positive):
            row = row + row @ matrix
        some.on_progress(1)
        return _patches(found, row[:, 0])

    return each(inputs, work, WHOLE)


def _rows_read(gradient: Tensor) -> Tensor:
    """(N, 1, T): the mean of the rows of (N, heads, T, T) that have a gradient."""
    read = (gradient.abs().amax((0, 1, 3)) > 0).float()
    if not read.any():
        raise UserError(
            "The score depends on no token of the last block: use HiResCAM at a layer that the prediction "
            "depends on."
        )
    return (read / read.sum()).expand(len(gradient), 1, -1)


def _patches(found: AttentionBlocks, row: Tensor) -> Tensor:
    """(N, T) -> (N, h, w), without the tokens that have no place."""
    return found.layout.maps(row[..., None])[:, 0]
