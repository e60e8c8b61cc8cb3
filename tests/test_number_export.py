"""What is exported of a run of numbers: files and tables, the form of the page, and the report."""

import csv
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image, ImageOps

from dashboard.tabs.export_state import OF_VIEW
from dashboard.tabs.number_export import contents_of, of_view, options_of, typed_of
from dashboard.tabs.numbers_state import first_view
from explain.analysis.numbers.groups import GROUPS
from explain.analysis.numbers.proposals import number_findings
from explain.analysis.numbers.run_numbers import compared_measures
from explain.analysis.numbers.text import number, signed_number
from explain.export import number_sheet
from explain.export.gallery import ExportOptions
from explain.export.number_gallery import EACH, NumberExport, picked
from explain.export.number_report import number_report
from explain.export.sheet import GAP, HEAD, LINE, MARGIN, NAMES, SPACE, TILE
from models.errors import UserError
from tests.markup import elements, runs_nothing
from tests.number_runs import made_up

FORM: tuple[Any, ...] = (OF_VIEW, 0, (), False, True, False)


@pytest.fixture(scope="module")
def run() -> Any:
    return made_up(200)


@pytest.fixture(scope="module")
def large() -> Any:
    return made_up(2500)


@pytest.mark.slow
def test_the_export_holds_each_group(run: Any, tmp_path: Path) -> None:
    made = NumberExport(run, tmp_path / "out", ExportOptions(originals=False))
    fractions = list(made.steps())
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    with (tmp_path / "out" / "export.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(run.outputs) * len(GROUPS) * EACH
    error = run.predicted - run.truth
    for row in rows:
        k, at = run.outputs.index(row["output"]), run.table.index[run.table["id"] == row["id"]][0]
        assert float(row["error"]) == pytest.approx(error[at, k], rel=1e-6)
        if row["group"] in ("over", "under"):
            assert (float(row["error"]) > 0) == (row["group"] == "over")
        for name in row["files"].split():
            assert (tmp_path / "out" / name).is_file()
            if name.endswith(".npy"):
                method = name.split(".")[-2]
                np.testing.assert_array_equal(
                    np.load(tmp_path / "out" / name), run.maps_of(method, k, [at])[0]
                )
    with (tmp_path / "out" / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 200
    text = (tmp_path / "out" / "index.html").read_text()
    assert runs_nothing(text)
    assert "age: over-estimates" in text
    assert "sheet.png" in json.loads((tmp_path / "out" / "manifest.json").read_text())["files"]
    again = NumberExport(run.output(1), tmp_path / "out.zip", ExportOptions("under", 2))
    assert list(again.steps())[-1] == 1
    assert again.description == "valence: under-estimates, 2"


@pytest.mark.slow
def test_the_sheet_shows_each_group_with_its_maps(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, draw = list[str](), number_sheet.write_line

    def written(d: Any, x: int, y: int, text: str, *more: Any, **named: Any) -> int:
        words.append(text)
        return draw(d, x, y, text, *more, **named)

    monkeypatch.setattr(number_sheet, "write_line", written)
    made = NumberExport(run, tmp_path / "out", ExportOptions(originals=False, raw=False))
    assert list(made.steps())[-1] == 1
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.height == HEAD + 6 * (LINE + SPACE) + MARGIN
        picture = sheet.convert("RGB")
    for one in made.picked:
        assert words.count(run.outputs[one.output]) == len(GROUPS)
        assert one.title in words
        for row in one.rows:
            true, predicted = run.truth[row, one.output], run.predicted[row, one.output]
            assert f"true {number(true)}" in words
            assert f"{number(predicted)} ({signed_number(predicted - true)})" in words
    for k, file in enumerate(("image", run.manifest.request.methods[0])):  # as in their own files
        (path,) = (tmp_path / "out" / "overlays" / "age").glob(f"over-01-*.{file}.png")
        small = ImageOps.contain(Image.open(path).convert("RGB"), (TILE, TILE), Image.Resampling.LANCZOS)
        left = MARGIN + NAMES + k * (TILE + GAP)
        part = picture.crop((left, HEAD, left + small.width, HEAD + small.height))
        np.testing.assert_array_equal(np.asarray(part), np.asarray(small))
    assert str(run.table.at[made.picked[0].rows[0], "id"]) in words
    many = NumberExport(run, tmp_path / "many", ExportOptions("over", 12, originals=False, raw=False))
    monkeypatch.setattr("explain.export.number_gallery.LINES", 2)
    assert list(many.steps())[-1] == 1
    total = len(many.picked[0].rows)
    assert total > 8
    assert any(f"the first 8 of {total} images" in text for text in words)


def test_what_cannot_be_exported_is_one_line(run: Any, tmp_path: Path) -> None:
    for options, said in (
        (ExportOptions("errors"), "Nothing is called 'errors': select over, under, nearest"),
        (ExportOptions(methods=("no",)), "The run has no method 'no'"),
        (ExportOptions(per_class=0), "0 images per group"),
        (ExportOptions("box:1000,,,"), "No readable image fits"),
    ):
        with pytest.raises(UserError, match=said.replace("(", r"\(")):
            NumberExport(run, tmp_path / "x", options)


def test_the_export_tab_follows_errors(run: Any) -> None:
    view = first_view(run).apply("output", "1", run).apply("region", "box:0,0.5,,", run)
    options = options_of(run, asdict(view), FORM)
    assert options.select == "box:0,0.5,,"
    command, shown = contents_of(run, asdict(view), FORM)
    assert "--select box:0,0.5,, --label valence" in command
    inside = (run.truth[:, 1] >= 0) & (run.truth[:, 1] < 0.5)
    assert f"{inside.sum()} images" in shown
    assert picked(run.output(1), options)[0].rows == tuple(
        sorted(np.flatnonzero(inside), key=lambda r: -abs(run.predicted[r, 1] - run.truth[r, 1]))
    )
    over = options_of(run, asdict(view), ("over", 3, ("grad_cam",), True, False, False))
    assert "--select over --label valence --per-class 3" in typed_of(of_view(run, asdict(view)), over)


@pytest.mark.slow
def test_the_report_has_every_output(large: Any) -> None:
    text = number_report(large, per_group=2)
    assert runs_nothing(text)
    assert text.count("<img") == 2 * 3 * 2 * 2
    for k, name in enumerate(large.outputs):
        assert f"Predicted against true <bdi>{name}</bdi>" in text
        for m in compared_measures(large, k):
            assert f"<td>{m.value}</td>" in text
    assert "up to " in text
    assert text.count("<h3>What to try <small>") == 2
    for k in range(2):
        found = number_findings(large, k).proposals
        assert found
        for p in found:
            assert f"<b>{escape(p.title)}</b> {escape(p.text)}" in text
            assert escape(p.advice) in text
    for tag, attributes in elements(text):
        assert not attributes.get("src", "data:").startswith("http"), tag
    with pytest.raises(UserError, match="no method 'x'"):
        number_report(large, "x")
    with pytest.raises(UserError, match="11 images per group do not fit"):
        number_report(large, per_group=11)
    few = number_report(made_up(30, ("a",)))
    assert "30 images have a true and a predicted number: 40 are needed for findings." in few
    none = made_up(200, ("a",))
    none.predicted[:] = np.random.default_rng(0).permutation(none.truth)  # no better than the mean
    assert number_report(none).count("nothing is concluded from it") == 1
    assert "What to try" not in number_report(none)
    assert math.isfinite(len(number_report(made_up(3, ("a",)))))
