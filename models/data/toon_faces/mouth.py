"""The shape of a mouth: where action units move its corners, its lips and its opening."""

from dataclasses import dataclass

from models.data.toon_faces.action_units import Action
from models.data.toon_faces.head import MOUTH_Y
from models.data.toon_faces.identity import Identity
from models.data.toon_faces.pen import Points, smooth

Corner = tuple[float, float]


@dataclass(frozen=True)
class MouthShape:
    """In face units. `left`, `right`: the corners (x, y); `dimples`: depth of the dimple beside each;
    `center`: y of the middle; `gap`, `low_gap`: how far the upper and the lower lip are apart from it; `lip`:
    thickness of the lips."""

    left: Corner
    right: Corner
    dimples: tuple[float, float]
    center: float
    gap: float
    low_gap: float
    lip: float

    @property
    def inner_top(self) -> Points:
        """The lower edge of the upper lip, left to right."""
        beside = self.center - 0.02 - self.gap * 0.12
        return _curve(self.left, self.right, 0.5, beside, self.center - self.gap * 0.15)

    @property
    def inner_low(self) -> Points:
        """The upper edge of the lower lip, right to left."""
        beside = self.center + 0.01 + self.low_gap * 0.75
        return _curve(self.right, self.left, 0.55, beside, self.center + 0.015 + self.low_gap)

    @property
    def outer_top(self) -> Points:
        """The upper edge of the upper lip, left to right."""
        beside = self.center - self.gap * 0.14 - self.lip
        middle = self.center - self.gap * 0.15 - self.lip * 0.75
        return _curve(self.left, self.right, 0.45, beside, middle)

    @property
    def outer_low(self) -> Points:
        """The lower edge of the lower lip, right to left."""
        beside = self.center + self.low_gap * 0.85 + self.lip * 1.1
        middle = self.center + self.low_gap + self.lip * 1.35
        return _curve(self.right, self.left, 0.5, beside, middle)


def mouth_shape(who: Identity, action: Action, side: int) -> MouthShape:
    """`side`: -1 or 1 where only the left or right half moves, 0 where both do."""

    def au(unit: int) -> float:
        return action.get(unit, 0.0)

    one_sided = side != 0
    half = who.mouth_width * (
        1 + 0.42 * au(20) - 0.2 * au(23) - 0.12 * au(26) * (1 - min(au(20), 1)) - 0.05 * au(15)
    )
    corners, dimples = [], []
    for x in (-1, 1):
        moves = not one_sided or x == side
        pull = au(12) if moves else 0.06 * au(12)
        spread = half * (1 + (0.12 if one_sided else 0.36) * pull)
        lift = (0.15 if one_sided else 0.2) * pull
        corners.append((x * spread, MOUTH_Y - lift + 0.19 * au(15) + 0.06 * au(20) - who.mouth_curve))
        dimples.append(au(14) if moves else 0.05 * au(14))
    gap = 0.42 * au(26) * (1 - 0.3 * min(au(20), 1)) + 0.09 * max(0.0, au(12) - 0.25) * (not one_sided)
    return MouthShape(
        corners[0],
        corners[1],
        (dimples[0], dimples[1]),
        center=MOUTH_Y - 0.09 * au(9) + 0.03 * au(12) * (not one_sided) - 0.03 * au(15),
        gap=gap,
        low_gap=gap + 0.13 * au(16),
        lip=who.lip * max(0.25, 1 - 0.7 * au(23) - 0.25 * au(20)),
    )


def _curve(start: Corner, end: Corner, reach: float, beside: float, middle: float) -> Points:
    """From corner to corner through the `middle` (y); `beside` (y) at a fraction `reach` of each corner's
    x."""
    return smooth([start, (start[0] * reach, beside), (0, middle), (end[0] * reach, beside), end])
