"""What rests on where maps are strong, beside the verdict on the maps: figures, mean maps, statistics, lists,
report and Compare."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components.errors.audit import audit
from dashboard.components.errors.cluster_view import cluster_view
from dashboard.components.errors.mean_view import mean_view
from dashboard.components.errors.slice_view import slice_view
from dashboard.components.inspect.subject import run_maps
from dashboard.components.trust.trust_line import method_options, trust_line
from dashboard.endpoints import Endpoints
from dashboard.session.context import Context
from dashboard.tabs.compare import CompareTab
from dashboard.tabs.errors import pieces
from dashboard.tabs.errors_state import first_view
from explain.analysis.clusters import Cluster, Clustering
from explain.analysis.compare import compare, format_text
from explain.analysis.findings import Findings, analyze
from explain.analysis.headline import headline
from explain.analysis.on_maps import DO_NOT, may_say_of, verdict_text
from explain.analysis.ranking import border_fractions
from explain.export.report import report
from explain.export.selection import selected
from explain.formatting import percent
from explain.quality.known import state_of, verdict_of
from explain.quality.store import TrustStore
from explain.quality.verdict import Trust, recommendation
from explain.run.reader import RunData, open_run
from tests.measured import BETTER, CENTER, SAME, above_chance, keep

UNSAID = f"no better than the center: {DO_NOT}"
TITLE = "layer cam"  # as the synthetic run calls it
BEATS = "beats its best control on 100 % of images"
KINDS = pytest.mark.parametrize(
    ("kind", "verdict"), [("", "not measured"), (BETTER, BEATS), (SAME, UNSAID)], ids=["unknown", "yes", "no"]
)


@pytest.fixture
def small_run(small_run: RunData) -> RunData:
    """Above chance, so that what is measured counts."""
    return above_chance(small_run)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two methods, with errors in every class, and a class whose maps lie at the border."""
    folder = tmp_path_factory.mktemp("first") / "run"
    synthetic_run(folder, 800, 8, Faults(border=3), 3.0, 11, ("layer_cam", "grad_cam"))
    return folder


@pytest.fixture
def of_border(first: Path, tmp_path: Path) -> RunData:
    return open_run(shutil.copytree(first, tmp_path / "run"))


def measured(run: RunData, kind: str) -> Findings:
    """The findings of a run whose LayerCAM was measured, as one of the kinds or not at all."""
    if kind:
        keep(run, {"grad_cam": CENTER, "layer_cam": kind})
    return Findings(run)


@KINDS
def test_one_function_decides(of_border: RunData, kind: str, verdict: str) -> None:
    measured(of_border, kind)
    assert verdict_text(of_border, "layer_cam") == verdict
    assert may_say_of(of_border, "layer_cam") == (kind != SAME)


def test_too_few_images_decide_nothing(of_border: RunData) -> None:
    keep(of_border, {"layer_cam": SAME}, images=9)
    assert verdict_text(of_border, "layer_cam") == "9 images are too few to say"
    assert may_say_of(of_border, "layer_cam")


@KINDS
def test_the_headline_says_where_maps_lie_beside_the_verdict(
    of_border: RunData, kind: str, verdict: str
) -> None:
    findings = measured(of_border, kind)
    wrong, right = map(percent, border_fractions(of_border, "layer_cam"))
    figure = headline(of_border, "layer_cam")[-1]
    assert figure.name == "map mass at the border"
    assert verdict in figure.note
    assert figure.value == ("–" if kind == SAME else wrong)
    assert (f"{right} of correct images" in figure.note) == (kind != SAME)
    assert (f"{wrong} of wrong, {right} of correct images" in figure.meaning) == (kind == SAME)
    top = pieces(findings, replace(first_view(of_border), method="layer_cam"))[0]
    assert verdict in top


@pytest.mark.slow
@KINDS
def test_mean_maps_stand_below_the_verdict(of_border: RunData, kind: str, verdict: str) -> None:
    findings = measured(of_border, kind)
    view = replace(first_view(of_border), method="layer_cam", lens="means")
    both = findings.means("layer_cam", "label").count.all(1)
    assert both.any()
    label = int(np.flatnonzero(both)[0])
    of_class = replace(view, lens="images", label=label)
    for html in (mean_view(findings, view), pieces(findings, view)[4], pieces(findings, of_class)[4]):
        assert f"{TITLE}: {verdict}." in html
        assert "mean map of wrong predictions" in html
        assert ("more when correct" in html) == (kind != SAME)  # the difference: a statement


@pytest.mark.slow
@KINDS
def test_statistics_of_maps_stand_beside_the_verdict(of_border: RunData, kind: str, verdict: str) -> None:
    findings = measured(of_border, kind)
    view = replace(first_view(of_border), method="layer_cam")
    assert f"{TITLE}: {verdict}" in audit(findings, view)
    assert f"{TITLE}: {verdict}." in run_maps(of_border, 0)
    assert findings.method == "layer_cam"
    slices = slice_view(findings, view)
    assert (verdict if kind != SAME else "Not said: slices by map statistics") in slices


