"""A folder of runs: what the list says of each."""

import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from dashboard.components.listed.runs_table import chosen, runs_table
from dashboard.session.run_index import ListedRun, RunIndex
from dashboard.tabs.runs_state import SORTS, RunsView, from_query
from explain.analysis.main_figure import MainFigure, main_figure
from explain.run import folder_of_runs
from explain.run.engine import run
from explain.run.folder_of_runs import RunEntry, RunFolder
from explain.run.format import MANIFEST, Manifest
from explain.run.reader import open_run
from tests import number_source, test_label_sets
from tests.run_lists import made


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("served") / "runs")


# --- the list


def test_runs_are_found_and_what_cannot_be_read_says_why(runs: Path) -> None:
    found = {e.name: e for e in RunFolder(runs).entries()}
    assert list(found) == ["at chance", "begun", "broken", "group/small", "newer", "toon & co"]
    assert (found["toon & co"].images, found["toon & co"].status) == (800, "complete")
    assert found["toon & co"].network == "fer_vgg:toon_faces"
    assert found["begun"].status == "partial"
    assert "cannot be read" in found["broken"].problem
    assert found["newer"].problem == "This run has format 99, this Vitrine reads 1 and 2 and 3: run it again."
    for path, name in (("group/small/x", "group/small"), ("toon & co", "toon & co"), ("group", "")):
        folder = RunFolder(runs)
        folder.entries()
        assert folder.named(path) == name


def test_only_what_has_changed_is_read_again(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, kept = list[Path](), folder_of_runs.read_manifest

    def noted(folder: Path) -> Manifest:
        read.append(folder)
        return kept(folder)

    monkeypatch.setattr(folder_of_runs, "read_manifest", noted)
    for name in ("a", "b"):
        shutil.copytree(runs / "group" / "small", tmp_path / name)
    folder = RunFolder(tmp_path, every=0)
    assert [e.name for e in folder.entries()] == ["a", "b"]
    folder.entries()
    assert len(read) == 2
    os.utime(tmp_path / "b" / MANIFEST, (1, 1))
    shutil.copytree(runs / "group" / "small", tmp_path / "c")
    shutil.rmtree(tmp_path / "a")
    assert [e.name for e in folder.entries()] == ["b", "c"]
    assert read[2:] == [tmp_path / "b", tmp_path / "c"]


def test_the_main_figure_is_that_of_a_loop(runs: Path) -> None:
    table = open_run(runs / "toon & co").table
    right = [int(a == b) for a, b in zip(table["label"], table["pred"], strict=True)]
    found = main_figure(runs / "toon & co")
    assert (found.name, found.caution, found.images) == ("accuracy", "", 800)
    assert found.value == pytest.approx(sum(right) / len(right))
    assert found.text == f"{100 * sum(right) / len(right):.1f} %"
    assert main_figure(runs / "at chance").caution == "the network is at chance"


def test_the_main_figure_of_several_labels_and_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    run(
        test_label_sets.answering(),
        test_label_sets.Patches(tmp_path / "data"),
        tmp_path / "labels",
        ["grad_cam"],
    )
    sets = open_run(tmp_path / "labels").label_sets
    assert sets is not None
    truth, prob = sets.truth, sets.prob
    both = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
    expected = np.mean([average_precision_score(truth[:, k], prob[:, k]) for k in both])
    found = main_figure(tmp_path / "labels")
    assert found.name == "mAP"
    assert found.value == pytest.approx(expected)
    source = number_source.Tinted(tmp_path / "tinted")
    run(number_source.answering(source), source, tmp_path / "numbers", ["grad_cam"])
    opened: Any = open_run(tmp_path / "numbers")
    known = ~np.isnan(opened.truth[:, 0]) & ~np.isnan(opened.predicted[:, 0])
    error = np.abs(opened.truth[known, 0] - opened.predicted[known, 0]).mean()
    found = main_figure(tmp_path / "numbers")
    assert found.name == f"MAE of {opened.outputs[0]}"
    assert found.value == pytest.approx(error)


def listed(runs: Path, private: bool = True) -> list[ListedRun]:
    """The list, when all figures are there."""
    index = RunIndex(RunFolder(runs), private)
    found = index.runs()
    while any(one.pending for one in found):
        assert index._working is not None
        index._working.join(60)
        found = index.runs()
    index.close()
    return found


def test_the_list_shows_every_run_and_no_folder(runs: Path) -> None:
    shown = str(runs_table(listed(runs), RunsView(), "/x/runs/"))
    assert 'href="/x/runs/toon%20%26%20co/"' in shown
    assert 'href="/x/runs/group/small/"' in shown
    assert "the network is at chance" in shown
    assert "This run has format 99" in shown
    assert "holds no images yet" in shown
    assert str(runs) not in shown
    assert "hidden" not in shown


def test_figures_come_later_and_one_that_fails_stops_no_other(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path) -> MainFigure:
        if folder.name == "small":
            raise RuntimeError
        return MainFigure("accuracy", 0.5, "50.0 %", "", 3)

    monkeypatch.setattr("dashboard.session.run_index.main_figure", fails)
    found = {one.entry.name: one for one in listed(runs)}
    assert found["group/small"].entry.problem == "This run cannot be read (RuntimeError): run it again."
    assert found["toon & co"].figure == MainFigure("accuracy", 0.5, "50.0 %", "", 3)


def entry(name: str, figure: float | None, **more: Any) -> ListedRun:
    made = RunEntry(name, Path(name), (), **more)
    value = None if figure is None else MainFigure("accuracy", figure, str(figure), "", 7)
    return ListedRun(made, value, False)


def test_search_and_order_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    made = [
        entry(
            f"run {i:02d}" if i % 3 else f"Other {i}",
            None if i % 7 == 0 else float(rng.integers(0, 5)) / 5,
            date=f"2026-0{1 + i % 9}-01T00:00:00",
            network=("vgg", "resnet")[i % 2],
            images=None if i % 5 == 0 else i,
        )
        for i in range(40)
    ]
    for sort in SORTS:
        for down in (False, True):
            found = chosen(made, RunsView(find="run VGG", sort=sort, down=down))
            assert {r.entry.name for r in found} == {
                r.entry.name for r in made if r.entry.name.startswith("run") and r.entry.network == "vgg"
            }
            values = [r.figure.value if r.figure else None for r in found] if sort == "figure" else None
            if values is not None:
                known = [v for v in values if v is not None]
                assert values == [*sorted(known, reverse=down), *[None] * (len(values) - len(known))]
            if sort == "name":
                assert found == sorted(found, key=lambda r: r.entry.name, reverse=down)
    assert len(chosen(made, RunsView())) == 40
    assert "No run has &#39;zzz&#39;" in runs_table(made, RunsView(find="zzz"), "/runs/")


def test_a_link_to_the_list_is_read_as_it_was_written() -> None:
    view = RunsView()
    clicks = [("find", "vgg"), ("sort", "figure"), ("sort", "figure"), ("page", "2"), ("sort", "date")]
    for action, value in [*clicks, ("sort", "date"), ("sort", "x"), ("page", "-1"), ("open", "1")]:
        view = view.apply(action, value)
        parts = dict(httpx.QueryParams(view.query()[1:]))
        assert from_query(parts) == view
    assert from_query({"sort": "nothing", "order": "x", "sheet": "x"}) == RunsView()
