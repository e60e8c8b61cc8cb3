"""Sets of labels, written in every form in which data has several labels per image."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.data.source import ImageSource
from tests.archives import png, write_tar

CLASSES = ("9", "10", "cat", "crane, bird", "don't")
Sets = list[tuple[str, ...]]


def drawn(size: int = 40) -> Sets:
    """Sets of the classes, in their order; some are empty."""
    rng = np.random.default_rng(3)
    sets = [tuple(name for name in CLASSES if rng.random() < 0.3) for _ in range(size)]
    assert () in sets
    assert {name for names in sets for name in names} == set(CLASSES)
    return sets


def pictures_of(folder: Path, size: int) -> list[str]:
    """Names of images that are written into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(size):
        (folder / f"{i:02d}.png").write_bytes(png(i))
    return [f"{i:02d}.png" for i in range(size)]


def found(source: ImageSource) -> Sets:
    assert source.multi_label
    assert all(item.labels is not None for item in source.items)
    assert [item.label for item in source.items] == [" | ".join(item.labels or ()) for item in source.items]
    return [item.labels or () for item in source.items]


def cells(write: Callable[[Sequence[str]], Any], suffix: str = "csv", name: str = "t") -> Callable[..., Path]:
    """A table with a column of sets, each written as one cell."""

    def made(folder: Path, sets: Sets) -> Path:
        images, path = pictures_of(folder, len(sets)), folder / f"{name}.{suffix}"
        table = pd.DataFrame({"file_name": images, "labels": [write(names) for names in sets]})
        if suffix == "parquet":
            table.to_parquet(path)
        elif suffix == "jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_csv(path, index=False)
        return folder if name == "metadata" else path

    return made


def text_list(folder: Path, sets: Sets) -> Path:
    images = pictures_of(folder, len(sets))
    lines = [f"{image} {'|'.join(names)}" for image, names in zip(images, sets, strict=True)]
    (folder / "list.txt").write_text("\n".join(lines))
    return folder / "list.txt"


def one_hot(folder: Path, sets: Sets) -> Path:
    images = pictures_of(folder, len(sets))
    flags = {name: [int(name in names) for names in sets] for name in CLASSES}
    pd.DataFrame({"image": images, **flags}).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def parquet(feature: Any | None) -> Callable[..., Path]:
    """Images as bytes with lists of names, or of the numbers of the schema's names."""

    def made(folder: Path, sets: Sets) -> Path:
        folder.mkdir(parents=True)
        images = pa.array([{"bytes": png(i), "path": f"{i:02d}.png"} for i in range(len(sets))])
        number = {name: i for i, name in enumerate(CLASSES)}
        values = [[number[n] for n in names] if feature else list(names) for names in sets]
        table = pa.table({"image": images, "labels": values})
        if feature:
            about = {"info": {"features": {"labels": feature}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
        pq.write_table(table, folder / "x.parquet", row_group_size=7)
        return folder / "x.parquet"

    return made


def shards(suffix: str, write: Callable[[Sequence[str]], str]) -> Callable[..., Path]:
    def made(folder: Path, sets: Sets) -> Path:
        folder.mkdir(parents=True)
        members = {}
        for i, names in enumerate(sets):
            members[f"{i:02d}.png"] = png(i)
            members[f"{i:02d}.{suffix}"] = write(names).encode()
        return write_tar(folder / "x.tar", members)

    return made


LABEL = {"names": list(CLASSES), "_type": "ClassLabel"}
FORMS: dict[str, Callable[..., Path]] = {
    "bars": cells("|".join),
    "semicolons": cells(" ; ".join),
    "JSON": cells(json.dumps),
    "Python": cells(lambda names: str(list(names))),
    "NumPy": cells(lambda names: str(np.array(names, dtype=str))),
    "lists of Parquet": cells(list, "parquet"),
    "text in Parquet": cells("|".join, "parquet"),
    "lists of JSON lines": cells(list, "jsonl"),
    "metadata.csv": cells("|".join, "csv", "metadata"),
    "metadata.jsonl": cells(list, "jsonl", "metadata"),
    "metadata.parquet": cells(list, "parquet", "metadata"),
    "text list": text_list,
    "one-hot": one_hot,
    "images in Parquet": parquet(None),
    "Sequence": parquet({"feature": LABEL, "length": -1, "_type": "Sequence"}),
    "List": parquet({"feature": LABEL, "_type": "List"}),
    "list of features": parquet([LABEL]),
    "shards, .json": shards("json", lambda names: json.dumps({"labels": list(names)})),
    "shards, .cls": shards("cls", "|".join),
    "shards, lists in .cls": shards("cls", json.dumps),
}
