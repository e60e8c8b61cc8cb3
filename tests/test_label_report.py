"""The report of all labels of a run: its figures against a plain loop, its images and maps, the command and
the Export tab."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from dashboard.session.context import Context
from dashboard.tabs.errors_state import first_view
from dashboard.tabs.export import ExportTab
from explain.analysis.multi_label.proposals import label_set_findings
from explain.export.label_report import label_report, outcome_rows
from explain.formatting import visible_text
from explain.run.engine import run
from explain.run.outputs.label_sets import LabelSets
from explain.run.reader import open_run
from models.errors import UserError
from tests.command import launch, one_line
from tests.markup import runs_nothing
from tests.test_label_sets import NAMES, Patches, answering


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> LabelSets:
    root = tmp_path_factory.mktemp("report")
    (root / "patches").mkdir()
    run(answering(), Patches(root / "patches", 40), root / "run", ["grad_cam", "layer_cam"], batch_size=8)
    found: LabelSets = open_run(root / "run").label_sets
    return found


def rows_of(text: str, title: str) -> dict[str, list[str]]:
    """The first table below a heading: its rows by their first cell, as text."""
    body = text[text.index(f"<h2>{title} ") :].split("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("<tr>")[1:]]
    plain = [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in rows]
    return {row[0]: row[1:] for row in plain if row}


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.5, 0.45])
def test_the_table_of_labels_is_that_of_a_plain_loop(threshold: float, sets: LabelSets) -> None:
    text = label_report(sets, np.full(4, threshold))
    rows = rows_of(text, "Labels")
    called = sets.prob >= threshold
    for k, name in enumerate(NAMES):
        truth, here = sets.truth[:, k], called[:, k]
        images, ap, chance, precision, recall, f1, at, missed, alarms = rows[name]
        assert images == str(truth.sum())
        assert ap.startswith(f"{average_precision_score(truth, sets.prob[:, k]):.3f} (")
        assert chance == f"{truth.mean():.3f}"
        for shown, value in (
            (precision, precision_score(truth, here, zero_division=np.nan)),
            (recall, recall_score(truth, here)),
            (f1, f1_score(truth, here)),
        ):
            assert shown.split()[0] == ("–" if np.isnan(value) else f"{value:.3f}")
        assert (at, missed, alarms) == (
            f"{threshold:g}",
            str((truth & ~here).sum()),
            str((~truth & here).sum()),
        )
    measures = rows_of(text, "Measures")
    value, interval, note = measures["mAP"]
    ap = [average_precision_score(sets.truth[:, k], sets.prob[:, k]) for k in range(4)]
    assert value == f"{np.mean(ap):.3f}"
    assert re.fullmatch(r"0\.\d{3} to 0\.\d{3}", interval)
    assert note == f"{sets.truth.mean():.3f} by chance; 4 classes"
    assert measures["micro F1"][0] == f"{f1_score(sets.truth, called, average='micro'):.3f}"


def test_the_matrices_count_pairs(sets: LabelSets) -> None:
    text = label_report(sets)
    called, n = sets.prob >= 0.5, len(sets.truth)
    instead, together = rows_of(text, "Called instead"), rows_of(text, "Together")
    for a, name in enumerate(NAMES):
        for b in range(4):
            pair = sets.truth[:, a] & ~called[:, a] & called[:, b] & ~sets.truth[:, b]
            both = int((sets.truth[:, a] & sets.truth[:, b]).sum())
            expected = sets.truth[:, a].sum() * sets.truth[:, b].sum() / n
            assert instead[name][b] == ("" if a == b else str(pair.sum()))
            assert together[name][b] == ("" if a == b else f"{both} ({expected:.1f})")


def test_images_of_the_worst_labels_come_with_their_maps(sets: LabelSets) -> None:
    text = label_report(sets, per_outcome=2)
    called = sets.prob >= 0.5
    errors = (called != sets.truth).sum(0)
    order = np.argsort(-errors, kind="stable")
    shown = re.findall(r"<h3><bdi>(\w+)</bdi>", text)
    assert shown == [NAMES[k] for k in order if errors[k]]
    ids = sets.table["id"].to_numpy()
    for k, part in zip(order, text.split('<div class="of-label">')[1:], strict=True):
        p, truth = sets.prob[:, k], sets.truth[:, k]
        groups = part.split('<div class="cards">')[1:]
        for group, rows, sign in zip(
            groups,
            (truth & ~called[:, k], ~truth & called[:, k], truth & called[:, k]),
            (1, -1, -1),
            strict=True,
        ):
            found = re.findall(r'<div class="id"><bdi>(.*?)</bdi>', group)
            best = [ids[i] for i in sorted(np.flatnonzero(rows), key=lambda i: (sign * p[i], i))]
            if sets.has_map(int(k), int(np.flatnonzero(ids == best[0])[0])) if best else False:
                assert found[0] == best[0]
            assert len(found) == min(2, len(best))
            assert group.count("data:image/jpeg") == len(found)
    assert runs_nothing(text)
    assert "no finite number" not in text


def test_found_images_are_those_whose_map_is_kept(sets: LabelSets) -> None:
    for k in range(4):
        missed, alarms, found = outcome_rows(sets, k, 0.5, 3)
        assert all(sets.has_map(k, int(row)) for row in (*missed, *alarms))
        kept = [sets.has_map(k, int(row)) for row in found]
        assert kept == sorted(kept, reverse=True)
    _, alarms, _ = outcome_rows(sets, 0, 0.0, 3)
    assert not sets.truth[alarms, 0].any()


@pytest.mark.slow
def test_the_command_writes_all_labels_or_one(sets: LabelSets, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    said = launch("report", sets.folder, "--out", out, "--threshold", "best-f1", "--method", "layer_cam")
    assert "mAP" in said
    assert "each label has a threshold of its own" in out.read_text()
    assert "layer_cam" in out.read_text() or "LayerCAM" in out.read_text()
    launch("report", sets.folder, "--out", out, "--label", "blue")
    assert "no blue" in out.read_text()
    assert "The run has no method 'lime'" in one_line("report", sets.folder, "--method", "lime")
    with pytest.raises(UserError, match="ask for 1 to 10"):
        label_report(sets, per_outcome=11)


def test_the_export_tab_writes_it_at_the_thresholds_of_errors(
    sets: LabelSets, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ctx = Context(sets.whole)
    tab = ExportTab.__new__(ExportTab)
    tab._ctx = ctx
    monkeypatch.setattr("dashboard.tabs.export.handed_out", lambda name: tmp_path / name)
    one = sets.label(2)
    view = first_view(one, 2).apply("threshold", "0.35", one)
    *_, (state, button) = tab.report_of_all(asdict(view), ["layer_cam"], False)
    assert "Report of all labels" in str(state)
    text = (tmp_path / "run.labels.html").read_text()
    assert rows_of(text, "Labels")["blue"][6] == "0.35"
    assert rows_of(text, "Labels")["red"][6] == "0.5"
    assert button.value


def test_many_labels_are_listed_as_pairs(sets: LabelSets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explain.export.label_report.MATRIX", 3)
    monkeypatch.setattr("explain.export.label_report.WORST", 1)
    text = label_report(sets)
    both = sets.truth.T.astype(int) @ sets.truth
    np.fill_diagonal(both, 0)
    a, b = np.unravel_index(int(np.triu(both).argmax()), both.shape)
    part = text[text.index("<h2>Together") :]
    assert f"<bdi>{NAMES[a]}</bdi></td><td>+ <bdi>{NAMES[b]}</bdi></td><td>{both[a, b]} (" in part
    assert ">1 label with the most errors of 4; at most 2 missed" in text


def test_what_to_try_is_that_of_all_labels(sets: LabelSets) -> None:
    found = label_set_findings(sets)
    text = label_report(sets)
    assert "<code>train </code>" not in text
    if found.inconclusive:
        assert visible_text(found.inconclusive)[:40] in text
    for proposal in found.proposals:
        assert proposal.title in text
