"""How far images are varied in training: what a camera and a head do to a face, and never a vertical flip.
Needs no torch."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from models.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

LIMITS = {
    "flip": 1.0,
    "rotation": 45.0,
    "shift": 0.5,
    "zoom": 0.5,
    "light": 1.0,
    "contrast": 1.0,
    "erase": 1.0,
    "blur": 1.0,
    "grey": 1.0,
}


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 turns each off. The ranges of Hewitt & Gunes 2018 and of the usual FER2013 recipes.

    flip: share of images mirrored; rotation: degrees to either side; shift: share of the width; zoom: share
    of the size; light: share of the range added; contrast: share around the mean; erase: share of images that
    lose a rectangle (Zhong et al. 2020, *Random Erasing*; 2 to 15 % of the area, filled with the image's
    mean); blur: share of images blurred by a Gaussian, its sigma drawn between 1/200 and 1/40 of the width;
    grey: share of images that lose their color (luma of ITU-R BT.601).
    """

    flip: float = 0.5
    rotation: float = 15.0
    shift: float = 0.08
    zoom: float = 0.1
    light: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    blur: float = 0.0
    grey: float = 0.0

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            if not 0 <= getattr(self, name) <= most:
                raise UserError(
                    f"Augmentation {name} is {getattr(self, name)}: it must lie between 0 and {most:g}."
                )

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
