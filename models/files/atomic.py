"""Write a file whole or not at all: under a temporary name beside it, which is renamed at the end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.errors import UserError

SUFFIX = ".tmp"
"""What temporary names end with; a killed process may leave such files."""


@contextmanager
def atomic(path: Path, shared: bool = False) -> Iterator[Path]:
    """A temporary name, `NAME.tmp`, that becomes `path` when the block ends: readers see the old file or the
    new one. After any failure the temporary file is removed, `path` is as before, and the exception goes on.

    `shared`: several processes may write this file at once; each has a temporary name of its own then.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{SUFFIX}" if shared else path.name + SUFFIX)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def output_file(path: Path, remedy: str) -> Iterator[Path]:
    """As `atomic`, for a file that a person asked for: its folder is made where it is missing, and an OSError
    (a full disk, a folder without permission) is a UserError that ends with `remedy`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            yield temporary
    except (IsADirectoryError, FileExistsError, NotADirectoryError) as error:
        raise UserError(f"'{path}' cannot be written ({error.strerror}): choose another name.") from error
    except OSError as error:
        raise UserError(f"'{path}' cannot be written ({error.strerror or error}): {remedy}.") from error
