"""Groups of images of a run of numbers: regions of the plane against loops with exact fractions, bins and
axes against loops, links as text."""

import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explain.analysis.axis import Axis, round_step
from explain.analysis.numbers.chart import (
    MOST,
    SIDE,
    drawn_region,
    errors_of,
    outline,
    region_at,
    scatter_of,
)
from explain.analysis.numbers.groups import SORTS, bins, number_group
from explain.analysis.numbers.plane import (
    CELLS,
    NEIGHBORS,
    Box,
    Lasso,
    Near,
    Plane,
    parse_region,
    region_text,
    rounded,
    within_polygon,
)

GRID = st.integers(-6, 6)
Point = tuple[int, int]
Side = float | None
POINT = st.tuples(GRID, GRID)


def plane(n: int = 60, seed: int = 0, scale: float = 1.0) -> Plane:
    rng = np.random.default_rng(seed)
    truth = scale * rng.uniform(-3, 5, n)
    return Plane.of("age", truth, truth + scale * rng.normal(0.2, 1, n))


def inside_by_fractions(x: int, y: int, corners: list[tuple[int, int]]) -> bool:
    """Even-odd rule with exact numbers; the edge is inside."""
    odd = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (x1, y1) == (x2, y2):
            if (x, y) == (x1, y1):
                return True
            continue
        t = Fraction((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1), (x2 - x1) ** 2 + (y2 - y1) ** 2)
        if 0 <= t <= 1 and x1 + t * (x2 - x1) == x and y1 + t * (y2 - y1) == y:
            return True
        if (y1 > y) != (y2 > y) and x < x1 + Fraction((y - y1) * (x2 - x1), y2 - y1):
            odd = not odd
    return odd


@pytest.mark.slow
@given(st.lists(POINT, min_size=3, max_size=9), st.lists(POINT, max_size=40))
def test_a_polygon_holds_what_a_loop_finds(
    corners: list[tuple[int, int]], points: list[tuple[int, int]]
) -> None:
    x, y = (np.array([p[k] for p in points], float) for k in (0, 1))
    found = within_polygon(x, y, tuple((float(a), float(b)) for a, b in corners))
    assert found.tolist() == [i for i, p in enumerate(points) if inside_by_fractions(*p, corners)]


@given(st.lists(st.tuples(GRID, GRID), min_size=1, max_size=40), GRID, GRID, GRID, GRID)
def test_a_box_holds_its_lower_sides(pairs: list[tuple[int, int]], a: int, b: int, c: int, d: int) -> None:
    made = Plane.of("x", *(np.array([p[k] for p in pairs], float) for k in (0, 1)))
    found = made.inside(Box(a, b, c, d))
    assert sorted(found) == [i for i, (t, p) in enumerate(pairs) if a <= t < b and c <= p < d]
    errors = [abs(pairs[i][1] - pairs[i][0]) for i in found]
    assert errors == sorted(errors, reverse=True)
    assert len(made.inside(Box())) == len(pairs)


def test_around_a_point_lie_the_nearest() -> None:
    made = plane(200)
    found = made.inside(Near(1.0, 1.5))
    distance = np.hypot(made.truth - 1.0, made.predicted - 1.5)
    assert found.tolist() == np.argsort(distance)[:NEIGHBORS].tolist()
    assert len(plane(5).inside(Near(0, 0))) == 5
    assert len(plane(0).inside(Near(0, 0))) == 0


def test_groups_are_sorted_by_the_error() -> None:
    truth, predicted = np.array([1.0, 2, 3, 4, np.nan, 6]), np.array([3.0, 1, 3, 8, 1, np.nan])
    made = Plane.of("x", truth, predicted)

    def rows(key: str, sort: str = "") -> list[int]:
        found = number_group(made, key, sort)
        assert found is not None
        return list(found.rows)

    assert rows("over") == [3, 0]
    assert rows("under") == [1]
    assert rows("nearest") == [2, 1, 0, 3]
    assert rows("nearest", "largest predicted number") == [3, 2, 0, 1]
    assert rows("box:2,,,") == [3, 1, 2]
    assert all(len(rows("nearest", sort)) == 4 for sort in SORTS)
    for broken in ("", "over ", "box:1,2", "lasso:1,2;3,4", "near:nan,1", "near:1", "box:3,2,,", "x"):
        assert number_group(made, broken) is None


NUMBER = st.floats(-1e6, 1e6, allow_nan=False)
SIDES = st.one_of(st.none(), NUMBER)


@given(SIDES, SIDES, SIDES, SIDES)
def test_boxes_are_written_and_read(
    a: float | None, b: float | None, c: float | None, d: float | None
) -> None:
    low, right, bottom, top = (
        float("-inf") if a is None else a,
        float("inf") if b is None else b,
        float("-inf") if c is None else c,
        float("inf") if d is None else d,
    )
    box = rounded(Box(low, right, bottom, top), Axis(-10.0, 10.0, 0.5))
    assert isinstance(box, Box)
    there = box.left < box.right and box.bottom < box.top
    assert parse_region(region_text(box)) == (box if there else None)


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=64))
def test_lassos_are_written_and_read(corners: list[tuple[float, float]]) -> None:
    lasso = rounded(Lasso(tuple(corners)), Axis(-1e6, 1e6, 1e5))
    assert parse_region(region_text(lasso)) == lasso
    assert len(region_text(lasso)) < 64 * 18
    point = Near(*corners[0])
    assert parse_region(region_text(point)) == point


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    for kind in ("", "box:", "lasso:", "near:"):
        parse_region(kind + text)


