"""The engine: one pass over a labeled set of images, into a run folder."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from explain.formatting import be, counted
from explain.methods import registry
from explain.methods.inputs import Passes
from explain.network.hooks import layers_in
from explain.network.stages import STAGES, stage_layers
from explain.network.target_layers import default_layer
from explain.run.answer import answer
from explain.run.format import (
    MANIFEST,
    METADATA,
    SCHEMAS,
    Manifest,
    Request,
    done_ids,
    finish,
    part_files,
    part_schema,
    read_manifest,
)
from explain.run.job import Job, Schedule, batches_of, local
from explain.run.one_writer import Uploads, one_writer
from explain.run.parquet import write
from explain.run.part_writer import PartWriter
from explain.run.regions import FACE_BANDS, are_expressions
from explain.run.resume import claim
from explain.run.rows import map_shape
from explain.run.trusted_data import allow
from models import __version__
from models.classes.given_names import must_differ, named_by_data, named_by_matching
from models.classes.index import find_index
from models.classes.matching import ClassMatch, match_classes
from models.classes.order import UnclearOrder
from models.classifier import ONE_OUTPUT, Classifier
from models.data.source import ImageSource
from models.errors import Cancelled, UserError
from models.foreign.networks import require_access
from models.layers.access import reaches
from models.outputs.matching import match_outputs
from models.outputs.one_by_one import takes_one_image
from models.outputs.regression import is_regression
from models.outputs.task import MULTI, SINGLE, require_same_task
from models.sources.model_file import write as write_model

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
    chosen = chosen_methods(classifier, methods, precision)
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
        method_code={name: code for name in chosen if (code := registry.METHODS[name].code)},
    )


def chosen_methods(classifier: Classifier, methods: Sequence[str], precision: str) -> tuple[str, ...]:
    """Each once. Raises UserError for none, for what is no method of runs, and for an unknown precision."""
    access = classifier.access
    if not methods:
        raise UserError(f"No method given: choose from {', '.join(registry.methods_in_runs(access))}.")
    if precision not in PRECISIONS:
        raise UserError(f"No precision '{precision}': choose from {', '.join(PRECISIONS)}.")
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
    """The outputs of the source's classes, as `models.classes.matching.match_classes` finds them; `mapping`
    may name outputs. Of a regression, the outputs of the data's numbers. Raises UserError where they do not
    fit."""
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
    schedule: Schedule = local,
) -> Manifest:
    """Predictions and maps of every image, into the folder `out`; what is there already is not computed
    again, unless an image's file has changed since or could not be read.

    `mapping`: class of the data -> output of the network, or its name; `order`: one of
    `models.classes.order.ORDERS`; `restart`: what the folder holds is deleted; `say` gets messages about
    images that are computed again; `schedule`: the engine (`explain.run.engines`). Raises UserError before
    any work where the request does not fit, or is another one than the folder's; `Cancelled` when `stop()`
    became true. Whatever ends it, finished parts stay, and the same call resumes.
    """
    classifier, source, to_model = prepared(classifier, source, mapping, order)
    request = plan(classifier, source, methods, layer, precision, to_model)
    with one_writer(out, say) as uploads:
        claim(out, request, source, restart, say)
        uploads.publish()
        size = 1 if takes_one_image(classifier.model) else batch_size
        job = Job(classifier, source, request, to_model, out, size, part_rows, command)
        return _complete(job, schedule, progress, stop, uploads)


def prepared(
    classifier: Classifier, source: ImageSource, mapping: Mapping[str, int | str] | None, order: str
) -> tuple[Classifier, ImageSource, dict[str, int]]:
    """The classifier with the names of its outputs, the images as it reads them, and class of the data ->
    output. Raises UserError where they do not fit."""
    require_same_task(classifier, source)
    source, (classifier, _) = (
        source.read_for(classifier.preprocessing),
        named_by_data(classifier, source.classes),
    )
    to_model = dict(zip(source.classes, match(classifier, source, mapping, order).outputs, strict=True))
    return named_by_matching(classifier, to_model), source, to_model


def _complete(
    job: Job,
    schedule: Schedule,
    progress: Callable[[Progress], None] | None,
    stop: Callable[[], bool],
    uploads: Uploads,
) -> Manifest:
    """Write the rows that are missing, then the manifest. Each part is uploaded when it is finished."""
    source, out = job.source, job.out
    if source.metadata is not None:
        metadata = source.metadata.assign(id=[item.id for item in source.items])
        write(pa.Table.from_pandas(metadata, preserve_index=False), out / METADATA)
    done = done_ids(out)
    pending = [i for i, item in enumerate(source.items) if item.id not in done]
    if not pending and (out / MANIFEST).is_file():
        return read_manifest(out)
    batches = batches_of(pending, len(source), job.batch_size)
    writer = PartWriter(out, job.request, job.part_rows, uploads.put)
    began, device = time.perf_counter(), str(job.classifier.device)
    with closing(_write_rows(job, schedule, writer, batches, len(done))) as steps:
        try:
            for now, used in steps:
                device = used
                if progress:
                    progress(now)
                if stop():
                    raise Cancelled(
                        f"{now.done} of {counted(now.total, 'image')} {be(now.done)} kept in '{out}': start "
                        "the same again to go on."
                    )
        except (KeyboardInterrupt, Cancelled, UserError):  # of a server, say, that does not answer
            writer.flush()
            raise
    writer.flush()
    seconds = time.perf_counter() - began
    manifest = _close(job, device, len(pending) / seconds if pending else None)
    uploads.publish()
    return manifest


def _write_rows(
    job: Job, schedule: Schedule, writer: PartWriter, batches: list[list[int]], before: int
) -> Generator[tuple[Progress, str], None, None]:
    """Write the rows of the batches as the engine yields them; after each one how far the run is, and where
    the batch was computed."""
    done, failed, written = before, 0, set[int]()
    if not batches:
        return
    with closing(schedule(job, batches)) as answers:
        for batch in answers:
            if batch.number in written:  # by a worker that was lost after it sent the rows
                continue
            written.add(batch.number)
            writer.add(batch.table, batch.maps)
            done += len(batch.table)
            failed += len(batch.table) - batch.table["error"].null_count
            yield Progress(done, len(job.source), before, failed), batch.device
    if len(written) < len(batches):
        raise UserError(
            f"The engine ended after {len(written)} of {counted(len(batches), 'batch', 'batches')}: start "
            "the same command again."
        )


def _close(job: Job, device: str, speed: float | None) -> Manifest:
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
        device=device,
        versions={"vitrine": __version__} | {name: version(name) for name in PACKAGES},
        command=job.command,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_model(job.out, job.classifier)
    finish(job.out, manifest)
    allow(manifest.data_root, (item.id for item in job.source.items))
    return manifest
