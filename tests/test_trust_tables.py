"""Which methods and images stand in one table of the figures of maps, and which layers are compared: the same
for page, report, export and command."""

from collections.abc import Iterable
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from explain.analysis.findings import Findings
from explain.cli.trust import _over_depth
from explain.export.gallery import export
from explain.export.report import report
from explain.quality.format_text import format_trust
from explain.quality.known import known, state_of, verdict_of
from explain.quality.measure import Measurement
from explain.quality.over_depth.depth import advice
from explain.quality.over_depth.known_depth import known_depth
from explain.quality.plan import measurements
from explain.quality.remarks import explained, tables_of_work
from explain.quality.sample import stratified
from explain.quality.small import small_measurement
from explain.quality.store import TrustStore
from explain.quality.tables import tables
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError
from tests.measured import BETTER, SAME, above_chance, keep

OWN = ("grad_cam", "layer_cam")


@pytest.fixture
def small_run(small_run: RunData) -> RunData:
    return above_chance(small_run)


def sizes(store: TrustStore) -> list[tuple[list[str], int]]:
    return [(sorted(v.method for v in t.verdicts), t.images) for t in tables(store, OWN)]


@pytest.mark.slow
def test_methods_besides_take_no_images_from_the_runs(small_run: RunData, tmp_path: Path) -> None:
    store = keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    before = verdict_of(small_run, "layer_cam")
    keep(small_run, {"score_cam": BETTER}, images=4)
    assert sizes(store) == [([*OWN], 12), (["score_cam"], 4)]
    assert verdict_of(small_run, "layer_cam") == before
    text = unescape(report(Findings(small_run)))
    assert "12 images (LayerCAM, Grad-CAM) and 4 images (Score-CAM), layer" in text
    assert "12 images: <b>" in text
    assert "Read LayerCAM" in text
    assert "4 images: <b><bdi>4 images are too few to say" in text
    export(Findings(small_run), tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "trust.csv").set_index("method")
    assert found["images"].to_dict() == {"layer_cam": 12, "grad_cam": 12, "score_cam": 4}
    assert found.loc["layer_cam", "p"] == pytest.approx(before.decisive.p, rel=1e-4)


@pytest.mark.slow
def test_methods_of_all_of_a_tables_images_join_it(small_run: RunData) -> None:
    store = keep(small_run, {"grad_cam": SAME})
    keep(small_run, {"score_cam": BETTER, "hires_cam": BETTER}, images=14)
    assert sizes(store) == [(["grad_cam", "hires_cam", "score_cam"], 12)]
    found = known(small_run)
    assert found is not None
    assert [v.method for v in found.verdicts] == ["grad_cam"]  # the page has maps of the run's methods


@pytest.mark.slow
def test_a_method_of_few_images_does_not_take_those_of_another(small_run: RunData) -> None:
    store = keep(small_run, {"layer_cam": BETTER})
    keep(small_run, {"grad_cam": SAME}, images=5)
    assert sizes(store) == [(["layer_cam"], 12), (["grad_cam"], 5)]
    assert state_of(small_run, "layer_cam") == "passes"
    assert state_of(small_run, "grad_cam") == "unknown"
    keep(small_run, {"grad_cam": SAME}, images=9)  # most of them, but too few for a verdict
    assert state_of(small_run, "layer_cam") == "passes"
    keep(small_run, {"grad_cam": SAME}, images=10)
    assert sizes(store) == [([*OWN], 10)]


@pytest.mark.slow
def test_the_tables_of_a_command_are_those_of_the_page(small_run: RunData) -> None:
    """A command of one method has the p of all that stand in its table."""
    store = keep(small_run, {"grad_cam": BETTER, "layer_cam": BETTER})
    work: Any = SimpleNamespace(store=store, run=small_run, methods=["layer_cam"])
    [trust] = tables_of_work(work)
    assert {v.method: v for v in trust.verdicts}["layer_cam"] == verdict_of(small_run, "layer_cam")
    work.methods = ["score_cam"]
    assert [t.verdicts for t in tables_of_work(work)] == [[]]


def test_what_is_measured_later_is_of_the_same_images(small_run: RunData) -> None:
    """Those that were measured come first, whatever their places; the same command has the same images."""
    first = stratified(small_run, 7)
    ids = small_run.table["id"].astype(str)
    assert stratified(small_run, 7, {*ids[first]}) == first
    assert stratified(small_run, 7, {*ids[first[:3]]}) == first  # resumed
    for most in (3, 12):
        again = stratified(small_run, most, {*ids[first]})
        assert len(set(again)) == most
        assert {*first} <= {*again} or {*again} <= {*first}
    assert sorted(stratified(small_run, 100, {*ids[first]})) == sorted(small_run.ok.index)


def test_a_command_takes_the_images_that_were_measured(small_run: RunData, tiny: Classifier) -> None:
    ids = small_run.table["id"].astype(str)
    keep(small_run, {"grad_cam": SAME}, images=10)
    [work] = measurements(tiny, small_run, methods=["layer_cam"], images=10)
    of_groups = {*ids[work.rows]} & {*ids[:10]}
    assert len(of_groups) > len({*ids[stratified(small_run, 10)]} & {*ids[:10]})
    assert isinstance(small_measurement(tiny, small_run), Measurement)


# --- layers


