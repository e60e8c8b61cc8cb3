"""What a check says where nothing can be told apart, where the map is the center, and of a run at chance."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.components.inspect.badge_view import check_view
from explain.analysis.chance import caution_of_check
from explain.methods.live import ImageSession, MapRequest
from explain.quality.cells import on_cells
from explain.quality.controls import center
from explain.quality.one_map.check import check_map
from explain.quality.one_map.kept import Quantity
from explain.quality.one_map.map_check import NAMES, OWN, RANDOM, MapCheck
from explain.quality.similarity import spearman
from explain.run.reader import RunData
from tests.label_runs import drawn, label_sets
from tests.number_runs import made_up
from tests.test_map_badge import CELLS, of, session

__all__ = ["session"]  # a fixture

LEVELS = {
    "near 0": (Quantity("fear"), 2e-5, 4e-5, "the probability is near 0 all along, under 0.01 % at most"),
    "constant": (Quantity("fear"), 0.7, 0.709, "the probability is 70 % to 71 % all along"),
    "alike": (Quantity("fear"), 0.1, 0.9, "the probability is about the same whichever cells come first"),
    "number": (Quantity("age", numbers=True), 41.5, 41.5, "age is 41.5 all along"),
    "numbers": (Quantity("age", numbers=True), 2, 41.5, "age is about the same whichever cells come first"),
}


@pytest.mark.parametrize("name", LEVELS)
def test_where_all_maps_are_equal_nothing_is_told_apart(name: str) -> None:
    quantity, low, high, why = LEVELS[name]
    lines = {name: np.array([low, high]) for name in (OWN, "center", RANDOM)}
    areas = {name: (0.4, 0.4 - k * 1e-5) for k, name in enumerate(lines)}
    made = MapCheck(quantity, (0.0, 1.0), lines, lines, areas, 0.1)
    assert made.sentence.replace("\u00a0", " ").endswith(f"and that of all its controls is equal; {why}.")
    assert made.sentence.startswith("Nothing can be told apart on this image: insertion − deletion is 0")
    assert not any(shown in made.sentence for shown in NAMES.values())
    apart = replace(made, areas={**areas, RANDOM: (0.4, 0.6)})
    assert apart.sentence.startswith("No better than ")


def test_a_map_that_is_the_center_is_called_so(session: ImageSession) -> None:
    grid = (CELLS, CELLS)
    made = check_map(session, of(session, center(session.x[0], grid, 0) ** 3))
    assert made.like_center == pytest.approx(1)
    assert made.center == "This map is the center (rank correlation 1.00)."
    assert made.center in made.lines
    result = session.map(MapRequest("grad_cam", "features", 1))
    other = check_map(session, result)
    cells = on_cells(result.maps, grid)[0]
    assert other.like_center == pytest.approx(float(spearman(cells, center(session.x[0], grid, 0))))
    assert other.like_center < 0.95
    assert other.center == ""


def caution(reason: str) -> str:
    return f"{reason} in this run: nothing is concluded from this check."


def test_a_check_of_a_network_at_chance_says_so(small_run: RunData) -> None:
    label = small_run.table["label"]

    def predicted(pred: pd.Series, rows: int = 18) -> RunData:
        return replace(small_run, table=small_run.table.assign(pred=pred)[:rows])

    assert caution_of_check(predicted(label), 1) == ""
    assert caution_of_check(predicted((label + 1) % 3), 1) == caution("The network is at chance")
    few = caution("Too few images to tell the network from guessing")
    assert caution_of_check(predicted(label, rows=2), 1) == few


def test_of_several_labels_and_of_numbers_the_output_of_the_map_decides(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth, prob = drawn(300, [0.3, 0.4, 0.4])
    prob[:, 1], truth[:, 2] = rng.random(300), False
    sets = label_sets(tmp_path, truth, prob)
    assert [caution_of_check(sets.whole, k) for k in range(3)] == [
        "",
        caution("The network is at chance for the label label 1"),
        "No image has the label label 2: nothing can be concluded about it.",
    ]
    assert caution_of_check(sets.label(1), 1) == caution("The network is at chance")
    numbers = made_up(60)
    numbers.truth[:, 1] = rng.permutation(numbers.truth[:, 1])
    of = "The network is no better than answering the mean for valence"
    assert [caution_of_check(numbers, k) for k in range(2)] == ["", caution(of)]


def test_on_the_page_the_caution_comes_first() -> None:
    lines = {name: np.array([0.0, 1.0]) for name in (OWN, "center")}
    areas = {OWN: (0.6, 0.1), "center": (0.4, 0.1)}
    made = MapCheck(Quantity("fear"), (0.0, 1.0), lines, lines, areas, 0.1, like_center=0.971)
    page = check_view(made, "Grad-CAM", caution=caution("The <b> is at chance"))
    alert = '<p class="vt-warning" role="alert">The &lt;b&gt; is at chance in this run: nothing is concluded'
    assert page.index(alert) < page.index("Better than all its controls on this image")
    assert "<b>Better" not in page
    assert "<b>This map is the center (rank correlation 0.97).</b>" in page
    assert "<b>Better" in check_view(made, "Grad-CAM")
    assert "vt-warning" not in check_view(made, "Grad-CAM")
