"""Exports as they are handed on: which images, originals without what a camera wrote, raw maps, hashes, one
archive, and nothing that runs."""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from explain.analysis.findings import Findings
from explain.analysis.ranking import select
from explain.export.anonymize import COVER, eye_band, without_eyes
from explain.export.gallery import Export, ExportOptions
from explain.export.selection import selected
from explain.run.engine import run
from explain.run.people.notes import add
from explain.run.reader import RunData, open_run
from explain.run.regions import HIDDEN
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError
from tests.command import launch, one_line
from tests.markup import elements, runs_nothing

NASTY = '<script>alert("x")</script>'
TOON_RUN = Path(__file__).parent / "toon_run"


def written(findings: Findings, out: Path, **wishes: object) -> Path:
    for _ in Export(findings, out, ExportOptions(**wishes)).steps():  # type: ignore[arg-type]
        pass
    return out


@pytest.fixture
def photos(tiny: Classifier, tmp_path: Path) -> RunData:
    """JPEGs from a phone: large, turned, with a place and a name inside; one class has a name that is no
    name."""
    rng = np.random.default_rng(0)
    for label in ("red", "green", "blue"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(4):
            exif = Image.Exif()
            exif[Base.Orientation] = 6
            exif[Base.Artist] = "Ada"
            exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] = (48.0, 8.0, 6.0)
            pixels = rng.integers(0, 256, (90, 160, 3), np.uint8)
            Image.fromarray(pixels).save(
                tmp_path / "photos" / label / f"=1+{i}.jpg", exif=exif, comment=b"a secret", quality=95
            )
    run(tiny, FolderSource(tmp_path / "photos"), tmp_path / "run", ["grad_cam", "layer_cam"])
    return open_run(tmp_path / "run")


@pytest.mark.slow
def test_originals_are_whole_upright_and_tell_nothing(photos: RunData, tmp_path: Path) -> None:
    out = written(Findings(photos), tmp_path / "out", per_class=4)
    files = sorted((out / "originals").rglob("*.jpg"))
    assert len(files) == 12
    for file in files:
        with Image.open(file) as image:
            assert image.size == (90, 160)  # turned
            assert not image.getexif()
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    for file in out.rglob("*"):
        if file.is_file() and file.suffix != ".csv":
            assert not any(word in file.read_bytes() for word in (b"Exif", b"GPS", b"Ada", b"a secret"))
    table = pd.read_csv(out / "export.csv")
    picked = next(name for name in table.loc[0, "files"].split() if name.startswith("originals/"))
    with Image.open(tmp_path / "photos" / table.loc[0, "id"].lstrip("'")) as image:
        before = np.asarray(image.transpose(Image.Transpose.ROTATE_270), float)
    assert np.abs(np.asarray(Image.open(out / picked), float) - before).mean() < 8  # JPEG once more


@pytest.mark.slow
def test_raw_maps_hashes_and_tables(small_run: RunData, tmp_path: Path) -> None:
    small_run.folder.joinpath("notes.jsonl").unlink(missing_ok=True)
    wrong = select(small_run, correct=False).tolist()
    add(small_run.folder, small_run.table.at[wrong[0], "id"], "text", "=cmd()")
    out = written(Findings(small_run), tmp_path / "out", select="errors", methods=("grad_cam", "layer_cam"))
    table = pd.read_csv(out / "export.csv")
    assert len(table) == len(wrong)
    assert table["text"].dropna().tolist() == ["'=cmd()"]
    ids = small_run.table.reset_index().set_index("id")["index"]
    for _, item in table.iterrows():
        row, names = int(ids[item["id"]]), item["files"].split()
        for method in ("grad_cam", "layer_cam"):
            for target, called in (("pred", "predicted"), ("label", "true")):
                name = next(n for n in names if n.endswith(f".{method}.{called}.npy"))
                np.testing.assert_array_equal(np.load(out / name), small_run.maps(method, target, [row])[0])
                statistic = small_run.ok.at[row, f"map.{method}.{target}.entropy"]
                assert item[f"{method}.{target}.entropy"] == pytest.approx(statistic, rel=1e-4, nan_ok=True)
        assert item["p_true"] == pytest.approx(np.exp(-small_run.ok.at[row, "loss"]), rel=1e-4)
    manifest = json.loads((out / "manifest.json").read_text())
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == there
    assert all(
        hashlib.sha256((out / name).read_bytes()).hexdigest() == value
        for name, value in manifest["files"].items()
    )
    assert manifest["run"]["weights_hash"] == small_run.manifest.request.weights_hash
    assert len(pd.read_csv(out / "predictions.csv")) == len(small_run.ok)


