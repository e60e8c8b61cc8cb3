"""Draw one face: identity + action units + scene -> picture and the positions of its parts."""

import numpy as np
from PIL import Image, ImageDraw

from models.data.toon_faces.head import EYE_Y, MOUTH_Y, HeadArtist, mix
from models.data.toon_faces.identity import Color
from models.data.toon_faces.mouth import MouthShape, mouth_shape
from models.data.toon_faces.pen import Pen, Points, ellipse, smooth


def brow_color(hair: Color) -> Color:
    return mix(hair, (20, 14, 12), 0.35)


class FaceArtist(HeadArtist):
    """Draws the parts in order of depth, and records the position of each."""

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
        color = brow_color(who.hair) if who.hair_style != "bald" else self.line
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
        r, cx = 0.205 * who.eye_size, who.eye_gap
        up = 0.115 * who.eye_size * max(0.16, 1 + 0.75 * au(5) - 0.5 * au(7) - 0.25 * au(9) - 0.12 * au(4))
        down = 0.085 * who.eye_size * max(0.1, 1 + 0.15 * au(5) - 0.75 * au(6) - 0.5 * au(7) - 0.3 * au(9))
        droop = 0.05 * au(1) * au(15)  # grief: the outer corner hangs
        inner, outer = (cx - r, EYE_Y + 0.02), (cx + r, EYE_Y + droop - 0.01)
        top = smooth(
            [inner, (cx - 0.45 * r, EYE_Y - up * 0.9), (cx + 0.3 * r, EYE_Y - up + droop * 0.5), outer]
        )
        low = smooth([outer, (cx + 0.35 * r, EYE_Y + down), (cx - 0.4 * r, EYE_Y + down * 0.9), inner])
        flip = np.array([x, 1.0])
        socket = [
            (cx - r * 1.2, EYE_Y),
            (cx, EYE_Y - up * 1.75),
            (cx + r * 1.2, EYE_Y),
            (cx, EYE_Y + down * 1.8),
        ]
        pen.fill(smooth(socket, closed=True) * flip, mix(who.skin, self.shade, 0.4))
        self.eyeball(np.vstack([top, low]) * flip, cx * x, 0.118 * who.eye_size)
        pen.stroke(top * flip, 0.045, self.line, taper=False)
        pen.stroke(low * flip, 0.02, mix(who.skin, self.line, 0.6), taper=False)
        if au(6) > 0.25:
            self.cheek_folds(cx, flip)
        self.note("eyes", ellipse(cx * x, EYE_Y, r * 1.3, max(up, down) + 0.09))

    def cheek_folds(self, cx: float, flip: Points) -> None:
        """The raised cheek folds the skin below and beside the eye at `cx`."""
        crease = mix(self.who.skin, self.line, min(0.6, 0.55 * self.au(6)))
        below = smooth([(cx - 0.2, 0.06), (cx + 0.02, 0.1), (cx + 0.24, 0.03)])
        self.pen.stroke(below * flip, 0.03, crease)
        for dy in (-0.06, 0.03):
            beside = [(cx + 0.27, EYE_Y + dy), (cx + 0.34, EYE_Y + dy * 1.6), (cx + 0.4, EYE_Y + dy * 2.6)]
            self.pen.stroke(smooth(beside) * flip, 0.022, crease)

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
        half = [(w * 0.6, tip - 0.09), (w, tip), (w * 0.5, tip + 0.05)]
        left = [(-x, y) for x, y in half]
        around = [left[1], left[0], (0, tip - 0.12), *half, (0, tip + 0.07), left[2]]
        pen.fill(smooth(around, closed=True), mix(who.skin, self.shade, 0.35))
        for x in (-1, 1):
            pen.fill(ellipse(x * w * 0.5, tip + 0.015, w * 0.2, 0.024), self.line)
            if au(9) > 0.15:
                self.nose_wrinkles(x, w, tip)
            self.nasolabial_furrow(x, w, tip)
        outline = [
            (-0.12, -0.16),
            (0.12, -0.16),
            (w * 1.3, tip),
            (w, tip + 0.1),
            (-w, tip + 0.1),
            (-w * 1.3, tip),
        ]
        self.note("nose", np.array(outline))

    def nose_wrinkles(self, x: int, w: float, tip: float) -> None:
        """Across the bridge, with the wings pulled up."""
        fold = mix(self.who.skin, self.line, min(0.85, 0.8 * self.au(9)))
        for y in (-0.14, -0.05, 0.04):
            across = [(x * 0.015, y + 0.01), (x * 0.07, y - 0.015), (x * 0.14, y + 0.05)]
            self.pen.stroke(smooth(across), 0.028, fold)
        wing = [(x * w, tip - 0.09), (x * w * 1.25, tip - 0.01), (x * w * 1.1, tip + 0.05)]
        self.pen.stroke(smooth(wing), 0.035, fold)

    def nasolabial_furrow(self, x: int, w: float, tip: float) -> None:
        """From the wing of the nose to the corner of the mouth."""
        au = self.au
        depth = max(au(12), au(9), 0.4 * au(15), 0.6 * au(20))
        if depth > 0.2:
            reach = 0.46 + 0.1 * au(12) + 0.05 * au(20)
            points = [
                (x * w * 1.15, tip - 0.02),
                (x * (reach - 0.12), tip + 0.1),
                (x * reach, MOUTH_Y - 0.02),
            ]
            self.pen.stroke(smooth(points), 0.03, mix(self.who.skin, self.line, min(0.55, 0.5 * depth)))

    def mouth(self) -> None:
        who, pen = self.who, self.pen
        shape = mouth_shape(who, self.action, self.side)
        inner_top, inner_low = shape.inner_top, shape.inner_low
        edge = np.vstack([shape.outer_top, shape.outer_low])
        pen.fill(edge, mix(who.skin, (176, 44, 52), 0.42))
        dark = mix(self.line, (70, 10, 16), 0.4)
        is_open = shape.low_gap > 0.03
        if is_open:
            self.open_mouth(np.vstack([inner_top, inner_low]), shape)
        pen.stroke(inner_top, 0.028, dark)
        if not is_open:
            pen.stroke(inner_low[::-1], 0.02, dark)
        self.dimples(shape)
        if self.au(23) > 0.25:
            chin = mix(who.skin, self.line, min(0.5, 0.5 * self.au(23)))
            below = [(-0.16, shape.center + 0.15), (0, shape.center + 0.13), (0.16, shape.center + 0.15)]
            pen.stroke(smooth(below), 0.03, chin)
        middle = edge.mean(0)
        self.note("mouth", (edge - middle) * (1.18, 1.0) + middle + np.sign(edge - middle) * (0.02, 0.05))

    def dimples(self, shape: MouthShape) -> None:
        """Beside the corners that are pressed in."""
        for (x, y), dimple, sign in zip((shape.left, shape.right), shape.dimples, (-1, 1), strict=True):
            if dimple > 0.15:
                beside = [(x + sign * 0.05, y - 0.09), (x + sign * 0.105, y), (x + sign * 0.05, y + 0.08)]
                self.pen.stroke(smooth(beside), 0.038, mix(self.who.skin, self.line, min(0.85, dimple)))

    def open_mouth(self, inside: Points, shape: MouthShape) -> None:
        """Teeth and tongue between the lips."""
        pen, center, gap, low_gap = self.pen, shape.center, shape.gap, shape.low_gap
        lx, rx = shape.left[0], shape.right[0]
        pen.fill(inside, (64, 14, 18))
        teeth = min(0.07, 0.5 * low_gap)
        if gap > 0.02:
            upper = [(lx * 0.7, center - 0.01), (0, center - gap * 0.14), (rx * 0.7, center - 0.01)]
            pen.stroke(smooth(upper) + (0, teeth * 0.5), teeth, (240, 236, 226))
        if self.au(16) > 0.3:
            y = center + low_gap * 0.72
            lower = [(lx * 0.5, y), (0, center + low_gap * 0.9), (rx * 0.5, y)]
            pen.stroke(smooth(lower), teeth * 0.9, (232, 226, 214))
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
