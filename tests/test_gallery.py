"""The export: overlays against values by hand, names that stay inside, files that the table promises."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from explain.analysis.findings import Findings
from explain.analysis.ranking import overview
from explain.export import gallery
from explain.export import sheet as drawing
from explain.export.gallery import Export, ExportOptions
from explain.export.names import safe, safe_names
from explain.render import overlay
from explain.run.engine import run
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError


def grey(value: int, size: tuple[int, int] = (2, 2)) -> Image.Image:
    return Image.new("RGB", size, (value,) * 3)


@pytest.fixture
def wide_run(tiny: Classifier, pictures: Path, tmp_path: Path) -> RunData:
    """Input of 200 × 160 pixels; thumbnails have 128 × 102."""
    large = replace(tiny, preprocessing=replace(tiny.preprocessing, size=(160, 200)))
    run(large, FolderSource(pictures), tmp_path / "wide", ["grad_cam"])
    return open_run(tmp_path / "wide")


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that is written on sheets."""
    message: list[str] = []
    draw = drawing.write_line

    def written(d: Any, x: int, y: int, text: str, *more: Any, **named: Any) -> int:
        message.append(text)
        return draw(d, x, y, text, *more, **named)

    monkeypatch.setattr(drawing, "write_line", written)
    return message


ALWAYS = ("sheet.png", "export.csv", "predictions.csv", "manifest.json", "index.html")


def export(run: RunData, out: Path, originals: bool = False, raw: bool = False, **wishes: Any) -> Export:
    """All steps at once, without originals and raw maps."""
    made = Export(Findings(run), out, ExportOptions(originals=originals, raw=raw, **wishes))
    fractions = list(made.steps())
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    return made


def table_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "export.csv")


def files_of(out: Path) -> list[Path]:
    return [out / name for files in table_of(out)["files"] for name in files.split()]


def test_overlay_without_evidence_is_the_picture() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
    assert np.array_equal(overlay(noise, np.zeros((3, 3))), noise)


def test_overlay_by_hand() -> None:
    seen = np.asarray(overlay(grey(100), np.array([[1.0, 0], [0, 0]])))
    assert seen.tolist() == [
        [[112, 47, 46], [100] * 3],
        [[100] * 3, [100] * 3],
    ]  # turbo's end (.480 .016 .011), .55 of it
    teal = np.asarray(overlay(grey(200), np.array([[0, 0.25], [0.5, 1]]), "teal"))
    assert teal.tolist() == [[[200] * 3, [149, 166, 165]], [[123, 174, 169], [223, 229, 216]]]


def test_overlay_enlarges_the_map_before_it_is_colored() -> None:
    row = np.asarray(overlay(grey(200, (4, 1)), np.array([[0, 1.0]]), "teal"))[0]
    assert row[[0, 1, 3]].tolist() == [[200] * 3, [149, 166, 165], [223, 229, 216]]  # values 0, 1/4 and 1


def test_names_are_safe_and_differ() -> None:
    odd = [
        "a/b",
        "a b",
        "..",
        "",
        ".",
        "päin·ful",
        "painful",
        "Painful",
        "驚き",
        "con",
        "../../x",
        "x" * 300,
        "x" * 301,
        "a-b-2",
        "C:\\d\n",
    ]
    names = safe_names(odd)
    assert len(set(names)) == len(odd)
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") and 0 < len(name) < 60 for name in names
    )
    assert names[:6] == ["a-b", "a-b-2", "unnamed", "unnamed-2", "unnamed-3", "pain-ful"]
    assert "con" not in names
    assert safe("a" * 47 + "/b") == "a" * 47


def test_files_are_those_of_the_table(small_run: RunData, tmp_path: Path) -> None:
    made = export(small_run, tmp_path / "out")
    table, samples = table_of(made.out), overview(small_run)
    assert made.images == len(table) == sum(len(s.wrong) + len(s.right) for s in samples)
    assert set(files_of(made.out)) | {made.out / name for name in ALWAYS} == {
        p for p in made.out.rglob("*") if p.is_file()
    }
    assert table["true"].drop_duplicates().tolist() == [
        small_run.classes[s.index] for s in samples
    ]  # the worst first
    for _, item in table.iterrows():
        wrong = item["true"] != item["predicted"]
        assert item["result"] == ("wrong" if wrong else "right")
        assert [name.split(".")[-2] for name in item["files"].split()] == ["image", "predicted", "true"][
            : 3 if wrong else 2
        ]
        assert small_run.table.set_index("id").at[item["id"], "confidence"] == pytest.approx(
            item["confidence"], rel=1e-5
        )
    assert set(table["method"]) == {"grad_cam"}
    with Image.open(made.out / "sheet.png") as sheet:
        assert sheet.width <= 1600
        assert sheet.height == drawing.HEAD + 3 * (drawing.LINE + drawing.SPACE) + drawing.MARGIN


