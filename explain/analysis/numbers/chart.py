"""Predicted against true numbers, and errors by the true number, as shapes of a drawing: for the page and for
reports. NumPy only."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from explain.analysis.numbers.groups import Bin
from explain.analysis.numbers.plane import Box, Near, Plane, Region, rounded

SIDE = 300
"""Sides of the square that shows the plane; y grows downwards."""
MOST = 2000
"""Images that are drawn as points; more are drawn as counts in cells."""
LEVELS = 8  # strengths of the color of a cell
WORST = 24  # points of the largest errors, at most
KEPT = 32  # drawings


@dataclass(frozen=True)
class Tick:
    """`at`: its place, from 0 to `SIDE`, to the right."""

    at: float
    text: str


@dataclass(frozen=True)
class Scatter:
    """Paths as SVG writes them, in a square of `SIDE`: `points` and the `worst` of them, to be stroked with
    round caps; `cells` to be filled, each with a strength from 0 to 1. `largest`: images in the fullest
    cell, 0 where points are drawn; `left`: room for the numbers at the ticks."""

    ticks: list[Tick]
    points: str
    worst: str
    cells: list[tuple[float, str]]
    largest: int

    @property
    def left(self) -> int:
        return max(44, 26 + 6 * max((len(tick.text) for tick in self.ticks), default=0))


@lru_cache(maxsize=KEPT)
def scatter_of(plane: Plane) -> Scatter:
    """All images as points, or as counts in cells with the largest errors as points."""
    axis, n = plane.axis, len(plane.rows)
    ticks = [Tick(_across(axis.place(np.array([t])))[0], axis.text(t)) for t in axis.ticks()]
    worst = plane.by_error[: min(WORST, -(-n // 20))]
    worst = worst[plane.residual[worst] != 0]
    if n > MOST:
        return Scatter(ticks, "", _dots(plane, worst), _cells(plane), int(plane.cells.max()))
    others = np.setdiff1d(np.arange(n), worst)
    return Scatter(ticks, _dots(plane, others), _dots(plane, worst), [], 0)


def _across(places: np.ndarray) -> list[float]:
    found: list[float] = np.round(SIDE * places, 1).tolist()
    return found


def _dots(plane: Plane, chosen: np.ndarray) -> str:
    """Each a line of no length."""
    x = _across(plane.axis.place(plane.truth[chosen]))
    y = _across(1 - plane.axis.place(plane.predicted[chosen]))
    return "".join(f"M{a:g} {b:g}h0" for a, b in zip(x, y, strict=True))


def _cells(plane: Plane) -> list[tuple[float, str]]:
    """Squares of equal strength in one path; the strength grows with the root of the count."""
    counts, k = plane.cells, plane.axis.cells
    level = np.ceil(LEVELS * np.sqrt(counts / counts.max())).astype(int)
    side = SIDE / k
    found = []
    for strength in range(1, LEVELS + 1):
        up, across = np.nonzero(level == strength)
        if len(up):
            squares = (
                f"M{side * x:.1f} {side * (k - 1 - y):.1f}h{side:.2f}v{side:.2f}h{-side:.2f}z"
                for x, y in zip(across.tolist(), up.tolist(), strict=True)
            )
            found.append((strength / LEVELS, "".join(squares)))
    return found


def outline(plane: Plane, region: Region) -> str:
    """The border of a region as a path; of a point, a small ring."""
    axis = plane.axis
    if isinstance(region, Near):
        x, y = _across(axis.place(np.array([region.true, region.predicted])))
        return f"M{x - 7:g} {SIDE - y:g}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0z"
    if isinstance(region, Box):
        left, right = _across(axis.place(np.array([region.left, region.right])))
        low, high = _across(axis.place(np.array([region.bottom, region.top])))
        return f"M{left:g} {SIDE - low:g}H{right:g}V{SIDE - high:g}H{left:g}z"
    places = axis.place(np.array(region.corners))
    corners = zip(_across(places[:, 0]), _across(1 - places[:, 1]), strict=True)
    return "M" + "L".join(f"{a:g} {b:g}" for a, b in corners) + "z"


def region_at(plane: Plane, true: float, predicted: float) -> Region:
    """What a click on a place of the drawing chooses: the cell where cells are drawn, otherwise the images
    around."""
    if len(plane.rows) > MOST:
        return plane.cell(true, predicted)
    return rounded(Near(true, predicted), plane.axis)


def drawn_region(plane: Plane, region: Region) -> Region:
    """A region that was drawn by hand: rounded, and open where it reaches the border of the drawing, where
    numbers beyond it are drawn."""
    axis = plane.axis
    region = rounded(region, axis)
    if not isinstance(region, Box):
        return region
    low, high = axis.low, axis.high
    return Box(
        -np.inf if region.left <= low else region.left,
        np.inf if region.right >= high else region.right,
        -np.inf if region.bottom <= low else region.bottom,
        np.inf if region.top >= high else region.top,
    )


@dataclass(frozen=True)
class Bar:
    """A bin as a bar of a chart of height 100 whose zero lies at `zero`: from `top` on, `height` high; the
    spread from `spread_top` on. Heights are 0 where there is nothing to draw."""

    bin: Bin
    top: float
    height: float
    spread_top: float
    spread_height: float


@dataclass(frozen=True)
class ErrorChart:
    """`highest`, `lowest`: what the chart's upper and lower border stand for."""

    bars: list[Bar]
    zero: float
    highest: float
    lowest: float


def errors_of(found: list[Bin]) -> ErrorChart:
    """The mean error of every bin, with its spread on both sides of it."""
    known = [b for b in found if b.count]
    ends = [b.mean + sign * (b.spread if b.spread == b.spread else 0) for b in known for sign in (-1, 1)]
    highest, lowest = max([0.0, *ends]), min([0.0, *ends])
    span = (highest - lowest) or 1.0

    def place(value: float) -> float:
        return 100 * (highest - value) / span

    bars = []
    for b in found:
        mean, spread = (b.mean if b.count else 0.0), (b.spread if b.spread == b.spread else 0.0)
        top, low = place(max(mean, 0)), place(min(mean, 0))
        above, below = place(mean + spread), place(mean - spread)
        bars.append(Bar(b, top, low - top, above, below - above if spread else 0.0))
    return ErrorChart(bars, place(0.0), highest, lowest)
