"""The engine: one pass over a labeled set of images, into a run folder."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from explain.formatting import be, counted
from explain.methods import registry
from explain.methods.inputs import Passes
from explain.network.fused import fused_copy
from explain.network.hooks import layers_in
from explain.network.stages import STAGES, stage_layers
from explain.network.target_layers import default_layer
from explain.run.answer import answer, noise
from explain.run.format import (
    MANIFEST,
    METADATA,
    SCHEMAS,
    STAMP,
    Manifest,
    Request,
    done_ids,
    finish,
    one_writer,
    part_files,
    part_schema,
    read_manifest,
    rows_to_table,
)
from explain.run.label_rows import LabelRows
from explain.run.loading import Loaded, load_batches
from explain.run.number_rows import NumberRows
from explain.run.output_rows import TaskRows, process_outputs
from explain.run.parquet import write
from explain.run.part_writer import PartWriter
from explain.run.regions import FACE_BANDS, are_expressions
from explain.run.resume import claim
from explain.run.rows import map_shape, process
from explain.run.trusted_data import allow
from models import __version__
from models.access import reaches
from models.class_index import find_index
from models.class_matching import ClassMatch, match_classes
from models.class_names import must_differ, named_by_data, named_by_matching
from models.class_order import UnclearOrder
from models.classifier import ONE_OUTPUT, Classifier
from models.data.remote_errors import Unreachable
from models.data.source import ImageSource, Item
from models.errors import Cancelled, UserError
from models.foreign import require_access
from models.one_by_one import takes_one_image
from models.output_matching import match_outputs, true_numbers
from models.regression import is_regression
from models.sources.model_file import write as write_model
from models.task import MULTI, SINGLE, require_same_task

PRECISIONS = ("fp32", "bf16")
PACKAGES = ("torch", "torchvision", "numpy", "pyarrow")  # versions that the manifest names


@dataclass(frozen=True)
class Progress:
    """`done` of `total` images are processed, `before` of them by an earlier start, `failed` of them without
    an answer."""

    done: int
    total: int
    before: int
    failed: int


def plan(
    classifier: Classifier,
    source: ImageSource,
    methods: Sequence[str],
    layer: str | None,
    precision: str,
    outputs: dict[str, int],
) -> Request:
    """The request of a run, checked before any work: methods, layer, that a gradient reaches it, and the
    shape of its maps. Raises UserError."""
    chosen = _methods(classifier, methods)
    _require_precision(precision)
    example = torch.zeros(1, classifier.channels, *classifier.input_size, device=classifier.device)
    layer = _layer(classifier, layer, example)
    passes = Passes(classifier.model, example, precision)
    _check_outputs(classifier, passes.captured(layers_in(layer)).logits.shape[1])
    if layer:
        passes.captured(layers_in(layer)).gradients(torch.zeros(1, dtype=torch.long))
    task = classifier.task or SINGLE
    return Request(
        classifier.name,
        classifier.weights_hash,
        source.name,
        source.fingerprint(),
        classifier.classes,
        chosen,
        layer,
        map_shape(passes, chosen, layer),
        precision,
        regions=_regions(classifier, source),
        outputs=outputs,
        preprocessing=classifier.preprocessing.as_dict(),
        transform_input=classifier.transform_input,
        bits=source.bits,
        code=classifier.code,
        task=task,
        schema=SCHEMAS[task],
        output_kind=classifier.output_kind,
        answer=answer(classifier),
    )


def _require_precision(precision: str) -> None:
    if precision not in PRECISIONS:
        raise UserError(f"No precision '{precision}': choose from {', '.join(PRECISIONS)}.")


def _methods(classifier: Classifier, methods: Sequence[str]) -> tuple[str, ...]:
    """Each once. Raises UserError for none, and for what is no method of runs."""
    access = classifier.access
    if not methods:
        raise UserError(f"No method given: choose from {', '.join(registry.methods_in_runs(access))}.")
    return tuple(dict.fromkeys(registry.method_in_runs(m, access).name for m in methods))


def _regions(classifier: Classifier, source: ImageSource) -> tuple[str, ...]:
    """Names of the regions that maps are measured in: those of the data, or the bands of a face."""
    return source.regions or (tuple(FACE_BANDS) if are_expressions(classifier.classes) else ())


def _layer(classifier: Classifier, layer: str | None, example: Tensor) -> str:
    """The names of the layers that were asked for, or of the default; '' where layers cannot be reached.
    Raises UserError."""
    if not reaches(classifier.access, "layers"):
        if layer:
            require_access(classifier.model, "layers", f"--layer {layer}", "leave it out")
        return ""
    last = classifier.default_layer or default_layer(classifier.model, example)
    if layer == STAGES:
        return ",".join(stage_layers(classifier.model, example, last))
    return layer or last


def _check_outputs(classifier: Classifier, outputs: int) -> None:
    """Raises UserError where the classes do not name the outputs one by one."""
    if outputs == 1 and not is_regression(classifier.model):
        raise UserError(ONE_OUTPUT.format(name=classifier.name))
    must_differ(classifier.classes, classifier.name)
    if outputs != len(classifier.classes):
        raise UserError(
            f"{classifier.name} has {counted(outputs, 'output')}, but "
            f"{counted(len(classifier.classes), 'class')} {be(len(classifier.classes))} named."
        )


def match(
    classifier: Classifier,
    source: ImageSource,
    mapping: Mapping[str, int | str] | None = None,
    order: str = "",
) -> ClassMatch:
    """The outputs of the source's classes, as `models.classes.match_classes` finds them; `mapping` may name
    outputs. Of a regression, the outputs of the data's numbers. Raises UserError where they do not fit."""
    outputs = {name: output_index(to, classifier.classes) for name, to in (mapping or {}).items()}
    if source.regression:
        return match_outputs(source.classes, classifier.classes, classifier.name, outputs)
    names = source.classes, classifier.classes
    try:
        return match_classes(*names, classifier.wordnet_ids, outputs, order, source.empty)
    except UserError as error:
        if not source.both_readings or isinstance(error, UnclearOrder):
            raise
        raise UserError(
            f"The labels of {source.name} can be read in two ways: {source.both_readings}. Read so, classes "
            f"and outputs do not match: choose the other one with --task {MULTI}, or give --classes FILE."
        ) from error


