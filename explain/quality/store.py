"""What was measured of a run's maps, kept in its folder: a folder for each layer and settings, with parts of
rows that are only ever added. Each can be deleted, and is then made anew."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa

from explain.methods.registry import METHODS
from explain.quality.settings import CurveSettings
from explain.run.format import REQUEST, read_request, write_json
from explain.run.format import TRUST as FOLDER
from explain.run.parquet import Damaged, read, write
from models.errors import UserError
from models.files.json_files import build, read_object

KEY, CODE, OF = ["id", "method", "variant"], "code", "of"
ABOUT, DESCRIBED = "about.json", "description.json"
"""Settings of figures that decide; of figures that describe. A folder has one of them."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
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
class DescriptionSettings:
    """Everything but method and image that changes a figure that describes a map. `figure`: 'maps' (entropy,
    Gini, and where regions are known whether the map lies there), 'mprt' or 'stability'. Of 'maps' `cells`
    and `regions` (`places.Regions.key`); of 'mprt' `steps`, `samples`, `noise`, `bins`; of 'stability'
    `radius` and `samples`; of both `seed`. What has its default is not part of the key, so that a store is
    found by later versions, too, that have further settings."""

    layer: str
    figure: str
    precision: str = "fp32"
    target: str = ""
    cells: int = 14
    regions: str = ""
    steps: int = 5
    samples: int = 10
    noise: float = 0.1
    bins: int = 100
    radius: float = 0.02
    seed: int = 0

    @property
    def key(self) -> str:
        """A name for them: equal settings have equal names."""
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}
        text = json.dumps(given, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RowStore:
    """Rows of a folder: one an image, method and variant. `variant` '' is the method's own map, else the name
    of a control."""

    folder: Path
    settings: Any
    about: ClassVar[str] = ABOUT

    @property
    def parts(self) -> list[Path]:
        """Those of this run: none where the folder was copied from another one."""
        return [] if self._of_other_run else sorted(self.folder.glob("part-*.parquet"))

    @property
    def _of_other_run(self) -> bool:
        try:
            about = read_object(self.folder / self.about)
        except UNREADABLE:
            return False
        return not _is_of(about, self.folder.parents[1])

    def rows(self) -> pd.DataFrame:
        """All rows, the later one where two are of the same map; parts that are damaged are left out, and
        their images are measured again, as those of a method of one's own whose code is another one now."""
        tables = list(self._tables())
        if not tables:
            return pd.DataFrame({"id": [], "method": [], "variant": []}, dtype=object)
        whole = pa.concat_tables(tables, promote_options="default").to_pandas()
        return of_present_code(whole).drop_duplicates(KEY, keep="last").reset_index(drop=True)

    def ids(self) -> set[str]:
        """Of the images of which there are rows."""
        known = (table.column("id") for table in self._tables() if "id" in table.column_names)
        return {str(name) for column in known for name in column.unique().to_pylist()}

    def _tables(self) -> Iterator[pa.Table]:
        for part in self.parts:
            try:
                yield read(part, remedy=REMEDY)
            except Damaged:
                continue

    def begin(self) -> None:
        """Make the folder and say what it holds; what was copied from another run is removed. Raises
        UserError where it cannot be written."""
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._of_other_run:
                for part in self.folder.glob("part-*.parquet"):
                    part.unlink()
            of = {OF: made_for(self.folder.parents[1])}
            write_json(self.folder / self.about, asdict(self.settings) | of)

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep further rows. Raises UserError where the folder cannot be written."""
        self.begin()
        with self._writing():
            numbers = [int(part.stem.split("-")[1]) for part in self.parts]
            rows = [row | code_column(row["method"]) for row in rows]
            names = dict.fromkeys(name for row in rows for name in row)
            table = pa.table({name: [row.get(name) for row in rows] for name in names})
            write(table, self.folder / f"part-{max(numbers, default=-1) + 1:05d}.parquet")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"'{self.folder}' cannot be written ({error.strerror or error}): what is measured is kept in "
                "the run folder."
            ) from error


def made_for(run: Path) -> str:
    """A hash of the network and the images of a run; '' where its request cannot be read."""
    try:
        file = (run / REQUEST).stat()
    except OSError:
        return ""
    return _made_for(run, (file.st_ino, file.st_mtime_ns, file.st_size))


@lru_cache(maxsize=64)
def _made_for(run: Path, _stamp: tuple[int, ...]) -> str:
    try:
        request = read_request(run)
    except (UserError, *UNREADABLE):
        return ""
    text = json.dumps([request.weights_hash, request.code, request.preprocessing, request.data_fingerprint])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_of(about: dict[str, Any], run: Path) -> bool:
    """Whether figures are those of this run. Those of earlier versions do not say it."""
    return about.get(OF, "") in ("", made_for(run))


def code_column(method: str) -> dict[str, str]:
    """What a row says of the code of a method from outside; nothing of built-in ones."""
    code = METHODS[method].code if method in METHODS else ""
    return {CODE: code} if code else {}


def of_present_code(rows: pd.DataFrame) -> pd.DataFrame:
    """Without rows of methods from outside whose code was another one: than that which is registered, or,
    where none is, than that of the last row."""
    if CODE not in rows:
        return rows
    coded = rows[rows[CODE].notna()]
    present = coded.groupby("method")[CODE].last()
    wanted = {m: METHODS[m].code if m in METHODS else code for m, code in present.items()}
    code = rows["method"].map(wanted)
    return rows[code.isna() | (rows[CODE] == code)]


@dataclass(frozen=True)
class TrustStore(RowStore):
    """The rows of one `TrustSettings`; controls that no method makes have the method ''."""

    settings: TrustSettings

    @classmethod
    def of(cls, run: Path, settings: TrustSettings) -> "TrustStore":
        return cls(run / FOLDER / settings.key, settings)


@dataclass(frozen=True)
class DescriptionStore(RowStore):
    """The rows of one `DescriptionSettings`; all have a method."""

    settings: DescriptionSettings
    about: ClassVar[str] = DESCRIBED

    @classmethod
    def of(cls, run: Path, settings: DescriptionSettings) -> "DescriptionStore":
        return cls(run / FOLDER / settings.key, settings)


def stores(run: Path) -> list[TrustStore]:
    """What was measured of a run, the newest first; folders that cannot be read are left out."""
    found = []
    for about in _newest_first(run, ABOUT):
        try:
            raw = read_object(about)
            if not _is_of(raw, run):
                continue
            curves = build(CurveSettings, raw.pop("curves"))
            found.append(TrustStore(about.parent, build(TrustSettings, raw, curves=curves)))
        except UNREADABLE:
            continue
    return found


def measured_images(run: Path, target: str) -> set[str]:
    """Ids of the images of which any curve of the maps of `target` was measured."""
    return {name for store in stores(run) if store.settings.target == target for name in store.ids()}


def description_stores(run: Path) -> list[DescriptionStore]:
    """What describes the maps of a run, the newest first; folders that cannot be read are left out."""
    found = []
    for about in _newest_first(run, DESCRIBED):
        try:
            raw = read_object(about)
            if _is_of(raw, run):
                found.append(DescriptionStore(about.parent, build(DescriptionSettings, raw)))
        except UNREADABLE:
            continue
    return found


def _newest_first(run: Path, name: str) -> list[Path]:
    return sorted((run / FOLDER).glob(f"*/{name}"), key=lambda path: -path.stat().st_mtime)
