"""How much of a network can be reached: its scores alone, gradients of the image too, or every layer. Needs
no torch."""

from typing import Literal

Access = Literal["scores", "gradients", "layers"]
LEVELS: tuple[Access, ...] = ("scores", "gradients", "layers")
"""From the least to the most."""


def reaches(access: str, needed: Access) -> bool:
    """Whether `access` is as much as `needed`, or more."""
    return LEVELS.index(access) >= LEVELS.index(needed) if access in LEVELS else True  # type: ignore[arg-type]
