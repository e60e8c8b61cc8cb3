"""One pass over a run's images: each channel's strongest images, and the curves over depth."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from cachetools import LRUCache, cached
from torch import Tensor, nn

from explain.features.depth import Step, block_outputs, depth, label_separability, pooled, separability, step
from explain.network.hooks import read_maps, watch
from explain.network.summary import Layer, layers
from explain.run.format import write_json
from explain.run.images import how_to_read
from explain.run.loading import load_batches
from explain.run.parquet import Damaged, names_in, read, write
from explain.run.reader import RunData
from explain.run.run_images import RunImages
from explain.text_table import columns
from models.classifier import Classifier
from models.errors import UserError
from models.files.json_files import read_object
from models.foreign.networks import require_layers
from models.outputs.one_by_one import takes_one_image

STRONGEST, DEPTH, ABOUT = "strongest.parquet", "depth.parquet", "survey.json"
LABEL_DEPTH = "depth.labels.parquet"
"""Of runs of several labels per image: how well each label is told apart in each layer."""
COLUMNS = {"layer", "channel", "value", "id", "row", "column"}  # of STRONGEST
REMEDY = "run 'survey' again"
KEPT, BATCH = 9, 16
MOST, POOLED, MOVED = 2000, 1000, 32
"""Maximum images, evenly spread over the run: for the strongest; for separability; for equivariance."""
TABLE_BYTES = 32 * 2**20
"""At most so much memory is kept in tables of strongest images that were read."""


class Strongest:
    """The `KEPT` largest activations of each channel over all images, at most one per image: (value, row,
    position)."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self.widths: dict[str, int] = {}

    def add(self, layer: str, maps: Tensor, rows: Tensor) -> None:
        """`maps` (N, C, h, w) of a layer for the images `rows` (N,). The position is computed only for values
        that are among the largest so far: an argmax costs twenty maxima."""
        values = maps.float().amax((2, 3)).cpu()
        positions = torch.full_like(values, -1, dtype=torch.long)
        rows = rows[:, None].expand_as(values)
        if layer in self._kept:
            values, rows, positions = (
                torch.cat(pair) for pair in zip(self._kept[layer], (values, rows, positions), strict=True)
            )
        best = values.topk(min(KEPT, len(values)), dim=0).indices
        values, rows, positions = values.gather(0, best), rows.gather(0, best), positions.gather(0, best)
        fresh, channels = (positions < 0).nonzero(as_tuple=True)
        images = best[fresh, channels] - (len(self._kept[layer][0]) if layer in self._kept else 0)
        positions[fresh, channels] = (
            maps[images.to(maps.device), channels.to(maps.device)].flatten(1).argmax(1).cpu()
        )
        self._kept[layer], self.widths[layer] = (values, rows, positions), maps.shape[3]

    def table(self, layer: str, ids: Sequence[str]) -> pa.Table:
        values, rows, positions = (t.T.flatten().numpy() for t in self._kept[layer])
        channels, width = self._kept[layer][0].shape[1], self.widths[layer]
        count = len(values) // channels
        return pa.table(
            {
                "layer": [layer] * len(values),
                "channel": np.arange(channels, dtype=np.int32).repeat(count),
                "value": values,
                "id": np.array(ids, dtype=object)[rows],
                "row": (positions // width).astype(np.int16),
                "column": (positions % width).astype(np.int16),
            }
        )


def top_activations(classifier: Classifier, run: RunData, most: int = MOST) -> Iterator[float]:
    """Write `STRONGEST`, `DEPTH` and, last, `ABOUT` into the run's folder, from at most `most` images. Yields
    the fraction that is done; nothing is written before the end. Raises UserError where none of the run's
    pictures can be read, or the folder cannot be written."""
    require_layers(classifier.model, "Top activations")
    rows = run.ok.index.to_numpy()
    source = RunImages(
        run,
        rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))] if len(rows) else [],
    )
    work = _Work(classifier, source)
    done, size = 0, 1 if takes_one_image(classifier.model) else BATCH
    for batch in load_batches(source, range(len(source)), classifier, size):
        good = [loaded for loaded in batch if loaded.pixels is not None]
        if good:
            work.add(
                classifier.preprocessing.normalize(
                    torch.stack([g.pixels for g in good if g.pixels is not None]), classifier.device
                ),
                [g.index for g in good],
            )
        done += len(batch)
        yield done / len(source)
    if not work.images:
        raise UserError(
            f"Strongest images need the run's pictures, and none of them can be read in "
            f"'{run.manifest.data_root}': {how_to_read(run)}"
        )
    work.write(run.folder)


