"""Resuming a run: what differs from before, which images are computed again, and starting from scratch."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from explain.formatting import be, counted, plural
from explain.run.answer import settled
from explain.run.format import (
    BY_LABEL,
    DERIVED,
    MANIFEST,
    METADATA,
    NO_ANSWER,
    REQUEST,
    STAMP,
    TRUST,
    Request,
    begin,
    maps_of,
    part_files,
    read_request,
)
from explain.run.parquet import is_whole, names_in, read, write
from models.data.source import ImageSource
from models.outputs.matching import true_numbers
from models.preprocessing import Preprocessing

NAMES = {
    "model": "the model",
    "weights_hash": "the weights",
    "code": "the code of the network",
    "data": "the data",
    "data_fingerprint": "images or labels",
    "task": "the task",
    "outputs": "the matching of classes",
    "classes": "names of the outputs",
    "preprocessing": "the preprocessing",
    "transform_input": "transform_input",
    "bits": "the bits of deep pictures",
    "output_kind": "what the network returns, --outputs",
    "methods": "the methods",
    "method_code": "the code of methods",
    "layer": "the layer",
    "precision": "the precision",
    "regions": "regions of the images",
    "answer": "what the network answers",
    "map_shape": "the size of the maps",
    "schema": "the format",
}
"""What the fields of a request are called in messages; causes come before what follows from them."""
CAUSES = ("model", "weights_hash", "code", "task", "preprocessing", "transform_input", "output_kind")
"""Where one of these differs, that the network answers otherwise is not named besides."""
_SHOWN = 60
DAMAGED = ".damaged"


def claim(
    out: Path, request: Request, source: ImageSource, restart: bool, say: Callable[[str], None]
) -> None:
    """Make the folder this request's: a new one, or the same one without the rows of images that have changed
    or could not be read.

    Raises UserError, which names what differs, for another run's folder, unless it is to `restart`.
    """
    if not (out / REQUEST).is_file():
        return begin(out, request)
    before = read_request(out)
    if damaged := [] if restart else set_aside(out, before.maps_apart):
        say(
            f"{len(damaged):,} of the run's files were damaged and are set aside (*{DAMAGED}): their "
            "images are done again"
        )
    differ = differences(before, request)
    if (
        differ
        and before.task == request.task
        and before.data_fingerprint != request.data_fingerprint
        and (data := changed_data(out, source, request.outputs))
    ):
        differ = [data if text.startswith("images or labels") else text for text in differ]
    if restart:  # the old request stays until nothing is left that it made
        clear(out)
    begin(out, request, differ, restart)
    changed, failed = outdated(out, source)
    if changed:
        again = plural(len(changed), "has changed since: it is", "have changed since: they are")
        say(f"{counted(len(changed), 'image')} {again} done again")
    if failed:
        say(f"{counted(len(failed), 'image')} that could not be read {be(len(failed))} tried again")
    if changed or failed:
        drop_rows(out, changed | failed)
    return None


def differences(before: Request, now: Request) -> list[str]:
    """In words, field by field, what the two requests differ in."""
    was, wanted = (_plain(request) for request in (before, now))
    if not was["preprocessing"]:
        return [
            "made by an earlier version, which did not keep the preprocessing and the matching of classes"
        ]
    for kept in ("code", "method_code"):
        if not was[kept]:  # not kept by earlier versions
            wanted[kept] = was[kept]
    explained = any(was[key] != wanted[key] for key in CAUSES)
    wanted["answer"] = was["answer"] if explained else settled(wanted["answer"], was["answer"])
    return [
        f"{name} ({_change(was[key], wanted[key])})" for key, name in NAMES.items() if was[key] != wanted[key]
    ]


def _plain(request: Request) -> dict[str, Any]:
    """As in a file; fields of the preprocessing that earlier versions did not have are at their defaults."""
    fed = request.preprocessing
    complete = Preprocessing.from_dict(fed).plain() if fed else fed
    found: dict[str, Any] = json.loads(json.dumps(asdict(request) | {"preprocessing": complete}))
    return found


def _change(was: Any, now: Any) -> str:
    """'0.485, now 0.5'; of mappings the entries that differ alone."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = [key for key in dict.fromkeys([*was, *now]) if was.get(key) != now.get(key)]
        return "; ".join(
            f"{key}: {_short(was.get(key, 'absent'))}, now {_short(now.get(key, 'absent'))}"
            for key in keys[:4]
        )
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        k = next(k for k, (a, b) in enumerate(zip(was, now, strict=True)) if a != b)
        return f"{_short(was[k])}, now {_short(now[k])}"
    return f"{_short(was)}, now {_short(now)}"


