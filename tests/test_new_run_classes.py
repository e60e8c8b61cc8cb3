"""The table of classes of the New run tab: an order of the outputs that a check found is filled in, and
classes are left out. The checks are those of the command line."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dashboard.components.listed.check_view import check_result
from dashboard.session.run_command import classes_file, write_classes
from dashboard.tabs.new_run import NewRunTab
from dashboard.tabs.new_run_state import LEFT_OUT, OPEN, NewRunView
from explain.run.reader import RunData, open_run
from models.classes.mapping import read_mapping
from models.errors import UserError
from tests.command import launch, run_command
from tests.markup import elements
from tests.test_new_run_files import PLAIN, tab, values
from tests.test_output_order import by_level, levels, patience

__all__ = ["levels", "patience", "tab"]  # fixtures
ORDER = [2, 3, 1, 4, 0]
TRUTH = {"a": 4, "b": 2, "c": 0, "d": 1, "e": 3}


def checked(*words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_command("check", *words, "--json").stdout)
    return found


def outputs(view: NewRunView) -> dict[str, int | None]:
    return {row["data"]: row["output"] for row in view.rows}


def reading(**more: Any) -> dict[str, Any]:
    found = {"name": "outputs in another order", "words": ["--classes", "FILE"], "accuracy": 0.96}
    return found | {"as_now": 0.12, "images": 70, "p": 0.0, "better": True, "outputs": None} | more


def about(rows: list[str], **more: Any) -> dict[str, Any]:
    matching = [{"data": name, "output": k, "name": str(k), "rule": "number"} for k, name in enumerate(rows)]
    return {"outputs": [f"class {k}" for k in range(len(rows))], "matching": matching, **more}


@pytest.mark.slow
def test_an_order_that_a_check_found_is_filled_in_and_confirmed(levels: Path, tmp_path: Path) -> None:
    words = (*by_level(tmp_path, ORDER), "--data", levels)
    view = NewRunView().of(PLAIN, checked(*words, "--classes", "sorted"), "check")
    assert outputs(view) == TRUTH
    assert {row["rule"] for row in view.rows} == {"the order found by the check"}
    images = next(r["images"] for r in view.checked["readings"] if r["better"])
    assert view.found_by == f"100 % of {images} images are right in this order of the outputs, 0 % before"
    assert view.outdated == "settings"
    shown = str(check_result(view.checked, view.rows, "", "x.csv", view.outdated, view.found_by))
    assert f"Filled in by the check: {view.found_by}." in shown
    path = classes_file(tmp_path, "mine")
    write_classes(path, view.rows, view.checked["outputs"])
    again = view.of(PLAIN, checked(*words, "--classes", path), "check")  # the outputs have other names now
    assert again.checked["accuracy"] == 1
    assert (outputs(again), again.corrections, again.outdated) == (TRUTH, view.corrections, "")
    launch("run", *words, "--classes", path, "--methods", "grad_cam", "--out", tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.evaluation.accuracy == 1
    assert run.manifest.request.outputs == TRUTH


def test_what_is_not_beyond_doubt_is_not_filled_in() -> None:
    for found in (
        reading(outputs={"a": 1, "b": 0}, better=False),
        reading(outputs={"a": 1, "b": 0}, words=["--class-names", "FILE"]),  # names are to be corrected
        reading(words=["--mean", "0"]),
        reading(outputs={"a": 0, "b": 1}),
    ):
        view = NewRunView().of(PLAIN, about(["a", "b"], readings=[found]), "check")
        assert (view.corrections, view.outdated) == ({}, "")


def test_what_the_sample_does_not_show_is_to_be_chosen(tmp_path: Path) -> None:
    found = reading(outputs={"a": 1, "b": 0, "c": None, "d": 3})
    view = NewRunView().of(PLAIN, about(["a", "b", "c", "d", "empty"], readings=[found]), "check")
    assert outputs(view) == {"a": 1, "b": 0, "c": None, "d": 3, "empty": 4}
    assert view.corrections == {"0": 1, "1": 0, "2": OPEN}
    path = classes_file(tmp_path, "mine")
    with pytest.raises(UserError, match="does not show the output of c: choose it in the matching") as asked:
        write_classes(path, view.rows, view.checked["outputs"])
    assert "\n" not in str(asked.value)
    assert not path.exists()
    for chosen in (view.apply("output:2", "2"), view.apply("leave:2", "")):
        write_classes(path, chosen.rows, view.checked["outputs"])
    assert read_mapping(path).left_out(["a", "b", "c", "d", "empty"]) == ("c",)
    assert view.apply("leave:2", "").apply("leave:2", "").corrections["2"] == OPEN
    assert view.of(PLAIN | {"data": "other"}, about(["a", "b"]), "").corrections == {}


@pytest.mark.slow
def test_a_class_is_left_out_and_taken_back(levels: Path, tmp_path: Path) -> None:
    words = (*by_level(tmp_path, [0, 1, 2, 3, 4]), "--data", levels)
    view = NewRunView().of(PLAIN, checked(*words, "--classes", "sorted"), "check")
    assert view.corrections == {}
    left = view.apply("leave:1", "")
    assert left.rows[1] == {"data": "b", "left_out": True, "open": False} | {
        "output": None,
        "name": "",
        "rule": "left out",
    }
    assert left.apply("leave:1", "") == view
    assert left.apply("output:1", "1").corrections == {"1": 1}
    assert view.apply("leave:9", "") == view.apply("leave:", "") == view
    path = classes_file(tmp_path, "mine")
    write_classes(path, left.rows, left.checked["outputs"])
    answer = checked(*words, "--classes", path)
    assert "left out by --classes: 14 images of b (14)" in answer["notes"]
    assert (answer["images"], [row["data"] for row in answer["matching"]]) == (56, list("abcde"))
    assert answer["matching"][1] == {"data": "b", "output": None, "name": ""} | {
        "rule": "left out by --classes",
        "left_out": True,
    }
    again = left.of(PLAIN, answer, "check")
    assert (again.corrections, again.outdated) == ({"1": LEFT_OUT}, "")
    launch("run", *words, "--classes", path, "--methods", "grad_cam", "--out", tmp_path / "run")
    run: RunData = open_run(tmp_path / "run")
    assert len(run.table) == 56
    assert run.evaluation.accuracy == 1


def test_a_class_that_a_file_leaves_out_stays_so(tmp_path: Path) -> None:
    """A file of the person's own, in the form: what the page writes in its place leaves it out, too."""
    rows = about(["a", "b", "c"])
    rows["matching"][2] |= {"output": None, "name": "", "rule": "left out by --classes", "left_out": True}
    view = NewRunView().of(PLAIN, rows, "check").apply("output:0", "1")
    path = classes_file(tmp_path, "mine")
    write_classes(path, view.rows, view.checked["outputs"])
    assert read_mapping(path).pairs == {"a": "1", "b": "1", "c": ""}
    back = view.apply("leave:2", "")
    assert back.corrections["2"] == OPEN
    assert back.apply("leave:2", "").rows[2]["left_out"]


