"""Files of an export: written atomically, images without metadata, one archive."""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import UserError

TABLE = "export.csv"
OURS = ("wrong-", "right-")  # prefixes of exported images
_STORED = {".png", ".jpg"}  # compressed already


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name that becomes `path` in the end. Raises UserError where it cannot be written."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"'{path}' cannot be written ({error.strerror or error}): free space, or choose another --out."
        ) from error


def save_picture(image: Image.Image, path: Path) -> None:
    """PNG or JPEG, by the name, of the pixels alone: no metadata of a camera."""
    with atomic(path) as temporary:
        pixels = Image.fromarray(np.asarray(image))
        if path.suffix == ".jpg":
            pixels.convert("RGB").save(temporary, "JPEG", quality=95, subsampling=0)
        else:
            pixels.save(temporary, "PNG")


def claim(out: Path, columns: tuple[str, ...]) -> None:
    """Write an empty table first, so that a stopped export can be started again. Raises UserError where `out`
    holds something else."""
    if out.exists() and (not out.is_dir() or (any(_others(out)) and not (out / TABLE).is_file())):
        raise UserError(
            f"'{out}' holds something else than an export (no {TABLE}): choose an earlier export, or a new "
            "or empty folder, as --out."
        )
    if not (out / TABLE).exists():
        with atomic(out / TABLE) as temporary:
            temporary.write_text(",".join(columns) + "\n")


def _others(folder: Path) -> Iterator[Path]:
    """Entries of the folder, without the unfinished files that a full disk left."""
    return (path for path in folder.iterdir() if path.suffix != ".tmp")


def claim_archive(out: Path) -> None:
    """Raises UserError where `out` exists and is not the archive of an export."""
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


def remove_stale(folder: Path, written: set[Path]) -> None:
    """Remove files of an earlier export; files with other names are kept."""
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


def archive(folder: Path, out: Path) -> None:
    """Every file of the folder, in one ZIP."""
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            kind = zipfile.ZIP_STORED if path.suffix in _STORED else zipfile.ZIP_DEFLATED
            packed.write(path, path.relative_to(folder).as_posix(), kind)
