"""The head of a drawn face: its outline, hair, beard and glasses."""

import numpy as np
from PIL import Image

from models.data.toon_faces.action_units import PARTS, Action
from models.data.toon_faces.identity import Color, Identity, Scene
from models.data.toon_faces.pen import OVERSAMPLE, SIZE, Pen, Points, ellipse, smooth

EYE_Y, MOUTH_Y = -0.12, 0.62


def mix(a: Color, b: Color, fraction: float) -> Color:
    """`fraction` of b in a."""
    r, g, blue = (round(p + (q - p) * fraction) for p, q in zip(a, b, strict=True))
    return r, g, blue


class HeadArtist:
    """The canvas of a face, and what surrounds its parts; it records the position of each part."""

    def __init__(self, who: Identity, action: Action, side: int, scene: Scene, rng: np.random.Generator):
        self.who, self.scene, self.rng = who, scene, rng
        self.action, self.side = action, side
        canvas = Image.new("RGB", (SIZE * OVERSAMPLE,) * 2)
        self.pen = Pen(canvas, scene)
        self.outlines: dict[str, list[Points]] = {part: [] for part in PARTS}
        self.shade = mix(who.skin, (60, 20, 20), 0.28)
        self.line = mix(who.skin, (40, 16, 14), 0.62)

    def au(self, unit: int) -> float:
        return self.action.get(unit, 0.0)

    def note(self, part: str, points: Points) -> None:
        self.outlines[part].append(self.pen.place(points) / OVERSAMPLE)

    # -- the head -----------------------------------------------------------------------------------

    def head_outline(self) -> Points:
        w, h, jaw = self.who.width, self.who.height, self.who.jaw
        drop = 0.16 * self.au(26)
        right = [
            (0, -h * 0.92),
            (w * 0.62, -h * 0.8),
            (w * 0.95, -h * 0.36),
            (w, 0.1),
            (w * 0.93, 0.5),
            (w * (jaw + 0.08), 0.9 + drop * 0.7),
            (w * 0.32, h * 0.91 + drop),
        ]
        left = [(-x, y) for x, y in right[:0:-1]]
        return smooth([*right, (0, h * 0.95 + drop), *left], closed=True)

    def hair_back(self) -> None:
        w, h, style = self.who.width, self.who.height, self.who.hair_style
        if style == "long":
            self.pen.fill(
                smooth(
                    [
                        (0, -h * 1.06),
                        (w * 0.95, -h * 0.8),
                        (w * 1.24, 0.2),
                        (w * 1.2, 1.35),
                        (w * 0.6, 1.6),
                        (-w * 0.6, 1.6),
                        (-w * 1.2, 1.35),
                        (-w * 1.24, 0.2),
                        (-w * 0.95, -h * 0.8),
                    ],
                    closed=True,
                ),
                self.who.hair,
                depth=0.1,
            )
        elif style == "curly":
            for angle in np.linspace(np.pi * 0.92, np.pi * 2.08, 15):
                self.pen.fill(
                    ellipse(w * 1.02 * np.cos(angle), -0.1 + h * 0.95 * np.sin(angle), 0.27, 0.27),
                    self.who.hair,
                    depth=0.2,
                )
        elif style == "bun":
            self.pen.fill(ellipse(0.05, -h * 1.08, 0.34, 0.3), self.who.hair, depth=0.2)

    def hair_front(self) -> None:
        w, h, style = self.who.width, self.who.height, self.who.hair_style
        if style == "bald":
            return
        low = {"side": -0.5, "short": -0.66, "long": -0.64, "bun": -0.7, "curly": -0.62}[style] * h
        part = 0.45 if style == "side" else 0.0
        crown = [
            (-w * 1.03, -0.12),
            (-w * 1.06, -h * 0.5),
            (-w * 0.72, -h * 0.93),
            (0, -h * 1.07),
            (w * 0.72, -h * 0.93),
            (w * 1.06, -h * 0.5),
            (w * 1.03, -0.12),
        ]
        fringe = [
            (w * 0.9, -h * 0.36),
            (w * (0.5 + part * 0.3), low - 0.06),
            (w * part, low - 0.14 * h),
            (-w * 0.45, low),
            (-w * 0.9, -h * 0.36),
        ]
        self.pen.fill(np.vstack([smooth(crown), smooth(fringe)]), self.who.hair, depth=0.55)
        glow = mix(self.who.hair, (255, 255, 255), 0.16)
        self.pen.stroke(
            smooth([(-0.6 * w, -h * 0.82), (-0.15, -h * 0.95), (0.35 * w, -h * 0.88)]), 0.07, glow
        )

    def head(self) -> None:
        pen, who = self.pen, self.who
        pen.fill(
            smooth(
                [
                    (-0.42, 0.8),
                    (0.42, 0.8),
                    (0.46, 1.5),
                    (1.5, 1.95),
                    (1.6, 2.8),
                    (-1.6, 2.8),
                    (-1.5, 1.95),
                    (-0.46, 1.5),
                ],
                closed=True,
            ),
            self.scene.shirt,
            depth=0.1,
        )
        pen.fill(
            np.array([(-0.4, 0.7), (0.4, 0.7), (0.44, 1.5), (0.0, 1.75), (-0.44, 1.5)]), self.shade, depth=0.1
        )
        for x in (-1, 1):
            pen.fill(ellipse(x * who.width * 1.03, 0.12, 0.15, 0.27), self.shade, depth=0.1)
        outline = self.head_outline()
        pen.fill(outline, self.shade)
        pen.fill(outline * (0.955, 0.965) + (0, -0.01), mix(who.skin, self.shade, 0.3))
        pen.fill(outline * (0.87, 0.91) + (0, -0.02), who.skin)
        cheek = mix(who.skin, (224, 96, 84), 0.14 + 0.1 * min(self.au(6), 1))
        for x in (-1, 1):
            pen.fill(ellipse(x * 0.56, 0.3 - 0.06 * self.au(6), 0.2, 0.15), cheek)

    # -- the parts ----------------------------------------------------------------------------------

    def beard(self) -> None:
        who, drop = self.who, 0.16 * self.au(26)
        if not who.beard:
            return
        w, jaw, h = who.width, who.jaw, who.height
        right = [
            (w * 0.9, 0.2),
            (w * 0.92, 0.52),
            (w * (jaw + 0.08), 0.92 + drop * 0.7),
            (w * 0.34, h * 0.93 + drop),
        ]
        inner = [(w * 0.72, 0.44), (w * 0.55, 0.5), (0.3, 0.42), (0.0, 0.41)]
        points = [
            *right,
            (0, h * 0.98 + drop),
            *[(-x, y) for x, y in right[::-1]],
            *[(-x, y) for x, y in inner],
            *inner[-2::-1],
        ]
        self.pen.fill(smooth(points, closed=True), mix(who.skin, who.hair, 0.35 + 0.5 * who.beard))

    def frame_color(self) -> Color:
        return mix((30, 30, 34), self.who.hair, 0.3)

    def glasses(self) -> None:
        if self.who.glasses == "none":
            return
        frame = self.frame_color()
        for x in (-1, 1):
            cx = x * self.who.eye_gap
            if self.who.glasses == "round":
                rim = ellipse(cx, EYE_Y + 0.03, 0.3, 0.29)
            else:
                rim = smooth(
                    [
                        (cx - 0.3, EYE_Y - 0.2),
                        (cx + 0.3, EYE_Y - 0.2),
                        (cx + 0.28, EYE_Y + 0.25),
                        (cx - 0.28, EYE_Y + 0.25),
                    ],
                    closed=True,
                )
            self.pen.stroke(np.vstack([rim, rim[:1]]), 0.045, frame, taper=False)
            self.pen.stroke(
                np.array([(x * 0.72, EYE_Y), (x * 0.88, EYE_Y - 0.03), (x * 1.02, EYE_Y - 0.02)]),
                0.04,
                frame,
                taper=False,
            )
        self.pen.stroke(smooth([(-0.15, EYE_Y), (0, EYE_Y - 0.05), (0.15, EYE_Y)]), 0.045, frame, taper=False)
