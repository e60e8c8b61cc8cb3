"""How a decoder is trained: one frozen record, kept in its file."""

from dataclasses import asdict, dataclass
from typing import Any

from models.errors import UserError


@dataclass(frozen=True)
class InversionRecipe:
    """Dosovitskiy & Brox 2016: Adam, squared error of the normalized image, a tenth of the learning rate
    every `step` epochs. `width`: factor of the decoder's channels, 1 as published; `depth`: its layers before
    the up-convolutions; `ups`: number of up-convolutions, 0 by the shape of the layer's output. Raises
    UserError for a value out of range."""

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    step: int = 5
    width: float = 1.0
    flips: bool = True
    seed: int = 0
    depth: int = 3
    ups: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "step"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if not 1 <= self.depth <= 6 or not 0 <= self.ups <= 5:
            raise UserError(
                f"depth is {self.depth}, ups {self.ups}: 1 to 6 layers before 1 to 5 up-convolutions can "
                "be given (0: as many as fit)."
            )
        if not 0.01 <= self.width <= 4:
            raise UserError(f"width is {self.width:g}: 1 is the published decoder, 0.01 to 4 can be given.")
        if not 0 < self.learning_rate < 1:
            raise UserError(
                f"learning_rate is {self.learning_rate:g}: it must lie between 0 and 1; 0.001 is usual."
            )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, kept: dict[str, Any]) -> list[str]:
        """One phrase for every entry of another recipe's `as_dict` that differs."""
        before = InversionRecipe().as_dict() | kept
        return [f"{k} {before[k]} (now {v})" for k, v in self.as_dict().items() if before[k] != v]