def test_which_images(small_run: RunData) -> None:
    label = small_run.table["label"].to_numpy()
    half = RunData(
        small_run.folder,
        small_run.manifest,
        small_run.table.assign(pred=np.where(np.arange(len(label)) % 2, label, (label + 1) % 3)),
    )
    findings, ok = Findings(half), half.ok
    assert sorted(selected(findings, "errors").rows) == sorted(ok.index[~ok["correct"]])
    assert sorted(selected(findings, "correct").rows) == sorted(ok.index[ok["correct"]])
    assert sorted(selected(findings, "class:Red").rows) == sorted(
        ok.index[ok["label"] == small_run.classes.index("red")]
    )
    i, j = map(int, ok.loc[~ok["correct"], ["label", "pred"]].iloc[0])
    pair = f"pair:{small_run.classes[i]}>{small_run.classes[j]}"
    assert sorted(selected(findings, pair).rows) == sorted(ok.index[(ok["label"] == i) & (ok["pred"] == j)])
    assert all(len(s.wrong) <= 1 and len(s.right) <= 1 for s in selected(findings, "errors", 1).samples)
    add(small_run.folder, str(ok["id"].iloc[4]), "tags", ["odd"])
    assert selected(findings, "tag:odd").rows == [int(ok.index[4])]
    assert selected(findings).description == "2 wrong and 2 correct images per class, most confident first"
    for wanted, message in (
        ("nonsense", "Nothing is called 'nonsense'"),
        ("pair:red>pink", "No class 'pink'"),
        ("pair:red", "is no pair"),
        ("class:pink", "No class 'pink': the run has"),
        ("tag:even", "No readable image fits 'tag:even'"),
    ):
        with pytest.raises(UserError, match=message):
            selected(findings, wanted)
    arrows = replace(
        small_run.manifest, request=replace(small_run.manifest.request, classes=("a>b", "b", "a"))
    )
    named = Findings(RunData(small_run.folder, arrows, small_run.table.assign(label=0, pred=1)))
    assert len(selected(named, "pair:a>b>b").rows) == len(ok)


@pytest.mark.slow
def test_one_archive(small_run: RunData, tmp_path: Path) -> None:
    findings, out = Findings(small_run), tmp_path / "a" / "all.zip"
    written(findings, out)
    written(findings, out, select="errors")  # takes the place of the first
    with zipfile.ZipFile(out) as packed:
        assert packed.testzip() is None
        names = packed.namelist()
        table = pd.read_csv(packed.open("export.csv"))
    assert {"index.html", "sheet.png", "manifest.json"} < set(names)
    assert {n for files in table["files"] for n in files.split()} < set(names)
    assert not [name for name in names if name.startswith(("/", "..")) or "\\" in name]
    mine = tmp_path / "thesis.zip"
    with zipfile.ZipFile(mine, "w") as packed:
        packed.writestr("chapter.tex", "x")
    before = mine.read_bytes()
    with pytest.raises(UserError, match="something else than the archive of an export"):
        written(findings, mine)
    assert mine.read_bytes() == before


@pytest.mark.slow
def test_an_export_that_is_left_leaves_the_old_archive(small_run: RunData, tmp_path: Path) -> None:
    out = written(Findings(small_run), tmp_path / "all.zip")
    before = out.read_bytes()
    steps = Export(Findings(small_run), out, ExportOptions(select="errors")).steps()
    next(steps)
    steps.close()
    assert out.read_bytes() == before
    assert [p.name for p in tmp_path.glob("*.tmp")] == []


