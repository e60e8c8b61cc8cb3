"""The page of a run of numbers: what a click chooses, links, cards with evidence of both signs, one image,
and what is exported."""

import json
import time
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dashboard.app import build
from dashboard.components.note_editor import note_editor
from dashboard.components.number_runs.cards import answer, number_cards, signed_tile
from dashboard.components.number_runs.error_bars import error_bars
from dashboard.components.number_runs.scatter import scatter_panel
from dashboard.components.number_runs.subject import number_facts, number_maps
from dashboard.session.context import Context
from dashboard.session.notes_handler import write
from dashboard.tabs import compare, errors, gaze, inspect, inversion, numbers
from dashboard.tabs.inspect import show_row
from dashboard.tabs.numbers import changed, pieces
from dashboard.tabs.numbers_state import NumbersView, first_view, from_query, is_view
from dashboard.tabs.registry import missing, open_to
from explain.analysis.numbers.groups import GROUPS, SORTS, number_group
from explain.analysis.numbers.measures import NumberScores
from explain.analysis.numbers.proposals import number_findings
from explain.analysis.numbers.run_numbers import compared_measures, measure_all, plane_of, ranges_of
from explain.export.number_report import number_report
from explain.render import difference_png, signed, signed_overlay, signed_problem
from models.errors import UserError
from tests.markup import elements, runs_nothing
from tests.number_runs import made_up

EVIL = '"><img src=x onerror=1>\u202e{x}'


@pytest.fixture(scope="module")
def run() -> Any:
    return made_up(200)


@pytest.fixture(scope="module")
def large() -> Any:
    return made_up(2500)


def parameters(query: str) -> dict[str, str]:
    return dict(parse_qsl(query.lstrip("?")))


# -- the view -------------------------------------------------------------------------------------------

ACTIONS = ["output", "group", "region", "drawn", "at", "left", "right", "bottom", "top", "sort", "page"]
ACTIONS += ["method", "shared", "tool", "open", "", "nonsense"]
NUMBERS = st.floats(-200, 200).map(lambda v: repr(round(v, 3)))
VALUES = st.one_of(
    st.sampled_from(
        ["", "0", "1", "2", "-1", "true", "lasso", "box", "nan", "1e999", "\u00b2", *GROUPS, *SORTS]
    ),
    NUMBERS,
    st.tuples(NUMBERS, NUMBERS).map(",".join),
    st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).map(lambda v: f"box:{','.join(v)}"),
    st.lists(st.tuples(NUMBERS, NUMBERS).map(",".join), max_size=6).map(lambda v: f"lasso:{';'.join(v)}"),
    st.text(max_size=12),
)


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), VALUES), max_size=8))
def test_links_lead_back_to_any_view(clicks: list[tuple[str, str]]) -> None:
    run = KEPT
    view = first_view(run)
    for action, value in clicks:
        view = view.apply(action, value, run)
        assert NumbersView(**json.loads(json.dumps(asdict(view)))) == view
    back = from_query(parameters(view.query(run)), run)
    assert replace(back, shared=view.shared, tool=view.tool) == view
    assert len(view.query(run)) < 3000


KEPT = made_up(60)


def test_a_broken_link_shows_the_default_view(run: Any) -> None:
    for broken in (
        {"group": "lasso:1,2"},
        {"group": "box:1,0,,"},
        {"group": "x" * 5000},
        {"output": "weight"},
        {"sort": "loss"},
        {"sheet": "0"},
        {"sheet": "x"},
        {"method": "no"},
    ):
        assert is_view(broken)
        assert from_query(broken, run) == first_view(run)
    assert not is_view({"image": "x"})
    assert from_query({"output": "valence"}, run).output == 1


def test_another_output_keeps_the_group_but_no_region(run: Any) -> None:
    view = first_view(run).apply("group", "over", run).apply("page", "2", run)
    assert view.apply("output", "1", run) == replace(view, output=1, page=0)
    assert view.apply("region", "box:1,2,,", run).apply("output", "1", run).group == ""
    assert view.apply("output", "0", run) == view


def test_sides_change_one_rectangle(run: Any) -> None:
    view = first_view(run).apply("left", "20", run)
    assert view.group == "box:20,,,"
    view = view.apply("top", "50.004", run).apply("right", "80", run)
    assert view.group == "box:20,80,,50"
    assert view.apply("right", "10", run) == view  # ends before it begins
    assert view.apply("right", "x", run) == view
    for side in ("left", "right", "top"):
        view = view.apply(side, "", run)
    assert view == first_view(run)


def test_a_click_chooses_what_lies_there(run: Any, large: Any) -> None:
    plane = plane_of(run, 0)
    view = first_view(run).apply("at", f"{plane.truth[7]},{plane.predicted[7]}", run)
    found = number_group(plane, view.group)
    assert found is not None
    assert found.rows[0] == 7
    view = first_view(large).apply("at", "40,45", large)
    found = number_group(plane_of(large, 0), view.group)
    assert found is not None
    cell = plane_of(large, 0)
    across, up = (int(np.searchsorted(cell.axis.edges[1:-1], v, "right")) for v in (40, 45))
    assert len(found.rows) == cell.cells[up, across]