def test_buttons_leave_classes_out() -> None:
    """One for each row, also where outputs are so many that they are typed."""
    evil = '<img src=x onerror="a()">'
    for count in (3, 300):
        checked = about([evil, "b", "c"]) | {"outputs": [f"class {k}" for k in range(count)]}
        view = NewRunView().of(PLAIN, checked, "check").apply("leave:1", "")
        found = elements(str(check_result(view.checked, view.rows, "", "x.csv", "", evil)))
        buttons = [a for tag, a in found if tag == "button" and a["data-action"].startswith("leave:")]
        assert sorted(a["data-action"] for a in buttons) == ["leave:0", "leave:1", "leave:2"]
        labels = {a["data-action"]: a["aria-label"] for a in buttons}
        assert labels["leave:1"] == "use the images of b"
        assert labels["leave:0"].startswith("leave out the images of <img")
        assert not any(tag == "img" for tag, _ in found)


class Clicked:
    def __init__(self, index: str, value: str = "") -> None:
        self.index, self.value = index, value


def test_the_command_names_the_file_of_what_is_left_out(tab: NewRunTab) -> None:
    """As the page calls it: a click, the command, and the file that a start or check writes."""
    form = tab._form.values(values(tab))
    view = NewRunView().of(form, about(["a", "b"]), "check")
    click: Any = Clicked("leave:0")
    keys, shown, command, *_ = tab.correct(click, asdict(view), *values(tab))
    assert keys["corrections"] == {"0": LEFT_OUT}
    path = classes_file(tab._jobs.folder, form["name"])
    assert f"--classes {path}" in command
    assert "Corrections are written to" in str(shown)
    now = NewRunView(**keys)
    tab._write_corrections(now, tab._values(now, tuple(values(tab))))
    assert read_mapping(path).left_out(["a", "b"]) == ("a",)