def test_the_page_shows_names_as_names(small_run: RunData, tmp_path: Path) -> None:
    classes = (NASTY, '" onload="alert(1)', "عربي\u202e")
    table = small_run.table.assign(id=[f"{NASTY}/{i}.png" for i in range(len(small_run.table))])
    odd = RunData(
        small_run.folder,
        replace(small_run.manifest, request=replace(small_run.manifest.request, classes=classes)),
        table,
    )
    text = (written(Findings(odd), tmp_path / "out") / "index.html").read_text()
    assert runs_nothing(text)
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text
    links = [a[name] for _, a in elements(text) for name in ("src", "href") if name in a]
    assert len(links) > 10
    assert all((tmp_path / "out" / link).is_file() for link in links)


# -- eyes ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_eyes_are_covered_everywhere(tmp_path: Path) -> None:
    """On the demo's faces, by the masks that they were drawn with."""
    from models.data.toon_faces import ToonFaces

    demo, source = open_run(TOON_RUN), ToonFaces("test")
    eyes = source.regions.index("eyes")
    out = written(Findings(demo), tmp_path / "out", blur_eyes=True, per_class=3)
    ids = {item.id: i for i, item in enumerate(source.items)}
    for _, item in pd.read_csv(out / "export.csv").iterrows():
        names = item["files"].split()
        mask = source.masks(ids[item["id"]])[eyes]
        for name in (names[0], next(n for n in names if n.endswith(".image.png"))):
            pixels = np.asarray(Image.open(out / name).convert("RGB"))
            hidden = np.asarray(Image.fromarray(mask).resize(pixels.shape[1::-1], Image.Resampling.NEAREST))
            assert (pixels[hidden] == COVER).all()


def test_the_band_of_a_cropped_original(small_run: RunData) -> None:
    """An original of 100 × 300 whose center of 80 × 80 % the network saw: the band lies in that center."""
    cropped = replace(
        small_run.manifest,
        preprocessing={"size": (80, 80), "resize": 100, "mean": (0.5,), "std": (0.5,)},
        request=replace(small_run.manifest.request, classes=("anger", "disgust", "fear", "happiness")),
    )
    faces = RunData(small_run.folder, cropped, small_run.table)
    low, high = eye_band(faces)
    assert (low, high) == HIDDEN
    covered = np.asarray(without_eyes(Image.new("RGB", (100, 300), "white"), faces, whole=True))
    rows = np.flatnonzero((covered == COVER).all((1, 2)))
    assert rows.min() == pytest.approx(110 + low * 80, abs=1)
    assert rows.max() == pytest.approx(110 + high * 80, abs=1)
    with pytest.raises(UserError, match="--blur-eyes is for aligned faces"):
        eye_band(small_run)


@pytest.mark.slow
def test_originals_that_are_gone_or_other_pictures_are_counted(
    small_run: RunData, pictures: Path, tmp_path: Path
) -> None:
    """And left out: the maps are of the pictures of before, which the overlays show."""
    names = [str(name) for name in small_run.table["id"]]
    (pictures / names[0]).unlink()
    for name in names[1:4]:
        Image.effect_noise((48, 40), 90).convert("RGB").save(pictures / name)
    out = tmp_path / "out"
    said = launch("export", small_run.folder, "--out", out, "--per-class", 8)
    assert f"4 of 18 originals are left out: not to be read at '{pictures}', or another picture" in said
    assert len([*out.rglob("originals/*/*")]) == 14
    assert "originals are left out" not in launch(
        "export", small_run.folder, "--out", tmp_path / "plain", "--per-class", 8, "--no-originals"
    )
    for command in ("export", "report"):
        refused = one_line(command, small_run.folder, "--out", "s3://bucket/x.html")
        assert "--out is a URL (s3://…): give a path of this machine" in refused
    assert not Path("s3:").exists()
