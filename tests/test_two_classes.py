"""Runs of two classes at a threshold, from the command line to the page: everything follows it, and nothing
mixes with the network's own predictions."""

import csv
import json
import re
import shutil
import zipfile
from dataclasses import asdict, replace
from functools import lru_cache
from io import TextIOWrapper
from itertools import product
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from sklearn import metrics

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components.cards import cards
from dashboard.components.errors.gallery import gallery
from dashboard.server.serving import ServeConfig
from dashboard.tabs.errors import changed, pieces
from dashboard.tabs.errors_state import LENSES, View, first_view, from_query, is_view
from dashboard.tabs.export_state import ExportView, typed
from explain.analysis.binary.text import figure
from explain.analysis.clusters import cluster_maps
from explain.analysis.contrasts import contrasts
from explain.analysis.findings import Findings, analyze, with_threshold
from explain.analysis.groups import LISTS, OUTCOMES, group, lists_of
from explain.analysis.mean_maps import mean_maps
from explain.analysis.slices import slices
from explain.export.gallery import Export, ExportOptions
from explain.run.format import OTHER, part_files
from explain.run.parquet import read, write
from explain.run.reader import RunData, open_run
from explain.run.run_data import NOT_STORED
from models.errors import UserError
from tests.command import launch, one_line

THRESHOLDS = (0.05, 0.3, 0.5, 0.7, 0.95)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    synthetic_run(root / "run", 300, 2, Faults(flipped=0.05), apart=1.2, methods=("layer_cam", "grad_cam"))
    return root / "run"


@pytest.fixture(scope="module")
def findings(folder: Path) -> Findings:
    found = Findings(open_run(folder))
    list(analyze(found))
    return found


