"""Draw one face with earrings and a hat, and record the place of everything that a label changes."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from models.data.toon_attributes.labels import PLACES
from models.data.toon_faces.action_units import Action
from models.data.toon_faces.draw import FaceArtist
from models.data.toon_faces.head import EYE_Y, MOUTH_Y, mix
from models.data.toon_faces.identity import Color, Identity, Scene
from models.data.toon_faces.mouth import MouthShape
from models.data.toon_faces.pen import OVERSAMPLE, Points, ellipse, smooth

GOLD, BLUE, RED, BLACK = (232, 188, 64), (60, 84, 140), (190, 60, 60), (24, 24, 28)


class AttributeArtist(FaceArtist):
    """A face whose action units each stay in their own place: elsewhere a wrinkled nose also lowers the
    brows, and raised cheeks lift them."""

    def __init__(
        self,
        who: Identity,
        action: Action,
        scene: Scene,
        rng: np.random.Generator,
        earrings: bool,
        hat: bool,
    ):
        super().__init__(who, action, 0, scene, rng)
        self.outlines: dict[str, list[Points]] = {place: [] for place in PLACES}
        self.has_earrings, self.has_hat = earrings, hat

    def brow(self, x: int) -> None:
        with self._at_rest(6, 9):
            super().brow(x)

    def eye(self, x: int) -> None:
        with self._at_rest(4, 9, 15):
            super().eye(x)

    def mouth(self) -> None:
        with self._at_rest(9):
            super().mouth()

    def dimples(self, shape: MouthShape) -> None:
        """Deeper than those of the toon faces, where they come with other signs of contempt."""
        for (x, y), depth, sign in zip((shape.left, shape.right), shape.dimples, (-1, 1), strict=True):
            if depth > 0.15:
                beside = [(x + sign * 0.05, y - 0.1), (x + sign * 0.12, y), (x + sign * 0.05, y + 0.1)]
                self.pen.stroke(smooth(beside), 0.055, mix(self.who.skin, BLACK, min(0.9, depth)))

    def frame_color(self) -> Color:
        return BLACK

    @contextmanager
    def _at_rest(self, *units: int) -> Iterator[None]:
        before = self.action
        self.action = {unit: value for unit, value in before.items() if unit not in units}
        try:
            yield
        finally:
            self.action = before

    def face(self) -> None:
        super().face()
        if self.has_earrings:
            self.earrings()
        if self.has_hat:
            self.hat()
        self.note_places()

    def earrings(self) -> None:
        """A ring at each ear lobe."""
        for x, y in self._lobes():
            rim = ellipse(x, y, 0.1, 0.12)
            self.pen.stroke(np.vstack([rim, rim[:1]]), 0.06, GOLD, taper=False)

    def hat(self) -> None:
        """A crown and a wide brim, above the brows."""
        felt = self._felt()
        self.pen.fill(self._crown(), felt, depth=0.5)
        self.pen.fill(self._band(), mix(felt, (20, 16, 20), 0.7), depth=0.5)
        self.pen.fill(self._brim(), mix(felt, (20, 16, 20), 0.25), depth=0.5)

    def _felt(self) -> Color:
        """Of another color than the hair."""
        return BLUE if sum(abs(a - b) for a, b in zip(BLUE, self.who.hair, strict=True)) > 120 else RED

    def _brim_y(self) -> float:
        return -0.72 * self.who.height

    def _crown(self) -> Points:
        w, y = self.who.width, self._brim_y()
        sides = [(w * 0.8, y), (w * 0.72, y - 0.48), (w * 0.3, y - 0.58)]
        return smooth([*sides, *[(-x, v) for x, v in sides[::-1]]], closed=False)

    def _band(self) -> Points:
        w, y = self.who.width, self._brim_y()
        return np.array([(-w * 0.8, y), (w * 0.8, y), (w * 0.78, y - 0.14), (-w * 0.78, y - 0.14)])

    def _brim(self) -> Points:
        return ellipse(0, self._brim_y(), self.who.width * 1.3, 0.1)

    def _lobes(self) -> tuple[tuple[float, float], ...]:
        return tuple((x * self.who.width * 1.06, 0.46) for x in (-1, 1))

    def note_places(self) -> None:
        """Where things are that have no outline of their own, and where those would be that are not there."""
        w, h, drop = self.who.width, self.who.height, 0.16 * self.au(26)
        self.note("forehead", np.array([(-0.6, -0.9), (0.6, -0.9), (0.6, -0.6), (-0.6, -0.6)]))
        self.note("brows", np.array([(-0.14, -0.58), (0.14, -0.58), (0.14, -0.2), (-0.14, -0.2)]))
        bottom = h * 1.0 + drop
        jaw = [(w, 0.15), (w * 0.98, 0.6), (w * 0.7, 0.95 + drop * 0.7), (w * 0.35, bottom)]
        self.note("jaw", np.array([*jaw, *[(-x, y) for x, y in jaw[::-1]]]))
        for x in (-1, 1):
            self.note("cheeks", ellipse(x * 0.52, 0.27, 0.3, 0.28))
            self.note("glasses", ellipse(x * self.who.eye_gap, EYE_Y + 0.03, 0.34, 0.33))
            self.note("glasses", ellipse(x * 0.88, EYE_Y - 0.01, 0.18, 0.06))
            self.note("eyes", ellipse(x * (self.who.eye_gap + 0.3), EYE_Y + 0.02, 0.12, 0.14))
        for left, y in self._lobes():
            self.note("ears", ellipse(left, y, 0.15, 0.17))
        for outline in (self._crown(), self._brim()):
            self.outlines["hat"].append(self._placed(outline))
        self.note("mouth", ellipse(0, MOUTH_Y, 0.7, 0.2))

    def _placed(self, outline: Points) -> Points:
        made: Points = self.pen.place(outline, 0.5) / OVERSAMPLE
        return made
