"""Properties that hold for every input: what is written is read back the same, and nothing is merged or lost.

Hypothesis makes the inputs, always the same ones (the profile in `conftest`).
"""

import csv
import io
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dashboard.links import PAGE
from dashboard.tabs import compare_state, gaze_state
from dashboard.tabs.compare_state import Choice
from dashboard.tabs.errors_state import (
    AUDITED,
    LENSES,
    PAIRS,
    TARGETS,
    View,
    asked_label,
    first_view,
    from_query,
)
from dashboard.tabs.gaze_state import GazeView
from explain.analysis.confusion import NORMS, ORDERS
from explain.analysis.groups import KINDS, LISTS, OF_VOTES, OUTCOMES
from explain.analysis.ranking import SORTS
from explain.run.format import pack_maps, unpack_maps
from models.classes.matching import match_classes
from models.classes.names import fold, is_unnamed
from models.data.corrections import read_corrections
from models.data.tables.files import read_table
from models.data.tables.votes import ENTROPY, SECOND
from models.errors import UserError
from models.files.csv_files import FORMULA, plain, unquoted, write_csv

# -- the view of Errors and its link -------------------------------------------------------------------------

CLASSES = ("fear", "a>b", "a,b & c=d", "表情 #1", "<b>", "0", "class:fear")
RUN: Any = SimpleNamespace(
    folder=Path("no such folder"),
    label_sets=None,
    classes=CLASSES,
    present=range(len(CLASSES)),
    metadata=pd.DataFrame({SECOND: ["fear"], ENTROPY: [1.0]}),
    manifest=SimpleNamespace(
        request=SimpleNamespace(
            methods=("layer_cam", "grad_cam"), statistics=("entropy", "border_mass", "center_x")
        )
    ),
)
NUMBERS = st.integers(0, len(CLASSES) - 1)
ACTIONS = st.one_of(
    st.tuples(st.just("class"), NUMBERS.map(str)),
    st.tuples(st.just("cell"), st.tuples(NUMBERS, NUMBERS).map(lambda cell: f"{cell[0]},{cell[1]}")),
    st.tuples(st.just("group"), st.sampled_from([*LISTS, *OF_VOTES])),
    st.tuples(st.just("group"), st.tuples(st.sampled_from(list(KINDS)), st.text(max_size=20)).map(":".join)),
    st.tuples(st.just("overview"), st.just("")),
    st.tuples(st.just("sort"), st.sampled_from(["", *SORTS])),
    st.tuples(st.just("target"), st.sampled_from(list(TARGETS))),
    st.tuples(st.just("lens"), st.sampled_from(list(LENSES))),
    st.tuples(st.just("norm"), st.sampled_from(list(NORMS))),
    st.tuples(st.just("order"), st.sampled_from(list(ORDERS))),
    st.tuples(st.just("method"), st.sampled_from(RUN.manifest.request.methods)),
    st.tuples(st.just("by"), st.sampled_from([*AUDITED, *RUN.manifest.request.statistics])),
    st.tuples(st.sampled_from(["low", "high"]), st.floats(allow_nan=False).map(str) | st.just("")),
    st.tuples(st.just("page"), st.integers(0, 10_000).map(str)),
    st.tuples(st.text(max_size=10), st.text(max_size=20)),
)
TWO: Any = SimpleNamespace(
    folder=RUN.folder,
    label_sets=None,
    classes=("a>b", "表情 #1"),
    present=range(2),
    metadata=None,
    manifest=RUN.manifest,
)
ACTIONS_OF_TWO = st.one_of(
    ACTIONS,
    st.tuples(st.just("threshold"), (st.floats(0, 1) | st.floats()).map(str)),
    st.tuples(st.just("positive"), st.sampled_from(["0", "1", "2"])),
    st.tuples(st.just("group"), st.sampled_from(list(OUTCOMES))),
)
OF_LABEL: Any = SimpleNamespace(
    folder=RUN.folder,
    label_sets=SimpleNamespace(classes=CLASSES),
    classes=("no label", "label"),
    present=range(2),
    manifest=RUN.manifest,
)
ACTIONS_OF_LABELS = st.one_of(
    ACTIONS_OF_TWO,
    st.tuples(st.just("asked"), NUMBERS.map(str)),
    st.tuples(
        st.sampled_from(["instead", "together"]), st.tuples(NUMBERS, NUMBERS).map(lambda p: f"{p[0]},{p[1]}")
    ),
    st.tuples(st.just("pairs"), st.sampled_from(list(PAIRS))),
)
NOT_LINKED = ("shared", "find", "down", "pairs")


def linked(view: View) -> dict[str, Any]:
    """What of a view a link keeps."""
    return {name: value for name, value in vars(view).items() if name not in NOT_LINKED}


def parameters(query: str) -> dict[str, str]:
    """As the page gets them."""
    return {k: v[-1] for k, v in parse_qs(urlsplit(query).query, keep_blank_values=True).items()}


