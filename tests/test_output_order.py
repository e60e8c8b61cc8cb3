"""Outputs in another order: which order it is, and what follows from it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explain.run.preflight.output_order import outputs_found
from explain.run.reader import open_run
from models.classes.mapping import read_mapping, write_mapping
from models.errors import UserError
from tests.command import launch, one_line, run_command
from tests.test_preflight import CLASSES, UNIT, WORDS, ByColor, patience
from vitrine import wrap

__all__ = ["patience"]  # a fixture of every test here


@pytest.fixture
def levels(tmp_path: Path) -> Path:
    """Five classes by lightness, which no other reading of the images changes the order of."""
    rng, root = np.random.default_rng(3), tmp_path / "levels"
    for k, name in enumerate("abcde"):
        (root / name).mkdir(parents=True)
        for n in range(14):
            image = np.full((16, 16, 3), 20 + 50 * k) + rng.integers(0, 9, (16, 16, 3))
            Image.fromarray(image.astype(np.uint8)).save(root / name / f"{n}.png")
    return root


BY_LEVEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.grey = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.grey.weight, 1 / 3)

    def forward(self, x):
        level = self.grey(x).mean((2, 3))
        return -50 * (level - (24 + 50 * torch.tensor(ORDER)) / 255).square()
"""


def by_level(folder: Path, order: list[int]) -> tuple[object, ...]:
    """Options of a network whose output k answers the class of lightness `order[k]`."""
    path = folder / f"level{''.join(map(str, order))}.py"
    path.write_text(BY_LEVEL.replace("ORDER", str(order)))
    return ("--model", f"{path}:Net", *WORDS)


@pytest.mark.slow
def test_outputs_without_names_have_the_names_of_the_data_everywhere(levels: Path, tmp_path: Path) -> None:
    """Folders 2, 3 and 5 by a file: no page may call folder 3 'class 2'."""
    for old, new in (("a", "2"), ("b", "3"), ("c", "5")):
        (levels / old).rename(levels / new)
    for name in "de":
        shutil.rmtree(levels / name)
    (tmp_path / "map.csv").write_text("2,output 0\n3,output 1\n5,output 2\n")
    out, gallery = tmp_path / "run", tmp_path / "gallery"
    words = ("run", *by_level(tmp_path, [0, 1, 2]), "--data", levels, "--classes", tmp_path / "map.csv")
    launch(*words, "--methods", "grad_cam", "--out", out)
    run = open_run(out)
    assert run.classes == run.data_names == ("2", "3", "5")
    assert run.evaluation.accuracy == 1
    assert set(run.ok.loc[run.ok["id"].str.startswith("3/"), "label"]) == {1}
    launch("export", out, "--out", gallery, "--select", "class:3")
    assert not any("class 2" in file.read_text() for file in gallery.rglob("*.html"))
    launch("report", out, "--out", tmp_path / "report.html")
    assert "class 2" not in (tmp_path / "report.html").read_text()
    assert "class 2" not in launch("analyze", out)