def truth_and_probability(run: RunData, positive: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """From the columns of the folder, row by row."""
    return run.ok["label"].to_numpy() == positive, row_by_row(run)[:, positive].astype(float)


@lru_cache(maxsize=1)
def row_by_row(run: RunData) -> np.ndarray:
    return np.array([run.prob(int(row)) for row in run.ok.index])


# -- findings ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_false_alarms_misses_and_hits(findings: Findings, threshold: float, positive: int) -> None:
    """Every image of each outcome, the largest probability of the predicted class first."""
    truth, p = truth_and_probability(findings.run, positive)
    at, index = findings.at(threshold, positive), findings.run.ok.index.to_numpy()
    called = p >= threshold
    expected = {"false-alarms": ~truth & called, "misses": truth & ~called, "hits": truth & called}
    for key, chosen in expected.items():
        found = group(at, {}, key)
        assert found is not None
        assert set(found.rows) == set(index[chosen])
        sure = dict(zip(index, np.where(called, p, 1 - p), strict=True))
        shown = np.array([sure[row] for row in found.rows])
        assert (np.diff(shown) <= 1e-6).all()
    assert len(group(at, {}, "errors").rows) == (truth != called).sum()  # type: ignore[union-attr]


def test_lists_of_two_classes_alone(findings: Findings, small_run: RunData) -> None:
    assert list(lists_of(findings.run)) == [*OUTCOMES, *LISTS]
    assert lists_of(small_run) == LISTS
    assert group(Findings(small_run), {}, "hits") is None


@pytest.mark.slow
def test_findings_at_a_threshold_are_those_of_the_run_at_it(findings: Findings) -> None:
    at, run = findings.at(0.7, 1), findings.run.at(0.7)
    for method, target in (("layer_cam", "label"), ("grad_cam", "pred")):
        ours, plain = at.means(method, target), mean_maps(run, method, target)
        np.testing.assert_array_equal(ours.count, plain.count)
        np.testing.assert_allclose(ours.maps, plain.maps, atol=1e-9)
        rows = run.ok.index[run.ok["label"] == 1].to_numpy()
        clusters = at.clusters(1, method, target).clusters, cluster_maps(run, rows, method, target).clusters
        assert [(len(c.rows), c.wrong) for c in clusters[0]] == [(len(c.rows), c.wrong) for c in clusters[1]]
    np.testing.assert_equal(
        [asdict(c) for c in at.contrasts("layer_cam", "pred")],
        [asdict(c) for c in contrasts(run, "layer_cam", "pred")],
    )
    assert [(s.name, s.wrong) for s in at.slices("layer_cam")] == [
        (s.name, s.wrong) for s in slices(run, "layer_cam")
    ]
    assert at.run.evaluation.accuracy != findings.run.evaluation.accuracy


@pytest.mark.slow
def test_nothing_of_a_threshold_is_kept_in_the_folder(folder: Path) -> None:
    """A first analysis at 0.8 writes what one at 0.5 writes; and what is there is not read for 0.8."""
    copies = [Path(shutil.copytree(folder, folder.parent / name)) for name in ("first", "second")]
    for copy, threshold in zip(copies, (0.8, 0.5), strict=True):
        for name in ("analysis.json", "analysis.parquet", "contrasts.parquet"):
            (copy / name).unlink(missing_ok=True)
        found = Findings(open_run(copy))
        list(analyze(found.at(threshold, 1)))
        assert found.ready
        assert found.at(0.8, 1).ready
    a, b = (json.loads((copy / "analysis.json").read_text()) for copy in copies)
    assert a == b
    for name in ("analysis.parquet", "contrasts.parquet"):
        assert read(copies[0] / name).equals(read(copies[1] / name))
    again = Findings(open_run(copies[0]))
    assert again.kept
    assert not again.at(0.8, 1).kept
    assert again.at(0.8, 1).proposals is again.proposals


def test_the_last_few_thresholds_are_kept(findings: Findings) -> None:
    first = findings.at(0.31, 1)
    assert findings.at(0.31, 1) is first
    assert first.at(0.5, 1) is findings
    for threshold in (0.32, 0.33, 0.34, 0.35):
        assert findings.at(threshold, 1).scores is findings.scores
    assert findings.at(0.31, 1) is not first


# -- the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_the_page_follows_the_threshold(findings: Findings, threshold: float, positive: int) -> None:
    """Against scikit-learn on the probabilities in the folder."""
    truth, p = truth_and_probability(findings.run, positive)
    called = p >= threshold
    view = replace(first_view(findings.run), threshold=threshold, positive=positive)
    top, proposals, matrix, _, shown, panel = pieces(findings, view)
    assert f"{100 * (truth == called).mean():.1f}\u00a0%" in top
    assert "at the threshold 0.5" in proposals or "No significant finding" in proposals
    tn, fp, fn, tp = metrics.confusion_matrix(truth, called).ravel()
    for count in (tn, fp, fn, tp):
        assert f">{count}</button>" in matrix
    for value in (
        metrics.roc_auc_score(truth, p),
        metrics.average_precision_score(truth, p),
        metrics.recall_score(truth, called),
        metrics.recall_score(~truth, ~called),
        metrics.precision_score(truth, called),
        metrics.f1_score(truth, called),
    ):
        assert f"{value:.3f}" in panel
    for count, title in ((fp, "false alarms"), (fn, "misses"), (tp, "hits")):
        assert f">{count:,} {title}</button>" in panel
        assert f"{title}</b> <small>{count:,}</small>" in shown
    assert f"{tn:,} correct rejections" in panel
    assert panel.count("<svg") == panel.count('role="img"') == panel.count("vt-point") == 2
    assert f"false-alarm rate {fp / (fp + tn):.3f}, sensitivity {tp / (tp + fn):.3f}" in panel


@pytest.mark.slow
def test_every_lens_at_a_threshold(findings: Findings) -> None:
    for lens in LENSES:
        for name in ("", *lists_of(findings.run)):
            view = replace(first_view(findings.run), threshold=0.9, lens=lens, group=name)
            assert all(pieces(findings, view))


def test_only_what_the_threshold_changes_is_drawn_again(findings: Findings) -> None:
    run, first = findings.run, first_view(findings.run)
    other = changed(findings, first, first.apply("threshold", "0.9", run))
    assert all(isinstance(piece, str) for piece in other)
    sort = changed(findings, first, first.apply("sort", "lowest loss", run))
    assert [isinstance(piece, str) for piece in sort] == [False, False, False, False, True, False]


def test_clicks_on_the_threshold(findings: Findings, small_run: RunData) -> None:
    run, first = findings.run, first_view(findings.run)
    view = first.apply("page", "2", run).apply("threshold", "0.25", run)
    assert (view.threshold, view.page) == (0.25, 0)
    assert first.apply("group", "misses", run).group == "misses"
    other = view.apply("positive", "0", run)
    assert (other.threshold, other.positive) == (0.5, 0)
    for value in ("1.1", "-1", "nan", "", "x", "inf"):
        assert view.apply("threshold", value, run) == view
    for value in ("1", "2", "-1", "x"):
        assert view.apply("positive", value, run) == view
    three = first_view(small_run)
    for action, value in (("threshold", "0.3"), ("positive", "0"), ("group", "misses")):
        assert three.apply(action, value, small_run) == three
    assert len(pieces(Findings(small_run), three)) == 5


def test_links_keep_the_threshold(findings: Findings) -> None:
    run = findings.run
    for view in (
        View(method="layer_cam", threshold=0.123456789),
        View(method="layer_cam", threshold=0.0, positive=0, label=1, pred=0, sort="highest loss"),
        View(method="layer_cam", positive=0, group="false-alarms", sort=""),
    ):
        parameters = dict(parse_qsl(view.query(run)[1:], keep_blank_values=True))
        assert is_view(parameters)
        assert from_query(parameters, run) == view
    assert "threshold" not in first_view(run).query(run)
    assert from_query({"threshold": "7", "positive": "nobody"}, run) == first_view(run)


def test_presets_are_buttons_and_the_slider_has_a_name(findings: Findings) -> None:
    scores, panel = findings.scores, pieces(findings, first_view(findings.run))[5]
    for name in ("best-f1", "sensitivity-90"):
        assert f'data-action="threshold" data-value="{scores.preset(name)}"' in panel
    assert 'aria-pressed="true" title="0.5: the network' in panel
    assert 'type="range"' in panel
    assert 'aria-label="threshold of the probability of class 1"' in panel


def test_one_class_has_no_curves_and_no_nan(findings: Findings) -> None:
    table = findings.run.table[findings.run.table["label"] == 0].reset_index(drop=True)
    alone = Findings(replace(findings.run, table=table))
    for threshold in (0.0, 0.5, 1.0):
        view = replace(first_view(alone.run), threshold=threshold)
        top, _, matrix, classes, _, panel = pieces(alone, view)
        assert "No image is of the positive class" in panel
        assert "<svg" not in panel
        assert "nan" not in re.sub(r"<[^>]*>", "", "".join((top, matrix, classes, panel))).lower()


def test_a_run_without_any_answer(findings: Findings) -> None:
    table = findings.run.table.assign(error="not a picture")
    none = Findings(replace(findings.run, table=table))
    for threshold, lens in product((0.0, 0.5, 0.9), LENSES):
        found = pieces(none, replace(first_view(none.run), threshold=threshold, lens=lens))
        assert "No image has a probability" in found[5]
        assert f"{len(table)} images without a probability are left out" in found[5]


@pytest.mark.slow
def test_maps_that_an_old_run_lacks_are_said(folder: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    for path in part_files(old):
        table = read(path)
        write(table.drop_columns([n for n in table.column_names if f".{OTHER}" in n]), path)
    at = open_run(old).at(0.95)
    own = at.stored
    assert own is not None
    lost = at.ok.index[own.ok["correct"] & ~at.ok["correct"]].tolist()[:4]
    kept = at.ok.index[~own.ok["correct"] & at.ok["correct"]].tolist()[:4]
    assert lost
    assert all(NOT_STORED in card for card in cards(at, lost, "layer_cam", "both", False))
    assert not any(NOT_STORED in card for card in cards(at, kept, "layer_cam", "both", False))
    made = Export(
        Findings(open_run(old)).at(0.95, 1),
        tmp_path / "out",
        ExportOptions("misses", per_class=50),
    )
    list(made.steps())
    assert NOT_STORED in (tmp_path / "out" / "index.html").read_text()
    assert gallery(Findings(at), {}, first_view(at))


def test_the_command_of_the_export_names_the_threshold(findings: Findings) -> None:
    view = View(method="layer_cam", threshold=0.25, positive=0)
    at = findings.at(view.threshold, view.positive).run
    command = typed(at, ExportView().options(at, view))
    assert "--threshold 0.25 --positive 'class 0'" in command
    plain = typed(findings.run, ExportView().options(findings.run, first_view(findings.run)))
    assert "--threshold" not in plain
    assert "--positive" not in plain


def test_serve_begins_at_the_threshold(findings: Findings, small_run: RunData) -> None:
    ctx = ServeConfig(findings.run.folder, threshold="best-f1", positive="class 0").context(findings.run)
    best = findings.at(0.5, 0).scores.preset("best-f1")
    assert (ctx.threshold, ctx.positive) == (best, 0)
    with pytest.raises(UserError, match="for runs of two classes"):
        ServeConfig(small_run.folder, threshold="0.4").context(small_run)


# -- the command line ----------------------------------------------------------------------------


def test_thresholds_as_people_write_them(findings: Findings, small_run: RunData) -> None:
    assert with_threshold(findings) is findings
    assert with_threshold(findings, "0.5") is findings
    assert with_threshold(findings, "", "Class_0").run.positive == 0
    assert with_threshold(findings, "sensitivity-90").run.threshold == findings.scores.preset(
        "sensitivity-90"
    )
    with pytest.raises(UserError, match="No class 'cat': the run has class 0 and class 1"):
        with_threshold(findings, "", "cat")
    with pytest.raises(UserError, match="has 3 classes: leave them out"):
        with_threshold(Findings(small_run), "0.3")


@pytest.mark.slow
def test_analyze_prints_measures(findings: Findings) -> None:
    truth, p = truth_and_probability(findings.run)
    text = launch("analyze", findings.run.folder, "--threshold", "0.3")
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert f"AUC          {figure(metrics.roc_auc_score(truth, p))}  (95 % interval" in lines["AUC"]
    assert "from 500 bootstrap samples" in lines["AP"]
    assert f"{metrics.recall_score(truth, p >= 0.3):.3f}" in lines["sensitivity"]
    assert f"{metrics.recall_score(~truth, p < 0.3):.3f}" in lines["specificity"]
    assert lines["threshold"].endswith("0.3 of the probability of class 1")
    assert lines["positive"].endswith("class 1")
    assert "those at the threshold 0.5" in text
    own = launch("analyze", findings.run.folder)
    assert "0.5, the network's own prediction" in own
    assert "those at the threshold 0.5" not in own
    assert "from 0 to 1, or one of" in one_line("analyze", findings.run.folder, "--threshold", "2")


@pytest.mark.slow
def test_export_and_report_follow(findings: Findings, tmp_path: Path) -> None:
    truth, p = truth_and_probability(findings.run)
    out, run = tmp_path / "all.zip", findings.run.folder
    text = launch("export", run, "--threshold", "0.6", "--select", "misses", "--out", out)
    assert "misses; class 1 is predicted where its probability is at least 0.6" in text
    with zipfile.ZipFile(out) as archive:
        with archive.open("predictions.csv") as file:
            rows = list(csv.DictReader(TextIOWrapper(file, "utf-8")))
        about = json.loads(archive.read("manifest.json"))
    assert [row["predicted"] for row in rows] == [f"class {int(x >= 0.6)}" for x in p]
    assert (about["threshold"], about["positive"]) == (0.6, "class 1")
    assert about["images"] == (truth & (p < 0.6)).sum()
    page = tmp_path / "report.html"
    assert "threshold    0.6 of the probability" in launch("report", run, "--threshold", "0.6", "--out", page)
    html = page.read_text()
    assert f"<td>{metrics.recall_score(truth, p >= 0.6):.3f}</td>" in html
    assert "threshold 0.6 of the probability of class 1" in html
    assert f"{100 * (truth == (p >= 0.6)).mean():.1f}\u00a0%" in html
