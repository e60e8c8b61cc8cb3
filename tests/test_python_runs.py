"""`vitrine.run`: how data is read, and what its messages call the parameters."""

from pathlib import Path

import pandas as pd
import pytest

import vitrine
from explain.run.reader import RunData
from models.classifier import Classifier
from models.errors import UserError
from tests.conftest import COLORS
from vitrine.running import as_parameters


@pytest.fixture
def table(pictures: Path) -> Path:
    """Of two columns that could be labels, and columns of votes."""
    rows = []
    for path in sorted(pictures.rglob("*.png")):
        votes = {name: 3 if name == path.parent.name else 1 for name in COLORS}
        name = path.parent.name
        rows.append(
            {"image": path.relative_to(pictures), "first": name, "second": f"the {name}"} | votes | {"odd": 0}
        )
    pd.DataFrame(rows).to_csv(pictures / "table.csv", index=False)
    return pictures / "table.csv"


def truth(run: RunData) -> list[str]:
    return [run.classes[label] for label in run.table["label"]]


def test_columns_of_a_table(tiny: Classifier, table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"label_col") as error:
        vitrine.run(tiny, table, tmp_path / "none")
    assert "--" not in str(error.value)
    first = vitrine.run(tiny, table, tmp_path / "first", label_col="first")
    names = [Path(name).parent.name for name in first.table["id"]]
    assert truth(first) == names
    voted = vitrine.run(
        tiny, table, tmp_path / "voted", image_col="image", label_columns=tuple(COLORS), other_columns="odd"
    )
    assert truth(voted) == names


def test_classes_and_corrected_labels(tiny: Classifier, table: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("the red,red\nthe green,blue\nthe blue,\n")
    run = vitrine.run(tiny, table, tmp_path / "run", label_col="second", classes=tmp_path / "classes.csv")
    assert len(run.table) == 12
    assert set(truth(run)) == {"red", "blue"}
    plain = vitrine.run(tiny, table.parent, tmp_path / "plain", limit=6)
    name = plain.table.at[0, "id"]
    pd.DataFrame({"image": [name], "label": ["green"], "data": [plain.manifest.request.data]}).to_csv(
        tmp_path / "labels.csv", index=False
    )
    corrected = vitrine.run(
        tiny, table.parent, tmp_path / "corrected", limit=6, labels=tmp_path / "labels.csv"
    )
    assert corrected.table["id"].tolist() == plain.table["id"].tolist()
    assert truth(corrected) == ["green", *truth(plain)[1:]]


def test_folders_by_number(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    """Nothing is guessed: without an order it is asked for, in words of Python."""
    with pytest.raises(UserError, match=r"leave classes out, .* with classes of vitrine\.wrap"):
        vitrine.run(tiny, pictures, tmp_path / "none", classes="sorted")
    for k, name in enumerate(COLORS, 1):
        (pictures / name).rename(pictures / str(k))
    with pytest.raises(UserError, match="classes=") as error:
        vitrine.run(tiny, pictures, tmp_path / "none")
    assert "--" not in str(error.value)
    run = vitrine.run(tiny, pictures, tmp_path / "run", classes="numbers-from-1")
    assert run.table["label"].tolist() == [int(Path(name).parent.name) - 1 for name in run.table["id"]]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("give --label-col NAME, or --task multi-label", "give label_col=NAME, or task multi-label"),
        ("check --image-col and --label-col.", "check image_col and label_col."),
        ("--classes sorted orders classes", "classes=sorted orders classes"),
        ("use --restart, or leave --labels out", "use restart, or leave labels out"),
        ("add --channels grey, with --mean and --std", "add --channels grey, with --mean and --std"),
        ("the names given with --class-names", "the names given with classes of vitrine.wrap"),
        ("a -- b", "a -- b"),
    ],
)
def test_options_are_called_as_the_parameters(message: str, expected: str) -> None:
    assert as_parameters(message) == expected