@pytest.mark.slow
def test_the_order_that_was_found_is_named_and_written(levels: Path, tmp_path: Path) -> None:
    words = (*by_level(tmp_path, [2, 3, 1, 4, 0]), "--data", levels)
    line = one_line("run", *words, "--classes", "sorted", "--out", tmp_path / "run")
    assert "output 0 answers 'c', output 1 'd', output 2 'b', output 3 'e' … (5 in all)" in line
    assert "check --write-classes FILE writes all lines" in line
    file, truth = tmp_path / "found.csv", {"a": 4, "b": 2, "c": 0, "d": 1, "e": 3}
    done = run_command("check", *words, "--classes", "sorted", "--write-classes", file, "--json")
    best = next(r for r in json.loads(done.stdout)["readings"] if r["better"])
    assert best["outputs"] == truth
    assert f"{file} is written" in json.loads(done.stdout)["notes"][-1]
    launch("run", *words, "--classes", file, "--methods", "grad_cam", "--out", tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.evaluation.accuracy == 1
    assert run.classes == ("c", "d", "b", "e", "a")
    assert run.manifest.request.outputs == truth
    again = one_line("check", *words, "--classes", file, "--write-classes", file)
    assert "exists, and is not replaced" in again
    kept = launch("check", *words, "--classes", file, "--write-classes", tmp_path / "no.csv")
    assert "is not written: no other order of the outputs is better beyond doubt" in kept
    assert not (tmp_path / "no.csv").exists()


def test_an_order_that_has_a_name_is_named(levels: Path, tmp_path: Path) -> None:
    """A file puts the outputs in a wrong order, and the right one is that of the sorted names."""
    file = tmp_path / "wrong.csv"
    file.write_text("a,output 1\nb,output 2\nc,output 3\nd,output 4\ne,output 0\n")
    words = ("run", *by_level(tmp_path, [0, 1, 2, 3, 4]), "--data", levels, "--out", tmp_path / "run")
    line = one_line(*words, "--classes", file)
    assert "right with --classes sorted (outputs in another order), 0 % without" in line


def test_two_exchanged_outputs(levels: Path, tmp_path: Path) -> None:
    for name in "cde":
        shutil.rmtree(levels / name)
    words = (*by_level(tmp_path, [1, 0]), "--data", levels)
    line = one_line("run", *words, "--classes", "sorted", "--out", tmp_path / "run")
    assert "the two are exchanged, output 0 answers 'b', output 1 'a'" in line
    assert "Write the lines 'b, output 0' and 'a, output 1' into a file for --classes FILE" in line
    (tmp_path / "map.csv").write_text("b, output 0\na, output 1\n")
    launch("check", *words, "--classes", tmp_path / "map.csv")


@pytest.mark.slow
def test_names_in_a_wrong_order_are_to_be_corrected(levels: Path, tmp_path: Path) -> None:
    """Output k answers lightness k; the file exchanges the names of the last three."""
    names, mapping = tmp_path / "names.txt", tmp_path / "map.csv"
    names.write_text("a\nb\nd\ne\nc\n")
    words = ("run", *by_level(tmp_path, [0, 1, 2, 3, 4]), "--data", levels, "--class-names", names)
    words += ("--out", tmp_path / "run")
    line = one_line(*words)
    assert "the names in names.txt seem to be in another order: output 2 answers 'c', output 3 'd'," in line
    assert "Correct the order of the names in names.txt." in line
    assert "--classes FILE" not in line
    mapping.write_text("c,2\nd,3\ne,4\n")  # right, and shown under wrong names
    assert "names.txt calls 'd', while it calls output 4 'c': correct the names in names.txt" in one_line(
        *words, "--classes", mapping
    )
    mapping.write_text("c,d\nd,e\ne,c\n")
    assert "The outputs have their names from names.txt" in one_line(*words, "--classes", mapping)
    assert "or correct the names" in one_line(*words, "--classes", "sorted")
    names.write_text("a\nb\nc\nd\ne\n")
    launch(*words, "--methods", "grad_cam")
    assert open_run(tmp_path / "run").evaluation.accuracy == 1
    exchanged = wrap(ByColor().eval(), CLASSES, UNIT)
    assert exchanged.names_from == "classes="


def test_outputs_that_the_sample_does_not_show_are_asked_for(tmp_path: Path) -> None:
    label = np.repeat([0, 1, 2, 3], 4)
    pred = np.array([1] * 4 + [0] * 4 + [0] * 3 + [2] + [0] * 3 + [1])
    outputs = {"a": 0, "b": 1, "c": 2, "d": 3, "empty": -1}
    assert outputs_found(label, pred, outputs, 6) == {"a": 1, "b": 0, "c": 2, "d": None}  # never answered
    assert outputs_found(label, pred, outputs, 4)["d"] == 3  # the only output that is left
    assert outputs_found(label[:8], pred[:8], outputs, 6) == {"a": 1, "b": 0, "c": 2, "d": 3}  # as they were
    alike = np.array([1] * 4 + [0] * 12)
    assert outputs_found(label, alike, outputs, 6)["b"] is None  # c and d have the same answers
    three = np.array([1] * 4 + [2] * 4 + [2] * 4)
    assert outputs_found(label[:12], three, {"a": 0, "b": 1, "c": 2}, 3) == {"a": 1, "b": None, "c": 2}
    names = {"a": 0, "b": 1, "c": 2}
    most = np.array([1] * 4 + [2] * 4 + [1] * 3 + [0])  # c is mostly taken for a, and output 0 is left
    assert outputs_found(label[:12], most, names, 3) == {"a": 1, "b": 2, "c": 0}
    never = np.array([1] * 4 + [2] * 4 + [1] * 3 + [2])  # output 0 answers nothing: one of seven may be c
    assert outputs_found(label[:12], never, names, 9) == {"a": 1, "b": 2, "c": None}
    assert outputs_found(label[:12], never, names, 3) == {"a": 1, "b": 2, "c": 0}  # by elimination
    equal = np.array([1] * 4 + [2] * 4 + [1] * 4)  # a and c have the same answers
    assert outputs_found(label[:12], equal, names, 3) == {"a": None, "b": 2, "c": None}
    write_mapping(tmp_path / "map.csv", {"a": 1, "#b": 0, "c, d": None})
    mapping = read_mapping(tmp_path / "map.csv")
    assert mapping.pairs == {"a": "output 1", "#b": "output 0", "c, d": "?"}
    with pytest.raises(UserError, match=r"Line 4 of .*'\?', which the model lacks"):
        mapping.outputs(["a", "#b", "c, d"], ["1", "0", "2"])
