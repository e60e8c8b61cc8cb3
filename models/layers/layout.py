"""How a layer's output holds maps: (N, C, h, w) as convolutions, (N, h, w, C) as Swin, or tokens (N, T, C) as
ViT."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

EXTRA = 17  # class, distillation and register tokens that may precede the spatial ones


@dataclass(frozen=True)
class Layout:
    """`size` (h, w); `prefix`: leading tokens without a spatial position."""

    kind: Literal["maps", "last", "tokens"]
    size: tuple[int, int]
    prefix: int = 0

    @property
    def positions(self) -> int:
        return self.size[0] * self.size[1]

    def supersedes(self, before: "Layout | None") -> bool:
        """Whether this output counts instead of one `before`, of the same layer in the same pass.

        The last with more than one position does; a shared activation may also run on one, in a gate.
        """
        return before is None or self.positions > 1 or before.positions == 1

    def plausible(self, input_size: tuple[int, int]) -> bool:
        """Whether the grid of positions has the aspect ratio of the input, up to rounding."""
        return _fits(*self.size, input_size)

    def maps(self, output: Tensor) -> Tensor:
        """The layer's output, or a gradient of its shape, as (N, C, h, w)."""
        if self.kind == "maps":
            return output
        if self.kind == "last":
            return output.permute(0, 3, 1, 2)
        return output[:, self.prefix :].transpose(1, 2).unflatten(2, self.size)

    def output(self, maps: Tensor, like: Tensor) -> Tensor:
        """Maps (M, C, h, w) in the layout of this layer's output; tokens without a position are those of
        `like`, (1, T, C) or (M, T, C)."""
        if self.kind == "maps":
            return maps
        if self.kind == "last":
            return maps.permute(0, 2, 3, 1)
        tokens = maps.flatten(2).transpose(1, 2)
        return (
            tokens
            if not self.prefix
            else torch.cat([like[:, : self.prefix].expand(len(maps), -1, -1), tokens], 1)
        )


def layout_of(
    output: object,
    images: int,
    input_size: tuple[int, int],
    prefix: int | None = None,
    channels_last: bool = False,
) -> Layout | None:
    """The layout of a layer's output for a batch of `images` images of `input_size` (H, W), or None where it
    holds no maps.

    The grid has the aspect ratio of the input. `prefix`: the number of tokens without a position, where the
    network has it (timm's `num_prefix_tokens`); otherwise the smallest number that leaves such a grid.
    `channels_last`: whether four dimensions are (N, h, w, C) throughout, as in Keras.
    """
    if not isinstance(output, Tensor) or output.shape[:1] != (images,) or not output.is_floating_point():
        return None
    if output.ndim == 4:
        first, middle, last = output.shape[1:]
        if channels_last:
            return Layout("last", (first, middle))
        if _fits(first, middle, input_size) and not _fits(middle, last, input_size):
            return Layout("last", (first, middle))
        return Layout("maps", (middle, last))
    if output.ndim == 3 and output.shape[2] > 1:  # (N, C, 1) are channels that were pooled
        for extra in [prefix] if prefix is not None else range(EXTRA):
            size = _grid(output.shape[1] - extra, input_size)
            if size:
                return Layout("tokens", size, extra)
    return None


def layout_in(model: nn.Module, output: object, images: int, input_size: tuple[int, int]) -> Layout | None:
    """`layout_of` for a layer of `model`, with what the network says of itself."""
    prefix, last = getattr(model, "num_prefix_tokens", None), getattr(model, "channels_last", False)
    return layout_of(output, images, input_size, prefix, last is True)


def _fits(h: int, w: int, input_size: tuple[int, int]) -> bool:
    """Whether h and w are the input's sides, each divided by about the same stride (convolutions round)."""
    across, down = input_size[0] / h, input_size[1] / w
    return min(across, down) >= 1 and max(across, down) / min(across, down) < 1.3


def _grid(tokens: int, input_size: tuple[int, int]) -> tuple[int, int] | None:
    if tokens < 4:
        return None
    h = round((tokens * input_size[0] / input_size[1]) ** 0.5)
    w = tokens // h
    if h * w != tokens or abs(h * input_size[1] - w * input_size[0]) > 0.02 * h * input_size[1]:
        return None
    return h, w
