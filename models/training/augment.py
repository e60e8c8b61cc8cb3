"""Augmentation of training images: what a camera and a head do to a face, and never a vertical flip. Needs no
torch before it is called."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from models.errors import UserError
from models.training.strengths import LIMITS, AugmentationStrengths

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Augmentation(AugmentationStrengths):
    """`AugmentationStrengths` that are read from text, and applied to a batch."""

    @classmethod
    def parse(cls, text: str) -> "Augmentation":
        """`none`, or strengths as in 'rotation=10, erase=0.25'; what is not named keeps its default."""
        if text.strip() in ("", "default"):
            return cls()
        if text.strip() == "none":
            return cls(*(0.0 for _ in fields(cls)))
        values = {}
        for part in text.split(","):
            name, _, value = (p.strip() for p in part.partition("="))
            try:
                values[name] = float(value)
            except ValueError:
                raise UserError(
                    f"--augment '{part.strip()}' is not of the form NAME=NUMBER: names are "
                    f"{', '.join(LIMITS)}."
                ) from None
            if name not in LIMITS:
                raise UserError(f"--augment has no '{name}': names are {', '.join(LIMITS)}.")
        return cls(**values)

    def __str__(self) -> str:
        changed = [f"{f.name}={getattr(self, f.name):g}" for f in fields(self)]
        return ",".join(changed)

    @property
    def varies(self) -> bool:
        """Whether an image ever looks different from one epoch to the next."""
        return any(getattr(self, f.name) for f in fields(self))

    def __call__(self, pixels: "Tensor") -> "Tensor":
        """uint8 (N, C, h, w) -> float (N, C, h, w) in 0..255; draws from torch's global generator."""
        from models.training.views import varied

        return varied(pixels, self)
