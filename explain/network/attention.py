"""The attention matrices of a vision transformer: found, kept in one pass with the graph behind them, and the
gradients of the score that the rest of the network reads from the tokens of each block."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

from explain.network.explicit_attention import ExplicitAttention
from explain.network.hooks import CUT, changed_pass, watch
from explain.network.oom import out_of_memory
from explain.network.target import Target
from models.errors import UserError
from models.layers.layout import Layout, layout_in

OTHERS = "use HiResCAM, or another method of a layer"
UNREACHED = (
    "No gradient reaches the attention of all blocks from the output: use HiResCAM at a layer that the "
    "prediction depends on."
)
READS_MORE = (
    "The network reads more than the tokens of its last block, so that the other blocks give no score of a "
    "class: use Attention relevance."
)


@dataclass(frozen=True, eq=False)
class AttentionBlocks:
    """`count` blocks of self-attention over the same T tokens, which lie on the image as `layout` says.

    `pooled`: whether one query attends to the tokens after the last block. `blocks`: the modules that output
    the tokens after each attention, or () where there are none. `axis`: the dimension of the images in their
    outputs: 0, or 1 for (T, N, C).
    """

    count: int
    layout: Layout
    pooled: bool
    blocks: tuple[nn.Module, ...]
    axis: int


@dataclass(frozen=True, eq=False)
class _Run:
    """Of a module: which computations of attention were in it, the shape of the tokens that it output, and
    the modules whose output it took."""

    attention: range
    shape: tuple[int, ...] = ()
    behind: frozenset[nn.Module] = frozenset()


class _Record:
    """What one pass of one image shows: the shapes of attention (1, heads, queries, keys), and the runs of
    each module."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.runs: dict[nn.Module, list[_Run]] = {}
        self._begun: list[tuple[int, frozenset[nn.Module]]] = []
        self._makers: dict[int, tuple[ReferenceType[Any], frozenset[nn.Module]]] = {}

    def keep(self, attention: Tensor) -> Tensor:
        shape = tuple(attention.shape)
        self.shapes.append(shape if len(shape) > 3 else (1, *shape))
        return attention

    def before(self, module: nn.Module, given: Any) -> None:
        self._begun.append((len(self.shapes), self._made_by(_tokens(given))))

    def after(self, module: nn.Module, output: Any) -> None:
        (begun, behind), tokens, shape = self._begun.pop(), _tokens(output), tuple[int, ...]()
        if isinstance(tokens, Tensor):
            shape = tuple(tokens.shape)
            self._makers[id(tokens)] = ref(tokens), self._made_by(tokens) | {module}
        self.runs.setdefault(module, []).append(_Run(range(begun, len(self.shapes)), shape, behind))

    def _made_by(self, tokens: Any) -> frozenset[nn.Module]:
        """The modules that output this tensor."""
        known, makers = self._makers.get(id(tokens), (lambda: None, frozenset[nn.Module]()))
        return makers if tokens is not None and known() is tokens else frozenset()

    def outputs(self, tokens: int) -> bool:
        """Whether a module outputs so many tokens: attention may also be between channels."""
        return any(
            len(run.shape) == 3 and tokens in run.shape[:2] for runs in self.runs.values() for run in runs
        )


def find_attention(model: nn.Module, x: Tensor, title: str) -> AttentionBlocks:
    """Where `model` computes attention. One forward pass of the first of the images `x` (N, C, H, W).

    Raises UserError for a network without attention of all patches to all patches in every block, which the
    method `title` needs.
    """
    record = _Record()
    with ExplicitAttention(record.keep):
        watch(model, x[:1], list(model.modules()), record.before, record.after)
    shapes = record.shapes
    if not shapes:
        raise UserError(f"{title} needs attention between patches, and this network has none: {OTHERS}.")
    size = shapes[0][-1]
    count = next((k for k, shape in enumerate(shapes) if shape[2] == 1), len(shapes))
    expected = [(1, shape[1], size if k < count else 1, size) for k, shape in enumerate(shapes)]
    layout = layout_in(model, torch.empty(1, size, 2), 1, (x.shape[2], x.shape[3]))
    if shapes != expected or not count or count + 1 < len(shapes) or not layout or not record.outputs(size):
        raise UserError(_unfit(title, shapes))
    blocks = _blocks(model, record.runs, count, size)
    if blocks is None:
        raise UserError(
            f"{title} needs blocks with one attention each, and this network has others: {OTHERS}."
        )
    axis = record.runs[blocks[0]][0].shape.index(1) if blocks else 0
    return AttentionBlocks(count, layout, count < len(shapes), blocks, axis)


def _unfit(title: str, shapes: list[tuple[int, ...]]) -> str:
    """Why no map can be made of attention of these shapes."""
    several = list(dict.fromkeys(shapes))
    shown = ", ".join(map(str, several[:3])) + (" ..." if len(several) > 3 else "")
    return (
        f"{title} needs attention of every patch to every patch in all blocks, and this network computes "
        f"{shown} for one image (windows, or several resolutions): {OTHERS}."
    )


