"""What was measured of a run's maps, kept in its folder: a folder for each layer and settings, with parts of
rows that are only ever added. Each can be deleted, and is then made anew."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from explain.quality.settings import CurveSettings
from explain.run.format import TRUST as FOLDER
from explain.run.format import write_json
from explain.run.parquet import Damaged, read, write
from models.errors import UserError
from models.json_files import build, read_object

ABOUT = "about.json"
REMEDY = "delete the folder and run 'trust' again"


@dataclass(frozen=True)
class TrustSettings:
    """Everything but method and image that changes a figure. `target`: what the maps explain, as
    `sample.target_name`."""

    layer: str
    curves: CurveSettings
    kinds: tuple[str, ...]
    precision: str = "fp32"
    target: str = ""

    @property
    def key(self) -> str:
        """A name for them: equal settings have equal names."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class TrustStore:
    """The rows of one `TrustSettings`: one an image, method and variant. `variant` '' is the method's own
    map, else the name of a control; controls that no method makes have the method ''."""

    folder: Path
    settings: TrustSettings

    @classmethod
    def of(cls, run: Path, settings: TrustSettings) -> "TrustStore":
        return cls(run / FOLDER / settings.key, settings)

    @property
    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def rows(self) -> pd.DataFrame:
        """All rows, the later one where two are of the same map; parts that are damaged are left out, and
        their images are measured again."""
        tables = list(self._tables())
        if not tables:
            return pd.DataFrame({"id": [], "method": [], "variant": []}, dtype=object)
        whole = pa.concat_tables(tables, promote_options="default").to_pandas()
        return whole.drop_duplicates(["id", "method", "variant"], keep="last").reset_index(drop=True)

    def _tables(self) -> Iterator[pa.Table]:
        for part in self.parts:
            try:
                yield read(part, remedy=REMEDY)
            except Damaged:
                continue

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep further rows. Raises UserError where the folder cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / ABOUT, asdict(self.settings))
            numbers = [int(part.stem.split("-")[1]) for part in self.parts]
            write(
                pa.Table.from_pylist(list(rows)),
                self.folder / f"part-{max(numbers, default=-1) + 1:05d}.parquet",
            )
        except OSError as error:
            raise UserError(
                f"'{self.folder}' cannot be written ({error.strerror or error}): what is measured is kept in "
                "the run folder."
            ) from error


def stores(run: Path) -> list[TrustStore]:
    """What was measured of a run, the newest first; folders that cannot be read are left out."""
    found = []
    for about in sorted((run / FOLDER).glob(f"*/{ABOUT}"), key=lambda path: -path.stat().st_mtime):
        try:
            raw = read_object(about)
            curves = build(CurveSettings, raw.pop("curves"))
            found.append(TrustStore(about.parent, build(TrustSettings, raw, curves=curves)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found
