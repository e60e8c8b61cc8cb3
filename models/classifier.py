"""A loaded network with everything one needs to feed it and to name its answers."""

from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from models.preprocessing import Preprocessing, stack


@dataclass(frozen=True, eq=False)
class Classifier:
    """`model` is in eval mode; `weights` says where its parameters came from, `weights_hash` what they are."""

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    weights: str
    weights_hash: str
    default_layer: str | None = None
    wordnet_ids: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    @property
    def input_size(self) -> tuple[int, int]:
        return self.preprocessing.size

    @property
    def mean(self) -> tuple[float, ...]:
        return self.preprocessing.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.preprocessing.std

    @property
    def channels(self) -> int:
        return self.preprocessing.channels

    def batch(self, images: list[Image.Image]) -> Tensor:
        """Pictures -> normalised input (N, C, h, w) on the model's device."""
        return self.preprocessing.normalise(stack([self.preprocessing.tensor(i) for i in images]), self.device)
