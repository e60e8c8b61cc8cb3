"""One pass over a run's images for what a single image cannot tell: each channel's strongest images, and the
curves over depth."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn

from explain.features.depth import Step, block_outputs, depth, pooled, separability, step
from explain.network.hooks import read_maps, watch
from explain.network.summary import Layer, layers
from explain.run.format import write_json
from explain.run.images import original
from explain.run.loading import load_batches
from explain.run.parquet import Damaged, names_in, read, write
from explain.run.reader import RunData
from explain.text_table import columns
from models.classifier import Classifier
from models.data.images import UnreadableImage
from models.data.source import ImageSource, Item
from models.errors import UserError
from models.json_files import read_object

STRONGEST, DEPTH, ABOUT = "strongest.parquet", "depth.parquet", "survey.json"
COLUMNS = {"layer", "channel", "value", "id", "row", "column"}  # of STRONGEST
REMEDY = "make it anew with 'survey'"
KEPT, BATCH = 9, 16
MOST, POOLED, MOVED = 2000, 1000, 32
"""So many images at most, evenly spread over the run: for the strongest; for separability; for
equivariance."""


class RunImages(ImageSource):
    """Some rows of a run, where their pictures are still to be had."""

    def __init__(self, run: RunData, rows: Sequence[int]):
        self._run, self.rows = run, [int(row) for row in rows]
        self.name, self.root, self.classes = run.manifest.request.data, run.manifest.data_root, run.classes
        table = run.table
        self.items = [
            Item(str(table.at[row, "id"]), run.classes[int(table.at[row, "label"])]) for row in self.rows
        ]

    def load(self, index: int) -> Image.Image:
        found = original(self._run, self.rows[index])
        if found is None:
            raise UnreadableImage("it is not where the run found it")
        return found


class Strongest:
    """Of each channel the `KEPT` largest activations over all images, an image once: (value, row, place)."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self.widths: dict[str, int] = {}

    def see(self, layer: str, maps: Tensor, rows: Tensor) -> None:
        """`maps` (N, C, h, w) of a layer for the images `rows` (N,). Places are looked for only where a value
        is among the largest so far: an argmax costs twenty maxima."""
        values = maps.float().amax((2, 3)).cpu()
        places = torch.full_like(values, -1, dtype=torch.long)
        rows = rows[:, None].expand_as(values)
        if layer in self._kept:
            values, rows, places = (
                torch.cat(pair) for pair in zip(self._kept[layer], (values, rows, places), strict=True)
            )
        best = values.topk(min(KEPT, len(values)), dim=0).indices
        values, rows, places = values.gather(0, best), rows.gather(0, best), places.gather(0, best)
        fresh, channels = (places < 0).nonzero(as_tuple=True)
        images = best[fresh, channels] - (len(self._kept[layer][0]) if layer in self._kept else 0)
        places[fresh, channels] = (
            maps[images.to(maps.device), channels.to(maps.device)].flatten(1).argmax(1).cpu()
        )
        self._kept[layer], self.widths[layer] = (values, rows, places), maps.shape[3]

    def table(self, layer: str, ids: Sequence[str]) -> pa.Table:
        values, rows, places = (t.T.flatten().numpy() for t in self._kept[layer])
        channels, width = self._kept[layer][0].shape[1], self.widths[layer]
        count = len(values) // channels
        return pa.table(
            {
                "layer": [layer] * len(values),
                "channel": np.arange(channels, dtype=np.int32).repeat(count),
                "value": values,
                "id": np.array(ids, dtype=object)[rows],
                "row": (places // width).astype(np.int16),
                "column": (places % width).astype(np.int16),
            }
        )


def top_activations(classifier: Classifier, run: RunData, most: int = MOST) -> Iterator[float]:
    """Write `STRONGEST`, `DEPTH` and `ABOUT` into the run's folder, the last one last. Yields how far it is;
    whoever does not go on to the end leaves nothing behind. Raises UserError where none of the run's pictures
    can be had, or the folder cannot be written."""
    rows = run.ok.index.to_numpy()
    source = RunImages(
        run,
        rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))] if len(rows) else [],
    )
    work = _Work(classifier, source)
    seen = 0
    for batch in load_batches(source, range(len(source)), classifier, BATCH):
        good = [loaded for loaded in batch if loaded.pixels is not None]
        if good:
            work.see(
                classifier.preprocessing.normalize(
                    torch.stack([g.pixels for g in good if g.pixels is not None]), classifier.device
                ),
                [g.index for g in good],
            )
        seen += len(batch)
        yield seen / len(source)
    if not work.images:
        raise UserError(
            f"None of the run's pictures can be read in '{run.manifest.data_root}': strongest images need "
            "them (see --allow-data)."
        )
    work.write(run.folder)