@pytest.mark.parametrize("n", [1, 7, 400, 5000])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 37.0, 1e6])
def test_cells_count_what_their_boxes_hold(n: int, scale: float) -> None:
    made = plane(n, scale=scale)
    k = made.axis.cells
    assert k <= CELLS
    assert made.cells.sum() == n
    across = made.axis.edges[:-1] + made.axis.step / 2
    for i in range(0, k, 7):
        for j in range(0, k, 5):
            box = made.cell(float(across[j]), float(across[i]))
            assert len(made.inside(box)) == made.cells[i, j]
            assert parse_region(region_text(rounded(box, made.axis))) == box


def test_axes_have_round_ends_and_ticks() -> None:
    axis = Axis.of(np.array([0.13, 0.98]), 48)
    assert (axis.low, axis.high, axis.step) == (0.12, 0.98, 0.02)
    assert axis.ticks() == [0.2, 0.4, 0.6, 0.8]
    assert axis.text(0.4) == "0.4"
    assert Axis.of(np.array([-1.0, 1.0]), 48).text(-0.5) == "−0.5"
    assert Axis.of(np.array([0.0, 40000.0]), 48).text(20000.0) == "20,000"
    assert Axis.of(np.array([5.0]), 48).low < 5 < Axis.of(np.array([5.0]), 48).high
    assert Axis.of(np.array([]), 48).span > 0
    assert round_step(0.3, whole=True) == 1
    for values in ([1e308, -1e308], [0.0, 5e-324], [1e-12, 2e-12], [1e17, 1e17 + 64]):
        found = Axis.of(np.array(values), 48)
        assert 1 <= found.cells <= 48
        assert np.diff(found.edges).min() > 0


def test_a_few_far_numbers_stay_outside_and_are_counted() -> None:
    truth = np.linspace(0, 10, 1000)
    predicted = truth.copy()
    predicted[[3, 500]] = 1e5, -4e4
    made = Plane.of("x", truth, predicted)
    assert made.axis.span < 12
    assert made.outside == 2 + int(((truth < made.axis.low) | (truth > made.axis.high)).sum())
    assert 3 in made.inside(drawn_region(made, Box(-1, 3, 9, made.axis.high)))
    assert made.cells.sum() == 1000


def test_bins_are_those_of_a_loop() -> None:
    made = plane(300)
    found = bins(made)
    assert 2 <= len(found) <= 12
    for b in found:
        chosen = [r for t, r in zip(made.truth, made.residual, strict=True) if b.low <= t < b.high]
        assert b.count == len(chosen) == len(made.inside(b.box))
        assert b.mean == pytest.approx(np.mean(chosen))
        assert b.spread == pytest.approx(np.std(chosen, ddof=1))
        assert b.interval[0] < b.mean < b.interval[1]
    assert sum(b.count for b in found) == 300


def test_bins_of_whole_numbers_hold_as_many_of_them() -> None:
    ages = np.arange(18, 60, dtype=float)
    found = bins(Plane.of("age", ages, ages + 1))
    assert {b.high - b.low for b in found} == {5.0}
    assert [b.text for b in found][:2] == ["15 to 20", "20 to 25"]
    few = bins(Plane.of("grade", np.array([1.0, 2, 2, 5]), np.array([1.0, 2, 3, 5])))
    assert [(b.count, b.few) for b in few if b.count] == [(1, True), (2, True), (1, True)]
    assert math.isnan(few[0].spread)
    assert bins(Plane.of("x", np.array([]), np.array([]))) == []


def test_the_drawing_has_every_image() -> None:
    made = plane(500)
    drawn = scatter_of(made)
    assert drawn.points.count("M") + drawn.worst.count("M") == 500
    assert drawn.worst.count("M") == 24
    many = scatter_of(plane(MOST + 1))
    assert (many.points, many.worst.count("M")) == ("", 24)
    assert sum(path.count("M") for _, path in many.cells) == (plane(MOST + 1).cells > 0).sum()
    assert scatter_of(plane(0)).points == ""
    right = Plane.of("x", np.arange(9.0), np.arange(9.0))
    assert scatter_of(right).worst == ""
    assert isinstance(region_at(made, 1, 1), Near)
    assert isinstance(region_at(plane(MOST + 1), 1, 1), Box)


def test_outlines_stay_in_the_drawing() -> None:
    made = plane()
    for region in (Box(), Box(0, 1), Near(9e9, 1), Lasso(((0, 0), (9e9, 1), (1, -9e9)))):
        assert outline(made, region).startswith("M")
    assert outline(made, Box()) == f"M0 {SIDE}H{SIDE}V0H0z"


def test_bars_begin_at_zero() -> None:
    chart = errors_of(bins(plane(300)))
    span = chart.highest - chart.lowest
    for bar in chart.bars:
        assert bar.height == pytest.approx(100 * abs(bar.bin.mean) / span)
        assert bar.spread_height == pytest.approx(200 * bar.bin.spread / span)
        edge = bar.top + bar.height if bar.bin.mean > 0 else bar.top
        assert edge == pytest.approx(chart.zero)
    assert errors_of([]).bars == []


@pytest.mark.slow
def test_fifty_thousand_images_take_milliseconds() -> None:
    made = plane(50_000)
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    lasso = Lasso(tuple((1 + 3 * math.cos(a), 1 + 3 * math.sin(a)) for a in angles))
    began = time.perf_counter()
    for _ in range(5):
        made.inside(lasso)
    assert (time.perf_counter() - began) / 5 < 0.15  # 15 ms on an idle core