def test_a_lasso_holds_the_images_inside(run: Any) -> None:
    from matplotlib.path import Path as Polygon

    corners = [(10.0, 20.0), (60.0, 25.0), (50.0, 80.0), (20.0, 60.0)]
    text = "lasso:" + ";".join(f"{x},{y}" for x, y in corners)
    view = first_view(run).apply("drawn", text, run)
    found = number_group(plane_of(run, 0), view.group)
    assert found is not None
    points = np.stack([run.truth[:, 0], run.predicted[:, 0]], 1)
    assert sorted(found.rows) == np.flatnonzero(Polygon(corners).contains_points(points)).tolist()
    assert len(found.rows) > 10


# -- what is shown ----------------------------------------------------------------------------------------


def test_measures_stand_beside_always_answering_the_mean(run: Any) -> None:
    measure_all(run)
    found = {m.name: m for m in compared_measures(run, 0)}
    scores = NumberScores.of(run.truth, run.predicted, run.outputs)
    mean = run.truth[:, 0].mean()
    assert found["MAE"].value == f"{scores.values['mae'][0]:.4g}"
    low, high = scores.intervals["mae"][0]
    assert found["MAE"].interval == f"{low:.4g} to {high:.4g}"
    assert found["MAE"].control == f"{np.abs(run.truth[:, 0] - mean).mean():.4g}"
    assert found["RMSE"].control == f"{run.truth[:, 0].std():.4g}"
    assert (found["R²"].control, found["CCC"].control, found["Pearson r"].control) == ("0.000", "0.000", "")
    top = pieces(run, first_view(run))[0]
    assert f"answering the mean: {found['MAE'].control}" in top


def test_answers_that_are_no_better_than_the_mean_say_so(run: Any) -> None:
    warned = "no better than answering the mean"
    assert warned not in pieces(run, first_view(run))[0]
    guess = replace(run, predicted=np.random.default_rng(1).permutation(run.predicted))
    assert warned in pieces(guess, first_view(guess))[0]
    assert warned in number_report(guess)


def test_only_what_changes_is_drawn_anew(run: Any) -> None:
    view = first_view(run)

    def drawn(other: NumbersView) -> list[bool]:
        return [isinstance(piece, str) for piece in changed(run, view, other)]

    assert drawn(view.apply("sort", "smallest error", run)) == [False, False, False, True, False]
    assert drawn(view.apply("group", "over", run)) == [False, True, True, True, True]
    assert drawn(view.apply("tool", "lasso", run)) == [False, True, False, True, False]
    assert drawn(view.apply("output", "1", run)) == [True] * 5
    assert drawn(view) == [False] * 5


def test_groups_are_shown_in_their_order(run: Any) -> None:
    view = first_view(run)
    error = run.predicted[:, 0] - run.truth[:, 0]
    overview = pieces(run, view)[3]
    order = np.argsort(-error)
    rows = [int(a["data-value"]) for _, a in elements(overview) if a.get("data-action") == "open"]
    assert rows[:6] == order[:6].tolist()
    assert rows[6:12] == order[::-1][:6].tolist()
    assert rows[12:] == np.argsort(np.abs(error))[:6].tolist()
    listed = pieces(run, view.apply("group", "under", run).apply("page", "1", run))[3]
    rows = [int(a["data-value"]) for _, a in elements(listed) if a.get("data-action") == "open"]
    assert rows == order[::-1][12:24].tolist()
    assert f"{(error < 0).sum()} images" in listed


def test_a_card_says_true_predicted_and_error(run: Any) -> None:
    run = replace(run, truth=run.truth.copy(), predicted=run.predicted.copy())
    run.truth[3, 0], run.predicted[3, 0] = 3.2, 5.1
    assert answer(run, 3, 0) == "true 3.2 · predicted 5.1 · +1.9"
    run.predicted[3, 0] = -1
    assert answer(run, 3, 0) == "true 3.2 · predicted −1 · −4.2"
    card = number_cards(run, [3], 0, "layer_cam", True)[0]
    assert "true 3.2 · predicted −1 · −4.2" in card
    assert "label" not in note_editor(run, {}, 3).replace("aria-label", "")


def test_evidence_of_both_signs_is_drawn_and_what_is_missing_is_said() -> None:
    both = np.array([[2.0, -1.0], [0.0, 0.5]])
    assert signed(both).tolist() == [[1, -0.5], [0, 0.25]]
    assert signed(both, 4.0).tolist() == [[0.5, -0.25], [0, 0.125]]
    assert [signed_problem(m) for m in (both, np.abs(both), -np.abs(both), 0 * both, both * np.nan)] == [
        "",
        "no negative evidence",
        "no positive evidence",
        "no evidence",
        "no map: the layer gave no finite number",
    ]
    assert "no negative evidence" in signed_tile("data:,", np.abs(both), "map")
    assert difference_png(signed(both)) in signed_tile("data:,", both, "map")
    grey = Image.new("RGB", (2, 2), (100, 100, 100))
    pixels = np.asarray(signed_overlay(grey, np.array([[1.0, -1.0], [0.0, 0.0]]), 1.0))
    np.testing.assert_allclose(pixels[0], [[31, 168, 155], [222, 104, 42]], atol=1)
    assert pixels[1].tolist() == [[100] * 3] * 2


