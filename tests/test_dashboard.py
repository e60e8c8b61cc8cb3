"""The dashboard: analysis, view, pieces and handlers, called directly."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from dashboard.components.errors.confusion import confusion
from dashboard.components.errors.gallery import gallery
from dashboard.components.headline import numbers
from dashboard.components.inspect.subject import facts, run_maps
from dashboard.components.note_editor import class_names
from dashboard.error_boundary import error_boundary
from dashboard.examples import EXAMPLES, examples_strip, open_example
from dashboard.server.uploads import open_upload
from dashboard.session.context import Context
from dashboard.tabs.errors import pieces
from dashboard.tabs.errors_state import LENSES, View, first_view, from_query
from explain.analysis import ranking as errors
from explain.analysis.findings import Findings
from explain.formatting import decimal
from explain.run.reader import RunData, open_run
from models.errors import UserError
from models.shipped import shipped
from tests.ports import free_port

TOON_RUN = Path(__file__).parent / "toon_run"


@pytest.fixture(scope="module")
def demo() -> RunData:
    return open_run(TOON_RUN)


def test_gradio_is_imported_without_its_stubs() -> None:
    """They are half of the time of its import."""
    from gradio import component_meta

    from dashboard.server import no_stubs

    assert getattr(component_meta, no_stubs.FUNCTION).__module__ == no_stubs.__name__


@pytest.mark.slow
def test_gradio_makes_routes_where_a_page_is_served_and_follows_what_shows_progress(demo: RunData) -> None:
    """Routes of a page that is not served are a third of the time to build it; a component that follows an
    event is copied by the page whenever any event begins or ends."""
    from dashboard.app import build

    page = build(Context(demo))
    assert page.app.blocks is None
    events = page.get_config_file()["dependencies"]
    hidden = [event["show_progress_on"] for event in events if event["show_progress"] == "hidden"]
    assert hidden
    assert all(followed == [] for followed in hidden)
    assert any(event["show_progress_on"] != [] for event in events)
    page.launch(prevent_thread_lock=True, server_port=free_port(), quiet=True)
    assert page.app.blocks is page
    page.close(verbose=False)


# -- analysis ------------------------------------------------------------------------------------


def test_demo_is_an_honest_run(demo: RunData) -> None:
    assert len(demo.ok) == 800
    assert demo.manifest.request.model == "fer_vgg:toon_faces"
    assert demo.manifest.status == "complete"
    assert 0.8 <= demo.evaluation.accuracy <= 0.95
    assert not re.search(r"/(home|work|root|tmp|Users)/", (TOON_RUN / "manifest.json").read_text())


def test_selection_and_order(demo: RunData) -> None:
    rows = errors.select(demo, label=4, correct=False)
    picked = demo.table.loc[rows]
    assert (picked["label"] == 4).all()
    assert (picked["pred"] != 4).all()
    assert picked["confidence"].is_monotonic_decreasing
    assert demo.table.loc[errors.select(demo, sort="lowest loss"), "loss"].is_monotonic_increasing
    assert len(errors.select(demo, 4, correct=True)) + len(rows) == 100
    with pytest.raises(UserError, match="No order"):
        errors.select(demo, sort="prettiest")


def test_overview_has_two_and_two_of_every_class(demo: RunData) -> None:
    samples = errors.overview(demo)
    assert sorted(s.index for s in samples) == list(range(8))
    recall = [demo.evaluation.recall[s.index] for s in samples]
    assert recall == sorted(recall)
    for s in samples:
        wrong = int(demo.evaluation.support[s.index] - demo.evaluation.confusion[s.index, s.index])
        assert len(s.wrong) == min(2, wrong)
        assert len(s.right) == 2


def test_most_confused(demo: RunData) -> None:
    pair = errors.most_confused(demo)
    assert pair is not None
    off = demo.evaluation.confusion - np.diag(np.diag(demo.evaluation.confusion))
    assert pair.count == off.max() == len(errors.select(demo, pair.label, pair.pred))


# -- view ----------------------------------------------------------------------------------------


def test_view_changes_by_actions(demo: RunData) -> None:
    view = first_view(demo).apply("class", "4", demo)
    assert (view.label, view.pred) == (4, None)
    assert view.apply("cell", "4,3", demo).pred == 3
    assert view.apply("cell", "4,4", demo).pred is None
    assert view.apply("page", "2", demo).apply("sort", "highest loss", demo).page == 0
    assert view.apply("overview", "", demo) == first_view(demo)
    assert view.apply("target", "label", demo).target == "label"
    assert view.apply("shared", "true", demo).shared
    group = view.apply("lens", "slices", demo).apply("group", "tag:odd", demo)
    assert (group.label, group.group, group.lens, group.sort) == (None, "tag:odd", "images", "")
    assert group.apply("class", "3", demo).group == ""
    assert group.apply("sort", "least margin", demo).group == "tag:odd"
    audit = view.apply("lens", "attention", demo).apply("by", "entropy", demo).apply("low", "0.5", demo)
    assert (audit.by, audit.down, audit.low) == ("entropy", True, "0.5")
    assert not audit.apply("by", "entropy", demo).down
    assert audit.apply("by", "loss", demo).low == ""  # limits of another column


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("class", "99"),
        ("class", "x"),
        ("cell", "1"),
        ("cell", "1,99"),
        ("cell", "a,b"),
        ("page", "-1"),
        ("sort", "<b>"),
        ("method", "nope"),
        ("target", "?"),
        ("rm", "-rf"),
        ("lens", "x"),
        ("group", "x:y"),
        ("norm", "x"),
        ("order", ""),
        ("by", "id2"),
        ("low", "a"),
        ("high", "nan"),
    ],
)
def test_actions_that_do_not_fit_change_nothing(action: str, value: str, demo: RunData) -> None:
    assert first_view(demo).apply(action, value, demo) == first_view(demo)


def test_links_lead_back(demo: RunData) -> None:
    for view in (
        View(4, 3, "grad_cam", "pred", "highest loss", page=1),
        View(2, None, demo.manifest.request.methods[0]),
        first_view(demo),
        View(
            method="layer_cam",
            group="where:entropy:0.5:",
            sort="lowest loss",
            norm="row",
            order="confused",
            page=2,
        ),
        View(5, method="layer_cam", lens="attention", by="spread", low="0.1", high="0.3"),
    ):
        assert from_query(dict(parse_qsl(view.query(demo)[1:])), demo) == view
    assert from_query({"class": "<script>", "sheet": "x"}, demo) == first_view(demo)


# -- pieces --------------------------------------------------------------------------------------


def test_first_screen_answers(demo: RunData) -> None:
    top, _, matrix, table, cards = pieces(Findings(demo), first_view(demo))
    e = demo.evaluation
    assert f"{100 * e.accuracy:.1f}\u00a0%" in top  # the space does not break
    assert decimal(e.macro_f1) in top
    assert "map mass at the border" in top
    assert "of correct images" in top
    assert matrix.count("<button") == 64
    assert table.count("data-action") == 8
    assert cards.count("vt-misclassified") == sum(len(s.wrong) for s in errors.overview(demo))
    assert cards.count("vt-correct") == 16
    assert "vt-right" not in cards  # the right column of the page
    assert cards.count('class="vt-map"') >= 40


def test_class_and_pair_views(demo: RunData) -> None:
    html = gallery(Findings(demo), {}, first_view(demo).apply("class", "4", demo))
    assert "fear, misclassified" in html
    assert "fear, correct" in html
    assert "Mean maps of fear" in html
    pair = errors.most_confused(demo)
    assert pair is not None
    html = gallery(Findings(demo), {}, first_view(demo).apply("cell", f"{pair.label},{pair.pred}", demo))
    assert html.count('role="button"') == min(12, pair.count)
    assert f"evidence for {demo.classes[pair.label]} (true)" in html
    assert "No image was confused" in gallery(
        Findings(demo), {}, View(0, int(np.argmin(demo.evaluation.confusion[0])), "grad_cam")
    )


@pytest.mark.slow
def test_every_name_is_escaped(small_run: RunData) -> None:
    from dataclasses import replace

    bad = '<img src=x onerror="alert(1)">'
    request = replace(small_run.manifest.request, classes=(bad, "a&b", "c'd"), model=bad, data=bad, layer=bad)
    small_run.table["id"] = bad
    run = RunData(small_run.folder, replace(small_run.manifest, request=request), small_run.table)
    from dashboard.components.header import header

    findings = Findings(run)
    views = [
        View(0, pred, "grad_cam", lens=lens, group=group)
        for pred in (None, 1)
        for lens in LENSES
        for group in ("", "errors", "labels")
    ]
    html = "".join(
        [
            *(piece for view in (first_view(run), *views) for piece in pieces(findings, view)),
            class_names(run),
            facts(run, run.prob(0), 0),
            run_maps(run, 0),
            header(run),
        ]
    )
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html


def test_many_classes_get_a_list() -> None:
    matrix = np.zeros((40, 40), int)
    matrix[3, 5], matrix[3, 3] = 4, 6
    matrix += np.eye(40, dtype=int)
    fake = SimpleNamespace(
        classes=[f"c{i}" for i in range(40)],
        present=list(range(40)),
        evaluation=SimpleNamespace(confusion=matrix, support=matrix.sum(1)),
    )
    html = confusion(fake, View())  # type: ignore[arg-type]
    assert "vt-matrix" not in html
    assert html.count("vt-row") == 2  # the list and its one row
    assert "4 of 11" in html


def test_run_without_errors_or_with_broken_maps(small_run: RunData) -> None:
    small_run.table["pred"] = small_run.table["label"]
    for column in small_run.table.columns:
        if column.startswith("map."):
            small_run.table[column] = np.nan
    run = RunData(small_run.folder, small_run.manifest, small_run.table)
    assert "no errors" in gallery(Findings(run), {}, first_view(run))
    assert "most confused" not in numbers(run, "grad_cam")


# -- uploads and examples ------------------------------------------------------------------------


def test_uploads_are_opened_from_their_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    Image.new("RGB", (20, 10), "red").save(tmp_path / "mine.png")
    assert open_upload(str(tmp_path / "mine.png")).size == (20, 10)
    for path in (str(TOON_RUN / "manifest.json"), "/etc/passwd", str(tmp_path / ".." / "x.png")):
        with pytest.raises(UserError, match="Only uploaded files"):
            open_upload(path)
    (tmp_path / "text.png").write_text("x")
    Image.new("1", (6000, 5000)).save(tmp_path / "large.png")
    for name in ("text.png", "large.png"):
        with pytest.raises(UserError, match="This photo cannot be used"):
            open_upload(str(tmp_path / name))


def test_examples_come_with_the_packages() -> None:
    assert open_example("Grace Hopper").size == (512, 600)
    assert examples_strip().count("<button") == len(EXAMPLES) == 3
    with pytest.raises(UserError, match="No example"):
        open_example("../../secret")


def test_guard_shows_one_line() -> None:
    @error_boundary
    def fails(kind: type[Exception]) -> None:
        raise kind("the reason")

    with pytest.raises(gr.Error, match="the reason"):
        fails(UserError)
    with pytest.raises(gr.Error, match="That did not work \\(KeyError\\)"):
        fails(KeyError)


def test_guard_keeps_what_is_there_where_nothing_is_said() -> None:
    """One that yields nothing is heard as one that skips; and whoever leaves early ends the handler, too."""
    ended = []

    @error_boundary
    def steps(count: int) -> Iterator[int]:
        try:
            yield from range(count)
        finally:
            ended.append(count)

    assert list(steps(0)) == [gr.skip()]
    assert list(steps(3)) == [0, 1, 2]
    begun = steps(9)
    assert next(begun) == 0
    begun.close()
    assert ended == [0, 3, 9]


def test_live_maps_need_the_weights_of_the_run(demo: RunData, tmp_path: Path, small_run: RunData) -> None:
    from models.architectures.classifiers import ARCHITECTURES
    from models.checkpoints import save

    with Context(demo).classifier() as classifier:
        assert classifier.weights_hash == demo.manifest.request.weights_hash
    with pytest.raises(UserError, match="are not here"), Context(small_run).classifier():
        pass
    save(
        tmp_path / "other.safetensors",
        ARCHITECTURES["fer_vgg"](8),
        {"architecture": "fer_vgg", "classes": list(demo.classes)},
    )
    with (
        pytest.raises(UserError, match="other weights"),
        Context(demo, tmp_path / "other.safetensors").classifier(),
    ):
        pass
    assert shipped()


def test_architecture_of_a_run() -> None:
    from models.shipped import architecture

    names = {
        "fer_vgg:mine": "fer_vgg",
        "timm:resnet18": "timm:resnet18",
        "timm:resnet18:mine": "timm:resnet18",
        "resnet50": "resnet50",
    }
    assert {name: architecture(name) for name in names} == names


def test_data_that_moved_away(small_run: RunData, pictures: Path) -> None:
    ctx = Context(small_run)
    assert ctx.subjects.picture({"row": 0}).size == (48, 40)
    pictures.rename(pictures.parent / "elsewhere")
    with pytest.raises(UserError, match="any more"):
        ctx.subjects.picture({"row": 0})
    assert ctx.seen(0).size == (32, 32)
