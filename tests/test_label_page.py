"""Errors and Inspect of a run of several labels per image: choosing a label, thresholds of each, pairs of
labels, links, and what the other tabs say."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score

import vitrine
from dashboard.app import build
from dashboard.components.cards import cards
from dashboard.components.errors.label_table import label_table
from dashboard.session.context import Context
from dashboard.tabs.errors import changed, pieces
from dashboard.tabs.errors_state import View, asked_label, first_view, from_query
from dashboard.tabs.export_state import ExportView, typed
from dashboard.tabs.inspect import show_row
from dashboard.tabs.registry import TABS, missing
from explain.analysis.compare import compare as compare_runs
from explain.analysis.findings import Findings, analyze
from explain.analysis.groups import group
from explain.analysis.multi_label.scores import label_scores
from explain.analysis.slices import attributes
from explain.export.gallery import Export
from explain.run.engine import run
from explain.run.outputs.label_sets import LabelSets, LabelSetsRun
from explain.run.reader import open_run
from models.classifier import Classifier
from models.data.source import Item
from models.errors import UserError
from tests.command import one_line, run_command
from tests.conftest import TINY, TinyNet
from tests.test_label_sets import NAMES, Patches, net, patches

__all__ = ["net", "patches"]  # fixtures


@pytest.fixture
def sets(net: Classifier, patches: Patches, tmp_path: Path) -> LabelSets:
    run(net, patches, tmp_path / "run", ["grad_cam", "layer_cam"], batch_size=8)
    opened = open_run(tmp_path / "run").label_sets
    assert opened is not None
    return opened


def clicked(query: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(query.lstrip("?")))


def test_another_label_keeps_the_thresholds_of_each(sets: LabelSets) -> None:
    one = sets.label(0)
    view = first_view(one, 0).apply("threshold", "0.3", one)
    other = view.apply("asked", "2", one)
    assert (other.asked, other.threshold, other.thresholds) == (2, 0.5, {"0": 0.3})
    back = other.apply("threshold", "0.8", sets.label(2)).apply("asked", "0", sets.label(2))
    assert (back.asked, back.threshold, back.thresholds) == (0, 0.3, {"2": 0.8})
    assert view.apply("positive", "0", one) == view
    for value in ("4", "-1", "x", "", "99999999999"):
        assert view.apply("asked", value, one) == view


@pytest.mark.slow
def test_presets_set_every_label(sets: LabelSets) -> None:
    one, view = sets.label(1), first_view(sets.label(1), 1)
    best = view.apply("thresholds", "best-f1", one)
    for k in range(4):
        chosen = best.label_thresholds.get(str(k), 0.5)
        truth, p = sets.truth[:, k], sets.prob[:, k]
        best_of_all = max(f1_score(truth, p >= t) for t in np.unique(p))
        assert f1_score(truth, p >= chosen) == pytest.approx(best_of_all)
    assert best.apply("thresholds", "0.5", one).label_thresholds == {"1": 0.5}
    assert view.apply("thresholds", "none", one) == view


def test_links_name_the_label_and_its_threshold(sets: LabelSets) -> None:
    whole = sets.whole
    view = first_view(sets.label(2), 2).apply("threshold", "0.25", sets.label(2))
    view = view.apply("asked", "3", sets.label(2)).apply("threshold", "0.7", sets.label(3))
    parameters = clicked(view.query(sets.label(3)))
    assert parameters["label"] == "grey"
    asked = asked_label(parameters, whole)
    assert asked == 3
    assert from_query(parameters, sets.label(3), asked) == view
    assert asked_label({"label": "pink"}, whole) is None
    odd = {"thresholds": "9:0.5,1:2,x:0.4,0:nan,2:0.4,:,"}
    assert from_query(odd, sets.label(0), 0).thresholds == {"2": 0.4}


def test_the_table_counts_what_a_plain_loop_counts(sets: LabelSets) -> None:
    text = str(label_table(sets, first_view(sets.label(0), 0)))
    for k, name in enumerate(NAMES):
        called = sets.prob[:, k] >= 0.5
        missed, alarms = int((sets.truth[:, k] & ~called).sum()), int((~sets.truth[:, k] & called).sum())
        row = text[text.index(f'aria-label="look at {name}"') :].split("</tr>")[0]
        assert row.endswith(f"<td>{missed}</td><td>{alarms}</td>")
    assert f"{label_scores(sets).mean_average_precision:.3f}" in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["instead", "together"])
def test_pairs_of_labels_open_their_images(kind: str, sets: LabelSets) -> None:
    found = 0
    for a in range(4):
        findings = Findings(sets.label(a))
        for b in range(4):
            if a == b:
                continue
            view = first_view(sets.label(0), 0).apply(kind, f"{a},{b}", sets.label(0))
            assert (view.asked, view.group) == (a, f"{kind}:{b}")
            shown = group(findings, {}, view.group)
            assert shown is not None
            called = sets.prob >= 0.5
            expected = (
                sets.truth[:, a] & ~called[:, a] & called[:, b] & ~sets.truth[:, b]
                if kind == "instead"
                else sets.truth[:, a] & sets.truth[:, b]
            )
            assert sorted(shown.rows) == np.flatnonzero(expected).tolist()
            found += len(shown.rows)
    assert found
    assert group(Findings(sets.label(0)), {}, f"{kind}:9") is None


def test_a_pair_follows_the_threshold_of_its_label(sets: LabelSets) -> None:
    at = Findings(sets.label(0)).at(0.99, 1)
    shown = group(at, {}, "instead:1")
    assert shown is not None
    missed = sets.truth[:, 0] & (sets.prob[:, 0] < 0.99)
    assert (
        sorted(shown.rows) == np.flatnonzero(missed & (sets.prob[:, 1] >= 0.5) & ~sets.truth[:, 1]).tolist()
    )


@pytest.mark.slow
def test_only_what_changes_is_drawn_anew(sets: LabelSets) -> None:
    ctx = Context(sets.whole)
    before = first_view(ctx.findings.run, ctx.asked)
    other = before.apply("asked", str((ctx.asked + 1) % 4), ctx.findings.run)
    assert len(pieces(ctx.findings, before)) == 7
    drawn = changed(ctx.findings_of(other.asked), before, other)
    assert all(isinstance(piece, str) for piece in drawn)
    sorted_by = before.apply("sort", "highest loss", ctx.findings.run)
    drawn = changed(ctx.findings, before, sorted_by)
    assert [isinstance(piece, str) for piece in drawn] == [False] * 4 + [True] + [False] * 2


@pytest.mark.slow
def test_the_page_begins_with_the_label_of_most_errors_or_the_one_that_is_named(sets: LabelSets) -> None:
    assert Context(sets.whole).asked == sets.most_errors
    ctx = Context(open_run(sets.folder, "green"))
    assert ctx.asked == 1
    assert isinstance(ctx.run, LabelSetsRun)
    assert ctx.findings.run.classes == ("no green", "green")
    build(ctx)


def test_inspect_shows_every_label(sets: LabelSets) -> None:
    row = int(np.flatnonzero((sets.truth != (sets.prob >= 0.5)).any(1))[0])
    _, shown, panel, maps, target = show_row(Context(sets.whole), row)
    for k, name in enumerate(NAMES):
        true, called = bool(sets.truth[row, k]), bool(sets.prob[row, k] >= 0.5)
        words = {(1, 1): "found", (1, 0): "missed", (0, 1): "false alarm", (0, 0): ""}[true, called]
        assert f"{name}{f' · {words}' if words else ''}" in str(shown)
        if words:
            assert f"Grad-CAM for {name}" in str(maps)
    assert target == int(sets.prob[row].argmax())
    assert f"{sets.prob[row].max():.2f}".lstrip("0") in str(panel)


def test_every_tab_takes_labels(sets: LabelSets) -> None:
    assert all(missing(tab, sets.whole) is None for tab in TABS)


@pytest.mark.slow
def test_export_is_that_of_the_label_in_errors(sets: LabelSets, tmp_path: Path) -> None:
    ctx = Context(sets.whole)
    build(ctx)
    one = sets.label(2)
    view = first_view(one, 2).apply("threshold", "0.4", one).apply("together", "2,0", one)
    findings = ctx.findings_of(view.asked).at(view.threshold, view.positive)
    options = ExportView().options(findings.run, view)
    command = typed(findings.run, options)
    for words in ("--select together:0", "--label blue", "--threshold 0.4"):
        assert words in command
    list(Export(findings, tmp_path / "out", options).steps())
    both = np.flatnonzero(sets.truth[:, 2] & sets.truth[:, 0])
    table = pd.read_csv(tmp_path / "out" / "export.csv")
    assert sorted(table["id"]) == sorted(sets.table.loc[both, "id"])


@pytest.mark.slow
def test_commands_ask_for_one_label(sets: LabelSets, tmp_path: Path) -> None:
    folder = str(sets.folder)
    text = run_command("analyze", folder).stdout
    assert text.startswith("mAP ")
    assert f" {label_scores(sets).mean_average_precision:.3f} (" in text.splitlines()[0]
    assert f"--label {NAMES[sets.most_errors]}" in text
    assert "positive     green" in run_command("analyze", folder, "--label", "green").stdout
    assert run_command("report", folder, "--label", "blue", "--out", str(tmp_path / "r.html")).returncode == 0
    assert "no blue" in (tmp_path / "r.html").read_text()
    for words in (["report", folder, "--positive", "red"], ["export", folder, "--out", str(tmp_path / "e")]):
        assert "name one with --label: red, green, blue, grey" in one_line(*words)
    assert "Findings are those" not in text
    at = run_command("analyze", folder, "--threshold", "0.9").stdout
    assert "Findings are those at the threshold 0.5." in at
    assert all(line.split()[-1] == "0.9" for line in at.splitlines() if line.startswith(NAMES))
    assert "is no threshold" in one_line("analyze", folder, "--threshold", "most")
    line = one_line("analyze", folder, "--label", "red", "--positive", "no red")
    assert "The positive class of a label is the label, red: leave --positive out." in line
    assert "No label 'pink'" in one_line("analyze", folder, "--label", "pink")


def test_python_names_the_way_to_one_label(sets: LabelSets) -> None:
    whole = vitrine.open_run(sets.folder)
    assert "pred" not in whole.table
    assert whole.table["labels"].tolist() == [" | ".join(np.array(NAMES)[t]) for t in sets.truth]
    for ask in (lambda: whole.evaluation, lambda: whole.at(0.3)):
        with pytest.raises(UserError, match=r"open one of them by its name \(label=, --label\), red, green"):
            ask()
    assert vitrine.open_run(sets.folder, "red").evaluation.support.sum() == len(sets.table)


def test_one_image_is_explained_with_sigmoids(net: Classifier, patches: Patches) -> None:
    for found in (net, vitrine.wrap(TinyLabels(), NAMES, TINY, task="multi-label")):
        picture = patches.load(0)
        explained = vitrine.explain(found, picture, ["grad_cam"])
        with torch.inference_mode():
            p = found.model(found.batch([picture])).sigmoid()[0].numpy()
        np.testing.assert_allclose(explained.prob, p, atol=1e-6)


class TinyLabels(TinyNet):
    def __init__(self) -> None:
        super().__init__(4)


@pytest.mark.slow
def test_maps_that_are_lost_leave_the_answers(sets: LabelSets) -> None:
    """A run of one part, whose file of maps is gone."""
    for path in (sets.folder / "maps").iterdir():
        path.unlink()
    opened = open_run(sets.folder, "red")
    list(analyze(Findings(opened)))
    assert np.isnan(opened.maps("grad_cam", "pred", [0, 1])).all()
    build(Context(opened))


def test_slices_of_a_label_are_not_those_of_having_a_map(sets: LabelSets) -> None:
    """Only images whose label is called have one for the prediction: all others would be 'the rest'."""
    assert "attention" not in {kind for kind, _, _ in attributes(sets.label(0), "grad_cam")}


def test_a_label_that_no_image_has_says_so(net: Classifier, patches: Patches, tmp_path: Path) -> None:
    patches.items = [Item.of_set(i.id, set(i.labels or ()) - {"blue"}, NAMES) for i in patches.items]
    run(net, patches, tmp_path / "none", ["grad_cam"])
    opened = open_run(tmp_path / "none").label_sets
    assert opened is not None
    assert opened.most_errors != 2
    assert Findings(opened.label(2)).inconclusive == (
        "No image has the label blue: nothing can be concluded about it."
    )


@pytest.mark.slow
def test_what_to_try_names_no_training(sets: LabelSets) -> None:
    """Training takes one class per image."""
    assert all(not p.option for k in range(4) for p in Findings(sets.label(k)).proposals)


def test_a_card_says_why_there_is_no_map(sets: LabelSets) -> None:
    called = sets.prob >= 0.5
    one = sets.label(int((called & ~sets.truth).sum(0).argmax()))
    alarm = one.ok.index[(one.ok["label"] == 0) & (one.ok["pred"] == 1)]
    text = "".join(cards(one, alarm[:1].tolist(), "grad_cam", "both", False))
    assert f"maps show what speaks for {one.classes[1]}" in text
    assert "no finite number" not in text


def test_an_image_of_a_label_opens_with_its_map(sets: LabelSets) -> None:
    row = int(np.flatnonzero(sets.truth[:, 2] & (sets.prob.argmax(1) != 2))[0])
    _, _, panel, _, target = show_row(Context(sets.whole), row, 2)
    assert target == 2
    assert "Maps of the run for blue" in str(panel)


@pytest.mark.slow
def test_what_takes_one_class_says_so(sets: LabelSets, tmp_path: Path) -> None:
    folder, other = str(sets.folder), tmp_path / "other"
    shutil.copytree(sets.folder, other)
    done = run_command("compare", folder, str(other), "--label", "red")
    assert done.returncode == 0, done.stderr
    for of_one_class in (Findings, lambda run: compare_runs(run, run)):
        with pytest.raises(UserError, match="one class per image"):
            of_one_class(sets.whole)


def test_a_run_of_one_class_an_image_has_no_label(small_run: LabelSetsRun) -> None:
    with pytest.raises(UserError, match="a run of one label per image: leave --label out"):
        open_run(small_run.folder, "red")
    view = View(**asdict(first_view(small_run)))
    assert view.apply("asked", "1", small_run) == view


def test_a_run_that_has_not_ended_says_so_before_its_figures(sets: LabelSets) -> None:
    (sets.folder / "manifest.json").unlink()
    assert run_command("analyze", sets.folder).stdout.startswith("The run has not ended")
