"""What was measured of a run's maps in reports, exports and from Python: figures are those that were kept."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import vitrine
from explain.analysis.chance import AT_CHANCE
from explain.analysis.findings import Findings
from explain.export.gallery import export
from explain.export.number_report import number_report
from explain.export.report import report
from explain.quality.curves import CurveSettings
from explain.quality.over_depth.depth import not_recommended
from explain.quality.store import DescriptionSettings, DescriptionStore, TrustSettings, TrustStore
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError
from tests.markup import runs_nothing
from tests.number_runs import made_up

KINDS = ("insertion", "deletion")
NOT_RECOMMENDED = not_recommended("method", AT_CHANCE)
MEANS = {"grad_cam": 0.5, "layer_cam": 0.1, "center": 0.3, "noise": 0.0}
UNMEASURED = "was not measured: <code>python launch.py trust RUN</code>"


def keep(run: RunData, target: str = "", add: float = 0.0) -> None:
    """Figures of two methods of which one beats its controls, on every image of the run."""
    rng = np.random.default_rng(0)
    rows = []
    for name in run.ok["id"]:
        for variant, mean in MEANS.items():
            own = variant in ("grad_cam", "layer_cam")
            row = {"id": name, "method": variant if own else "", "variant": "" if own else variant}
            row |= {"insertion": mean + add + rng.normal(0, 0.01), "deletion": 0.0}
            rows.append(row | ({"like.center": 0.2, "agreement": 0.5, "seconds": 0.0123} if own else {}))
    settings = TrustSettings(run.manifest.request.layer, CurveSettings(), KINDS, target=target)
    TrustStore.of(run.folder, settings).add(rows)


def describe(run: RunData) -> None:
    """Entropy, Gini, MPRT and max-sensitivity of Grad-CAM, and a region of its maps, on every image."""
    layer, rng = run.manifest.request.layer, np.random.default_rng(1)
    for figure, columns in (
        ("maps", {"entropy": 2.0, "gini": 0.25, "positions": 64.0}),
        (
            "mprt",
            {"efficient": 0.125, "fraction.0": 0.5, "signed.0": 0.75, "fraction.1": 1.0, "signed.1": 0.5},
        ),
        ("stability", {"max_sensitivity": 0.375}),
    ):
        rows = []
        for name in run.ok["id"]:
            for variant, inside in (("", 0.4), ("center", 0.2)) if figure == "maps" else (("", 0.0),):
                row = {"id": name, "method": "grad_cam", "variant": variant}
                row |= {k: np.nan if variant else v for k, v in columns.items()}
                if figure == "maps":
                    row |= {"pointing:<b>": float(not variant), "area:<b>": 0.1}
                    row["energy:<b>"] = inside + rng.normal(0, 0.01)
                rows.append(row)
        DescriptionStore.of(run.folder, DescriptionSettings(layer, figure)).add(rows)


@pytest.mark.slow
def test_a_report_and_an_export_say_where_maps_lie_and_what_describes_them(
    small_run: RunData, tmp_path: Path
) -> None:
    keep(small_run)
    assert "Description (" not in report(Findings(small_run))
    describe(small_run)
    text = report(Findings(small_run))
    assert "This does not decide the verdicts." in text
    assert "&lt;b&gt;, 10.0 % of the image on average" in text
    assert "more than the center" in text
    assert "says nothing of their quality" in text
    for value in ("2.000", "4.159", "0.250", "0.125", "0.375", "0.75", "0.50", "0.62"):
        assert f"<bdi>{value}</bdi>" in text, value
    runs_nothing(text)
    export(Findings(small_run), tmp_path / "out")
    assert "more than the center" in (tmp_path / "out" / "index.html").read_text()
    table = pd.read_csv(tmp_path / "out" / "trust.csv").set_index(["table", "figure"])
    assert table.loc[("decides", "insertion_deletion"), "method"].tolist() == ["grad_cam", "layer_cam"]
    found = table.loc[[("localization", "energy_per_area")]].iloc[0]
    assert found["mean"] == pytest.approx(4, abs=0.2)
    assert found["difference"] == pytest.approx(2, abs=0.2)
    assert (found["region"], found["verdict"]) == ("<b>", "more than the center")
    figures = ["best_control", "difference", "low", "high", "p", "wins", "seconds", "verdict", "area"]
    assert table.loc["description"][figures].isna().all(axis=None)  # those of the verdict, on other images
    assert (table.loc["description"]["images"] == len(small_run.ok)).all()
    described = table.loc["description"]["mean"].groupby(level=0).apply(list)
    assert described.to_dict() == {
        "entropy": [2.0],
        "gini": [0.25],
        "efficient_mprt": [0.125],
        "smooth_mprt": [0.75, 0.5],
        "max_sensitivity": [0.375],
    }


def test_descriptions_of_another_program_are_left_out(small_run: RunData) -> None:
    keep(small_run)
    describe(small_run)
    for folder in (small_run.folder / "trust").iterdir():
        if (folder / "description.json").exists():
            odd = {"id": ["a"], "method": ["grad_cam"], "variant": [""], "entropy": ["?"], "area:x": ["?"]}
            pd.DataFrame(odd).to_parquet(folder / "part-00000.parquet")
    text = report(Findings(small_run))
    assert NOT_RECOMMENDED in text
    assert "?" not in text.partition("How far the maps")[2].partition("</section>")[0]


@pytest.mark.slow
def test_a_report_says_that_nothing_was_measured(small_run: RunData) -> None:
    assert UNMEASURED in report(Findings(small_run))
    assert UNMEASURED in number_report(made_up(30))


def test_a_report_has_the_methods_and_their_controls(small_run: RunData) -> None:
    keep(small_run)
    text = report(Findings(small_run))
    assert NOT_RECOMMENDED in text
    assert "beats its best control on 100 % of images" in text
    assert "worse than the center" in text
    rows = TrustStore(next((small_run.folder / "trust").iterdir()), None).rows()  # type: ignore[arg-type]
    for variant in MEANS:
        of = rows[(rows["method"] == variant) | (rows["variant"] == variant)]
        assert f"{of['insertion'].mean():.3f}" in text
    assert "12.3" in text
    assert "was not measured" not in text
    runs_nothing(text)


def test_figures_of_another_label_are_not_shown(small_run: RunData) -> None:
    keep(small_run, target="red")
    assert UNMEASURED in report(Findings(small_run))


@pytest.mark.slow
def test_rows_of_another_program_are_left_out(small_run: RunData) -> None:
    keep(small_run)
    [folder] = (small_run.folder / "trust").iterdir()
    for columns in (
        {"id": ["a"]},
        {"id": ["a"], "method": ["x"], "variant": [""]},
        {"id": [1], "insertion": ["?"]},
    ):
        for part in folder.glob("*.parquet"):
            part.unlink()
        pd.DataFrame(columns).to_parquet(folder / "part-00000.parquet")
        assert UNMEASURED in report(Findings(small_run))
    (folder / "about.json").write_text("[]")
    assert UNMEASURED in report(Findings(small_run))


@pytest.mark.slow
def test_an_export_has_the_table(small_run: RunData, tmp_path: Path) -> None:
    keep(small_run)
    export(Findings(small_run), tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "trust.csv")
    assert table["method"].tolist() == ["grad_cam", "layer_cam"]
    assert table["best_control"].tolist() == ["center", "center"]
    np.testing.assert_allclose(table["mean"], [0.5, 0.1], atol=0.01)
    np.testing.assert_allclose(table["difference"], table["mean"] - table["control.center"], atol=1e-5)
    index = (tmp_path / "out" / "index.html").read_text()
    assert '<a href="trust.csv">' in index
    assert NOT_RECOMMENDED in index
    assert "trust.csv" in (tmp_path / "out" / "manifest.json").read_text()
    export(Findings(small_run), tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert "trust.csv" in archive.namelist()


@pytest.mark.slow
def test_an_export_of_what_is_no_longer_measured_has_none(small_run: RunData, tmp_path: Path) -> None:
    keep(small_run)
    export(Findings(small_run), tmp_path / "out")
    for path in sorted((small_run.folder / "trust").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    export(Findings(small_run), tmp_path / "out")
    assert not (tmp_path / "out" / "trust.csv").exists()
    assert UNMEASURED in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.slow
def test_from_python(tiny: Classifier, small_run: RunData) -> None:
    found = vitrine.trust(small_run, tiny, images=12, cells=4, steps=3)
    table = found.table
    assert table["method"].tolist().count("grad_cam") == 2
    assert set(table["figure"]) == {"insertion_deletion", "road"}
    assert (table["images"] == 12).all()
    assert found.recommendation == repr(found)
    assert found.recommendation == NOT_RECOMMENDED  # the network is not trained
    assert [v.method for v in found.verdicts] == list(dict.fromkeys(table["method"]))
    html = found._repr_html_()
    assert found.recommendation[:20] in html
    assert "random_network" in html or "center" in html
    again = vitrine.trust(small_run.folder, tiny, images=12, cells=4, steps=3)
    pd.testing.assert_frame_equal(again.table, table)


@pytest.mark.slow
def test_from_python_with_what_describes_the_maps(
    tiny: Classifier, small_run: RunData, tmp_path: Path
) -> None:
    names = small_run.table["id"]
    rows = [f"{name},4,4,20,20" for name in names]
    (tmp_path / "boxes.csv").write_text("\n".join(["image,left,top,right,bottom", *rows]))
    found = vitrine.trust(
        small_run, tiny, images=12, cells=4, steps=2, figures="mprt,stability", boxes=tmp_path / "boxes.csv"
    )
    assert set(found.table["figure"]) == {"insertion_deletion", "road"}  # these alone decide
    assert set(found.localization["figure"]) == {"pointing_game", "energy", "energy_per_area"}
    per_area = found.localization.set_index(["figure", "method"])["mean"]
    ratio = per_area["energy_per_area"] / per_area["energy"]
    np.testing.assert_allclose(ratio, 1 / found.localization["area"].iloc[0], rtol=1e-6)
    described = found.description.set_index(["figure", "method"])
    assert described.loc[("gini", "grad_cam"), "mean"] > 0
    smooth = described.loc["smooth_mprt"].loc["grad_cam"]
    assert smooth["fraction"].tolist() == sorted(smooth["fraction"])
    assert smooth["fraction"].iloc[-1] == 1
    assert set(described["images"]) == {12}
    html = found._repr_html_()
    assert "says nothing of quality" in html
    assert "energy_per_area" in html
    again = vitrine.trust(small_run, tiny, images=12, cells=4, steps=2)
    pd.testing.assert_frame_equal(again.table, found.table)
    assert again.localization.empty  # of the data, which knows none
    assert set(again.description["figure"]) == set(found.description["figure"])  # what is kept is shown


@pytest.mark.slow
def test_from_python_at_several_layers(tiny: Classifier, small_run: RunData) -> None:
    found = vitrine.trust(
        small_run, tiny, "grad_cam", 10, layers="all", figures="insertion_deletion", cells=4, steps=2
    )
    assert found.table["layer"].nunique() == len(found.layers) > 1
    assert small_run.manifest.request.layer in found.table["layer"].tolist()


@pytest.mark.parametrize(
    "words",
    [
        {"methods": "nope"},
        {"layers": "nowhere"},
        {"figures": "nope"},
        {"baseline": "black"},
        {"images": 0},
        {"run": "no/such/run"},
        {"net": None},
    ],
)
def test_what_cannot_be_measured_is_one_line(
    words: dict[str, object], tiny: Classifier, small_run: RunData
) -> None:
    given = {"run": small_run, "net": tiny} | words
    with pytest.raises(UserError) as error:
        vitrine.trust(**given)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