@pytest.mark.slow
@given(st.lists(ACTIONS, max_size=8))
def test_a_link_leads_back_to_every_view(clicks: list[tuple[str, str]]) -> None:
    view = first_view(RUN)
    for action, value in clicks:
        view = view.apply(action, value, RUN)
    assert linked(from_query(parameters(view.query(RUN)), RUN)) == linked(view)


@given(st.lists(ACTIONS_OF_TWO, max_size=8))
def test_a_link_leads_back_to_every_threshold(clicks: list[tuple[str, str]]) -> None:
    view = first_view(TWO)
    for action, value in clicks:
        view = view.apply(action, value, TWO)
    assert 0 <= view.threshold <= 1
    assert linked(from_query(parameters(view.query(TWO)), TWO)) == linked(view)


@given(st.lists(ACTIONS_OF_LABELS, max_size=8))
def test_a_link_leads_back_to_every_label(clicks: list[tuple[str, str]]) -> None:
    """With the thresholds of all labels that are not 0.5."""
    view = first_view(OF_LABEL, 0)
    for action, value in clicks:
        view = view.apply(action, value, OF_LABEL)
    link = parameters(view.query(OF_LABEL))
    asked = asked_label(link, OF_LABEL)
    assert asked == view.asked
    assert linked(from_query(link, OF_LABEL, asked)) == linked(view)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(
            ["class", "as", PAGE, "group", "method", "target", "sort", "lens", "norm", "order", "by", "low"]
        ),
        st.sampled_from([*CLASSES, *SORTS, *LENSES, *LISTS, "-1", "2", "nan"]) | st.text(max_size=30),
    )
)
def test_no_link_breaks_the_page(asked: dict[str, str]) -> None:
    """What does not fit is left out; the rest is a view that has a link of its own."""
    view = from_query(asked, RUN)
    assert view.label in (None, *range(len(CLASSES)))
    assert view.sort in ("", *SORTS)
    assert view.page >= 0
    assert linked(from_query(parameters(view.query(RUN)), RUN)) == linked(view)


# -- the views of Gaze and Compare and their links -----------------------------------------------------------

GAZE: Any = SimpleNamespace(
    kept=["grad_cam", "gaze"], images=pd.DataFrame({"id": ["a.png", "b & c.png", "表情 #1.png", "a=b?.png"]})
)
RUNS = ("first", "a & b", "runs/2=?", "表情")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["source", "metric", "page", "row", "x"]),
            st.integers(-2, 9).map(str) | st.sampled_from(["gaze", "kl", ""]) | st.text(max_size=9),
        ),
        max_size=6,
    )
)
def test_a_link_leads_back_to_the_image_of_gaze(clicks: list[tuple[str, str]]) -> None:
    first = view = GazeView()
    for action, value in clicks:
        view = view.apply(action, value, GAZE)
    again = gaze_state.from_query(parameters(view.query(GAZE)), GAZE, first)
    assert again.row == view.row


@given(st.integers(-1, len(RUNS) - 1), st.sampled_from(RUNS) | st.text(max_size=20))
def test_a_link_leads_back_to_the_run_that_is_compared_with(other: int, name: str) -> None:
    first = Choice()
    made = first.apply("other", str(other))
    assert compare_state.from_query(parameters(made.query(RUNS)), RUNS, first) == made
    asked = compare_state.from_query({"tab": "compare", "against": name}, RUNS, first)
    assert asked == (first.apply("other", str(RUNS.index(name))) if name in RUNS else first)


# -- maps of a run -------------------------------------------------------------------------------------------

SHAPES = array_shapes(min_dims=3, max_dims=3, max_side=6)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROUNDED = 2.0**-11  # of a map's largest magnitude: half a step of float16 just below 1


def stored(maps: np.ndarray) -> np.ndarray:
    packed, scale = pack_maps(maps)
    return unpack_maps(pa.chunked_array([packed]), scale, maps.shape[1:])


@given(arrays(np.float32, SHAPES, elements=FINITE))
def test_maps_come_back_within_a_step_of_float16(maps: np.ndarray) -> None:
    again = stored(maps)
    assert again.shape == maps.shape
    assert again.dtype == np.float32
    peak = np.abs(maps.astype(float)).max((1, 2), keepdims=True)
    assert (
        np.abs(again.astype(float) - maps) <= ROUNDED * peak + np.finfo(np.float32).smallest_subnormal
    ).all()
    assert (np.sign(again) * np.sign(maps) >= 0).all()
    np.testing.assert_array_equal(stored(again), again)  # once more changes nothing