@KINDS
def test_clusters_stand_below_the_verdict(
    of_border: RunData, kind: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = measured(of_border, kind)
    rows = of_border.ok.index[:6].to_numpy()
    one = Cluster(rows, 2, np.ones((4, 4)) / 16)
    monkeypatch.setattr(Findings, "clusters", lambda *args: Clustering([one, one], 0.5, 0.1, 0))
    html = cluster_view(findings, replace(first_view(of_border), method="layer_cam"))
    assert ("mean map of the cluster" in html) == (kind != SAME)
    assert (verdict if kind != SAME else "Not said: clusters of maps") in html
    found = selected(findings, "cluster:0:0:layer_cam:pred")
    assert f"{TITLE}: {verdict}" in found.description


@pytest.mark.slow
@KINDS
def test_lists_by_maps_say_the_verdict(of_border: RunData, kind: str, verdict: str) -> None:
    findings = measured(of_border, kind)
    said = f"{of_border.title(findings.method)}: {verdict_text(of_border, findings.method)}"
    view = replace(first_view(of_border), group="border")
    assert said in pieces(findings, view)[4]
    key = "where:entropy:0.1:"
    assert said in pieces(findings, replace(view, group=key))[4]
    assert selected(findings, key).description == f"entropy 0.1 to … ({said})"  # in an export
    assert f"; {said}" not in pieces(findings, replace(view, group="errors"))[4]  # rests on no map


@pytest.mark.slow
@KINDS
def test_the_report_says_the_verdict(of_border: RunData, kind: str, verdict: str) -> None:
    findings = measured(of_border, kind)
    for _ in analyze(findings, clicks=False):
        pass
    html = report(findings, method="layer_cam")
    means = html[html.index("Mean maps") :]
    assert f"{TITLE}: {verdict}." in means[: means.index('class="means"')]
    figure = html[html.index("map mass at the border") :]
    assert verdict in figure[: figure.index("</em>")]


@KINDS
def test_the_endpoint_says_the_verdict(of_border: RunData, kind: str, verdict: str) -> None:
    measured(of_border, kind)
    first = of_border.manifest.request.methods[0]
    found = Endpoints(Context(of_border)).errors(SimpleNamespace(session_hash="me"))  # type: ignore[arg-type]
    assert found["maps"] == f"{of_border.title(first)}: {verdict_text(of_border, first)}"
    assert (found["figures"]["map mass at the border"] == "–") == (not may_say_of(of_border, first))


# --- Compare


def shown(tab: CompareTab) -> str:
    """The page after the tab is opened."""
    *_, last = tab.opened({"other": 0}, {})
    return "".join(str(piece) for piece in last)


def drifts(tab: CompareTab) -> str:
    event = SimpleNamespace(index="which", value="drift")
    *_, last = tab.act({"other": 0}, {}, event)  # type: ignore[arg-type]
    return "".join(str(piece) for piece in last)


@pytest.fixture
def compared(small_run: RunData) -> tuple[CompareTab, RunData, RunData]:
    """The tab of a page that runs, its run and the other one."""
    other = open_run(shutil.copytree(small_run.folder, small_run.folder.parent / "other"))
    with gr.Blocks():
        return CompareTab(Context(small_run, against=(other.folder,))), small_run, other


@pytest.mark.slow
@pytest.mark.parametrize("first", ["own", "other"])
def test_compare_sees_what_is_measured_of_either_run_meanwhile(
    compared: tuple[CompareTab, RunData, RunData], first: str
) -> None:
    tab, own, other = compared
    page = shown(tab)
    assert "Grad-CAM, run A: not measured; run B: not measured." in page
    assert "map similarity" in drifts(tab)
    kept: dict[str, Any] = {"grad_cam": SAME, "layer_cam": SAME}
    keep(own if first == "own" else other, kept)
    page = shown(tab)
    letter = "A" if first == "own" else "B"
    assert f"run {letter}: {UNSAID}" in page
    assert f"Not said: similarity of maps (run {letter})" in page
    assert "map similarity 1" not in drifts(tab)
    shutil.rmtree((own if first == "own" else other).folder / "trust")
    for run in (own, other):
        keep(run, {"grad_cam": SAME, "layer_cam": BETTER})
    page = shown(tab)
    assert f"LayerCAM, run A: {BEATS}; run B: {BEATS}." in page
    assert "Not said" not in page
    assert "map similarity" in drifts(tab)


@pytest.mark.slow
def test_a_comparison_is_kept_while_nothing_is_measured(
    compared: tuple[CompareTab, RunData, RunData],
) -> None:
    tab, _, other = compared
    shown(tab)
    before = tab._comparisons.of(0)
    shown(tab)
    assert tab._comparisons.of(0) is before
    keep(other, {"grad_cam": SAME})
    shown(tab)
    assert tab._comparisons.of(0) is not before


@pytest.mark.slow
def test_compare_rests_on_maps_that_pass(small_run: RunData) -> None:
    other = open_run(shutil.copytree(small_run.folder, small_run.folder.parent / "other"))
    plain = compare(small_run, other, replicates=20)
    assert plain.matched["similarity"].notna().any()
    assert "have not been compared with controls" in plain.maps_note
    assert f"trust {other.folder}" in plain.maps_note
    for one in (small_run, other):
        keep(one, {"grad_cam": SAME, "layer_cam": SAME})
    unsaid = compare(small_run, other, replicates=20)
    assert unsaid.matched["similarity"].isna().all()
    assert "Not said: similarity of maps (run A)" in " ".join(" ".join(format_text(unsaid)).split())
    asked = compare(small_run, other, "grad_cam", replicates=20)
    assert asked.matched["similarity"].notna().any()  # it was asked for by name; the note says what they are
    assert "no better than the center" in asked.maps_note


@pytest.mark.slow
def test_the_usual_curves_and_the_most_images_count(small_run: RunData) -> None:
    usual, most = keep(small_run, {"grad_cam": SAME}), keep(small_run, {"grad_cam": BETTER}, 14, steps=4)
    last = keep(small_run, {"grad_cam": SAME}, steps=6)
    few = keep(small_run, {"grad_cam": SAME}, images=9, steps=5)
    for k, store in enumerate((usual, most, last, few)):
        os.utime(store.folder / "about.json", (time.time() + k,) * 2)
    assert state_of(small_run, "grad_cam") == "does not pass"
    shutil.rmtree(usual.folder)
    assert state_of(small_run, "grad_cam") == "passes"
    shutil.rmtree(most.folder)
    assert state_of(small_run, "grad_cam") == "does not pass"
    shutil.rmtree(last.folder)
    assert verdict_of(small_run, "grad_cam").text == "9 images are too few to say"
    assert state_of(small_run, "grad_cam") == "unknown"


def test_the_figure_that_decides_is_asked_for(small_run: RunData) -> None:
    store = keep(small_run, {"grad_cam": BETTER})
    rows = store.rows().rename(
        columns={"insertion": "least_relevant_first", "deletion": "most_relevant_first"}
    )
    shutil.rmtree(store.folder)
    kinds = ("most_relevant_first", "least_relevant_first")
    road = TrustStore.of(small_run.folder, replace(store.settings, kinds=kinds))
    road.add(rows.to_dict("records"))
    text = recommendation(Trust.of(road))
    assert text.startswith("ROAD alone says of Grad-CAM: beats its best control on 100 % of images.")
    assert text.endswith("insertion − deletion, which decides, was not measured.")
    assert state_of(small_run, "grad_cam") == "unknown"


def test_flat_maps_are_called_flat(small_run: RunData) -> None:
    store = keep(small_run, {"grad_cam": SAME})
    rows = store.rows()
    rows.loc[:, [c for c in rows.columns if c.startswith("like.")]] = np.nan
    store.add(rows.to_dict("records"))
    [verdict] = Trust.of(store).verdicts
    assert verdict.text == "flat: no place is stronger than another"
    assert not verdict.passes


# --- at chance


@pytest.fixture
def guesses(of_border: RunData) -> RunData:
    """The run of the other tests, with labels that are assigned to its images at random."""
    labels = np.random.default_rng(0).permutation(of_border.table["label"].to_numpy())
    return replace(of_border, table=of_border.table.assign(label=labels))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", BETTER, SAME])
def test_of_a_network_at_chance_nothing_is_said_of_maps(guesses: RunData, kind: str) -> None:
    findings = measured(guesses, kind)
    assert findings.inconclusive.startswith("At chance: ")
    unsaid = f"the network is at chance: {DO_NOT}"
    assert not may_say_of(guesses, "layer_cam")
    assert verdict_text(guesses, "layer_cam") == unsaid
    figure = headline(guesses, "layer_cam")[-1]
    assert (figure.name, figure.value) == ("map mass at the border", "–")
    assert figure.note == f"{TITLE}: {unsaid}"
    view = replace(first_view(guesses), method="layer_cam")
    assert f"{TITLE}: {unsaid}" in pieces(findings, view)[0]
    assert "more when correct" not in mean_view(findings, replace(view, lens="means"))
    assert "Not said: differences of maps, because the network is at chance." in audit(findings, view)
    line = trust_line(guesses, "layer_cam", "")
    assert ("; the network is at chance" in line) == bool(kind)
    assert "vt-positive" not in line
    assert set(method_options(guesses, ["layer_cam"]).values()) == {TITLE}


def test_another_threshold_does_not_change_the_gate(small_run: RunData) -> None:
    """At a threshold of 0 one class is predicted for all images: the network is what it was."""
    two = replace(small_run.manifest.request, classes=small_run.classes[:2])
    pair = replace(small_run, manifest=replace(small_run.manifest, request=two))
    pair = replace(pair, table=pair.table[pair.table["label"] < 2])
    assert may_say_of(pair, "grad_cam")
    assert may_say_of(replace(pair, table=pair.table.assign(pred=0), stored=pair), "grad_cam")
    assert not may_say_of(replace(pair, table=pair.table.assign(pred=0)), "grad_cam")