def _short(value: Any) -> str:
    return str(value)[:_SHOWN] or "none"


def changed_data(folder: Path, source: ImageSource, label: Mapping[str, int]) -> str:
    """How the images and labels of a source differ from the rows on disk: '3 images added, 1 gone, 2 labels
    changed'. `label`: class of the data -> index."""
    column = "true" if source.regression else "labels" if source.multi_label else "label"
    rows = {i: k for path in part_files(folder) for i, k in zip(*_columns(path, "id", column), strict=True)}
    now: dict[str, Any]
    if source.regression:
        ids, truth = [item.id for item in source.items], true_numbers(source.items, label, source.classes)
        now = dict(zip(ids, truth.tolist(), strict=True))
    else:
        now = {
            item.id: label[item.label] if item.labels is None else sorted(label[name] for name in item.labels)
            for item in source.items
        }
    whole = (folder / MANIFEST).is_file()
    counts = [
        (len(now.keys() - rows.keys()) if whole else 0, "image added", "images added"),
        (len(rows.keys() - now.keys()), "gone", "gone"),
        (sum(now[i] != k for i, k in rows.items() if i in now), "label changed", "labels changed"),
    ]
    return ", ".join(counted(*count) for count in counts if count[0])


def outdated(folder: Path, source: ImageSource) -> tuple[set[str], set[str]]:
    """Ids of rows that are to be done again: images whose file has changed since, and those that could not be
    read."""
    index = {item.id: k for k, item in enumerate(source.items)}
    changed, failed = set(), set()
    for path in part_files(folder):
        names = [name for name in ("id", "error", STAMP) if name in names_in(path)]
        table = read(path, names)
        stamps = table[STAMP].to_pylist() if STAMP in names else [None] * len(table)
        for i, error, stamp in zip(table["id"].to_pylist(), table["error"].to_pylist(), stamps, strict=True):
            if i not in index:
                continue
            if stamp is not None and stamp != source.stamp(index[i]):
                changed.add(i)
            elif error is not None and not error.startswith(NO_ANSWER):
                failed.add(i)
    return changed, failed


def drop_rows(folder: Path, ids: set[str]) -> None:
    """Take rows out of a run, so that they are done again. The run is no longer complete, and what was worked
    out from it goes first."""
    _remove(folder, MANIFEST)
    _remove_derived(folder)
    wanted = pa.array(sorted(ids), pa.string())
    for path in part_files(folder):
        hit = pc.is_in(read(path, ["id"])["id"], wanted)
        if not pc.any(hit).as_py():
            continue
        for rows in (maps_of(path), path):  # the images last: their part says that they are done
            if not rows.is_file():
                continue
            kept = (table := read(rows)).filter(pc.invert(pc.is_in(table["id"], wanted)))
            if len(kept) or rows != path:  # an image may have no map
                write(kept, rows)
            else:
                rows.unlink()
                maps_of(path).unlink(missing_ok=True)


def set_aside(folder: Path, apart: bool = False) -> list[Path]:
    """Rename parts that cannot be read, so that their images are done again; the run is no longer complete
    then. `apart`: whether the run keeps maps apart (`MAPS`), which must be readable too."""
    damaged = [
        path for path in part_files(folder) if not is_whole(path) or (apart and not is_whole(maps_of(path)))
    ]
    if damaged:
        _remove(folder, MANIFEST)
        _remove_derived(folder)
    for path in damaged:
        maps_of(path).unlink(missing_ok=True)
    return [path.rename(path.with_name(path.name + DAMAGED)) for path in damaged]


def clear(folder: Path) -> None:
    """Take out everything that the run made, and leave what people wrote. The request stays until the new one
    replaces it."""
    _remove(folder, MANIFEST, METADATA)
    _remove_derived(folder)
    for path in part_files(folder):
        maps_of(path).unlink(missing_ok=True)
        path.unlink()


def _remove_derived(folder: Path) -> None:
    """Those of single labels, and what was measured of the maps, too."""
    _remove(folder, *DERIVED)
    for inner in (BY_LABEL, TRUST):
        shutil.rmtree(folder / inner, ignore_errors=True)


def _remove(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _columns(path: Path, *names: str) -> list[list[Any]]:
    table = read(path, names)
    return [table[name].to_pylist() for name in names]