def output_index(to: int | str, classes: Sequence[str]) -> int:
    """Raises UserError where there is no such output."""
    index = find_index(to, classes) if isinstance(to, str) else to
    if index is None or not 0 <= index < len(classes):
        raise UserError(
            f"The network has no output '{to}': it has {len(classes)}, called {', '.join(classes[:8])}."
        )
    return index


def run(
    classifier: Classifier,
    source: ImageSource,
    out: Path,
    methods: Sequence[str],
    layer: str | None = None,
    *,
    precision: str = "fp32",
    batch_size: int = 32,
    part_rows: int = 512,
    mapping: Mapping[str, int | str] | None = None,
    order: str = "",
    restart: bool = False,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Manifest:
    """Predictions and maps of every image, into the folder `out`; what is there already is not computed
    again, unless an image's file has changed since or could not be read.

    `mapping`: class of the data -> output of the network, or its name; `order`: one of
    `models.classes.ORDERS`; `restart`: what the folder holds is deleted; `say` gets messages about images
    that are computed again. Raises UserError before any work where the request does not fit, or is another
    one than the folder's; `Cancelled` when `stop()` became true. Whatever ends it, finished parts stay, and
    the same call resumes.
    """
    require_same_task(classifier, source)
    source, (classifier, _) = (
        source.read_for(classifier.preprocessing),
        named_by_data(classifier, source.classes),
    )
    to_model = dict(zip(source.classes, match(classifier, source, mapping, order).outputs, strict=True))
    classifier = named_by_matching(classifier, to_model)
    request = plan(classifier, source, methods, layer, precision, to_model)
    with one_writer(out):
        claim(out, request, source, restart, say)
        size = 1 if takes_one_image(classifier.model) else batch_size
        job = Job(classifier, source, out, request, to_model, size, part_rows, command)
        return _complete(job, progress, stop)


@dataclass(frozen=True)
class Job:
    """One pass over the images that a run folder lacks. `to_model`: class of the data -> output."""

    classifier: Classifier
    source: ImageSource
    out: Path
    request: Request
    to_model: dict[str, int]
    batch_size: int
    part_rows: int
    command: str

    def rows(self, network: Classifier, batch: list[Loaded]) -> tuple[pa.Table, pa.Table | None]:
        """The rows of a batch, and those of their maps where a run keeps them apart."""
        good, bad = [i for i in batch if i.error is None], [i for i in batch if i.error is not None]
        tables, maps = list[pa.Table](), None
        if good:
            items = [self.source.items[i.index] for i in good]
            ids = [item.id for item in items]
            if self.request.maps_apart:
                given = ids, good, self._truth(items)
                table, maps = process_outputs(network, self.request, *given, self._task)
            else:
                label = torch.tensor([self.to_model[item.label] for item in items])
                table = process(network, self.request, ids, good, label)
            tables.append(table)
        if bad:
            tables.append(self._unreadable(bad))
        return pa.concat_tables(tables), maps

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


def _complete(job: Job, progress: Callable[[Progress], None] | None, stop: Callable[[], bool]) -> Manifest:
    """Write the rows that are missing, then the manifest."""
    source, out = job.source, job.out
    if source.metadata is not None:
        metadata = source.metadata.assign(id=[item.id for item in source.items])
        write(pa.Table.from_pandas(metadata, preserve_index=False), out / METADATA)
    done = done_ids(out)
    pending = [i for i, item in enumerate(source.items) if item.id not in done]
    if not pending and (out / MANIFEST).is_file():
        return read_manifest(out)
    network, writer = _fused(job), PartWriter(out, job.request, job.part_rows)
    began = time.perf_counter()
    try:
        for now in _write_rows(job, network, writer, pending, len(done)):
            if progress:
                progress(now)
            if stop():
                raise Cancelled(
                    f"{now.done} of {counted(now.total, 'image')} {be(now.done)} kept in '{out}': start the "
                    "same again to go on."
                )
    except (KeyboardInterrupt, Cancelled, Unreachable):
        writer.flush()
        raise
    writer.flush()
    seconds = time.perf_counter() - began
    return _close(job, len(pending) / seconds if pending else None)


def _fused(job: Job) -> Classifier:
    """The classifier with a copy of its network that is faster; as it is where a method is a function from
    outside, which may look for its layers."""
    if any(registry.get(m).from_outside for m in job.request.methods):
        return job.classifier
    model, example, layers = job.classifier.model, noise(job.classifier), layers_in(job.request.layer)
    return replace(job.classifier, model=fused_copy(model, example, layers, job.request.precision))


def _write_rows(
    job: Job, network: Classifier, writer: PartWriter, pending: list[int], before: int
) -> Iterator[Progress]:
    """Compute and write the pending images, batch by batch."""
    done, failed = before, 0
    for batch in load_batches(job.source, pending, job.classifier, job.batch_size):
        table, maps = job.rows(network, batch)
        writer.add(table, maps)
        done, failed = done + len(batch), failed + len(table) - table["error"].null_count
        yield Progress(done, len(job.source), before, failed)


def _close(job: Job, speed: float | None) -> Manifest:
    """Write the manifest of a run whose rows are all there."""
    import pyarrow.dataset as ds

    data = ds.dataset([str(path) for path in part_files(job.out)], schema=part_schema(job.request))
    failed = data.count_rows(filter=ds.field("error").is_valid())
    manifest = Manifest(
        request=job.request,
        status="complete",
        counts={"ok": data.count_rows() - failed, "failed": failed},
        images_per_second=round(speed, 2) if speed else None,
        titles={m: registry.get(m).title for m in job.request.methods},
        weights=job.classifier.weights,
        which=job.classifier.which,
        source=job.classifier.source,
        access=job.classifier.access,
        data_root=job.source.root,
        data_classes=job.source.classes,
        preprocessing=job.classifier.preprocessing.as_dict(),
        device=str(job.classifier.device),
        versions={"vitrine": __version__} | {name: version(name) for name in PACKAGES},
        command=job.command,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_model(job.out, job.classifier)
    finish(job.out, manifest)
    allow(manifest.data_root, (item.id for item in job.source.items))
    return manifest
