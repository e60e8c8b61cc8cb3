"""All data of every exported image as one table, and the predictions of a run. Cells that a spreadsheet would
read as a formula are quoted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from explain.run.format import TARGETS, map_column
from explain.run.image_stats import FACTS
from explain.run.people.notes import Note, read
from explain.run.reader import RunData
from models.files.csv_files import plain

COLUMNS = (
    "id",
    "true",
    "predicted",
    "confidence",
    "p_true",
    "loss",
    "margin",
    "result",
    "method",
    "layer",
    "files",
)
"""Those that every export has; image statistics, map statistics, the data's own columns and notes follow."""


def everything(run: RunData, entries: Sequence[dict[str, Any]], methods: Sequence[str]) -> pd.DataFrame:
    """One row an entry: `row`, `result`, and its files by kind."""
    rows = [entry["row"] for entry in entries]
    ok = run.ok.loc[rows]
    found = predictions(run, ok).assign(
        margin=run.margin.loc[rows].to_numpy(),
        result=[e["result"] for e in entries],
        method=", ".join(methods),
        layer=run.manifest.request.layer,
        files=[_files(e) for e in entries],
    )[list(COLUMNS)]
    others = {name: ok[name].to_numpy() for name in FACTS if name in ok}
    others |= {
        f"{m}.{t}.{s}": ok[f"{map_column(m, t)}.{s}"].to_numpy()
        for m in methods
        for t in TARGETS
        for s in run.manifest.request.statistics
    }
    if run.metadata is not None:
        others |= {
            f"data.{name}": run.metadata.loc[rows, name].map(plain).to_numpy() for name in run.metadata
        }
    notes = read(run.folder)
    of_images = [notes.get(i, Note(i)) for i in ok["id"]]
    others |= {
        "tags": [plain(", ".join(n.tags)) for n in of_images],
        "corrected": [plain(n.corrected) for n in of_images],
        "text": [plain(n.text) for n in of_images],
    }
    return pd.concat([found, pd.DataFrame(others)], axis=1)


def predictions(run: RunData, ok: pd.DataFrame | None = None) -> pd.DataFrame:
    """Of every readable image, or of the rows `ok`."""
    ok = run.ok if ok is None else ok
    names = np.array([plain(name) for name in run.classes], object)
    return pd.DataFrame(
        {
            "id": ok["id"].map(plain).to_numpy(),
            "true": names[ok["label"]],
            "predicted": names[ok["pred"]],
            "confidence": ok["confidence"].to_numpy(),
            "p_true": np.exp(-ok["loss"].to_numpy(float)),
            "loss": ok["loss"].to_numpy(),
        }
    )


def _files(entry: dict[str, Any]) -> str:
    return " ".join(file for kind in ("original", "overlays", "maps") for file in entry[kind])
