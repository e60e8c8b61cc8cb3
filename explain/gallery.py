"""Pictures to take away: a sheet with every class, the overlays one by one, and a table of what they are. No torch."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from explain.errors import overview
from explain.pictures import seen
from explain.render import normalise, overlay, problem
from explain.run_data import RunData
from explain.run_folder import TARGETS
from explain.sheet import LINES, TILE, draw_sheet
from models.errors import UserError

SHEET, TABLE, OVERLAYS = "sheet.png", "export.csv", "overlays"
COLUMNS = ("id", "true", "predicted", "confidence", "loss", "result", "method", "layer", "files")
RESULTS = ("wrong", "right")
CALLED = {"pred": "predicted", "label": "true"}  # a run's targets, in names of files


@dataclass(frozen=True)
class Export:
    """What was written: the sheet, and so many images with their overlays, into the folder."""

    sheet: Path
    images: int
    folder: Path


def export(run: RunData, out: Path, per_class: int = 2, method: str | None = None, sort: str = "most confident") -> Export:
    """`per_class` wrong and `per_class` right images of every class, the worst class first, with their maps, each on its own scale.

    An earlier export in `out` is replaced. Raises UserError where `out` holds something else.
    """
    if not 1 <= per_class <= 2 * LINES:
        raise UserError(f"{per_class} images of a class cannot be exported: ask for 1 to {2 * LINES}.")
    method, samples = method or run.manifest.request.methods[0], overview(run, per_class, sort)
    picked = [(s.index, result, rank, row) for s in samples for result in RESULTS for rank, row in enumerate(getattr(s, result).tolist(), 1)]
    rows = [row for *_, row in picked]
    if not rows:
        raise UserError(f"The run '{run.folder}' has no readable image, so there is nothing to export: look at its data.")
    maps = {target: dict(zip(rows, run.maps(method, target, rows), strict=True)) for target in TARGETS}
    _claim(out)
    folders, columns = safe_names(run.classes), min(per_class, 2)
    on_sheet = samples[: LINES // math.ceil(per_class / columns)]
    drawn = {sample.index for sample in on_sheet}
    table, tiles, written = [], {}, set()
    for index, result, rank, row in picked:
        item, picture = run.table.loc[row], seen(run, row)
        targets = TARGETS if result == "wrong" else TARGETS[:1]
        images = {"image": picture} | {CALLED[t]: overlay(picture, normalise(maps[t][row])) for t in targets}
        name = safe(re.sub(r"[.]\w+$", "", item["id"])[-48:])
        files = [out / OVERLAYS / folders[index] / f"{result}-{rank:02d}-{name}.{kind}.png" for kind in images]
        for path, image in zip(files, images.values(), strict=True):
            _save(image, path)
        written.update(files)
        if index in drawn:
            small = [ImageOps.contain(image, (TILE, TILE), Image.Resampling.LANCZOS) for image in images.values()]
            tiles[row] = list(zip(small, ["", *(problem(maps[t][row]) for t in targets)], strict=True))
        table.append((item["id"], run.classes[index], run.classes[int(item["pred"])], item["confidence"], item["loss"], result, method,
                      run.manifest.request.layer, " ".join(path.relative_to(out).as_posix() for path in files)))  # fmt: skip
    _remove_stale(out / OVERLAYS, written)
    limits = [f"the worst {len(on_sheet)} of {len(samples)} classes"] if len(on_sheet) < len(samples) else []
    limits += ["the run has not ended"] if run.manifest.status != "complete" else []
    title = " · ".join([f"{run.manifest.request.model} on {run.manifest.request.data}", *limits])
    e, choice = run.evaluation, f"{per_class} wrong and {per_class} right of a class, {sort} first"
    about = f"{run.title(method)}, layer {run.manifest.request.layer} · accuracy {e.accuracy:.1%} of {e.support.sum()} images · {choice}"
    _save(draw_sheet(run, on_sheet, tiles, columns, title, about), out / SHEET)
    with _atomic(out / TABLE) as temporary:
        pd.DataFrame(table, columns=list(COLUMNS)).to_csv(temporary, index=False, float_format="%.6g")
    return Export(out / SHEET, len(rows), out)


def safe(text: str) -> str:
    """A name for a file on any system: small ASCII letters, digits, '-' and '_', at most 48, never empty."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))  # no accents
    return re.sub(r"[^a-z0-9_]+", "-", plain.lower())[:48].strip("-") or "unnamed"


def safe_names(texts: Iterable[str]) -> list[str]:
    """`safe` for each text, numbered where two would be one."""
    names: list[str] = []
    taken = {"con", "prn", "aux", "nul"}  # no names of folders on Windows
    for text in texts:
        name, number = safe(text), 1
        while name in taken:
            number += 1
            name = f"{safe(text)}-{number}"
        taken.add(name)
        names.append(name)
    return names


def _claim(out: Path) -> None:
    """Begin the table at once, so that an export that was stopped can be started again."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / TABLE).is_file())):
        raise UserError(f"'{out}' holds something else than an export (no {TABLE}): choose an earlier export, or a new or empty folder, as --out.")
    if not (out / TABLE).exists():
        with _atomic(out / TABLE) as temporary:
            temporary.write_text(",".join(COLUMNS) + "\n")


@contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """A temporary name that becomes `path` in the end. Raises UserError where it cannot be written."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written ({error.strerror or error}): free space, or choose another --out.") from error


def _save(image: Image.Image, path: Path) -> None:
    """PNG of the pixels alone: nothing that a camera wrote beside them goes along."""
    with _atomic(path) as temporary:
        Image.fromarray(np.asarray(image)).save(temporary, "PNG")


def _remove_stale(folder: Path, written: set[Path]) -> None:
    """Remove what an earlier export left; files of other names are not ours."""
    for path in folder.glob("*/*"):
        if path not in written and path.is_file() and path.name.startswith(("wrong-", "right-")):
            path.unlink()
    for inner in folder.iterdir():
        if inner.is_dir() and not any(inner.iterdir()):
            inner.rmdir()
