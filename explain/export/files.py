"""Files of an export: written whole or not at all, pixels without what a camera wrote beside them, one
archive."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explain.run.format import Manifest
from models.data.images import PNG
from models.errors import UserError
from models.files.atomic import SUFFIX as TEMPORARY
from models.files.atomic import output_file
from models.files.temporary import temporary_folder

TABLE = "export.csv"
OURS = ("wrong-", "right-", "over-", "under-", "nearest-", "selected-")  # how names of exported images begin
_STORED = {".png", ".jpg"}  # packed already


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name that becomes `path` in the end. Raises UserError where it cannot be written."""
    with output_file(path, "free space, or choose another --out") as temporary:
        yield temporary


def save_picture(image: Image.Image, path: Path) -> None:
    """PNG or JPEG, by the name, of the pixels alone: nothing that a camera wrote beside them goes along."""
    with atomic(path) as temporary:
        pixels = Image.fromarray(np.asarray(image))
        if path.suffix == ".jpg":
            pixels.convert("RGB").save(temporary, "JPEG", quality=95, subsampling=0)
        else:
            pixels.save(temporary, **PNG)


def claim(out: Path, columns: tuple[str, ...]) -> None:
    """Begin the table at once, so that an export that was stopped can be started again. Raises UserError
    where `out` holds something else."""
    if out.exists() and (not out.is_dir() or (any(_others(out)) and not (out / TABLE).is_file())):
        raise UserError(
            f"'{out}' holds something else than an export (no {TABLE}): choose an earlier export, or a new "
            "or empty folder, as --out."
        )
    if not (out / TABLE).exists():
        with atomic(out / TABLE) as temporary:
            temporary.write_text(",".join(columns) + "\n")


def _others(folder: Path) -> Iterator[Path]:
    """What is there besides files that a full disk left unfinished."""
    return (path for path in folder.iterdir() if path.suffix != TEMPORARY)


def claim_archive(out: Path) -> None:
    """Raises UserError where `out` is there and is no archive of an export."""
    if not out.exists():
        return
    known = out.is_file() and zipfile.is_zipfile(out)
    if known:
        with zipfile.ZipFile(out) as archive:
            known = TABLE in archive.namelist()
    if not known:
        raise UserError(
            f"'{out}' is something else than the archive of an export: choose another name as --out."
        )


def written_to(out: Path, write: Callable[[Path], Iterator[float]]) -> Generator[float, None, None]:
    """Write into the folder `out`, or into the archive where its name ends in .zip; yields the fraction that
    is done."""
    if out.suffix.lower() != ".zip":
        yield from write(out)
        return
    claim_archive(out)
    with temporary_folder("export") as folder:
        for done in write(folder):
            yield 0.95 * done
        archive(folder, out)
    yield 1.0


def remove_stale(folder: Path, written: set[Path]) -> None:
    """Remove what an earlier export left; files of other names are not ours."""
    if not folder.is_dir():
        return
    for path in folder.glob("*/*"):
        if path not in written and path.is_file() and path.name.startswith(OURS):
            path.unlink()
    for inner in (*folder.iterdir(), folder):
        if inner.is_dir() and not any(inner.iterdir()):
            inner.rmdir()


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(
    path: Path, run: Manifest, options: dict[str, Any], about: dict[str, Any], files: set[Path]
) -> None:
    """What an export was made of, with a SHA-256 of each of its `files`; `about`: what was selected."""
    made_of = ("status", "versions", "preprocessing", "finished", "titles")
    content = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "wishes": options,
        **about,
        "run": asdict(run.request) | {name: getattr(run, name) for name in made_of},
        "files": {file.relative_to(path.parent).as_posix(): digest(file) for file in sorted(files)},
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def archive(folder: Path, out: Path) -> None:
    """Every file of the folder, in one ZIP."""
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            kind = zipfile.ZIP_STORED if path.suffix in _STORED else zipfile.ZIP_DEFLATED
            packed.write(path, path.relative_to(folder).as_posix(), kind)
