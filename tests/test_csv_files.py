"""Every table that leaves: no cell is a formula, no file is half written, and corrected labels come back as
they were."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from explain.run.engine import run
from explain.run.people.notes import add, write_labels, write_table
from explain.run.reader import open_run
from models.classifier import Classifier
from models.data.corrections import corrected, read_corrections
from models.data.folder import FolderSource
from models.errors import UserError
from models.files.csv_files import FORMULA, plain, spreadsheet_safe, unquoted, write_csv


def formulas(path: Path) -> list[str]:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return [
        cell
        for cell in (*table.columns, *table.to_numpy().ravel())
        if cell.startswith(FORMULA) and not _number(cell)
    ]


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_texts_are_quoted_and_numbers_stay() -> None:
    table = pd.DataFrame(
        {"=a": ["=1+1", "x", "-3"], "b": [-1.5, 2.0, 0.0], "c": ["@x", None, "\tx"]}, index=["+i", "j", "k"]
    )
    made = spreadsheet_safe(table)
    assert made.fillna("none").to_dict("list") == {
        "'=a": ["'=1+1", "x", "'-3"],
        "b": [-1.5, 2.0, 0.0],
        "c": ["'@x", "none", "'\tx"],
    }
    assert made.index.tolist() == ["'+i", "j", "k"]
    for text in ("=1", "-a", "it's", "'quoted'", "'", ""):
        assert unquoted(plain(text)) == text


@pytest.mark.slow
def test_every_table_of_a_run(tiny: Classifier, tmp_path: Path) -> None:
    """Classes, images, tags and texts that begin like formulas; the corrected labels fit the data again."""
    from dataclasses import replace

    from explain.analysis.compare import as_table, compare
    from explain.analysis.findings import Findings
    from explain.export.gallery import Export, ExportOptions

    for name in ("=red", "-green", "@blue"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (40, 40), (i * 60, 40, 90)).save(tmp_path / "d" / name / f"+{i}.png")
    classifier, source = replace(tiny, classes=("=red", "-green", "@blue")), FolderSource(tmp_path / "d")
    run(classifier, source, tmp_path / "run", ["grad_cam"])
    opened = open_run(tmp_path / "run")
    add(opened.folder, "=red/+0.png", "label", "@blue", by="=me", classes=classifier.classes)
    add(opened.folder, "=red/+0.png", "text", "=HYPERLINK(1)")
    add(opened.folder, "=red/+1.png", "tags", ["+tag"])
    write_table(opened, tmp_path / "notes.csv")
    write_labels(opened, tmp_path / "labels.csv")
    write_csv(as_table(compare(opened, opened, replicates=10)), tmp_path / "compare.csv")
    list(Export(Findings(opened), tmp_path / "out", ExportOptions("")).steps())
    for path in (
        tmp_path / "notes.csv",
        tmp_path / "labels.csv",
        tmp_path / "compare.csv",
        *(tmp_path / "out").glob("*.csv"),
    ):
        assert formulas(path) == [], path
    right = corrected(source, read_corrections(tmp_path / "labels.csv"))
    assert {i.id: i.label for i in right.items}["=red/+0.png"] == "@blue"


def test_a_table_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: pd.DataFrame, path: Path, index: bool) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_csv(pd.DataFrame({"a": [1]}), tmp_path / "new" / "t.csv")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "x\r=HYPERLINK(1)",
        "\r=1+1",
        "\n=1+1",
        "a\r\n=1",
        "\0=1",
        "\ufeff=1+1",
        "＝1+1",
        " =1",
        "\t+1",
        "\u200b@x",
        "-1",
    ],
)
def test_one_text_is_one_cell_of_one_row_and_no_formula(text: str, tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"id": [text, "b"], text: [1, 2]}), tmp_path / "t.csv")
    data = (tmp_path / "t.csv").read_bytes()
    assert b"\r" not in data
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 3
    for cell in (rows[0][1], rows[1][0]):
        assert not cell.lstrip("\ufeff\u200b \t\n\0").startswith(("=", "+", "-", "@", "＝"))