class _Work:
    def __init__(self, classifier: Classifier, source: RunImages):
        self.model, self.source, self.images = classifier.model, source, 0
        example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
        table = layers(self.model, example)
        self.layers = [layer for layer in table if layer.shape and layer.alias and not layer.is_passthrough]
        self.steps = block_outputs(table)
        self.strongest, self.features, self.pooled = Strongest(), dict[str, list[np.ndarray]](), list[int]()
        self.measured: dict[str, list[np.ndarray]] = {}
        self._number = {name: i for i, name in enumerate(source.classes)}
        self._pool = _even(len(source), POOLED)
        self._move = _even(len(source), MOVED)

    def add(self, x: Tensor, indices: list[int]) -> None:
        rows, keep = torch.tensor(indices), np.isin(indices, self._pool)
        named: dict[nn.Module, Layer] = {self.model.get_submodule(layer.name): layer for layer in self.layers}
        steps = {layer.name for layer in self.steps}
        ran, means = Counter[str](), dict[str, np.ndarray]()

        def note(module: nn.Module, output: Any) -> None:
            layer = named[module]
            ran[layer.name] += 1
            if ran[layer.name] < layer.runs or not isinstance(output, Tensor) or len(output) != len(x):
                return  # the last time counts
            maps = read_maps(self.model, output, x)
            self.strongest.add(layer.name, output.flatten(1)[..., None, None] if maps is None else maps, rows)
            if keep.any() and layer.name in steps:
                means[layer.name] = (
                    pooled(self.model, output, x)[torch.from_numpy(keep)].float().cpu().numpy()
                )

        watch(self.model, x, named, lambda module, given: None, note)
        for name, values in means.items():
            self.features.setdefault(name, []).append(values)
        self.pooled += [i for i, kept in zip(indices, keep, strict=True) if kept]
        if (moved := np.isin(indices, self._move)).any():
            for name, errors in depth(self.model, x[torch.from_numpy(moved)], self.steps).items():
                self.measured.setdefault(name, []).append(errors)
        self.images += len(x)

    def curves(self) -> tuple[list[Step], pa.Table | None]:
        """The curves, and of several labels per image those of each label (`LABEL_DEPTH`)."""
        truth, labels = self.source.truth, np.zeros(0, int)
        if truth is None:
            labels = np.array([self._number[self.source.items[i].label] for i in self.pooled])
        steps, of_labels = list[Step](), list[dict[str, Any]]()
        for layer in self.steps:
            if layer.name not in self.measured:
                continue
            features = np.concatenate(self.features[layer.name])
            measured = [float(value) for value in np.concatenate(self.measured[layer.name]).mean(0)]
            if truth is None:
                steps.append(step(layer, measured, separability(features, labels)))
                continue
            found = label_separability(features, truth[self.pooled])
            steps.append(step(layer, measured, _mean_of_known(found)))
            of_labels += [
                {"layer": layer.name, "label": k, "separable": float(a), "shuffled": float(b)}
                for k, (a, b) in enumerate(found)
            ]
        return steps, None if truth is None else pa.Table.from_pylist(of_labels)

    def write(self, folder: Path) -> None:
        ids = [item.id for item in self.source.items]
        tables = [
            self.strongest.table(layer.name, ids)
            for layer in self.layers
            if layer.name in self.strongest.widths
        ]
        try:
            write(
                pa.concat_tables(tables), folder / STRONGEST, row_group_size=50_000
            )  # one layer is read without the others
            steps, of_labels = self.curves()
            if of_labels is not None:
                write(of_labels, folder / LABEL_DEPTH)
            write(pa.Table.from_pylist([asdict(step) for step in steps]), folder / DEPTH)
            moved = sum(map(len, next(iter(self.measured.values()), [])))
            write_json(folder / ABOUT, {"images": self.images, "pooled": len(self.pooled), "moved": moved})
        except OSError as error:
            raise UserError(
                f"'{folder}' cannot be written ({error.strerror or error}): strongest images are kept in "
                "the run folder."
            ) from error


