"""What is measured of maps, and against what: kinds of curves, their settings, and names of controls. No
torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

OTHER_IMAGE, RANDOM_NETWORK = "other_image", "random_network"
OF_IMAGE = ("center", "noise", "edges")
"""Controls that see the image at most; the others are maps of a method, of another image or network."""
REPEATED_IMAGES = 16
"""Most images of figures that make maps many times (`repeated`)."""


@dataclass(frozen=True)
class Kind:
    """One kind of curve. `removed`: (ranks, k, number of cells) -> which cells are removed after k of them,
    bool like the ranks; `filled`: what stands there instead, a baseline of the settings or 'imputed';
    `starts`: the image 'whole' or 'empty' before the first step. The figure of a curve from one to the other
    is the area below it; of a curve that has no start, and so no end, the mean of its points."""

    title: str
    removed: "Callable[[Tensor, int, int], Tensor]"
    filled: Literal["baseline", "imputed"]
    starts: Literal["whole", "empty", ""] = ""


KINDS = {
    "insertion": Kind("insertion", lambda ranks, k, cells: ranks >= k, "baseline", "empty"),
    "deletion": Kind("deletion", lambda ranks, k, cells: ranks < k, "baseline", "whole"),
    "most_relevant_first": Kind("ROAD, most relevant first", lambda ranks, k, cells: ranks < k, "imputed"),
    "least_relevant_first": Kind(
        "ROAD, least relevant first", lambda ranks, k, cells: ranks >= cells - k, "imputed"
    ),
}


@dataclass(frozen=True)
class CurveSettings:
    """`cells` on a side of the grid; `steps` of insertion and deletion; `baseline` 'blur' or 'mean' of their
    removed cells; `fractions` of the cells that ROAD removes; `noise`: standard deviation, in normalized
    units, of what ROAD adds to imputed pixels; `seed` of the noise and of the order of equal values."""

    cells: int = 14
    steps: int = 10
    baseline: str = "blur"
    fractions: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    noise: float = 0.01
    seed: int = 0

    def fractions_of(self, kind: Kind) -> tuple[float, ...]:
        """The fractions of the cells at which the network is asked; the ends of a curve are shared."""
        return tuple(k / self.steps for k in range(1, self.steps)) if kind.starts else self.fractions

    def passes(self, kinds: Sequence[str]) -> int:
        """Forward passes that the curves of one map need, without what all maps of an image share."""
        return sum(len(self.fractions_of(KINDS[kind])) for kind in kinds)