@given(arrays(np.float32, SHAPES, elements=FINITE | st.just(np.nan)), st.integers(0, 5))
def test_what_is_no_number_stays_none(maps: np.ndarray, place: int) -> None:
    """And a row that has no map (an image that could not be read) is NaN."""
    np.testing.assert_array_equal(np.isnan(stored(maps)), np.isnan(maps))
    packed, scale = pack_maps(maps)
    row = place % len(maps)
    holes = pa.array([None if i == row else packed[i].as_py() for i in range(len(maps))], type=packed.type)
    again = unpack_maps(pa.chunked_array([holes]), scale, maps.shape[1:])
    assert np.isnan(again[row]).all()
    np.testing.assert_array_equal(np.delete(again, row, 0), np.delete(stored(maps), row, 0))


# -- classes of the data and outputs of the network ----------------------------------------------------------

WORDS = st.text("abcdefgXYZ", min_size=1, max_size=6)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
ALIKE = ["happy", "Happy", "HAPPY", "joy", "happiness", "sad", "sadness", "a", "A", "a b", "a_b", "A-B"]
NUMBERED = ["0", "1", "01", "1.0", "2", "class 0", "class 1", "class_1"]
LISTS_OF_NAMES = st.lists(st.sampled_from([*ALIKE, *NUMBERED]), min_size=1, max_size=5)


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True).flatmap(
        lambda names: st.tuples(st.just(names), st.permutations(names))
    )
)
def test_equal_names_match_in_any_order(lists: tuple[list[str], list[str]]) -> None:
    model, data = lists
    found = match_classes(data, model)
    assert [model[i] for i in found.outputs] == data
    assert found.notes == []


@pytest.mark.slow
@given(st.lists(NAMES, min_size=1, max_size=6, unique_by=fold), st.data())
def test_case_spaces_and_signs_are_folded(model: list[str], data: st.DataObject) -> None:
    def disguised(name: str) -> str:
        changed = data.draw(st.sampled_from([str.upper, str.lower, str.title]))(name)
        sign = data.draw(st.sampled_from([" ", "_", "-", "  ", "_-"]))
        return data.draw(st.sampled_from(["", " ", "\t"])) + changed.replace(" ", sign)

    order = data.draw(st.permutations(range(len(model))))
    found = match_classes([disguised(model[i]) for i in order], model)
    assert list(found.outputs) == order


@given(LISTS_OF_NAMES.map(lambda names: list(dict.fromkeys(names))), LISTS_OF_NAMES)
def test_no_two_classes_get_one_output_and_exact_names_win(data: list[str], model: list[str]) -> None:
    try:
        found = match_classes(data, model)
    except UserError:
        return  # what cannot be known is asked
    assert len(set(found.outputs)) == len(data)
    for name, output in zip(data, found.outputs, strict=True):
        if name in model and not is_unnamed(model):
            assert model[output] == name


# -- tables --------------------------------------------------------------------------------------------------

# of rows: what a CSV file can hold; carriage returns end rows in it
CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\0"), min_size=1, max_size=20)
HARD = st.sampled_from(
    ['a "quoted" name', "a,b;c\td|e", "two\nlines", "=1+1", "'", '""', "naïve ☂", "NA", "1"]
)
TABLES = st.lists(st.tuples(CELLS | HARD, CELLS | HARD), min_size=1, max_size=6)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@given(rows=TABLES)
def test_tables_are_read_as_they_were_written(
    encoding: str, separator: str, rows: list[tuple[str, str]]
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([("image", "label"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(text.getvalue().encode(encoding))
        table = read_table(path, words=True)
    assert list(table.columns) == ["image", "label"]
    assert list(table.itertuples(index=False, name=None)) == rows


@given(st.text(min_size=1).filter(lambda text: not text.isascii()))
def test_other_encodings_are_refused_in_one_line(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(f"image,label\na.png,{name}\n".encode("utf-16"))
        with pytest.raises(UserError, match=r"is not encoded in UTF-8|cannot be read as a table") as error:
            read_table(path)
    assert "\n" not in str(error.value)


@given(CELLS | st.tuples(st.sampled_from([*FORMULA, "\t", " =", "\ufeff-"]), CELLS).map("".join))
def test_no_cell_is_a_formula_and_every_text_comes_back(text: str) -> None:
    written = plain(text)
    assert not written.lstrip("\t\r\n \0\ufeff\u200b").startswith(FORMULA)
    assert unquoted(written) == text


CLASS_NAMES = (CELLS | HARD).filter(lambda name: name == name.strip())


@pytest.mark.slow
@given(st.dictionaries(CELLS | HARD, CLASS_NAMES, min_size=1, max_size=5))
def test_corrected_labels_come_back(labels: dict[str, str]) -> None:
    table = pd.DataFrame({"image": list(labels), "label": list(labels.values())})
    with tempfile.TemporaryDirectory() as folder:
        write_csv(table, Path(folder) / "labels.csv")
        found = read_corrections(Path(folder) / "labels.csv").labels
    assert found == {("", image): label for image, label in labels.items()}
