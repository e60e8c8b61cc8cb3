"""What tabs show: links lead back to the same view, and what does not fit changes nothing."""

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from dashboard.links import TAB
from dashboard.tabs import (
    compare_state,
    errors_state,
    filters_state,
    inspect_state,
    inversion_state,
    layers_state,
)
from dashboard.tabs.compare_state import Choice
from dashboard.tabs.export_state import FORM as EXPORT_FORM
from dashboard.tabs.export_state import ExportView, typed
from dashboard.tabs.filters_state import FiltersView
from dashboard.tabs.inspect_state import FORM, NO_CLASS, InspectView
from dashboard.tabs.inversion_state import InversionView
from dashboard.tabs.layers_state import LayersView
from dashboard.tabs.train_state import TrainView
from explain.run.reader import RunData, open_run
from tests.conftest import TOON_RUN


@pytest.fixture(scope="module")
def run() -> RunData:
    return open_run(TOON_RUN)


def parameters(query: str) -> dict[str, str]:
    assert query.startswith("?")
    return dict(parse_qsl(query[1:]))


def test_links_lead_back(run: RunData) -> None:
    layers = LayersView({"row": 7}, "features.3", page=2, channel=5)
    assert layers_state.from_query(parameters(layers.query(run)), run, LayersView()) == layers
    filters = FiltersView("features.3", unit=4, sort="norm")
    assert filters_state.from_query(parameters(filters.query()), FiltersView()) == filters
    inversion = InversionView({"row": 7}, "head")
    assert (
        inversion_state.from_query(parameters(inversion.query(run)), run, InversionView(layer="head"))
        == inversion
    )
    inspect = InspectView({"row": 7})
    assert inspect_state.from_query(parameters(inspect.query(run)), run, InspectView()) == inspect
    choice = Choice(other=1)
    assert compare_state.from_query(parameters(choice.query(["a", "b"])), ["a", "b"], Choice()) == choice
    errors = replace(errors_state.first_view(run), label=1, pred=2, lens="means", page=1, sort="highest loss")
    assert errors_state.from_query(parameters(errors.query(run)), run) == errors


def test_links_of_other_tabs_and_of_nothing(run: RunData) -> None:
    """An upload has no link; a link of another tab, or of an image that is not there, changes nothing."""
    assert parameters(InspectView({"upload": "secret"}).query(run)) == {}
    for query in ({TAB: "gaze", "image": "x", "layer": "y"}, {}, {"image": "no/such.png"}):
        assert layers_state.from_query(query, run, LayersView(page=3)) == LayersView(page=3)
        assert filters_state.from_query(query, FiltersView(page=3)) == FiltersView(page=3)
        assert inversion_state.from_query(query, run, InversionView(layer="a")) == InversionView(layer="a")
        assert inspect_state.from_query(query, run, InspectView(noise=3)) == InspectView(noise=3)
        assert compare_state.from_query(query, ["a"], Choice(label=2)) == Choice(label=2)


@pytest.mark.parametrize("value", ["-1", "x", "", "99999999", "\u00b2", "1e3"])
@pytest.mark.parametrize("action", ["target", "nonsense", "", "LAYER"])
def test_clicks_that_do_not_fit(action: str, value: str, run: RunData) -> None:
    for view in (LayersView(page=3), FiltersView(page=3), Choice(0), TrainView("a", ("b",))):
        assert view.apply(action, value) == view
    assert InversionView(layer="a").apply(action, value, ["a", "b"]) == InversionView(layer="a")
    assert InspectView(target=1).apply(action, value, run.classes) == InspectView(target=1)


def test_the_form_of_inspect(run: RunData) -> None:
    values = [2, 2, ["a", "b"], ["layer_cam", "grad_cam"], "max", True, None, False, 0.5]
    view = InspectView.of_form({"row": 1}, values, {"grad_cam": (("x", 1),)})
    assert FORM == (
        "target",
        "contrast_class",
        "layers",
        "methods",
        "fuse",
        "flip",
        "noise",
        "shared",
        "threshold",
    )
    assert view.contrast_class is None  # a class is not contrasted with itself
    requests = view.requests()
    assert [r.method for r in requests] == ["grad_cam", "layer_cam"]  # in the registry's order
    assert requests[0].layer == "a,b"
    assert requests[0].parameters == (("x", 1),)
    assert InspectView.of_form(None, [2, NO_CLASS, *values[2:]]).contrast_class is None
    assert InspectView.of_form(None, [2, 3, *values[2:]]).contrast_class == 3


def test_trainings_that_are_ticked() -> None:
    view = TrainView().apply("show", "a").apply("tick:b", "true").apply("tick:a", "true")
    assert view == TrainView("a", ("b", "a"))
    assert view.apply("show", "a").chosen is None
    assert view.apply("tick:b", "false").among({"a"}).ticked == ("a",)


def test_the_form_of_export(run: RunData) -> None:
    view = replace(errors_state.first_view(run), label=1, sort="highest loss")
    options = ExportView().options(run, view)
    assert (options.select, options.sort) == (view.selection(run), "highest loss")
    values = ["errors", 3.0, list(run.manifest.request.methods), False, False, True]
    command = typed(run, ExportView(**dict(zip(EXPORT_FORM, values, strict=True))).options(run, view))
    for words in ("--select errors", "--per-class 3", "--no-originals", "--no-maps", "--blur-eyes"):
        assert words in command
    assert "--sort" not in command
