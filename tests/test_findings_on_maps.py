"""Findings that rest on maps: said where the maps passed, left out where they did not, and with a remark
where nobody measured them; on the page, in the terminal, in the report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components.errors.audit import audit
from dashboard.components.errors.cluster_view import cluster_view
from dashboard.components.errors.slice_view import slice_view
from dashboard.tabs.errors import proposed
from dashboard.tabs.errors_state import first_view
from explain.analysis.findings import Findings
from explain.analysis.format_text import format_label_sets, format_numbers, format_proposals, format_text
from explain.analysis.multi_label.proposals import OF_ALL, OF_EACH, LabelSetFindings
from explain.analysis.numbers.proposals import NumberFindings
from explain.analysis.on_maps import CHECKS_ON_MAPS, PARTS, REMARK, command
from explain.analysis.proposals.registry import CHECKS
from explain.export.report import report
from explain.quality.known import state_of
from explain.run.reader import open_run
from tests.command import launch
from tests.label_runs import label_sets
from tests.measured import BETTER, CENTER, SAME, keep
from tests.number_runs import made_up
from tests.test_number_maps import at_border

NOT_SAID = "Not said: classes recognized by their border, errors at the border"
BORDER = "class 3 may be recognized by its border."


def words(text: object) -> str:
    """Without line breaks."""
    return " ".join(str(text).split())


@pytest.fixture
def border(tmp_path: Path) -> Findings:
    """One class whose maps lie at the border; two methods, of which the first is read."""
    synthetic_run(tmp_path / "run", 800, 8, Faults(border=3), 3.0, 11, ("layer_cam", "grad_cam"))
    return Findings(open_run(tmp_path / "run"))


def test_checks_that_rest_on_maps_are_checks() -> None:
    assert set(CHECKS_ON_MAPS) | set(PARTS) <= {*CHECKS, *OF_ALL, *OF_EACH}


@pytest.mark.slow
def test_what_nobody_measured_is_said_with_a_remark(border: Findings) -> None:
    [p] = [p for p in border.proposals if p.kind == "border class"]
    assert p.title == BORDER
    assert p.on_maps
    assert p.text.endswith(REMARK)
    remark = f"Some findings rest on maps of {border.run.title('layer_cam')}. {REMARK} {command(border.run)}"
    assert remark in words(format_text(border))
    assert remark in words(format_proposals(border)[-1])
    assert command(border.run) in proposed(border, first_view(border.run), True)
    assert command(border.run) in report(border)
    assert all(REMARK not in p.text for p in border.proposals if not p.on_maps)


@pytest.mark.slow
def test_what_does_not_pass_is_not_said(border: Findings) -> None:
    before = [p.title for p in border.proposals if p.title != BORDER]
    keep(border.run, {"layer_cam": SAME, "grad_cam": CENTER})
    assert [p.title for p in border.proposals] == before  # the same object: it follows what is measured
    title = border.run.title("layer_cam")
    for text in (format_text(border), proposed(border, first_view(border.run), True), report(border)):
        assert NOT_SAID in words(text)
        assert f"({title}: no better than the center)" in words(text)
        assert BORDER not in text
        assert REMARK not in text
    assert not any(line.startswith("maps ") for line in format_proposals(border))
    assert NOT_SAID in words(launch("analyze", border.run.folder))


@pytest.mark.slow
def test_what_passes_is_said_without_a_remark(border: Findings) -> None:
    keep(border.run, {"layer_cam": BETTER, "grad_cam": SAME})
    assert BORDER in [p.title for p in border.proposals]
    for text in (format_text(border), proposed(border, first_view(border.run), True), report(border)):
        assert BORDER in text
        assert "Not said" not in text
        assert REMARK not in text


def test_findings_rest_on_the_method_that_passes(border: Findings) -> None:
    assert border.method == "layer_cam"
    keep(border.run, {"layer_cam": SAME, "grad_cam": BETTER})
    assert border.method == "grad_cam"
    assert "Not said" not in format_text(border)


def test_too_few_images_are_as_none(border: Findings) -> None:
    keep(border.run, {"layer_cam": SAME, "grad_cam": SAME}, images=9)
    [p] = [p for p in border.proposals if p.kind == "border class"]
    assert p.text.endswith(REMARK)


@pytest.mark.slow
def test_confused_pairs_are_said_without_their_maps(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "run", 1600, 8, Faults(pair=(1, 5)), seed=11)
    findings = Findings(open_run(tmp_path / "run"))
    [p] = [p for p in findings.proposals if p.kind == "pair"]
    assert "overlap" in p.text
    assert p.text.endswith(REMARK)
    keep(findings.run, {"layer_cam": SAME})
    [unsaid] = [p for p in findings.proposals if p.kind == "pair"]
    assert (unsaid.title, unsaid.option) == (p.title, "--mixup 0.2")
    assert p.text.startswith(unsaid.text)
    assert "overlap" not in unsaid.text
    assert "where the maps of confused pairs agree" in words(format_text(findings))
    keep(findings.run, {"layer_cam": BETTER})
    [said] = [p for p in findings.proposals if p.kind == "pair"]
    assert f"{said.text} {REMARK}" == p.text


@pytest.mark.slow
def test_the_lenses_say_what_they_leave_out(border: Findings) -> None:
    view = first_view(border.run)
    assert "Not said" not in audit(border, view) + cluster_view(border, view) + slice_view(border, view)
    assert "border mass" in slice_view(border, view)
    keep(border.run, {"layer_cam": SAME, "grad_cam": CENTER})
    assert "Not said: differences of maps, because of the maps" in audit(border, view)
    assert "Map statistics of every image" in audit(border, view)  # figures, not a finding
    assert "Not said: clusters of maps" in cluster_view(border, view)
    html = slice_view(border, view)
    assert "Not said: slices by map statistics" in html
    assert "<b>border mass</b>" not in html


@pytest.mark.slow
def test_labels_at_the_border_follow_their_maps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((400, 4)) < 0.4
    prob = np.clip(np.where(truth, 0.9, 0.1) + 0.05 * rng.standard_normal(truth.shape), 0.01, 0.99)
    mass = np.full(truth.shape, 0.3) + 0.01 * rng.random(truth.shape)
    mass[:, 2] = 0.8
    found = LabelSetFindings(label_sets(tmp_path, truth, prob, mass))
    [p] = [p for p in found.proposals if p.kind == "border class"]
    assert p.text.endswith(REMARK)
    assert command(found.run) in words(format_label_sets(found))
    method = found.method
    keep(found.run, {method: SAME})
    assert not [p for p in found.proposals if p.kind == "border class"]
    text = words(format_label_sets(found))
    assert "Not said: labels recognized by the border and labels with maps outside of their region" in text
    keep(found.run, {method: BETTER})
    [said] = [p for p in found.proposals if p.kind == "border class"]
    assert f"{said.text} {REMARK}" == p.text


@pytest.mark.slow
def test_worst_errors_of_numbers_follow_their_maps(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(0), 400
    truth, error, mass = rng.uniform(0, 9, n), rng.normal(size=n), rng.uniform(0, 0.6, n)
    mass[np.abs(error) >= np.quantile(np.abs(error), 0.8)] += 0.3
    run = replace(at_border(mass, error, truth), folder=tmp_path)
    found = NumberFindings(run, 0)
    [p] = [p for p in found.proposals if p.kind == "border"]
    assert p.text.endswith(REMARK)
    assert command(run) in format_numbers(found, "age")
    keep(run, dict.fromkeys(run.manifest.request.methods, SAME))
    assert not [p for p in found.proposals if p.kind == "border"]
    text = words(format_numbers(found, "age"))
    assert "Not said: errors at the border, because of the maps" in text
    keep(run, dict.fromkeys(run.manifest.request.methods, BETTER))
    [said] = [p for p in found.proposals if p.kind == "border"]
    assert f"{said.text} {REMARK}" == p.text
    assert "maps of" not in found.maps_note


def test_verdicts_are_those_of_their_output(tmp_path: Path) -> None:
    run = replace(made_up(), folder=tmp_path)
    keep(run, dict.fromkeys(run.manifest.request.methods, SAME))
    first, second = NumberFindings(run, 0).of, NumberFindings(run, 1).of
    assert state_of(first.asked, "grad_cam") == "does not pass"
    assert state_of(second.asked, "grad_cam") == "unknown"
    assert command(second.asked).endswith("--label valence")
