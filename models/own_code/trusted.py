"""The names of code, `net.py:build` and `package.module:Class`, and which networks this person has named.
Needs no torch.

What is remembered is what was named on the command line or in Python: code, and files of other formats, which
are programs too. A run may name them, and is opened with them only where they stand here: a run folder of
someone else must not run anything."""

import hashlib
import importlib.util
import json
import re
from contextlib import suppress
from pathlib import Path

from models.files.atomic import atomic
from models.files.cache_folder import cache_folder
from models.own_code.files import importing_from

FILE, MOST = "named_networks.json", 1000
HUBS = ("timm", "hf")
"""What stands before a colon in other names of models."""
_FILE = re.compile(r"(?P<place>.+\.py):(?P<factory>[A-Za-z_]\w*)")
_MODULE = re.compile(r"(?P<place>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<factory>[A-Za-z_]\w*)")


def names_code(name: str) -> bool:
    """Whether the text is the name of code in a file, or of a module that is installed or lies here."""
    if _FILE.fullmatch(name):
        return True
    found = _MODULE.fullmatch(name)
    if not found or found["place"] in HUBS:
        return False
    top = found["place"].split(".")[0]
    with importing_from(Path.cwd()):
        return importlib.util.find_spec(top) is not None


def absolute(name: str) -> str:
    """The name with the whole path of its file, so that it means the same from another folder."""
    if found := _FILE.fullmatch(name):
        return f"{Path(found['place']).expanduser().resolve()}:{found['factory']}"
    return name


def trust(source: str) -> None:
    """Remember `source`, code or a file with its whole path, on this machine for this user. Where the file
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
