"""What a run computes of a batch of images, and the order of its batches: the same for every engine."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from explain.methods import registry
from explain.network.fused import fused_copy
from explain.network.hooks import layers_in
from explain.run.answer import noise
from explain.run.format import STAMP, Request, rows_to_table
from explain.run.loading import READERS, Loaded, load_each
from explain.run.outputs.label_rows import LabelRows
from explain.run.outputs.number_rows import NumberRows
from explain.run.outputs.output_rows import TaskRows, process_outputs
from explain.run.rows import process
from models.classifier import Classifier
from models.data.source import ImageSource, Item
from models.outputs.matching import true_numbers


@dataclass(frozen=True)
class BatchRows:
    """Batch number `number`: the rows of its images, and those of their maps where a run keeps them apart.
    `device`: where they were computed."""

    number: int
    table: pa.Table
    maps: pa.Table | None
    device: str


@dataclass(frozen=True)
class Job:
    """One pass over the images that a run folder lacks. `to_model`: class of the data -> output."""

    classifier: Classifier
    source: ImageSource
    request: Request
    to_model: dict[str, int]
    out: Path = Path()
    batch_size: int = 32
    part_rows: int = 512
    command: str = ""

    def compute(
        self, batches: Sequence[Sequence[int]], readers: int = READERS
    ) -> Generator[BatchRows, None, None]:
        """The rows of batches of indices of images, which so many threads read ahead."""
        device = str(self.classifier.device)
        for number, batch in enumerate(load_each(self.source, batches, self.classifier, readers)):
            yield BatchRows(number, *self.rows(batch), device)

    def rows(self, batch: list[Loaded]) -> tuple[pa.Table, pa.Table | None]:
        """The rows of a batch, and those of their maps where a run keeps them apart."""
        good, bad = [i for i in batch if i.error is None], [i for i in batch if i.error is not None]
        tables, maps = list[pa.Table](), None
        if good:
            items = [self.source.items[i.index] for i in good]
            ids = [item.id for item in items]
            if self.request.maps_apart:
                given = ids, good, self._truth(items)
                table, maps = process_outputs(self._network, self.request, *given, self._task)
            else:
                label = torch.tensor([self.to_model[item.label] for item in items])
                table = process(self._network, self.request, ids, good, label)
            tables.append(table)
        if bad:
            tables.append(self._unreadable(bad))
        return pa.concat_tables(tables), maps

    @cached_property
    def _network(self) -> Classifier:
        """The classifier with a copy of its network that is faster; as it is where a method is a function
        from outside, which may look for its layers."""
        if any(registry.get(m).from_outside for m in self.request.methods):
            return self.classifier
        example, layers = noise(self.classifier), layers_in(self.request.layer)
        fused = fused_copy(self.classifier.model, example, layers, self.request.precision)
        return replace(self.classifier, model=fused)

    @cached_property
    def _task(self) -> TaskRows:
        """What differs between tasks that ask for each output alone."""
        if self.request.multi_label:
            return LabelRows()
        return NumberRows(self._truth(self.source.items).std(0))

    def _truth(self, items: Sequence[Item]) -> np.ndarray:
        """Which classes each image has, (N, K) bool; of a regression the numbers of the outputs, (N, R)
        float64."""
        if self.request.regression:
            return true_numbers(items, self.to_model, self.source.classes)
        truth = np.zeros((len(items), len(self.request.classes)), bool)
        for row, item in enumerate(items):
            truth[row, [to for name in item.labels or () if (to := self.to_model[name]) >= 0]] = True
        return truth

    def _unreadable(self, loaded: list[Loaded]) -> pa.Table:
        items = [self.source.items[i.index] for i in loaded]
        if self.request.maps_apart:
            labels = self._task.truth(self._truth(items))
        else:
            labels = [self.to_model[item.label] for item in items]
        columns = {
            self.request.truth_column: labels,
            "id": [item.id for item in items],
            STAMP: [i.stamp for i in loaded],
            "error": [i.error for i in loaded],
        }
        return rows_to_table(columns, self.request)


Schedule = Callable[[Job, list[list[int]]], Generator[BatchRows, None, None]]
"""An engine: yields the rows of all batches, in their order. One that comes twice counts once."""


def local(job: Job, batches: list[list[int]]) -> Generator[BatchRows, None, None]:
    """The engine `local`: in this process."""
    return job.compute(batches)


def batches_of(pending: Sequence[int], total: int, size: int) -> list[list[int]]:
    """The images without rows, ascending indices below `total`, in batches of at most `size`.

    The last bits of a row depend on the batch that its image is in. So batches begin at multiples of `size`,
    wherever an earlier start has stopped; images whose neighbors have rows already, as those that have
    changed since, come first, in batches of their own."""
    found: dict[int, list[int]] = {}
    for index in pending:
        found.setdefault(index // size, []).append(index)
    whole = {number for number, batch in found.items() if len(batch) == min(size, total - number * size)}
    alone = [index for number, batch in found.items() if number not in whole for index in batch]
    return [
        *(alone[at : at + size] for at in range(0, len(alone), size)),
        *(batch for number, batch in found.items() if number in whole),
    ]