def test_bins_and_fields_say_what_they_are(run: Any) -> None:
    found = elements(error_bars(run, first_view(run)))
    buttons = [a for tag, a in found if tag == "button"]
    assert buttons
    assert all(a["data-value"].startswith("box:") and a["aria-label"].startswith("true ") for a in buttons)
    view = first_view(run).apply("region", buttons[3]["data-value"], run)
    shown = elements(error_bars(run, view))
    assert [k for k, (tag, a) in enumerate(shown) if "vt-on" in a.get("class", "")]
    fields = {a["data-action"]: a["value"] for tag, a in elements(scatter_panel(run, view)) if tag == "input"}
    low, high = buttons[3]["data-value"].removeprefix("box:").split(",")[:2]
    chosen = (run.truth[:, 0] >= float(low)) & (run.truth[:, 0] < float(high))
    assert f"{chosen.sum()} images chosen" in scatter_panel(run, view)
    assert fields == {"left": low, "right": high, "bottom": "", "top": ""}


@pytest.mark.slow
def test_names_of_outputs_stay_texts() -> None:
    evil = made_up(80, (EVIL, "b"))
    view = first_view(evil)
    made = [*pieces(evil, view), *pieces(evil, view.apply("region", "box:1,50,,", evil))]
    made += [number_facts(evil, evil.predicted[0], 0, True), number_maps(evil, 0), number_report(evil)]
    for text in made:
        assert runs_nothing(text)
        assert not [a for tag, a in elements(text) if a.get("src") == "x"]
        assert "\u202e" not in text


@pytest.mark.slow
def test_a_run_without_numbers_says_so() -> None:
    none = made_up(12)
    none = replace(none, truth=none.truth * np.nan)
    assert "No image has a true and a predicted number" in pieces(none, first_view(none))[1]
    assert "12 images" not in pieces(none, first_view(none))[3]
    assert "How it was made" in number_report(none)
    build(Context(none))
    one = replace(made_up(12), predicted=np.where(np.arange(24).reshape(12, 2) == 0, np.nan, 1.0))
    assert "1 without a true or a predicted number is left out" in pieces(one, first_view(one))[1]


# -- the other tabs ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_has_the_tabs_of_numbers(run: Any) -> None:
    ctx = Context(run)
    tabs = open_to(ctx.access, run)
    assert numbers in tabs
    assert errors not in tabs
    assert missing(numbers, run) is None
    assert missing(inspect, run) is None
    assert missing(compare, run) is None
    assert missing(gaze, run) is None
    assert missing(inversion, run) is None
    while ctx.work_out():
        time.sleep(0.01)
    assert number_findings(run, run.index).ready
    build(ctx)


def test_inspect_shows_every_output(run: Any) -> None:
    subject, shown, panel, maps, output = show_row(Context(run), 5, 1)
    assert (subject, output) == ({"row": 5}, 1)
    for k, name in enumerate(run.outputs):
        assert f"map for {name}: predicted" in shown
        assert f"<b>{name}</b>" in maps
        assert f"{run.predicted[5, k]:.4g}".replace("-", "−") in shown
    assert "Maps of the run for valence" in panel
    assert "vt-signed" in panel
    assert (
        f"{urlencode({'image': run.table.at[5, 'id'], 'output': 'valence'})}".replace("&", "&amp;") in shown
    )
    assert [a["data-value"] for _, a in elements(shown) if "vt-on" in a.get("class", "")] == ["1"]
    one = replace(run, predicted=np.full_like(run.predicted, np.nan))
    with pytest.raises(UserError, match="could not be read"):
        show_row(Context(one), 5)


def test_bars_begin_at_a_common_zero() -> None:
    alike = made_up(50, ("a",) + ("c",)[:0])
    low, high, shared = ranges_of(alike)
    assert not shared
    assert low[0] <= 0 <= high[0]
    far = made_up(50)
    assert not ranges_of(far)[2]
    near = replace(far, truth=far.truth[:, [0, 0]], predicted=far.predicted[:, [0, 0]])
    low, high, shared = ranges_of(near)
    assert shared
    assert low[0] == low[1]
    zeros = [a["style"] for tag, a in elements(number_facts(near, near.predicted[0], 0, True)) if tag == "i"]
    assert len(set(zeros)) == 1
    assert len(zeros) == 4


def test_many_outputs_are_listed_in_part() -> None:
    many = made_up(30, tuple(f"point {k}" for k in range(60)))
    shown = number_facts(many, many.predicted[0], 0, True, 50)
    assert [int(a["data-value"]) for _, a in elements(shown) if "data-value" in a] == [*range(24), 50]
    assert "and 35 more outputs" in shown
    assert "<select" in pieces(many, first_view(many))[0]


def test_notes_of_numbers_have_no_label(run: Any) -> None:
    with pytest.raises(UserError, match="A run of numbers has no field 'label' in a note"):
        write(Context(run), "label 3", "7", "me")
