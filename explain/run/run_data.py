"""A run that is open for reading: light columns in a table, maps and thumbnails of the rows that are asked
for."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from explain.formatting import be, counted
from explain.run.column_cache import column, read_ahead
from explain.run.decision import FLIPPED, decided, is_the_true_class, nudged
from explain.run.format import (
    MANIFEST,
    METADATA,
    OTHER,
    REQUEST,
    Manifest,
    map_column,
    part_files,
    unpack_maps,
)
from explain.run.parquet import Damaged, names_in, read, taken
from explain.run.thumbnails import open_thumbnail
from explain.run.trusted_data import fingerprint, is_allowed
from models.classes.names import names_by_data
from models.errors import UserError
from models.measures.evaluation import Evaluation, evaluate


def stamp_of(folder: Path) -> int:
    """Distinguishes columns in the cache from those of a run that was in this folder before."""
    files = (folder / name for name in (REQUEST, MANIFEST))
    return max(file.stat().st_mtime_ns for file in files if file.is_file())


NOT_STORED = "no map: runs of earlier versions lack it; run it again"


@dataclass(frozen=True, eq=False)
class RunData:
    """`table`: one row an image with its label, prediction, confidence and loss, the attention statistics,
    and where to find the rest; unreadable images have a text in `error` and are absent from `ok`. `damaged`:
    parts that cannot be read, and are left out.

    Of a run of two classes, `at` gives the same run with another threshold: `threshold` of the probability of
    class `positive` from which it is predicted, and `stored`, the run as the network decided."""

    folder: Path
    manifest: Manifest
    table: pd.DataFrame
    damaged: int = 0
    positive: int = 1
    threshold: float = 0.5
    stored: "RunData | None" = None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.request.classes

    @property
    def derived(self) -> Path:
        """The folder of what is computed from the run."""
        return self.folder

    @cached_property
    def data_names(self) -> tuple[str, ...]:
        """The outputs as the data calls them, as `models.classes.names.names_by_data`; those of a network
        without names are called so in `classes` already."""
        return names_by_data(self.classes, self.manifest.request.outputs)

    @property
    def label_sets(self) -> Any:
        """Of a run of several labels per image: `explain.run.outputs.label_sets.LabelSets`, which opens the
        runs of single ones; None for others."""
        return None

    @property
    def all_labels(self) -> bool:
        """Whether it holds several labels per image at once, of which one must be asked for."""
        return False

    @property
    def numbers(self) -> bool:
        """Whether its outputs are numbers: `explain.run.outputs.number_run.NumbersRun`."""
        return False

    def shown_class(self, row: int) -> int | None:
        """The class whose map is shown first, the predicted one; None for unreadable images."""
        pred = float(self.table.at[row, "pred"])
        return None if np.isnan(pred) else int(pred)

    def require_one_class(self, what: str) -> None:
        """Raises UserError for a run of several labels per image, of which none is asked for, and for one of
        numbers."""
        if self.numbers:
            raise UserError(
                f"{what} takes runs of one class per image; the outputs of '{self.folder}' are numbers "
                f"({', '.join(self.classes[:12])})."
            )
        if self.all_labels:
            raise UserError(
                f"{what} takes runs of one class per image; '{self.folder}' has several labels per image: "
                f"open one of them by its name (label=, --label), {', '.join(self.classes[:12])}."
            )

    def require_probabilities(self, option: str) -> None:
        """Raises UserError for an option of probabilities, a threshold or the positive class, where the
        outputs are numbers."""
        if self.numbers:
            raise UserError(
                f"{option} is for classes, of which one is predicted from a probability on; the outputs of "
                f"'{self.folder}' are numbers ({', '.join(self.classes[:12])}), which have none: leave it "
                "out."
            )

    @property
    def binary(self) -> bool:
        """Whether it has two classes, so that a threshold decides between them."""
        return len(self.classes) == 2

    def at(self, threshold: float, positive: int | None = None) -> "RunData":
        """The same run whose `pred`, `confidence` and `correct` follow from class `positive` being predicted
        where its probability is at least `threshold`; at 0.5, exactly the network's own predictions. Neither
        the network nor the folder is asked for them again. Raises UserError for other than two classes."""
        self.require_probabilities("A threshold")
        self.require_one_class("A threshold")
        if not self.binary:
            raise UserError(
                f"A threshold is for runs of two classes; this one has {len(self.classes)}: leave it out."
            )
        own = self.stored or self
        positive = self.positive if positive is None else positive
        if threshold == 0.5 and positive == own.positive:
            return own
        table = own.table
        if threshold != 0.5:
            score = own.score_of(positive)
            table = decided(own.table, own.ok, score, threshold, positive, own.manifest.request)
        return replace(own, table=table, positive=positive, threshold=threshold, stored=own)

    @property
    def decision(self) -> str:
        """What decides between two classes, where it is not the network's own 0.5: 'red is predicted where
        its probability is at least 0.7'. Empty otherwise."""
        if self.threshold == 0.5:
            return ""
        return (
            f"{self.classes[self.positive]} is predicted where its probability is at least {self.threshold}"
        )

    @property
    def positive_score(self) -> np.ndarray:
        """Of a run of two classes: the probability (n,) float64 of the positive class, in the rows of `ok`;
        NaN where there is none. It is at least 0.5 exactly where the network's own prediction is that
        class."""
        return (self.stored or self).score_of(self.positive)

    @cached_property
    def _scores(self) -> dict[int, np.ndarray]:
        return {}

    def score_of(self, positive: int) -> np.ndarray:
        """As `positive_score`, of either class."""
        if positive not in self._scores:
            score = np.full(len(self.table), np.nan)
            for rows, prob in self.probabilities():
                score[rows] = prob[:, positive]
            self._scores[positive] = nudged(score[self.ok.index], (self.ok["pred"] == positive).to_numpy())
        return self._scores[positive]

    @cached_property
    def _data_fingerprint(self) -> str:
        if self.stored is not None:
            return self.stored._data_fingerprint
        return fingerprint(self.manifest.data_root, self.table["id"].astype(str))

    @property
    def may_read_data(self) -> bool:
        """Whether its pictures may be read from where the run says that they are."""
        return is_allowed(self.folder, self.manifest.data_root, self._data_fingerprint)

    @property
    def unfinished(self) -> str:
        """A warning for a run that has not ended: its images are the first ones of the data, often of its
        first classes; and for one whose files are damaged. Empty for others."""
        if self.damaged:
            return (
                f"{self.damaged} of {counted(len(self.parts), 'file')} of the run {be(self.damaged)} damaged "
                f"and left out: its figures are those of {counted(len(self.table), 'image')}. Start "
                f"the same run "
                "again: it computes the others again."
            )
        if self.manifest.status == "complete":
            return ""
        return (
            f"The run has not ended: its {counted(len(self.table), 'image')} {be(len(self.table))} the first "
            "of the data, and its figures are theirs alone. Start it again to resume."
        )

    def title(self, method: str) -> str:
        """A method's name for people."""
        return self.manifest.titles.get(method, method)

    @cached_property
    def ok(self) -> pd.DataFrame:
        """Readable images; `pred` and `label` as int64, `correct` as bool."""
        bad = self.table["error"].notna().to_numpy()
        good = self.table[~bad].copy() if bad.any() else self.table.copy(deep=False)
        good["pred"], good["label"] = good["pred"].astype(np.int64), good["label"].astype(np.int64)
        good["correct"] = good["pred"] == good["label"]
        return good

    @property
    def noted(self) -> pd.DataFrame:
        """`ok`, with what tables of notes show of an image."""
        return self.ok

    @cached_property
    def evaluation(self) -> Evaluation:
        good = self.ok
        return evaluate(
            good["label"].to_numpy(),
            good["pred"].to_numpy(),
            good["confidence"].to_numpy(float),
            len(self.classes),
        )

    @cached_property
    def metadata(self) -> pd.DataFrame | None:
        """What else the data says of its images, in the table's rows; None where it says nothing."""
        if self.stored is not None:
            return self.stored.metadata
        file = self.folder / METADATA
        if not file.is_file():
            return None
        try:
            table = read(file)
            flat = [f.name for f in table.schema if not pa.types.is_nested(f.type)]
            found = (
                table.select(flat).to_pandas().drop_duplicates("id").set_index("id").reindex(self.table["id"])
            )
        except (
            Damaged,
            KeyError,
            ValueError,
            TypeError,
        ) as error:  # an addition: the rest is shown without it
            logging.getLogger("vitrine").warning("%s is left out: %s", file, error)
            return None
        return found.set_axis(self.table.index)

    @cached_property
    def present(self) -> list[int]:
        """Classes that the data has images of, in the model's order."""
        return [int(i) for i in np.flatnonzero(self.evaluation.support)]

    def _read(self, name: str, rows: Sequence[int]) -> list[pa.Scalar]:
        """Values of a heavy column for rows of the table."""
        where = zip(*self._where(rows), strict=True)
        return [self._part(int(part), name)[int(row)] for part, row in where]

    def _where(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows of the table: their parts (n,), and where they are in them (n,)."""
        at = self.table.index.get_indexer(np.asarray(rows))
        if (at < 0).any():
            raise KeyError(np.asarray(rows)[at < 0].tolist())
        return self.table["part"].to_numpy()[at], self.table["row"].to_numpy()[at]

    def _part(self, part: int, name: str) -> pa.ChunkedArray:
        return column(self.parts[part], name, self.stamp)

    def read_ahead(self, rows: Sequence[int], names: Sequence[str]) -> None:
        """Columns of the parts of these rows, as `column_cache.read_ahead`."""
        for part in np.unique(self._where(rows)[0]).tolist():
            read_ahead(self.parts[part], names, self.stamp)

    @cached_property
    def parts(self) -> list[Path]:
        return part_files(self.folder)

    @cached_property
    def stamp(self) -> int:
        """As `stamp_of`."""
        return stamp_of(self.folder)

    def thumbnails(self, rows: Sequence[int]) -> list[bytes]:
        """The thumbnail of each row, as JPEG."""
        return [value.as_py() or b"" for value in self._read("thumbnail", rows)]

    def _by_part(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Part by part: its number, which of the rows lie in it (indices into `rows`), and where in it."""
        parts, places = self._where(rows)
        order = np.argsort(parts, kind="stable")
        for chosen in np.split(order, np.flatnonzero(np.diff(parts[order])) + 1):
            if len(chosen):
                yield int(parts[chosen[0]]), chosen, places[chosen]

    def thumbnail_parts(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, list[bytes]]]:
        """Part by part: indices into `rows` (n,), and their thumbnails as JPEG. Nothing is
        kept."""
        for part, chosen, places in self._by_part(rows):
            column = taken(self.parts[part], "thumbnail", places)
            yield chosen, [data or b"" for data in column.to_pylist()]

    def thumbnail_image(self, row: int) -> Image.Image:
        """The thumbnail as a picture; raises UserError for an image that could not be read."""
        if not (data := self.thumbnails([row])[0]):
            raise UserError(f"This image could not be read: {self.table.at[row, 'error']}.")
        return open_thumbnail(data).convert("RGB")

    def prob(self, row: int) -> np.ndarray:
        """Probabilities (K,) of one image."""
        return np.array(self._read("prob", [row])[0].as_py() or [np.nan] * len(self.classes), np.float32)

    def probabilities(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Part by part, in the order of `ok`: rows (n,) of readable images, and their probabilities (n, K)
        float32. Nothing of it is kept."""
        every = self.ok.index.to_numpy()
        for part, chosen, places in self._by_part(every):
            flat = taken(self.parts[part], "prob", places).combine_chunks().flatten()
            yield every[chosen], flat.to_numpy(zero_copy_only=False).reshape(len(chosen), -1)

    def labeled_probabilities(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Part by part, in the order of `ok`: labels (n,), and probabilities (n, K) as `probabilities`."""
        label, begin = self.ok["label"].to_numpy(), 0
        for rows, prob in self.probabilities():
            yield label[begin : begin + len(rows)], prob
            begin += len(rows)

    @cached_property
    def margin(self) -> pd.Series:
        """Of every readable image, its largest probability minus the second largest: near 0 the prediction is
        uncertain."""
        if self.stored is not None:
            return self.stored.margin
        if len(self.classes) < 2 or not len(self.ok):
            return pd.Series(np.ones(len(self.ok), np.float32), self.ok.index)
        two = [np.partition(prob, -2, axis=1)[:, -2:] for _, prob in self.probabilities()]
        return pd.Series(np.concatenate([pair[:, 1] - pair[:, 0] for pair in two]), self.ok.index)

    def maps(self, method: str, target: str, rows: Sequence[int]) -> np.ndarray:
        """Raw maps (n, h, w) float32 of the rows; NaN for unreadable images, and where the folder has none:
        runs of two classes of earlier versions lack those of the class that the network did not predict,
        where it was right."""
        if method not in self.manifest.request.methods:
            raise UserError(
                f"The run has no method '{method}': it has {', '.join(self.manifest.request.methods)}."
            )
        wanted = list(rows)
        if target != "pred" or FLIPPED not in self.table:
            return self._stored_maps(method, target, wanted)
        there = self.table.loc[wanted]
        flipped, true = there[FLIPPED].to_numpy(bool), is_the_true_class(there)
        maps = np.empty((len(wanted), *self.manifest.request.map_shape), np.float32)
        for name, chosen in (("pred", ~flipped), ("label", flipped & true), (OTHER, flipped & ~true)):
            maps[chosen] = self._stored_maps(
                method, name, [r for r, c in zip(wanted, chosen, strict=True) if c]
            )
        return maps

    def no_map(self, row: int, target: str) -> str:
        """Why the run has no map of a row, where it did not store it; empty otherwise."""
        if target != "pred" or FLIPPED not in self.table:
            return ""
        item = self.table.loc[row]
        missing = item[FLIPPED] and item["pred"] != item["label"]
        stored = map_column(self.manifest.request.methods[0], OTHER)
        return NOT_STORED if missing and not self._has(int(item["part"]), stored) else ""

    def _stored_maps(self, method: str, target: str, rows: list[int]) -> np.ndarray:
        name, shape = map_column(method, target), self.manifest.request.map_shape
        maps = np.full((len(rows), *shape), np.nan, np.float32)
        for number, chosen, picked in self._by_part(np.asarray(rows)):
            if target == OTHER and not self._has(number, name):
                continue
            read_ahead(self.parts[number], [name, f"{name}.scale"], self.stamp)
            scale = self._part(number, f"{name}.scale").to_numpy().astype(np.float32)
            maps[chosen] = unpack_maps(self._part(number, name).take(pa.array(picked)), scale[picked], shape)
        return maps

    @cached_property
    def _names(self) -> dict[int, set[str]]:
        return {}

    def _has(self, part: int, name: str) -> bool:
        known = (self.stored or self)._names
        if part not in known:
            known[part] = names_in(self.parts[part])
        return name in known[part]
