"""The check of one map: insertion and deletion beside controls, and whether the map depends on what the
network has learned; as figures and in words. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from explain.quality.comparison import EQUAL as ROUNDING
from explain.quality.one_map.kept import Quantity
from explain.quality.settings import OTHER_IMAGE, RANDOM_NETWORK
from explain.text_table import columns

OWN, OTHER, RANDOM = "map", OTHER_IMAGE, RANDOM_NETWORK
NAMES = {
    OWN: "this map",
    "center": "the center",
    "noise": "smooth noise",
    "edges": "edges",
    OTHER: "another image's map",
    RANDOM: "a random network's map",
}
"""The map, and its controls, in the order in which they are shown."""
NOT_COMPARED = {
    OTHER: "Not compared with another image's map",
    RANDOM: "Not compared with a network with random weights",
}
"""Where there is no such control; the reason follows."""
EQUAL = 0.005
"""Figures that differ by less are called equal: of probabilities; of numbers as a fraction of the range of
the curves."""
NARROW = 2 * EQUAL
"""Up to this range of their curves probabilities are called constant; of numbers it is that of rounding."""
SAME = 0.95
"""Rank correlation from which on two maps are almost the same."""
COMMAND = "python launch.py trust RUN"
ONE_IMAGE = f"One image does not tell whether a method is good; {COMMAND} measures it over a run."


@dataclass(frozen=True, eq=False)
class MapCheck:
    """Of one map and its controls, by the names of `NAMES`, without those that there cannot be. `fractions`
    (S,) of the cells; `insertion`, `deletion` (S,) scores of the `quantity` at each; `areas`: below both
    curves. Noise is the mean of three. `like_random`: rank correlation with the map of the same method on a
    network with random weights, NaN where there is none, and `without_random` says why. `other_image`: a
    sentence that says which image the other one is, or why there is none. `like_center`: rank correlation
    with the center."""

    quantity: Quantity
    fractions: tuple[float, ...]
    insertion: Mapping[str, np.ndarray]
    deletion: Mapping[str, np.ndarray]
    areas: Mapping[str, tuple[float, float]]
    like_random: float
    without_random: str = ""
    other_image: str = ""
    like_center: float = float("nan")

    def difference(self, name: str = OWN) -> float:
        """Insertion minus deletion, larger is better: how much sooner the score comes with the map's
        strongest cells than it goes without them."""
        inserted, deleted = self.areas[name]
        return inserted - deleted

    @property
    def best_control(self) -> str:
        """The control with the largest difference."""
        return max((name for name in self.areas if name != OWN), key=self.difference)

    @property
    def range(self) -> tuple[float, float]:
        """Of all curves; of probabilities from 0 on."""
        low, high = self._ends
        return (low if self.quantity.numbers else 0.0), high

    @property
    def _ends(self) -> tuple[float, float]:
        """The smallest and the largest score of all curves."""
        scores = np.concatenate([*self.insertion.values(), *self.deletion.values()])
        return float(scores.min()), float(scores.max())

    @property
    def _rounding(self) -> float:
        """What numbers differ by that are the same."""
        return ROUNDING * max(map(abs, self._ends))

    def _equal(self, *names: str) -> bool:
        """Whether the differences of `names` are equal, within the margin or as they are shown."""
        low, high = self._ends
        found = [self.difference(name) for name in names]
        margin = max(EQUAL * (high - low), self._rounding) if self.quantity.numbers else EQUAL
        return max(found) - min(found) <= margin or len({*map(self.text_of, found)}) == 1

    @property
    def sentence(self) -> str:
        """What the curves say of the map on this image, and of nothing else."""
        best = self.best_control
        own, other = self.difference(), self.difference(best)
        shown = self.text_of(own), self.text_of(other)
        if self._equal(*self.areas):
            return (
                f"Nothing can be told apart on this image: insertion − deletion is {shown[0]}, and that of "
                f"all its controls is equal; {self._why_equal}."
            )
        if self._equal(OWN, best):
            verdict = f"No better than {NAMES[best]} on this image"
        elif own > other:
            verdict = f"Better than all its controls on this image, the best of them {NAMES[best]}"
        else:
            verdict = f"Worse than {NAMES[best]} on this image"
        return f"{verdict}: insertion − deletion is {shown[0]}, against {shown[1]}."

    @property
    def _why_equal(self) -> str:
        """Why the curves tell nothing apart."""
        (low, high), value = self._ends, self.quantity.value
        if high - low > (self._rounding if self.quantity.numbers else NARROW):
            return f"{self.quantity.short} is about the same whichever cells come first"
        if high <= NARROW and not self.quantity.numbers:
            return f"{self.quantity.short} is near 0 all along, {value(high)} at most"
        ends = dict.fromkeys([value(low), value(high)])
        return f"{self.quantity.short} is {' to '.join(ends)} all along"

    @property
    def center(self) -> str:
        """That the map is the center; empty where it is not."""
        if not self.like_center >= SAME:
            return ""
        return f"This map is the center (rank correlation {self.like_center:.2f})."

    @property
    def dependence(self) -> str:
        """Whether the map depends on what the network has learned."""
        if self.without_random:
            return self.without_random
        like = f"rank correlation {self.like_random:.2f}".replace("-", "−")
        if self.like_random >= SAME:
            return (
                "The map does not depend on what the network has learned: the same method on a network with "
                f"random weights gives almost the same map ({like})."
            )
        return (
            "The same method on a network with random weights gives another map "
            f"({like}; 1 is the same map, 0 an unrelated one)."
        )

    @property
    def lines(self) -> list[str]:
        """As plain text: a table of the areas, and what they say."""
        rows: list[Sequence[str]] = [("area below the curve", "insertion", "deletion", "difference")]
        rows += [
            (NAMES[name], *map(self.text_of, (*pair, self.difference(name))))
            for name, pair in self.areas.items()
        ]
        said = [self.sentence, *filter(None, [self.center]), self.dependence]
        said += filter(None, [self.other_image])
        return [*columns(rows, right=range(1, 4)).splitlines(), *said]

    def text_of(self, area: float) -> str:
        """'0.61' of a probability, four digits of a number; a dash for NaN."""
        if np.isnan(area):
            return "–"
        text = f"{area:.4g}" if self.quantity.numbers else f"{round(area, 2) + 0.0:.2f}"
        return text.replace("-", "−")
