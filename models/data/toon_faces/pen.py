"""A pen that draws smooth shapes in face units through the pose, larger than the picture, and reduces
them."""

import numpy as np
from PIL import Image, ImageDraw

from models.data.toon_faces.identity import Scene

Points = np.ndarray
"""(n, 2) positions in face units: x to the right, y down, origin between eyes and nose."""

SIZE = 128
OVERSAMPLE = 4  # drawn four times larger and averaged down: that is the anti-aliasing


def smooth(points: list[tuple[float, float]] | Points, closed: bool = False, steps: int = 8) -> Points:
    """A Catmull-Rom curve through the points."""
    p = np.asarray(points, float)
    p = np.vstack([p[-1:], p, p[:2]]) if closed else np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.vstack([curve, p[-2]])


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0, n: int = 36) -> Points:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    dx, dy = rx * np.cos(t), ry * np.sin(t)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x + cos * dx - sin * dy, y + sin * dx + cos * dy], 1)


class Pen:
    """Draws on one picture. The head is a shallow bulge, so that turning it foreshortens the far side."""

    def __init__(self, picture: Image.Image, scene: Scene):
        self.picture, self.scene = picture, scene
        self.draw = ImageDraw.Draw(picture)
        self.unit = scene.scale * picture.width
        self.center = np.array([0.5 + scene.shift[0], 0.5 + scene.shift[1]]) * picture.width

    def place(self, points: Points, depth: float = 0.75) -> Points:
        """Face units -> pixels of the picture."""
        s = self.scene
        x, y = points[:, 0], points[:, 1]
        z = depth * np.sqrt(np.clip(1 - (x / 1.25) ** 2 - (y / 1.9) ** 2, 0, 1))
        x, y = x * np.cos(s.yaw) + z * np.sin(s.yaw), y * np.cos(s.pitch) + z * np.sin(s.pitch)
        cos, sin = np.cos(s.roll), np.sin(s.roll)
        return np.stack([cos * x - sin * y, sin * x + cos * y], 1) * self.unit + self.center

    def fill(self, points: Points, color, depth: float = 0.75) -> None:  # type: ignore[no-untyped-def]
        self.draw.polygon([(float(x), float(y)) for x, y in self.place(points, depth)], fill=color)

    def stroke(self, points: Points, width: float, color, taper: bool = True) -> None:  # type: ignore[no-untyped-def]
        """A line of the given width (face units); tapered lines end in a point."""
        delta = np.gradient(points, axis=0)
        normal = np.stack([-delta[:, 1], delta[:, 0]], 1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        t = np.linspace(0, 1, len(points))[:, None]
        half = width / 2 * (np.sin(np.pi * (0.06 + 0.88 * t)) if taper else np.ones_like(t))
        self.fill(np.vstack([points + normal * half, (points - normal * half)[::-1]]), color)
