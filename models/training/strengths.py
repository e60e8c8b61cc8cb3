"""How far images are varied in training, as numbers. Needs no torch."""

from dataclasses import dataclass

from models.errors import UserError

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
    "equalize": 1.0,
}


@dataclass(frozen=True)
class AugmentationStrengths:
    """Strengths; 0 turns each off. The ranges of Hewitt & Gunes 2018 and of the usual FER2013 recipes.

    flip: fraction of images mirrored; rotation: degrees to either side; shift: fraction of the width; zoom:
    fraction of the size; light: fraction of the range added; contrast: fraction around the mean; erase:
    fraction of images that lose a rectangle (Zhong et al. 2020, *Random Erasing*; 2 to 15 % of the area,
    filled with the image's mean); blur: fraction of images blurred by a Gaussian, its sigma drawn between
    1/200 and 1/40 of the width; grey: fraction of images that lose their color (luma of ITU-R BT.601);
    equalize: fraction of images whose histogram is made flat, each color by itself (as Pillow's
    `ImageOps.equalize`).

    Raises UserError for a strength outside of its limits.
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
    equalize: float = 0.0

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            if not 0 <= getattr(self, name) <= most:
                raise UserError(
                    f"Augmentation {name} is {getattr(self, name)}: it must lie between 0 and {most:g}."
                )
