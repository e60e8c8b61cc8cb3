"""Files of a run that several people and processes append lines to at once."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from models.errors import UserError

PATIENCE = 10.0  # seconds for the lock


def append_line(path: Path, message: Mapping[str, Any], lock: str) -> None:
    """Append an object as a line of JSON, under the lock of that name beside the file, and bring it to the
    disk. Raises UserError where the file cannot be written."""
    line = (json.dumps(message, ensure_ascii=False) + "\n").encode()
    try:
        with FileLock(path.parent / lock, timeout=PATIENCE):
            _append(path, line)
    except Timeout as error:
        raise UserError(f"'{path}' is being written by others for {PATIENCE:.0f} s: try again.") from error
    except OSError as error:
        raise UserError(
            f"'{path}' cannot be written ({error.strerror or error}): free space, or make the folder "
            "writable."
        ) from error


def _append(path: Path, line: bytes) -> None:
    """In one write where there is room; what a killed writer left half done is closed first, so that it costs
    no other line. Raises OSError where not all of it could be written."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        os.lseek(handle, max(size - 1, 0), os.SEEK_SET)
        torn = size > 0 and os.read(handle, 1) != b"\n"
        rest = (b"\n" if torn else b"") + line
        while rest:  # a disk that fills up takes a part of it, and only then says so
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)