class _Work:
    def __init__(self, classifier: Classifier, source: RunImages):
        self.model, self.source, self.images = classifier.model, source, 0
        example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
        table = layers(self.model, example)
        self.layers = [layer for layer in table if layer.shape and layer.alias and not layer.is_passthrough]
        self.steps = block_outputs(table)
        self.strongest, self.features, self.labels = Strongest(), dict[str, list[np.ndarray]](), list[int]()
        self.measured: dict[str, list[np.ndarray]] = {}
        self._number = {name: i for i, name in enumerate(source.classes)}
        self._pool = _even(len(source), POOLED)
        self._move = _even(len(source), MOVED)

    def see(self, x: Tensor, indices: list[int]) -> None:
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
            self.strongest.see(layer.name, output.flatten(1)[..., None, None] if maps is None else maps, rows)
            if keep.any() and layer.name in steps:
                means[layer.name] = (
                    pooled(self.model, output, x)[torch.from_numpy(keep)].float().cpu().numpy()
                )

        watch(self.model, x, named, lambda module, given: None, note)
        for name, values in means.items():
            self.features.setdefault(name, []).append(values)
        self.labels += [
            self._number[self.source.items[i].label] for i, kept in zip(indices, keep, strict=True) if kept
        ]
        if (moved := np.isin(indices, self._move)).any():
            for name, errors in depth(self.model, x[torch.from_numpy(moved)], self.steps).items():
                self.measured.setdefault(name, []).append(errors)
        self.images += len(x)

    def curves(self) -> list[Step]:
        labels, found = np.array(self.labels), []
        for layer in self.steps:
            if layer.name in self.measured:
                features = np.concatenate(self.features[layer.name])
                measured = [float(value) for value in np.concatenate(self.measured[layer.name]).mean(0)]
                found.append(step(layer, measured, separability(features, labels)))
        return found

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
            write(pa.Table.from_pylist([asdict(step) for step in self.curves()]), folder / DEPTH)
            moved = sum(map(len, next(iter(self.measured.values()), [])))
            write_json(folder / ABOUT, {"images": self.images, "pooled": len(self.labels), "moved": moved})
        except OSError as error:
            raise UserError(
                f"'{folder}' cannot be written ({error.strerror or error}): strongest images are kept in "
                "the run folder."
            ) from error


def _even(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)) if count else np.zeros(0, int)


def stored_counts(run: RunData) -> dict[str, int] | None:
    """How many images were seen, for separability, for equivariance; None where the run has not been
    stored_counts."""
    try:
        raw = read_object(run.folder / ABOUT)
        found = {name: int(raw[name]) for name in ("images", "pooled", "moved")}
        whole = names_in(run.folder / STRONGEST) >= COLUMNS and names_in(run.folder / DEPTH) >= {
            f.name for f in fields(Step)
        }
        return found if whole else None
    except (Damaged, OSError, ValueError, KeyError, TypeError):  # absent, damaged, or another's
        return None


def strongest(run: RunData, layer: str, channel: int) -> pd.DataFrame:
    """The channel's strongest images, the strongest first: value, id, row and column of the place, and `at`,
    the row of the run's table."""
    path = run.folder / STRONGEST
    found = _read(path, layer, path.stat().st_mtime_ns)
    found = found[found["channel"] == channel].sort_values("value", ascending=False)
    rows = {name: row for row, name in run.table["id"].items()}
    return found.assign(at=[rows.get(name, -1) for name in found["id"]]).query("at >= 0")


def curves(run: RunData) -> list[Step]:
    """The curves over depth, averaged over the run."""
    return [Step(**row) for row in read(run.folder / DEPTH, remedy=REMEDY).to_pylist()]


def format_text(run: RunData) -> str:
    """The curves over depth for a terminal."""
    rows: list[Sequence[str]] = [
        ("layer", "name", "zeros", "classes apart", "shuffled", "moved by 1", "by its stride")
    ]
    for s in curves(run):
        values = (s.zeros, s.separable, s.shuffled, s.by_one, s.by_stride)
        rows.append((s.layer, s.alias, *("" if np.isnan(v) else f"{v:.1%}" for v in values)))
    return columns(rows, right=range(2, 7))


@lru_cache(maxsize=16)
def _read(path: Path, layer: str, _stamp: int) -> pd.DataFrame:
    return read(path, remedy=REMEDY, filters=[("layer", "==", layer)]).to_pandas()
