"""A gaze folder: a stored evaluation (docs/gaze.md). Reading it needs neither torch, nor the images, nor the
networks."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from explain.gaze.evaluate import Evaluation, small, summary
from explain.gaze.metrics import METRICS
from explain.gaze.sources import EARLIER_TITLES
from explain.gaze.truths import Truths
from explain.render import jpeg_bytes
from explain.run import parquet
from explain.run.format import write_json
from models.errors import UserError
from models.files.csv_files import spreadsheet_safe
from models.files.json_files import read_object
from models.gaze.density import people
from models.program import typed

SCHEMA = 1
MANIFEST, IMAGES, SCORES, TABLE = "gaze.json", "images.parquet", "scores.parquet", "scores.csv"
THUMBNAIL = 320
PEOPLE = "people"


def write(folder: Path, made: Evaluation, truths: Truths, about: dict[str, Any]) -> None:
    """The manifest last. Raises UserError where the folder is something else, or cannot be written."""
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).is_file())
    ):
        raise UserError(f"'{folder}' exists and is no gaze folder: choose another --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        parquet.write(_images(made, truths), folder / IMAGES)
        parquet.write(pa.Table.from_pandas(made.table, preserve_index=False), folder / SCORES)
        spreadsheet_safe(made.table).to_csv(folder / TABLE, index=False)
        sources = [{"name": s.name, "title": s.title, "kind": s.kind} for s in made.sources]
        write_json(
            folder / MANIFEST,
            {
                "schema": SCHEMA,
                "variant": made.variant,
                "sigma": truths.sigma,
                "sources": sources,
                "kept": list(made.maps),
            }
            | about,
        )
    except OSError as error:
        raise UserError(
            f"'{folder}' cannot be written ({error.strerror or error}): free space, or choose another --out."
        ) from error


def _images(made: Evaluation, truths: Truths) -> pa.Table:
    rows = []
    for image in truths.judged.images:
        maps = {PEOPLE: small(people(image, truths.sigma))} | {
            name: kept[image.id] for name, kept in made.maps.items() if image.id in kept
        }
        row: dict[str, Any] = {
            "id": image.id,
            "height": image.size[0],
            "width": image.size[1],
            "x": image.x.tolist(),
            "y": image.y.tolist(),
            "subject": image.subject.tolist(),
            "thumbnail": jpeg_bytes(image.load(), THUMBNAIL),
        }
        for name, values in maps.items():
            row |= {f"map.{name}": values.ravel(), f"map.{name}.width": values.shape[1]}
        rows.append(row)
    return pa.Table.from_pylist(rows)


@dataclass(frozen=True)
class Against:
    """`difference`: by how much the source's NSS exceeds the control's, mean over images; `p`: two-sided."""

    source: str
    difference: float
    p: float


@dataclass(frozen=True, eq=False)
class GazeRun:
    """An opened gaze folder. `images`: one row an image; `scores`: one row for each image and source."""

    folder: Path
    manifest: dict[str, Any]
    images: pd.DataFrame
    scores: pd.DataFrame

    @property
    def titles(self) -> dict[str, str]:
        return {s["name"]: EARLIER_TITLES.get(s["title"], s["title"]) for s in self.manifest["sources"]}

    @property
    def kept(self) -> list[str]:
        """Sources whose maps can be shown."""
        return list(self.manifest["kept"])

    @cached_property
    def summary(self) -> pd.DataFrame:
        return summary(self.scores, {s["name"]: (s["title"], s["kind"]) for s in self.manifest["sources"]})

    def network_against_chance(self) -> "Against | None":
        """The network's first method against the same maps under other pictures, by NSS: Wilcoxon's
        signed-rank test over the images (F. Wilcoxon 1945), two-sided. None where no network was evaluated,
        or on fewer than five images."""
        networks = [s["name"] for s in self.manifest["sources"] if s["kind"] == "network"]
        if not networks or "shuffled" not in self.titles:
            return None
        wide = self.scores.pivot(index="id", columns="source", values="nss").astype(float)
        difference = (wide[networks[0]] - wide["shuffled"]).dropna()
        if len(difference) < 5:
            return None
        from explain.analysis.statistics.significance import signed_rank

        return Against(networks[0], float(difference.mean()), signed_rank(difference.to_numpy()))

    def worst(self, source: str, metric: str) -> np.ndarray:
        """Rows of `images`, those first where the source and people disagree most by the metric; without
        those that have no score."""
        of = self.scores[self.scores["source"] == source].set_index("id")[metric].astype(float)
        values = of.reindex(self.images["id"]).to_numpy()
        order = np.argsort(METRICS[metric].better * values, kind="stable")
        return order[np.isfinite(values[order])]

    def map(self, row: int, source: str) -> np.ndarray:
        """(h, w) float32, its largest magnitude 1."""
        values, width = self.images.at[row, f"map.{source}"], self.images.at[row, f"map.{source}.width"]
        return (
            np.zeros((1, 1), np.float32)
            if values is None
            else np.asarray(values, np.float32).reshape(-1, int(width))
        )

    def score(self, row: int, source: str) -> dict[str, Any]:
        """Every metric of an image's map, and `why` some are missing."""
        rows = self.scores[
            (self.scores["source"] == source) & (self.scores["id"] == self.images.at[row, "id"])
        ]
        return dict(rows.iloc[0]) if len(rows) else {}


def open_gaze_run(folder: Path) -> GazeRun:
    """Raises UserError where the folder is no gaze folder, or of another version."""
    try:
        manifest = read_object(folder / MANIFEST)
        if manifest.get("schema") != SCHEMA:
            raise UserError(
                f"'{folder}' has format {manifest.get('schema')}, this Vitrine reads {SCHEMA}: evaluate "
                "again."
            )
        return GazeRun(folder, manifest, pd.read_parquet(folder / IMAGES), pd.read_parquet(folder / SCORES))
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, UserError):
            raise
        command = typed(["gaze", "evaluate", "...", "--out", str(folder)])
        raise UserError(f"'{folder}' is no gaze folder: make one with {command}.") from error
