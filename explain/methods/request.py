"""A request for maps: method, layers, classes, parameters, smoothing. It is hashable, and needs no torch."""

from dataclasses import dataclass, field
from typing import Any

from models.errors import UserError

Classes = int | tuple[int, ...] | None
"""One class for all images, or one class for each; None is the predicted class."""


@dataclass(frozen=True)
class Smoothing:
    """Maps averaged over variations of the image: the image and its mirror image (`flip`), and `samples`
    copies with Gaussian noise whose standard deviation is `spread` times the image's range (SmoothGrad,
    Smilkov et al. 2017, arXiv:1706.03825). Each copy needs its own pass.

    Raises UserError for values that are out of range.
    """

    flip: bool = False
    samples: int = 0
    spread: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.samples <= 1000 or not 0 < self.spread <= 2:
            raise UserError(
                f"Smoothing with {self.samples} samples of spread {self.spread}: use 0 to 1000 samples and "
                "a spread up to 2."
            )

    @property
    def copies(self) -> int:
        """How many copies of an image are explained."""
        return max(1, self.samples) * (1 + self.flip)


@dataclass(frozen=True)
class MapRequest:
    """Which maps: of `method` at `layer` (names separated by commas, or 'all-stages', are fused by `fuse`,
    'mean' or 'max'; '' is the default layer), for class `target`, minus class `contrast_class` where it is
    given.

    `parameters`: those that differ from the method's own, as (name, value) pairs.
    """

    method: str
    layer: str = ""
    target: Classes = None
    contrast_class: Classes = None
    parameters: tuple[tuple[str, Any], ...] = ()
    fuse: str = "mean"
    smoothing: Smoothing = field(default_factory=Smoothing)
