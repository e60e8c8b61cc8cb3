"""The engine: one pass over a labeled set of images, into a run folder."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from explain.methods import registry
from explain.methods.compute import compute_maps, map_shape
from explain.methods.inputs import Passes
from explain.methods.request import MapRequest
from explain.network.fused import fused_copy
from explain.network.hooks import layers_in
from explain.network.target_layers import default_layer
from explain.run.format import (
    MANIFEST,
    METADATA,
    NO_ANSWER,
    STAMP,
    Manifest,
    PartWriter,
    Request,
    area_column,
    done_ids,
    finish,
    map_column,
    one_writer,
    pack_maps,
    part_files,
    part_schema,
    read_manifest,
    rows_to_table,
)
from explain.run.loading import Loaded, load_batches
from explain.run.map_stats import attention_statistics
from explain.run.regions import FACE_BANDS, are_expressions, face_bands, reduced
from explain.run.resume import claim
from explain.run.trusted_data import allow
from models import __version__
from models.class_matching import ClassMatch, match_classes
from models.class_names import must_differ, named_by_data
from models.classes import find_class
from models.classifier import ONE_OUTPUT, Classifier
from models.data.source import ImageSource
from models.errors import Cancelled, UserError
from models.preprocessing import stack

PRECISIONS = ("fp32", "bf16")


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
    """Check what was asked for before any work: methods, layer, that a gradient reaches it, and the shape of
    its maps."""
    chosen = tuple(dict.fromkeys(registry.method_in_runs(m).name for m in methods))
    if not chosen:
        raise UserError(f"No method given: choose from {', '.join(registry.methods_in_runs())}.")
    if precision not in PRECISIONS:
        raise UserError(f"No precision '{precision}': choose from {', '.join(PRECISIONS)}.")
    example = _noise(classifier)
    layer = layer or classifier.default_layer or default_layer(classifier.model, example)
    passes = Passes(classifier.model, example, precision)
    tried = passes.captured(layers_in(layer))
    if tried.logits.shape[1] == 1:
        raise UserError(ONE_OUTPUT.format(name=classifier.name))
    must_differ(classifier.classes, classifier.name)
    if tried.logits.shape[1] != len(classifier.classes):
        raise UserError(
            f"{classifier.name} answers with {tried.logits.shape[1]} numbers, but "
            f"{len(classifier.classes)} classes are named."
        )
    tried.gradients(torch.zeros(1, dtype=torch.long))
    h, w = map_shape(passes, chosen, layer)
    regions = source.regions or (tuple(FACE_BANDS) if are_expressions(classifier.classes) else ())
    return Request(
        classifier.name,
        classifier.weights_hash,
        source.name,
        source.fingerprint(),
        classifier.classes,
        chosen,
        layer,
        (h, w),
        precision,
        regions=regions,
        outputs=outputs,
        preprocessing=classifier.preprocessing.as_dict(),
        transform_input=classifier.transform_input,
        bits=source.bits,
    )


def both_targets(
    passes: Passes, methods: Sequence[str], layer: str, pred: Tensor, label: Tensor
) -> dict[tuple[str, str], Tensor]:
    """Raw maps (N, h, w) of every method for the predicted and the true class, from one pass."""

    def maps(chosen: Sequence[str], classes: Tensor) -> dict[str, Tensor]:
        target = tuple(classes.tolist())
        return {
            m: compute_maps(passes.model, passes.x, MapRequest(m, layer, target), passes=passes).maps
            for m in chosen
        }

    for_pred = maps(methods, pred)
    other = [m for m in methods if registry.get(m).class_specific]
    for_label = maps(other, label) if other and bool((pred != label).any()) else {}
    return {
        (m, t): e.get(m, for_pred[m]) for m in methods for t, e in (("pred", for_pred), ("label", for_label))
    }


def process(
    classifier: Classifier, request: Request, ids: list[str], loaded: list[Loaded], label: Tensor
) -> pa.Table:
    """One batch of readable images -> rows of the run. Where the network's answer is no number, the row has
    an error."""
    x = classifier.preprocessing.normalize(
        stack([i.pixels for i in loaded if i.pixels is not None]), classifier.device
    )
    passes = Passes(classifier.model, x, request.precision)
    captured = passes.captured(layers_in(request.layer))
    finite = captured.logits.isfinite().all(1).cpu()
    if not finite.all():
        good, bad = finite.nonzero()[:, 0].tolist(), (~finite).nonzero()[:, 0].tolist()
        rows = (
            process(classifier, request, [ids[i] for i in good], [loaded[i] for i in good], label[good])
            if good
            else None
        )
        return pa.concat_tables(
            [*([rows] if rows else []), no_answers(request, ids, loaded, label, captured.logits, bad)]
        )
    label = label.to(captured.logits.device)
    prob, pred = captured.logits.softmax(1), captured.logits.argmax(1)
    columns: dict[str, Any] = {
        "id": ids,
        "label": label.cpu().numpy().astype(np.int16),
        "pred": pred.cpu().numpy().astype(np.int16),
        "confidence": prob.gather(1, pred[:, None])[:, 0].cpu().numpy(),
        "loss": F.cross_entropy(captured.logits, label, reduction="none").cpu().numpy(),
        "prob": _lists(prob.cpu().numpy()),
        "thumbnail": [i.thumbnail for i in loaded],
        STAMP: [i.stamp for i in loaded],
    } | {name: [i.facts[name] for i in loaded] for name in loaded[0].facts}
    regions = _regions(request, loaded)
    columns |= {
        area_column(name): np.broadcast_to(fraction, (len(loaded), *request.map_shape)).mean((1, 2))
        for name, fraction in regions.items()
    }
    for (method, target), maps in both_targets(passes, request.methods, request.layer, pred, label).items():
        name, raw = map_column(method, target), maps.cpu().numpy()
        columns[name], columns[f"{name}.scale"] = pack_maps(raw)
        columns |= {f"{name}.{k}": v for k, v in attention_statistics(raw, regions).items()}
    return rows_to_table(columns, request)


def no_answers(
    request: Request, ids: list[str], loaded: list[Loaded], label: Tensor, logits: Tensor, rows: list[int]
) -> pa.Table:
    """The rows of images to which the network answers NaN or infinite numbers: they have a label, and no
    prediction."""
    columns = {
        "id": [ids[i] for i in rows],
        "label": label[rows].numpy().astype(np.int16),
        "thumbnail": [loaded[i].thumbnail for i in rows],
        STAMP: [loaded[i].stamp for i in rows],
        "error": [NO_ANSWER + ("NaN" if logits[i].isnan().any() else "infinite numbers") for i in rows],
    }
    return rows_to_table(columns, request)


def _regions(request: Request, loaded: list[Loaded]) -> dict[str, np.ndarray]:
    """Name -> the share of each place of a map in that region: (h, w), or (N, h, w) where the data knows it
    of every picture."""
    known = [i.masks for i in loaded if i.masks is not None]
    fractions = (
        reduced(np.stack(known), request.map_shape).swapaxes(0, 1)
        if known
        else face_bands(request.map_shape)
        if request.regions
        else ()
    )
    return dict(zip(request.regions, fractions, strict=True))


def _noise(classifier: Classifier) -> Tensor:
    """An image that says something about every weight."""
    return torch.randn(
        1, classifier.channels, *classifier.input_size, generator=torch.Generator().manual_seed(0)
    ).to(classifier.device)


def _lists(values: np.ndarray) -> pa.Array:
    n, k = values.shape
    return pa.ListArray.from_arrays(
        pa.array(np.arange(0, n * k + 1, k, dtype=np.int32)), pa.array(values.reshape(-1))
    )


def match(
    classifier: Classifier,
    source: ImageSource,
    mapping: Mapping[str, int | str] | None = None,
    order: str = "",
) -> ClassMatch:
    """The outputs of the source's classes, as `models.classes.match_classes` finds them; `mapping` may name
    outputs. Raises UserError for a network without classes."""
    if classifier.metadata.get("task") == "affect":
        raise UserError(
            f"{classifier.name} answers with valence and arousal, not with classes: a run explains "
            "classifiers."
        )
    outputs = {name: output_index(to, classifier.classes) for name, to in (mapping or {}).items()}
    return match_classes(
        source.classes, classifier.classes, classifier.wordnet_ids, outputs, order, source.empty
    )


def output_index(to: int | str, classes: Sequence[str]) -> int:
    """Raises UserError where there is no such output."""
    index = find_class(to, classes) if isinstance(to, str) else to
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
    `models.classes.ORDERS`; `restart`: what the folder holds is thrown away; `say` hears of images that are
    done again. Raises UserError before any work where the request does not fit, or is another one than the
    folder's; `Cancelled` when `stop()` became true. Whatever ends it, finished parts stay, and the same call
    goes on from there.
    """
    source, (classifier, _) = (
        source.read_for(classifier.preprocessing),
        named_by_data(classifier, source.classes),
    )
    to_model = dict(zip(source.classes, match(classifier, source, mapping, order).outputs, strict=True))
    request = plan(classifier, source, methods, layer, precision, to_model)
    with one_writer(out):
        claim(out, request, source, restart, say)
        return _work(
            classifier, source, out, request, to_model, batch_size, part_rows, command, progress, stop
        )