@pytest.mark.slow
def test_pictures_are_what_the_network_saw_or_thumbnails(
    wide_run: RunData, pictures: Path, tmp_path: Path
) -> None:
    def sizes() -> set[tuple[int, int]]:
        export(wide_run, tmp_path / "out")
        return {Image.open(path).size for path in files_of(tmp_path / "out")}

    assert sizes() == {(200, 160)}
    pictures.rename(pictures.parent / "elsewhere")
    assert sizes() == {(128, 102)}


@pytest.mark.slow
def test_pictures_hold_pixels_alone(small_run: RunData, pictures: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    for path in pictures.rglob("*.png"):
        Image.open(path).save(path, exif=exif, icc_profile=b"a profile")
    for path in [
        export(small_run, tmp_path / "out", originals=True).out / "sheet.png",
        *files_of(tmp_path / "out"),
    ]:
        with Image.open(path) as image:
            image.load()
            assert not image.info
            assert not image.getexif()


@pytest.mark.slow
def test_odd_classes_and_ids_stay_inside(small_run: RunData, tmp_path: Path) -> None:
    request = replace(small_run.manifest.request, classes=("../..", "", "päin·ful\n" + "x" * 400))
    table = small_run.table.assign(id=[f"../../{i}/.." if i % 2 else "" for i in range(len(small_run.table))])
    odd = RunData(small_run.folder, replace(small_run.manifest, request=request), table)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    made = export(odd, tmp_path / "deep" / "out", per_class=6)
    new = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert new == {*files_of(made.out), *(made.out / name for name in ALWAYS)}
    assert len(files_of(made.out)) == len(set(files_of(made.out)))
    assert all(path.resolve().is_relative_to(made.out.resolve()) for path in new)


def test_maps_without_evidence_are_said(
    small_run: RunData, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        RunData, "maps", lambda self, method, target, rows: np.full((len(rows), 8, 8), -1, np.float32)
    )
    export(small_run, tmp_path / "out")
    assert words.count("no positive evidence") == len(files_of(tmp_path / "out")) - len(
        table_of(tmp_path / "out")
    )
    for files in table_of(tmp_path / "out")["files"]:
        plain, *overlays = [np.asarray(Image.open(tmp_path / "out" / name)) for name in files.split()]
        assert all(np.array_equal(plain, other) for other in overlays)


def test_empty_sides_are_said(small_run: RunData, tmp_path: Path, words: list[str]) -> None:
    one = small_run.table.assign(pred=0)  # the first class is always right, the others never
    export(RunData(small_run.folder, small_run.manifest, one), tmp_path / "out")
    assert (words.count("no errors"), words.count("none correct")) == (1, 2)


def test_many_classes_are_limited_to_the_worst(
    small_run: RunData, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "LINES", 2)
    made = export(small_run, tmp_path / "out", sort="highest loss", methods=("layer_cam",))
    assert "the worst 2 of 3 classes" in words[0]
    assert "LayerCAM" in words[1]
    assert table_of(made.out)["true"].nunique() == 3
    with Image.open(made.out / "sheet.png") as sheet:
        assert sheet.height == drawing.HEAD + 2 * (drawing.LINE + drawing.SPACE) + drawing.MARGIN


def test_a_run_that_has_not_ended(small_run: RunData, tmp_path: Path, words: list[str]) -> None:
    (small_run.folder / "manifest.json").unlink()
    assert export(open_run(small_run.folder), tmp_path / "out", per_class=1).images > 0
    assert "has not ended" in words[0]


def test_what_does_not_fit_is_refused(small_run: RunData, tmp_path: Path) -> None:
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("")
    for out in (foreign, foreign / "thesis.tex", small_run.folder):
        with pytest.raises(UserError, match=r"export\.csv"):
            export(small_run, out)
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]
    for wrong in ({"per_class": 0}, {"per_class": 101}, {"methods": ("tarot",)}, {"sort": "nicest"}):
        with pytest.raises(UserError):
            export(small_run, tmp_path / "never", **wrong)
    assert not (tmp_path / "never").exists()
    with pytest.raises(UserError, match="cannot be written"):
        export(small_run, foreign / "thesis.tex" / "out")


@pytest.mark.slow
def test_a_second_export_replaces_the_first(small_run: RunData, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(small_run, out, per_class=4)
    more = set(files_of(out))
    (out / "overlays" / "notes.txt").write_text("mine")
    export(small_run, out, per_class=1)
    assert set(files_of(out)) < more
    assert set((out / "overlays").rglob("*.*")) == {*files_of(out), out / "overlays" / "notes.txt"}
