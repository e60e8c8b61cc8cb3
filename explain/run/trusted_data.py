"""Which images a run may show. A run folder from elsewhere can name any image of this machine, so its images
are read only if the run was made here, if they lie inside the run's own folder, or if the owner allowed it
once. What is remembered is the run, with all images that it names, and not the folder of its data."""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from models.data.remote.location import is_url
from models.data.reopen import is_private
from models.files.atomic import atomic
from models.files.cache_folder import cache_folder

FILE, MOST = "runs_with_data.json", 10_000


def fingerprint(root: str, ids: Iterable[str]) -> str:
    """Of the root of a run's data, and of every image that it names there."""
    place = root if is_url(root) else os.path.realpath(root)
    digest = hashlib.sha256(place.encode("utf-8", "surrogateescape"))
    for name in sorted(set(ids)):
        digest.update(b"\0" + name.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def allow(root: str, ids: Iterable[str]) -> None:
    """Remember the run, on this machine, for this user. Where the file cannot be written, nothing is
    remembered."""
    if root and is_private(root):
        mine = fingerprint(root, ids)
        known = [*(one for one in _known() if one != mine), mine][-MOST:]
        with suppress(OSError):
            file = _file()
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic(file, shared=True) as temporary:
                temporary.write_text(json.dumps(known), encoding="utf-8")


def is_allowed(folder: Path, root: str, mine: str) -> bool:
    """Whether the run in `folder`, of this fingerprint, may show what lies at `root`."""
    return not root or not is_private(root) or is_inside(folder, root) or mine in _known()


def is_inside(folder: Path, root: str) -> bool:
    """Whether the data lies in the run's own folder, as where both were sent together."""
    return bool(root) and not is_url(root) and Path(root).resolve().is_relative_to(folder.resolve())


def _file() -> Path:
    return cache_folder() / FILE


def _known() -> tuple[str, ...]:
    try:
        return _read(_file(), _file().stat().st_mtime_ns)
    except (OSError, ValueError, RecursionError):
        return ()


@lru_cache(maxsize=4)
def _read(file: Path, _changed: int) -> tuple[str, ...]:
    found = json.loads(file.read_text(encoding="utf-8"))
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
