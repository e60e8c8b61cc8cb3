"""True and predicted numbers of one output as points of a plane, and which images lie inside a region of it.
NumPy only."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from explain.analysis.axis import Axis

CELLS = 48
"""Cells of a side of the plane, at most."""
CORNERS = 64
"""Corners of a lasso, at most."""
NEIGHBORS = 24
"""Images around a point."""


@dataclass(frozen=True)
class Box:
    """Images whose true number is at least `left` and below `right`, and whose predicted number is at least
    `bottom` and below `top`; infinite for an open side."""

    left: float = -math.inf
    right: float = math.inf
    bottom: float = -math.inf
    top: float = math.inf


@dataclass(frozen=True)
class Lasso:
    """Images inside a polygon of (true, predicted) corners, or on its edge; of edges that cross, by the
    even-odd rule."""

    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Near:
    """The images nearest to a point."""

    true: float
    predicted: float


Region = Box | Lasso | Near


@dataclass(frozen=True, eq=False)
class Plane:
    """`rows`, `truth`, `predicted` (n,) of the images that have both numbers of the output `name`."""

    name: str
    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(cls, name: str, truth: np.ndarray, predicted: np.ndarray) -> "Plane":
        """Without the rows that have a NaN or an infinite number."""
        rows = np.flatnonzero(np.isfinite(truth) & np.isfinite(predicted))
        return cls(name, rows, np.asarray(truth, float)[rows], np.asarray(predicted, float)[rows])

    @cached_property
    def residual(self) -> np.ndarray:
        """(n,): predicted minus true."""
        return self.predicted - self.truth

    @cached_property
    def by_error(self) -> np.ndarray:
        """Indices (n,), the largest error first."""
        return np.argsort(-np.abs(self.residual), kind="stable")

    @cached_property
    def axis(self) -> Axis:
        """One for both numbers, so that right predictions lie on the diagonal."""
        return Axis.of(np.concatenate([self.truth, self.predicted]), CELLS)

    @cached_property
    def outside(self) -> int:
        """Images that are drawn at the border because they lie outside of the axis."""
        low, high = self.axis.low, self.axis.high
        both = np.stack([self.truth, self.predicted])
        return int(((both < low) | (both > high)).any(0).sum())

    @cached_property
    def cells(self) -> np.ndarray:
        """(k, k) images in each cell, by predicted and by true number; cells at the border are open."""
        k, (across, up) = self.axis.cells, (self._cell(v) for v in (self.truth, self.predicted))
        return np.bincount(up * k + across, minlength=k * k).reshape(k, k)

    def _cell(self, values: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.axis.edges[1:-1], values, "right")

    def cell(self, true: float, predicted: float) -> Box:
        """The cell that holds a point."""
        across, up = (int(self._cell(np.array([v]))[0]) for v in (true, predicted))
        return Box(*self._sides(across), *self._sides(up))

    def _sides(self, k: int) -> tuple[float, float]:
        edges = [-math.inf, *self.axis.edges[1:-1].tolist(), math.inf]
        return edges[k], edges[k + 1]

    def inside(self, region: Region) -> np.ndarray:
        """Indices (m,) into the arrays: the largest error first, around a point the nearest first. A lasso
        and a point take numbers outside of the axis where they are drawn."""
        if isinstance(region, Near):
            return self._nearest(region)
        if isinstance(region, Box):
            found = _within(self.truth, region.left, region.right)
            found &= _within(self.predicted, region.bottom, region.top)
            chosen = np.flatnonzero(found)
        else:
            chosen = within_polygon(*self._drawn, region.corners)
        return chosen[np.argsort(-np.abs(self.residual[chosen]), kind="stable")]

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.axis.low, self.axis.high
        return np.clip(self.truth, low, high), np.clip(self.predicted, low, high)

    def _nearest(self, point: Near) -> np.ndarray:
        x, y = self._drawn
        distance = np.hypot(x - point.true, y - point.predicted)
        most = min(NEIGHBORS, len(distance))
        if not most:
            return np.array([], int)
        limit = np.partition(distance, most - 1)[most - 1]
        chosen = np.flatnonzero(distance <= limit)
        return chosen[np.argsort(distance[chosen], kind="stable")][:most]


def _within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.asarray((values >= low) & (values < high))


def within_polygon(x: np.ndarray, y: np.ndarray, corners: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Indices (m,) of the points (n,) inside a polygon by the even-odd rule, or on its edge."""
    shape = np.array(corners, float).reshape(-1, 2)
    low, high = shape.min(0), shape.max(0)
    near = np.flatnonzero((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]))
    px, py = x[near], y[near]
    odd, edge = np.zeros(len(near), bool), np.zeros(len(near), bool)
    for (x1, y1), (x2, y2) in zip(shape, np.roll(shape, -1, 0), strict=True):
        side = (x2 - x1) * (py - y1) - (px - x1) * (y2 - y1)
        between = (py >= min(y1, y2)) & (py <= max(y1, y2)) & (px >= min(x1, x2)) & (px <= max(x1, x2))
        edge |= (side == 0) & between
        crosses = (y1 > py) != (y2 > py)
        odd ^= crosses & ((side > 0) if y2 > y1 else (side < 0))
    return np.asarray(near[odd | edge])


def rounded(region: Region, axis: Axis) -> Region:
    """With no more decimals than the axis tells apart."""

    def short(value: float) -> float:
        return value if math.isinf(value) else round(value, axis.resolution) + 0.0

    if isinstance(region, Box):
        return Box(*map(short, (region.left, region.right, region.bottom, region.top)))
    if isinstance(region, Near):
        return Near(short(region.true), short(region.predicted))
    return Lasso(tuple((short(x), short(y)) for x, y in region.corners))


def region_text(region: Region) -> str:
    """'box:0.2,0.5,,', 'lasso:1,2;3,4;1,4' or 'near:0.2,0.31': what `parse_region` reads."""
    if isinstance(region, Box):
        return f"box:{_joined(region.left, region.right, region.bottom, region.top)}"
    if isinstance(region, Near):
        return f"near:{_joined(region.true, region.predicted)}"
    return "lasso:" + ";".join(_joined(*corner) for corner in region.corners)


def parse_region(text: str) -> Region | None:
    """None for a text that is none."""
    kind, _, rest = text.partition(":")
    if kind == "box":
        sides = rest.split(",")
        values = [_finite(s, default) for s, default in zip(sides, _OPEN, strict=False)]
        if len(sides) != 4 or any(v is None for v in values):
            return None
        left, right, bottom, top = (float(v) for v in values if v is not None)
        return Box(left, right, bottom, top) if left < right and bottom < top else None
    points = [_point(part) for part in rest.split(";", CORNERS)] if kind in ("lasso", "near") else []
    found = tuple(point for point in points if point is not None)
    if not found or len(found) < len(points):
        return None
    if kind == "near":
        return Near(*found[0]) if len(found) == 1 else None
    return Lasso(found) if 3 <= len(found) <= CORNERS else None


_OPEN = (-math.inf, math.inf, -math.inf, math.inf)


def _joined(*values: float) -> str:
    return ",".join("" if math.isinf(v) else repr(v).removesuffix(".0") for v in values)


def _finite(text: str, default: float | None = None) -> float | None:
    """`default` for an empty text; None for what is no finite number."""
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        return None
    return value + 0.0 if math.isfinite(value) else None


def _point(text: str) -> tuple[float, float] | None:
    x, _, y = text.partition(",")
    values = _finite(x), _finite(y)
    return None if values[0] is None or values[1] is None else (values[0], values[1])
