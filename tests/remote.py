"""One labeled set of images in four forms: a folder, a table, Parquet, and shards."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.archives import write_parquet, write_tar

FORMS = {"folder": "folder", "table": "table/train.csv", "parquet": "parquet", "shards": "shards"}
"""Kind of data -> what is given after `--data`, below the folder of all."""


def write_forms(pictures: Path, root: Path) -> Path:
    """`pictures`: a folder of classes. Two files of Parquet, and two shards."""
    shutil.copytree(pictures, root / "folder")
    shutil.copytree(pictures, root / "table" / "images")
    files = sorted(pictures.glob("*/*.png"))
    names = [(file.parent.name, file) for file in files]
    table = {
        "image": [f"images/{label}/{f.name}" for label, f in names],
        "label": [label for label, _ in names],
    }
    pd.DataFrame(table).to_csv(root / "table" / "train.csv", index=False)
    rows = [(file.read_bytes(), f"{label}-{file.name}", label) for label, file in names]
    half = len(files) // 2
    write_parquet(root / "parquet" / "data-0.parquet", rows[:half])
    write_parquet(root / "parquet" / "data-1.parquet", rows[half:])
    (root / "shards").mkdir()
    for number in range(2):
        members = {}
        for k, (label, file) in enumerate(names[half * number : half * (number + 1)]):
            members[f"{k:05}.png"], members[f"{k:05}.cls"] = file.read_bytes(), label.encode()
        write_tar(root / "shards" / f"{number}.tar", members)
    return root


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One labeled set of images as a folder, a table, Parquet and shards (`FORMS`)."""
    from tests.conftest import _save_pictures

    root = tmp_path_factory.mktemp("forms")
    return write_forms(_save_pictures(root / "pictures"), root / "data")


@pytest.fixture
def servers_are_asked() -> Iterator[None]:
    """No server counts as silent because a test before did not reach it."""
    from models.data.remote.errors import forget_silence

    forget_silence()
    yield
    forget_silence()