def _work(
    classifier: Classifier,
    source: ImageSource,
    out: Path,
    request: Request,
    to_model: dict[str, int],
    batch_size: int,
    part_rows: int,
    command: str,
    progress: Callable[[Progress], None] | None,
    stop: Callable[[], bool],
) -> Manifest:
    """The rows that are missing, then the manifest."""
    if source.metadata is not None:
        source.metadata.assign(id=[item.id for item in source.items]).to_parquet(out / METADATA)
    done = done_ids(out)
    pending = [i for i, item in enumerate(source.items) if item.id not in done]
    if not pending and (out / MANIFEST).is_file():
        return read_manifest(out)
    # functions from outside get the network itself: they may look for its layers
    quick = (
        classifier
        if any(registry.get(m).from_outside for m in request.methods)
        else replace(
            classifier,
            model=fused_copy(
                classifier.model, _noise(classifier), layers_in(request.layer), request.precision
            ),
        )
    )
    writer, failed, seen, began = PartWriter(out, request, part_rows), 0, len(done), time.perf_counter()
    try:
        for batch in load_batches(source, pending, classifier, batch_size):
            good, bad = [i for i in batch if i.error is None], [i for i in batch if i.error is not None]
            unanswered = 0
            if good:
                items = [source.items[i.index] for i in good]
                label = torch.tensor([to_model[item.label] for item in items])
                rows = process(quick, request, [item.id for item in items], good, label)
                unanswered = len(rows) - rows["error"].null_count
                writer.add(rows)
            if bad:
                items = [source.items[i.index] for i in bad]
                columns = {
                    "id": [item.id for item in items],
                    "label": [to_model[item.label] for item in items],
                    STAMP: [i.stamp for i in bad],
                    "error": [i.error for i in bad],
                }
                writer.add(rows_to_table(columns, request))
            failed, seen = failed + len(bad) + unanswered, seen + len(batch)
            if progress:
                progress(Progress(seen, len(source), len(done), failed))
            if stop():
                raise Cancelled(
                    f"{seen} of {len(source)} images are kept in '{out}': start the same again to go on."
                )
    except (KeyboardInterrupt, Cancelled):
        writer.flush()
        raise
    writer.flush()
    seconds = time.perf_counter() - began
    return _close(classifier, source, out, request, len(pending) / seconds if pending else None, command)


def _close(
    classifier: Classifier,
    source: ImageSource,
    out: Path,
    request: Request,
    speed: float | None,
    command: str,
) -> Manifest:
    import pyarrow.dataset as ds

    data = ds.dataset([str(path) for path in part_files(out)], schema=part_schema(request))
    failed = data.count_rows(filter=ds.field("error").is_valid())
    manifest = Manifest(
        request,
        "complete",
        {"ok": data.count_rows() - failed, "failed": failed},
        round(speed, 2) if speed else None,
        {m: registry.get(m).title for m in request.methods},
        classifier.weights,
        source.root,
        source.classes,
        classifier.preprocessing.as_dict(),
        str(classifier.device),
        {"vitrine": __version__}
        | {name: version(name) for name in ("torch", "torchvision", "numpy", "pyarrow")},
        command,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    finish(out, manifest)
    allow(manifest.data_root, (item.id for item in source.items))
    return manifest