def as_road(store: TrustStore) -> None:
    """The figures of a store as those of ROAD."""
    names = {"insertion": "least_relevant_first", "deletion": "most_relevant_first"}
    settings = replace(store.settings, kinds=("most_relevant_first", "least_relevant_first"))
    rows = store.rows().rename(columns=names).to_dict("records")
    TrustStore(store.folder.parent / settings.key, settings).add(rows)


def of_layers(run: RunData, kinds: dict[str, str], methods: Iterable[str] = OWN, **given: Any) -> Any:
    own = run.manifest.request.layer
    return [
        keep(run, dict.fromkeys(methods, kind), layer=name or own, **given) for name, kind in kinds.items()
    ]


@pytest.mark.slow
def test_the_figure_that_decides_comes_before_more_layers(small_run: RunData) -> None:
    for store in of_layers(small_run, {"": SAME, "features.0": SAME, "features.3": BETTER}, steps=4):
        as_road(store)
        for part in store.parts:
            part.unlink()
    road = known_depth(small_run)
    assert road is not None
    assert (road.figure, len(road.layers), road.advised) == ("road", 3, None)
    decided = of_layers(small_run, {"": SAME, "features.0": BETTER})
    found = known_depth(small_run)
    assert found is not None
    assert (found.figure, len(found.layers)) == ("insertion_deletion", 2)
    assert found.advised is not None
    assert found.advised.layer == "features.0"
    asked: Any = [SimpleNamespace(store=s, methods=[*OWN]) for s in decided]
    lines = _over_depth(asked, small_run).splitlines()
    assert "The page and reports" not in "\n".join(lines)
    assert lines[-1].endswith("features.0")


@pytest.mark.slow
def test_a_command_says_what_the_page_says(small_run: RunData) -> None:
    """Where it measured something else, its advice is that of the page, not the other one."""
    of_layers(small_run, {"": SAME, "features.0": BETTER})
    other = of_layers(small_run, {"": BETTER, "features.3": SAME}, steps=4)
    asked: Any = [SimpleNamespace(store=s, methods=[*OWN]) for s in other]
    shown = known_depth(small_run)
    assert shown is not None
    text = _over_depth(asked, small_run)
    joined = " ".join(text.split())
    assert "No layer is better than the run's own" in joined
    assert f"The page and reports show what was measured at 2 layers on 12 images. {advice(shown)}" in joined
    assert text.splitlines()[-1].endswith("features.0")


@pytest.mark.slow
def test_the_runs_own_layer_counts_where_a_command_leaves_it_out(small_run: RunData) -> None:
    of_layers(small_run, {"": BETTER})
    asked: Any = [
        SimpleNamespace(store=s, methods=["grad_cam"])
        for s in of_layers(small_run, {"features.0": BETTER, "features.3": SAME})
    ]
    text = _over_depth(asked, small_run)
    assert "(run)" in text
    assert "Use --layer" not in text


@pytest.mark.slow
def test_a_layer_of_few_images_or_another_method_takes_nothing(small_run: RunData) -> None:
    of_layers(small_run, {"": SAME, "features.0": BETTER, "features.1": SAME}, images=16)
    of_layers(small_run, {"features.3": BETTER}, images=10)  # 4 × 10 < 3 × 16
    of_layers(small_run, {"features.4": BETTER}, methods=["score_cam"], images=16)
    found = known_depth(small_run)
    assert found is not None
    assert [t.layer for t in found.layers] == ["features.0", "features.1", small_run.manifest.request.layer]
    assert found.images == 16
    assert {v.method for t in found.layers for v in t.verdicts} == {*OWN}


def test_of_the_most_probable_label_is_said_so(small_run: RunData) -> None:
    assert (
        explained(small_run)
        == explained(small_run, "")
        == "maps of the predicted class (score: its probability)"
    )


# --- what is missing


@pytest.mark.slow
def test_figures_of_fewer_images_than_the_table_say_so(small_run: RunData) -> None:
    store = keep(small_run, {"grad_cam": SAME, "layer_cam": BETTER})
    rows = store.rows()
    rows.loc[(rows["method"] == "layer_cam") & (rows["id"] == rows["id"].iloc[0]), "insertion"] = float("nan")
    store.add(rows.to_dict("records"))
    text = format_trust(*tables(store, OWN))
    assert "12 images, layer" in text
    assert "LayerCAM (11 images)" in text
    assert "Grad-CAM (" not in text
    assert "LayerCAM (11 images)" in report(Findings(small_run))


def test_the_control_of_another_image_is_of_one_that_can_be_read(small_run: RunData) -> None:
    store = keep(small_run, {"grad_cam": SAME})
    work = Measurement(None, small_run, ["grad_cam"], [0, 1, 2], store)  # type: ignore[arg-type]
    work.__dict__["_neighbors"] = {0: 1, 1: 2, 2: 0, 3: 0}
    maps: Any = {0: "first", 2: "third"}
    assert [work._near(row, maps) for row in (0, 2, 3)] == ["third", "first", "first"]
    assert work._near(0, {0: maps[0]}) is None
    work.__dict__["_neighbors"] = {0: 0}
    assert work._near(0, maps) is None  # of one image alone: no map is its own control


def test_a_folder_that_cannot_be_written_is_said_before_the_work(
    small_run: RunData, tiny: Classifier
) -> None:
    (small_run.folder / "trust").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written") as error:
        next(small_measurement(tiny, small_run).steps())
    assert "\n" not in str(error.value)
