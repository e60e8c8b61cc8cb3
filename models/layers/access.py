"""How much of a network can be reached. Needs no torch."""

from typing import Literal

Access = Literal["scores", "gradients", "layers", "modules"]
LEVELS: tuple[Access, ...] = ("scores", "gradients", "layers", "modules")
"""From the least to the most: its scores alone; gradients of the image; the outputs of layers; PyTorch's own
modules, whose kind and parameters are known."""


def reaches(access: str, needed: Access) -> bool:
    """Whether `access` is as much as `needed`, or more."""
    return LEVELS.index(access) >= LEVELS.index(needed) if access in LEVELS else True  # type: ignore[arg-type]
