"""`check --json`: one object with what the text says, and what is known where something is refused."""

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from explain.analysis.verdict import format_text
from explain.cli.check_json import preflight_answer
from explain.run.preflight.check import DOUBT, preflight
from explain.run.preflight.sample import Sample
from models.data.folder import FolderSource
from models.sources.module import from_module
from tests.command import run_command
from tests.test_preflight import CLASSES, UNIT, ByColor, looked

CHECK = ("check", "--model", "tiny_conv:toon_studios", "--data", "toon_studios")


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_json_of_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explain.run.preflight.check.MOST", 128)
    done = run_command(*CHECK, "--json")
    answer = json.loads(done.stdout)  # nothing else is on standard output
    assert done.returncode == 0
    assert answer["input"] in done.stderr
    images, hits = answer["images"], answer["accuracy"] * answer["images"]
    assert hits == pytest.approx(round(hits))
    interval = binomtest(round(hits), images).proportion_ci(method="wilson")
    assert answer["interval"] == pytest.approx([interval.low, interval.high])
    assert sum(answer["shares"].values()) == pytest.approx(1)
    assert 0 < answer["chance"] < 0.3 < answer["accuracy"]
    assert not answer["wrong"]
    assert {row["data"]: answer["outputs"][row["output"]] for row in answer["matching"]} == {
        row["data"]: row["name"] for row in answer["matching"]
    }


def test_json_says_what_the_text_says(pictures: Path) -> None:
    found = looked(ByColor(), pictures)
    answer, text = preflight_answer(found, 0.99), "\n".join(format_text(found, 0.99))
    assert answer["images"] == 18
    low, high = (100 * end for end in answer["interval"])
    assert f"{100 * answer['accuracy']:.1f} % (95 % interval {low:.1f} to {high:.1f} %) of 18 images" in text
    assert f"chance     {100 * answer['chance']:.1f} %" in text
    assert answer["readings"][0]["name"] in text
    assert f"verdict    {answer['verdict']}" in text


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_json_of_a_check_with_a_wrong_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explain.run.preflight.check.MOST", 128)
    monkeypatch.setattr(
        "explain.run.preflight.check.SECONDS", 300
    )  # a busy machine reads fewer images in time
    done = run_command(*CHECK, "--mean", "0.9", "--std", "0.05", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert answer["wrong"]
    assert any(reading["better"] for reading in answer["readings"])


def test_json_of_a_refusal_is_one_line_with_what_is_known(pictures: Path) -> None:
    done = run_command("check", "--model", "fer_vgg:toon_faces", "--data", pictures, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 2
    assert "\n" not in answer["error"]
    assert f"vitrine: {answer['error']}" in done.stderr
    assert {row["data"]: row["output"] for row in answer["matching"]} == dict.fromkeys(
        ("blue", "green", "red")
    )
    assert len(answer["outputs"]) > 3
    assert json.loads(run_command(*CHECK[:-1], "nowhere", "--json").stdout)["error"].startswith("No ")


@pytest.mark.parametrize("mistakes", [0, 15, 16])
def test_before_a_run_images_are_read_otherwise_only_where_that_may_decide(
    mistakes: int, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a reading with all of them right is not better beyond doubt, by its binomial p and as many
    comparisons as `check` makes."""
    read, source = list[object](), FolderSource(pictures)
    source.items = [item for item in source.items for _ in range(2)]  # 36 images
    right = Sample.right
    monkeypatch.setattr(Sample, "right", lambda self, *given: (read.append(given), right(self, *given))[1])
    net = ByColor() if mistakes == 0 else ByColor((0, 1, 2))
    classifier = from_module(net.eval(), CLASSES, UNIT, "net")
    outputs = [CLASSES.index(c) for c in source.classes]
    items = source.items[:]
    if mistakes:  # of blue and red, which this network exchanges: none, or some, of green
        wrong = [item for item in items if item.label != "green"][:mistakes]
        source.items = [*wrong, *[item for item in items if item.label == "green"]]
    every = preflight(classifier, source, outputs)
    assert int((~every.used.right).sum()) == mistakes
    assert read
    read.clear()
    found = preflight(classifier, source, outputs, decisive=True)
    p = binomtest(mistakes, mistakes, alternative="greater").pvalue if mistakes else 1.0
    assert bool(read) == (p * every.comparisons < DOUBT) == (mistakes == 16)
    assert (found.better is None) == (every.better is None) == (mistakes < 16)
    assert found.evaluation.accuracy == every.evaluation.accuracy
