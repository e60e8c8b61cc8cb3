"""Draw one face: identity + action units + scene -> picture and the places of its parts."""

import numpy as np
from PIL import Image, ImageDraw

from models.data.toon_faces.head import EYE_Y, MOUTH_Y, HeadArtist, mix
from models.data.toon_faces.pen import Pen, Points, ellipse, smooth


class FaceArtist(HeadArtist):
    """Draws the parts in order of depth, and notes where each part came to lie."""

    def brow(self, x: int) -> None:
        au, who = self.au, self.who
        y = EYE_Y - who.brow_height + 0.05 * au(6) + 0.05 * au(9)
        inner = (
            0.17 - 0.07 * au(4) - 0.03 * au(9),
            y - 0.2 * au(1) + 0.17 * au(4) + 0.1 * au(9) + who.brow_slant,
        )
        middle = (0.46, y - 0.06 - 0.09 * au(1) - 0.15 * au(2) + 0.08 * au(4))
        outer = (0.76, y + 0.04 - 0.17 * au(2) + 0.02 * au(4) - who.brow_slant)
        points = smooth([inner, middle, outer]) * (x, 1)
        color = mix(who.hair, (20, 14, 12), 0.35) if who.hair_style != "bald" else self.line
        self.pen.stroke(points, who.brow_thickness * 1.35, color)
        self.note("brows", np.vstack([points + (0, -0.09), (points + (0, 0.09))[::-1]]))

    def frown_lines(self) -> None:
        for strength, points in (
            (self.au(4), [(0.06, -0.5), (0.045, -0.38), (0.06, -0.26)]),
            (self.au(1) * 0.7, [(-0.3, -0.8), (0.0, -0.84), (0.3, -0.8)]),
            (self.au(2) * 0.5, [(-0.42, -0.68), (0.0, -0.73), (0.42, -0.68)]),
        ):
            if strength > 0.2:
                color = mix(self.who.skin, self.line, min(0.75, 0.7 * strength))
                self.pen.stroke(smooth(points), 0.035, color)
                if points[0][0] > 0:
                    self.pen.stroke(smooth(points) * (-1, 1), 0.035, color)

    def eye(self, x: int) -> None:
        au, who, pen = self.au, self.who, self.pen
        r = 0.205 * who.eye_size
        up = 0.115 * who.eye_size * max(0.16, 1 + 0.75 * au(5) - 0.5 * au(7) - 0.25 * au(9) - 0.12 * au(4))
        down = 0.085 * who.eye_size * max(0.1, 1 + 0.15 * au(5) - 0.75 * au(6) - 0.5 * au(7) - 0.3 * au(9))
        droop = 0.05 * au(1) * au(15)  # grief: the outer corner hangs
        cx = who.eye_gap
        inner, outer = (cx - r, EYE_Y + 0.02), (cx + r, EYE_Y + droop - 0.01)
        top = smooth(
            [inner, (cx - 0.45 * r, EYE_Y - up * 0.9), (cx + 0.3 * r, EYE_Y - up + droop * 0.5), outer]
        )
        low = smooth([outer, (cx + 0.35 * r, EYE_Y + down), (cx - 0.4 * r, EYE_Y + down * 0.9), inner])
        flip = np.array([x, 1.0])
        lids = np.vstack([top, low]) * flip
        pen.fill(
            smooth(
                [
                    (cx - r * 1.2, EYE_Y),
                    (cx, EYE_Y - up * 1.75),
                    (cx + r * 1.2, EYE_Y),
                    (cx, EYE_Y + down * 1.8),
                ],
                closed=True,
            )
            * flip,
            mix(who.skin, self.shade, 0.4),
        )
        self.eyeball(lids, cx * x, 0.118 * who.eye_size)
        pen.stroke(top * flip, 0.045, self.line, taper=False)
        pen.stroke(low * flip, 0.02, mix(who.skin, self.line, 0.6), taper=False)
        if au(6) > 0.25:  # the raised cheek folds the skin below and beside the eye
            crease = mix(who.skin, self.line, min(0.6, 0.55 * au(6)))
            pen.stroke(smooth([(cx - 0.2, 0.06), (cx + 0.02, 0.1), (cx + 0.24, 0.03)]) * flip, 0.03, crease)
            for dy in (-0.06, 0.03):
                pen.stroke(
                    smooth(
                        [(cx + 0.27, EYE_Y + dy), (cx + 0.34, EYE_Y + dy * 1.6), (cx + 0.4, EYE_Y + dy * 2.6)]
                    )
                    * flip,
                    0.022,
                    crease,
                )
        self.note("eyes", ellipse(cx * x, EYE_Y, r * 1.3, max(up, down) + 0.09))

    def eyeball(self, lids: Points, x: float, iris: float) -> None:
        """Sclera, iris, pupil and glint, cut out by the lids."""
        white = Image.new("RGB", self.pen.picture.size)
        ball = Pen(white, self.scene)
        ball.fill(lids, (246, 244, 240))
        ball.fill(ellipse(x, EYE_Y - 0.005, iris, iris), self.who.iris)
        ball.fill(ellipse(x, EYE_Y - 0.005, iris * 0.5, iris * 0.5), (14, 12, 12))
        ball.fill(ellipse(x - 0.03, EYE_Y - 0.045, iris * 0.2, iris * 0.2), (255, 255, 255))
        cut = Image.new("L", self.pen.picture.size)
        ImageDraw.Draw(cut).polygon([(float(a), float(b)) for a, b in self.pen.place(lids)], fill=255)
        box = cut.getbbox()
        if box:
            self.pen.picture.paste(white.crop(box), box[:2], cut.crop(box))

    def nose(self) -> None:
        au, who, pen = self.au, self.who, self.pen
        w, tip = who.nose_width * (1 + 0.22 * au(9) + 0.08 * au(12)), who.nose_length - 0.07 * au(9) - 0.05
        shade = mix(who.skin, self.shade, 0.75)
        pen.stroke(smooth([(0.07, -0.1), (0.09, tip * 0.55), (w * 0.6, tip * 0.85)]), 0.04, shade)
        pen.fill(
            smooth(
                [
                    (-w, tip),
                    (-w * 0.6, tip - 0.09),
                    (0, tip - 0.12),
                    (w * 0.6, tip - 0.09),
                    (w, tip),
                    (w * 0.5, tip + 0.05),
                    (0, tip + 0.07),
                    (-w * 0.5, tip + 0.05),
                ],
                closed=True,
            ),
            mix(who.skin, self.shade, 0.35),
        )
        for x in (-1, 1):
            pen.fill(ellipse(x * w * 0.5, tip + 0.015, w * 0.2, 0.024), self.line)
            if au(9) > 0.15:  # wrinkles across the bridge, wings pulled up
                fold = mix(who.skin, self.line, min(0.85, 0.8 * au(9)))
                for y in (-0.14, -0.05, 0.04):
                    pen.stroke(
                        smooth([(x * 0.015, y + 0.01), (x * 0.07, y - 0.015), (x * 0.14, y + 0.05)]),
                        0.028,
                        fold,
                    )
                pen.stroke(
                    smooth([(x * w, tip - 0.09), (x * w * 1.25, tip - 0.01), (x * w * 1.1, tip + 0.05)]),
                    0.035,
                    fold,
                )
            fold_depth = max(au(12), au(9), 0.4 * au(15), 0.6 * au(20))
            if fold_depth > 0.2:  # nasolabial furrow
                reach = 0.46 + 0.1 * au(12) + 0.05 * au(20)
                pen.stroke(
                    smooth(
                        [
                            (x * w * 1.15, tip - 0.02),
                            (x * (reach - 0.12), tip + 0.1),
                            (x * reach, MOUTH_Y - 0.02),
                        ]
                    ),
                    0.03,
                    mix(who.skin, self.line, min(0.55, 0.5 * fold_depth)),
                )
        self.note(
            "nose",
            np.array(
                [
                    (-0.12, -0.16),
                    (0.12, -0.16),
                    (w * 1.3, tip),
                    (w, tip + 0.1),
                    (-w, tip + 0.1),
                    (-w * 1.3, tip),
                ]
            ),
        )

    def mouth(self) -> None:
        au, who, pen = self.au, self.who, self.pen
        one_sided = self.side != 0
        half = who.mouth_width * (
            1 + 0.42 * au(20) - 0.2 * au(23) - 0.12 * au(26) * (1 - min(au(20), 1)) - 0.05 * au(15)
        )
        corners = []
        for x in (-1, 1):
            pull = au(12) if not one_sided or x == self.side else 0.06 * au(12)
            dimple = au(14) if not one_sided or x == self.side else 0.05 * au(14)
            spread = half * (1 + (0.12 if one_sided else 0.36) * pull)
            lift = (0.15 if one_sided else 0.2) * pull
            corners.append(
                (x * spread, MOUTH_Y - lift + 0.19 * au(15) + 0.06 * au(20) - who.mouth_curve, dimple)
            )
        (lx, ly, _), (rx, ry, _) = corners
        lift = 0.09 * au(9)
        lip = who.lip * max(0.25, 1 - 0.7 * au(23) - 0.25 * au(20))
        gap = 0.42 * au(26) * (1 - 0.3 * min(au(20), 1)) + 0.09 * max(0.0, au(12) - 0.25) * (not one_sided)
        low_gap = gap + 0.13 * au(16)
        center = MOUTH_Y - lift + 0.03 * au(12) * (not one_sided) - 0.03 * au(15)
        in_top = smooth(
            [
                (lx, ly),
                (lx * 0.5, center - 0.02 - gap * 0.12),
                (0, center - gap * 0.15),
                (rx * 0.5, center - 0.02 - gap * 0.12),
                (rx, ry),
            ]
        )
        in_low = smooth(
            [
                (rx, ry),
                (rx * 0.55, center + 0.01 + low_gap * 0.75),
                (0, center + 0.015 + low_gap),
                (lx * 0.55, center + 0.01 + low_gap * 0.75),
                (lx, ly),
            ]
        )
        out_top = smooth(
            [
                (lx, ly),
                (lx * 0.45, center - gap * 0.14 - lip),
                (0, center - gap * 0.15 - lip * 0.75),
                (rx * 0.45, center - gap * 0.14 - lip),
                (rx, ry),
            ]
        )
        out_low = smooth(
            [
                (rx, ry),
                (rx * 0.5, center + low_gap * 0.85 + lip * 1.1),
                (0, center + low_gap + lip * 1.35),
                (lx * 0.5, center + low_gap * 0.85 + lip * 1.1),
                (lx, ly),
            ]
        )
        red = mix(who.skin, (176, 44, 52), 0.42)
        pen.fill(np.vstack([out_top, out_low]), red)
        if low_gap > 0.03:
            self.open_mouth(np.vstack([in_top, in_low]), center, gap, low_gap, lx, rx)
        pen.stroke(in_top, 0.028, mix(self.line, (70, 10, 16), 0.4))
        if low_gap <= 0.03:
            pen.stroke(in_low[::-1], 0.02, mix(self.line, (70, 10, 16), 0.4))
        for (cx, cy, dimple), sign in zip(corners, (-1, 1), strict=True):
            if dimple > 0.15:
                pen.stroke(
                    smooth(
                        [
                            (cx + sign * 0.05, cy - 0.09),
                            (cx + sign * 0.105, cy),
                            (cx + sign * 0.05, cy + 0.08),
                        ]
                    ),
                    0.038,
                    mix(who.skin, self.line, min(0.85, dimple)),
                )
        if au(23) > 0.25:
            pen.stroke(
                smooth([(-0.16, center + 0.15), (0, center + 0.13), (0.16, center + 0.15)]),
                0.03,
                mix(who.skin, self.line, min(0.5, 0.5 * au(23))),
            )
        edge = np.vstack([out_top, out_low])
        self.note(
            "mouth",
            (edge - edge.mean(0)) * (1.18, 1.0) + edge.mean(0) + np.sign(edge - edge.mean(0)) * (0.02, 0.05),
        )

    def open_mouth(
        self, inside: Points, center: float, gap: float, low_gap: float, lx: float, rx: float
    ) -> None:
        pen = self.pen
        pen.fill(inside, (64, 14, 18))
        teeth = min(0.07, 0.5 * low_gap)
        upper = [(lx * 0.7, center - 0.01), (0, center - gap * 0.14), (rx * 0.7, center - 0.01)]
        if gap > 0.02:
            pen.stroke(smooth(upper) + (0, teeth * 0.5), teeth, (240, 236, 226))
        if self.au(16) > 0.3:
            pen.stroke(
                smooth(
                    [
                        (lx * 0.5, center + low_gap * 0.72),
                        (0, center + low_gap * 0.9),
                        (rx * 0.5, center + low_gap * 0.72),
                    ]
                ),
                teeth * 0.9,
                (232, 226, 214),
            )
        if gap > 0.2:
            pen.fill(ellipse(0, center + low_gap * 0.8, 0.17, low_gap * 0.18), (168, 62, 66))

    def face(self) -> None:
        """Everything, back to front."""
        self.hair_back()
        self.head()
        self.beard()
        self.frown_lines()
        self.nose()
        for x in (-1, 1):
            self.eye(x)
            self.brow(x)
        self.mouth()
        self.glasses()
        self.hair_front()
