"""What of a `torch.export` archive may be read. `torch.export.load` unpickles what an archive marks as
pickled, evaluates its symbolic sizes and guards as Python, and calls whatever a node names. So an archive is
copied without what is not needed, and refused where it holds anything but operators of PyTorch and plain
tensors."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from models.errors import UserError

_NEEDED = re.compile(
    r"[^/]+/(archive_format|archive_version|byteorder|models/model\.json|\.data/(version|serialization_id)"
    r"|data/(weights|constants)/[\w.]+|data/sample_inputs/model\.pt|version)"
)
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)\.(?!__|from_file)\w+\.\w+"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|torch\.sym_\w+"
)
_SYMBOL = re.compile(r"Symbol\('[su]\d+'(, \w+=(True|False))*\)")
_SIZE = re.compile(r"([\s\d()+\-*/,]|\b(Max|Min|FloorDiv|Mod|PythonMod|CleanDiv|Integer|Pow|[su]\d+)\b)*")
_MODEL = "models/model.json"
MOST = 64 * 2**20
"""Bytes of the description of a network, without its parameters."""


def safe_copy(path: Path) -> tuple[io.BytesIO, dict[str, Any]]:
    """The archive without what is not needed, and its graph as JSON. Raises UserError for an archive that
    holds anything else than a graph of PyTorch's operators and plain tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _copied(archive, path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"'{path}' cannot be read as an exported program ({type(error).__name__}): is the file complete?"
        ) from error


def _copied(archive: zipfile.ZipFile, path: Path) -> tuple[io.BytesIO, dict[str, Any]]:
    names = archive.namelist()
    if refused := [name for name in names if not _NEEDED.fullmatch(name)]:
        raise UserError(
            f"'{path}' holds {refused[0].partition('/')[2]!r} besides one exported program: save it with "
            "torch.export.save alone."
        )
    made, program = io.BytesIO(), dict[str, Any]()
    with zipfile.ZipFile(made, "w") as copy:
        for name in names:
            content = archive.read(name)
            if name.endswith(_MODEL):
                program = _checked(content, path)
                content = json.dumps(program | {"guards_code": []}).encode()
            elif name.endswith("_config.json"):
                _require_plain_tensors(json.loads(content), path)
            elif name.endswith("sample_inputs/model.pt"):
                torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            copy.writestr(name, content)
    if not program:
        raise KeyError(_MODEL)
    made.seek(0)
    return made, program


def _checked(content: bytes, path: Path) -> dict[str, Any]:
    if len(content) > MOST:
        raise UserError(
            f"'{path}' describes its network in {len(content):,} bytes, of which {MOST:,} are read."
        )
    program: dict[str, Any] = json.loads(content)
    for key, value in _leaves(program):
        if key == "target" and isinstance(value, str) and not _TARGET.fullmatch(value):
            raise UserError(f"'{path}' calls '{value[:80]}', which is no operator of PyTorch: it is not run.")
        if key == "expr_str" and not _SIZE.fullmatch(_SYMBOL.sub("0", str(value))):
            raise UserError(f"'{path}' has a size '{str(value)[:60]}', which is not evaluated.")
        if key in ("as_custom_obj", "as_operator"):
            raise UserError(
                f"'{path}' holds an object of its own ({key[3:]}), and Vitrine does not unpickle."
            )
    return program


def _require_plain_tensors(config: Any, path: Path) -> None:
    for key, value in _leaves(config):
        if (key == "use_pickle" and value) or (
            key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value))
        ):
            raise UserError(f"'{path}' holds Python objects besides tensors, and Vitrine does not unpickle.")


def _leaves(raw: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) below, in dicts and lists."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield key, value
            yield from _leaves(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _leaves(value)