def _blocks(
    model: nn.Module, runs: dict[nn.Module, list[_Run]], count: int, size: int
) -> tuple[nn.Module, ...] | None:
    """The modules, children of one parent, that have one attention each and hand their tokens from one to the
    next; () where they run otherwise; None where no children have one attention each."""
    expected, found = [range(k, k + 1) for k in range(count)], None
    for parent in model.modules():
        ran = [(child, run) for child in parent.children() for run in _runs(child, runs) if run.attention]
        if [run.attention for _, run in ran] == expected:
            found, blocks = (), tuple(child for child, _ in ran)
            tokens = all(run.shape[:2] in ((1, size), (size, 1)) for _, run in ran)
            if tokens and all(
                before in run.behind for before, (_, run) in zip(blocks, ran[1:], strict=False)
            ):
                return blocks if len(set(blocks)) == count else ()
    return found


def _runs(module: nn.Module, runs: dict[nn.Module, list[_Run]]) -> list[_Run]:
    """Those of a module; of a list, which does not run itself, one run with all of its modules."""
    if module in runs or not isinstance(module, nn.ModuleList):
        return runs.get(module, [])
    inside = [k for child in module for run in _runs(child, runs) for k in run.attention]
    return [_Run(range(min(inside), max(inside) + 1))] if inside else []


def _tokens(output: Any) -> Any:
    """What a module takes or outputs may be a tuple that begins with its tokens."""
    return output[0] if isinstance(output, tuple) and output else output


@dataclass(frozen=True, eq=False)
class AttentionPass:
    """`matrices`: (N, heads, T, T) of each block; `pool`: (N, heads, 1, T) of the query that pools the
    tokens, or None; `logits` (N, K). The graph begins at the first matrix that may be differentiated."""

    matrices: tuple[Tensor, ...]
    pool: Tensor | None
    logits: Tensor


def attention_pass(
    model: nn.Module, x: Tensor, found: AttentionBlocks, precision: str = "fp32", first: int = 0
) -> AttentionPass:
    """One pass of images `x` (N, C, H, W) that keeps the attention; the logits can be differentiated with
    respect to the matrices of the blocks from `first` on."""
    kept: list[Tensor] = []

    def keep(attention: Tensor) -> Tensor:
        if len(kept) >= first and not attention.requires_grad:
            attention = attention.detach().requires_grad_()
        kept.append(attention)
        return attention

    with ExplicitAttention(keep):
        logits = changed_pass(model, x, {}, precision)
    return AttentionPass(tuple(kept[: found.count]), kept[found.count] if found.pooled else None, logits)


def gradients(score: Tensor, attention: list[Tensor], images: int) -> list[Tensor]:
    """d score / d each attention as (N, heads, queries, T), float32. Raises UserError where there is none."""
    if not score.requires_grad:
        raise UserError(CUT)
    made = torch.autograd.grad(score, attention, allow_unused=True)
    if any(gradient is None for gradient in made):
        raise UserError(UNREACHED)
    return [heads(gradient, images) for gradient in made]


def heads(attention: Tensor, images: int) -> Tensor:
    """(N, heads, queries, T), also of (N · heads, queries, T); float32."""
    return attention.detach().float().reshape(images, -1, *attention.shape[-2:])


@dataclass(eq=False)
class _Separately:
    """A pass in which each block from `first` on begins with detached tokens, and the last block outputs the
    tokens of all of them as one batch."""

    found: AttentionBlocks
    first: int
    attention: list[Tensor] = field(default_factory=list)
    tokens: list[Tensor] = field(default_factory=list)

    def keep(self, attention: Tensor) -> Tensor:
        if len(self.attention) < self.found.count:
            attention = attention.detach().requires_grad_(len(self.attention) >= self.first)
        self.attention.append(attention)
        return attention

    @property
    def changes(self) -> dict[nn.Module, Callable[[Any], Any]]:
        return {self.found.blocks[k]: partial(self._output, k) for k in range(self.first, self.found.count)}

    def _output(self, block: int, output: Any) -> Any:
        self.tokens.append(_tokens(output))
        last = block == self.found.count - 1
        tokens = torch.cat(self.tokens, self.found.axis) if last else self.tokens[-1].detach()
        return (tokens, *output[1:]) if isinstance(output, tuple) else tokens


def block_gradients(
    model: nn.Module,
    x: Tensor,
    target: Target,
    found: AttentionBlocks,
    precision: str = "fp32",
    last: int = 0,
) -> list[Tensor]:
    """For each of the `last` blocks (0: all) the gradient (N, heads, queries, T), with respect to its
    attention, of the score that the rest of the network reads from its tokens, without the blocks between;
    where one query pools the tokens, with respect to its attention.

    One forward pass of images `x` (N, C, H, W). Raises UserError where the network does not take the tokens
    of several blocks as one batch.
    """
    images, first = len(x), max(0, found.count - last) if last else 0
    blocks, made = found.count - first, _Separately(found, first)
    try:
        with ExplicitAttention(made.keep):
            logits = changed_pass(model, x, made.changes, precision)
    except (RuntimeError, ValueError) as error:
        if isinstance(error, UserError) or out_of_memory(error) or len(made.tokens) < blocks:
            raise
        raise UserError(READS_MORE) from error
    if len(logits) != blocks * images:
        raise UserError(READS_MORE)
    total = torch.stack([target.score(part).sum() for part in logits.split(images)]).sum()
    if not found.pooled:
        return gradients(total, made.attention[first:], images)
    (of_pool,) = gradients(total, made.attention[found.count :], blocks * images)
    return list(of_pool.split(images))