def _mean_of_known(found: np.ndarray) -> tuple[float, float]:
    """Of (K, 2), the mean over the labels that are known; NaN where none is."""
    known = found[np.isfinite(found).all(1)]
    return (float(known[:, 0].mean()), float(known[:, 1].mean())) if len(known) else (float("nan"),) * 2


def _even(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)) if count else np.zeros(0, int)


def stored_counts(run: RunData) -> dict[str, int] | None:
    """How many images the stored results are from: `images`, of which `pooled` for separability and `moved`
    for equivariance; None where the run has no results."""
    try:
        raw = read_object(run.folder / ABOUT)
        counts = {name: int(raw[name]) for name in ("images", "pooled", "moved")}
        whole = names_in(run.folder / STRONGEST) >= COLUMNS and names_in(run.folder / DEPTH) >= {
            f.name for f in fields(Step)
        }
        return counts if whole else None
    except (Damaged, OSError, ValueError, KeyError, TypeError):  # absent, damaged, or another's
        return None


def strongest(run: RunData, layer: str, channel: int) -> pd.DataFrame:
    """The channel's strongest images, the strongest first: value, id, row and column of the position, and
    `at`, the row of the run's table."""
    path = run.folder / STRONGEST
    table = _read(path, layer, path.stat().st_mtime_ns)
    table = table[table["channel"] == channel].sort_values("value", ascending=False)
    rows = {name: row for row, name in run.table["id"].items()}
    return table.assign(at=[rows.get(name, -1) for name in table["id"]]).query("at >= 0")


def curves(run: RunData, label: int | None = None) -> list[Step]:
    """The curves over depth, averaged over the run; of several labels per image, how well number `label` is
    told apart (default: the mean over the labels)."""
    steps = [Step(**row) for row in read(run.folder / DEPTH, remedy=REMEDY).to_pylist()]
    if label is None or not (run.folder / LABEL_DEPTH).is_file():
        return steps
    table = read(run.folder / LABEL_DEPTH, remedy=REMEDY).to_pandas()
    known = table[table["label"] == label].set_index("layer")
    apart = [[_at(known[name], s.layer) for s in steps] for name in ("separable", "shuffled")]
    return [replace(s, separable=a, shuffled=b) for s, a, b in zip(steps, *apart, strict=True)]


def _at(values: pd.Series, layer: str) -> float:
    return float(values[layer]) if layer in values.index else float("nan")


def format_text(run: RunData) -> str:
    """The curves over depth for a terminal."""
    apart = "labels apart (mAP)" if run.all_labels else "classes apart"
    rows: list[Sequence[str]] = [("layer", "name", "zeros", apart, "shuffled", "moved by 1", "by its stride")]
    for s in curves(run):
        values = (s.zeros, s.separable, s.shuffled, s.by_one, s.by_stride)
        rows.append((s.layer, s.alias, *("" if np.isnan(v) else f"{100 * v:.1f} %" for v in values)))
    return columns(rows, right=range(2, 7))


def _bytes(table: pd.DataFrame) -> int:
    return min(int(table.memory_usage(deep=True).sum()), TABLE_BYTES)


@cached(LRUCache[Any, pd.DataFrame](TABLE_BYTES, getsizeof=_bytes), lock=RLock())
def _read(path: Path, layer: str, _stamp: int) -> pd.DataFrame:
    return read(path, remedy=REMEDY, filters=[("layer", "==", layer)]).to_pandas()
