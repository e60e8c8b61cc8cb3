"""Run folders of format 1 that earlier versions wrote: they open, and everything that reads a run works on
them.

`golden/first`: as the first version wrote runs; `golden/with_analysis`: from the version that added
statistics of images, hashes, the analysis and notes, before the preprocessing became part of the request.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from explain.analysis.compare import compare
from explain.analysis.findings import ABOUT, Findings, analyze
from explain.analysis.format_text import format_text
from explain.analysis.groups import EARLIER_NAMES, LISTS, group
from explain.export.gallery import Export, ExportOptions
from explain.export.report import report
from explain.run.format import MANIFEST, REQUEST
from explain.run.people.notes import read
from explain.run.reader import RunData, open_run

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("first", "with_analysis")


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, to be written to."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


def export(run: RunData, out: Path) -> list[str]:
    for _ in Export(Findings(run), out, ExportOptions(originals=False)).steps():
        pass
    return sorted(path.name for path in out.iterdir())


def test_the_numbers_are_those_that_were_written(folder: Path) -> None:
    run = open_run(folder)
    assert run.manifest.status == "complete"
    assert (len(run.table), len(run.ok)) == (13, 12)
    assert run.table["error"].dropna().to_list() == ["not a picture of a known format"]
    assert run.evaluation.accuracy == pytest.approx(10 / 12)
    assert run.ok["loss"].sum() == pytest.approx(1.7876308)
    maps = run.maps("grad_cam", "pred", run.ok.index.to_list())
    assert maps.shape == (12, 8, 8)
    assert maps.sum() == pytest.approx(37.55667, rel=1e-5)
    assert maps.max() == pytest.approx(0.1345067, rel=1e-5)
    assert run.prob(int(run.ok.index[0])).sum() == pytest.approx(1)
    assert run.thumbnail_image(int(run.ok.index[0])).size == (32, 32)


@pytest.mark.slow
def test_it_is_analyzed_reported_and_exported(folder: Path, tmp_path: Path) -> None:
    assert list(analyze(Findings(open_run(folder))))[-1] == 1
    findings = Findings(open_run(folder))
    assert findings.kept
    assert format_text(findings)
    assert all(group(findings, read(folder), name) is not None for name in LISTS)
    assert "<html" in report(findings)
    assert {"index.html", "export.csv", "sheet.png"} <= set(export(findings.run, tmp_path / "export"))


def test_both_are_runs_of_the_same_images() -> None:
    a, b = (open_run(GOLDEN / name) for name in NAMES)
    comparison = compare(a, b, replicates=10)
    assert len(comparison.matched) == 12
    assert np.allclose(comparison.matched["similarity"].dropna(), 1)


def test_keys_of_later_versions_are_passed_over(folder: Path) -> None:
    for name in (REQUEST, MANIFEST):
        raw = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(raw | {"of_a_later_version": {"a": [1]}}))
    assert len(open_run(folder).ok) == 12


def test_what_earlier_versions_kept_is_read(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "with_analysis", tmp_path / "run"))
    notes = read(folder)
    assert notes["red/0.png"].tags == ("odd",)
    assert notes["red/1.png"].label == "blue"
    about = json.loads((folder / ABOUT).read_text())
    rows = open_run(folder).ok.index.to_list()
    pair = {"row": rows[0], "other": rows[1], "alike": 0.99, "agree": True}
    (folder / ABOUT).write_text(json.dumps(about | {"twins": [pair]}))
    findings = Findings(open_run(folder))
    assert findings.ready
    assert [(p.row, p.other, p.similarity) for p in findings.duplicates] == [(rows[0], rows[1], 0.99)]
    lists = [group(findings, notes, name) for name in ("alike", EARLIER_NAMES["alike"])]
    assert [found.rows.tolist() for found in lists if found] == [rows[:2]] * 2
