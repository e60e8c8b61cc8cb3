"""`check --json`: one object with what the text says, and what is known where something is refused."""

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from explain.analysis.verdict import format_text
from explain.cli.check_json import preflight_answer
from tests.command import run_command
from tests.test_preflight import ByColor, looked

CHECK = ("check", "--model", "tiny_conv:toon_studios", "--data", "toon_studios")


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
def test_json_of_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explain.run.preflight.MOST", 128)
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
    monkeypatch.setattr("explain.run.preflight.MOST", 128)
    monkeypatch.setattr("explain.run.preflight.SECONDS", 300)  # a busy machine reads fewer images in time
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
