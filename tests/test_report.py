"""The report: one file without requests and without anything that runs, whatever names are in the run, of
bounded size."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.synthetic import Faults, synthetic_run
from explain.analysis.findings import Findings
from explain.analysis.headline import headline
from explain.analysis.ranking import summary
from explain.export.anonymize import COVER, eye_band
from explain.export.report import CLASSES, report, write_report
from explain.run.people.notes import add
from explain.run.reader import RunData, open_run
from models.errors import UserError
from tests.markup import elements, runs_nothing
from tests.test_trained import fake

TOON_RUN = Path(__file__).parent / "toon_run"
NASTY = ("<script>alert(1)</script>", "\" onerror='alert(2)'", "{{ 7 * 7 }}")


def pictures(text: str) -> list[Image.Image]:
    return [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r"data:image/(?:jpeg|png);base64,([\w+/=]+)", text)
    ]


@pytest.mark.slow
def test_everything_is_in_it(tmp_path: Path) -> None:
    run = open_run(TOON_RUN)
    text = report(Findings(run))
    for figure in headline(run, "layer_cam"):
        assert figure.value in text
    for name in (
        "What to try",
        "Confusion",
        "Classes",
        "Maps of wrong and correct images",
        "Mean maps",
        "How it was made",
        run.manifest.request.weights_hash,
        run.manifest.request.data_fingerprint,
        "python launch.py run",
        "LayerCAM",
        "torch ",
    ):
        assert name in text
    order = [
        re.search(rf'<td title="{name}"', text.split("<h2>Classes")[1]).start()
        for name in summary(run)["class"]
    ]  # type: ignore[union-attr]
    assert order == sorted(order)
    matrix = np.array(
        [int(n) for n in re.findall(r'<td class="(?:hit|miss)"[^>]*>(\d+)</td>', text)]
    ).reshape(8, 8)
    np.testing.assert_array_equal(matrix, run.evaluation.confusion)
    samples = text.split("Maps of wrong and correct images")[1].split("Mean maps")[0]
    assert len(pictures(samples)) == 8 * (2 * 2 + 2)  # two maps of a wrong image, one of a right one
    for picture in pictures(text):
        assert max(picture.size) <= 640
        assert not picture.getexif()


def test_it_asks_nobody_and_runs_nothing(small_run: RunData, tmp_path: Path) -> None:
    request = replace(small_run.manifest.request, classes=NASTY, model=NASTY[0], data=NASTY[1])
    table = small_run.table.assign(id=[f"{NASTY[i % 3]}{i}" for i in range(len(small_run.table))])
    odd = RunData(small_run.folder, replace(small_run.manifest, request=request, command=NASTY[0]), table)
    add(odd.folder, str(table["id"].iloc[0]), "text", NASTY[0])
    text = report(Findings(odd))
    assert runs_nothing(text)
    assert (
        "49" not in re.sub(r"base64,[\w+/=]+", "", text).split("<h2>Classes")[1].split("</section>")[0]
    )  # no template is run
    links = [
        a[name]
        for _, a in elements(text)
        for name in ("src", "href", "srcset", "action", "data")
        if name in a
    ]
    assert links
    assert all(link.startswith("data:image/") for link in links)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text


@pytest.mark.slow
def test_many_classes_and_many_images_stay_small(tmp_path: Path) -> None:
    synthetic_run(tmp_path / "run", 6000, 300, Faults(flipped=0.05))
    text = report(Findings(open_run(tmp_path / "run")))
    assert len(text.encode()) < 10e6
    assert f"the worst {CLASSES} of 300 classes" in text
    assert "the worst 200 of 300" in text
    assert "the largest of 300 classes" in text
    assert "labels look wrong" in text


@pytest.mark.slow
def test_curves_of_the_training(small_run: RunData, tmp_path: Path) -> None:
    plain = report(Findings(small_run))
    assert "<h2>Training" not in plain
    trained = fake(tmp_path / "a.safetensors", 0)
    run = RunData(small_run.folder, replace(small_run.manifest, weights=str(trained.path)), small_run.table)
    text = report(Findings(run)).split("<h2>Training")[1]
    assert [picture.format for picture in pictures(text)] == ["PNG", "PNG"]
    assert str(tmp_path) not in text  # where files lie is nobody's business


@pytest.mark.slow
def test_eyes_are_covered(tmp_path: Path) -> None:
    run = open_run(TOON_RUN)
    low, high = eye_band(run)
    seen = pictures(report(Findings(run), blur_eyes=True))
    for picture in seen:
        band = np.asarray(picture.convert("RGB"))[
            int((low + 0.04) * picture.height) : int((high - 0.04) * picture.height)
        ]
        plain = np.abs(band.astype(int) - COVER).max(2) < 24  # JPEG; the rest is the map
        assert plain.any()
        assert band.std((0, 1)).max() < 80
    assert len(seen) == len(pictures(report(Findings(run))))


def test_odd_runs(small_run: RunData, tmp_path: Path) -> None:
    right = RunData(
        small_run.folder, small_run.manifest, small_run.table.assign(pred=small_run.table["label"])
    )
    assert "no errors" in report(Findings(right))
    (small_run.folder / "manifest.json").unlink()
    assert "the run has not ended" in report(Findings(open_run(small_run.folder)))
    with pytest.raises(UserError, match="no method 'lime'"):
        report(Findings(small_run), "lime")
    with pytest.raises(UserError, match="ask for 1 to 10"):
        report(Findings(small_run), per_class=11)
    with pytest.raises(UserError, match="for aligned faces"):
        report(Findings(small_run), blur_eyes=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report("x", tmp_path / "file" / "report.html")
