"""Code that this person has named on the command line or in Python. A run may name code too, and is opened
with it only where it stands here: a run folder of someone else must not run anything."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from models.atomic import atomic
from models.cache_folder import cache_folder

FILE, MOST = "own_code.json", 1000


def trust(source: str) -> None:
    """Remember `source`, the name of code with its whole path, on this machine for this user. Where the file
    cannot be written, nothing is remembered."""
    mine = _digest(source)
    known = [*(one for one in _known() if one != mine), mine][-MOST:]
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        with atomic(_file(), shared=True) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")


def is_trusted(source: str) -> bool:
    return _digest(source) in _known()


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()


def _file() -> Path:
    return cache_folder() / FILE


def _known() -> list[str]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
