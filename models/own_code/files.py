"""Code of a person: the module of a file, and what it raises, in one line."""

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from shlex import quote
from types import CodeType
from typing import Any

from models.errors import UserError


class _AsWritten(SourceFileLoader):
    """Compiles the file as it is now. Python's cache of compiled files takes one of the same size, changed
    within the same second, for the file before: the code that runs would not be the code that is hashed."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def module_at(place: str) -> Any:
    """The module of a file, `FILE.py`, or of a name; its code is run. Raises UserError for a file that is not
    there, and whatever the code raises."""
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place)
    if not path.is_file():
        raise UserError(f"No file '{path}': give the path of a Python file.")
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=_AsWritten(path.stem, str(path)))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and late imports of the code look for it there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(path.stem, None)
        raise
    finally:
        if before is not None:
            sys.modules[path.stem] = before
    return module


def relative_import(place: str, factory: str, error: ImportError) -> str:
    """What to do where the file `place` itself imports relative to its package, which a file alone has not;
    empty for other errors."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    if "relative import" not in str(error) or not place.endswith(".py") or not Path(place).is_file():
        return ""
    path = Path(place).resolve()
    if Path(last.filename).resolve() != path:
        return ""
    levels = [n.level for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.ImportFrom)]
    folders, top = max(levels, default=1), path.parent
    while folders > 1 or (top.parent / "__init__.py").is_file():
        top, folders = top.parent, folders - 1
    module = ".".join(path.relative_to(top.parent).with_suffix("").parts)
    return (
        f"imports relative to its package ({path.name}, line {last.lineno}), which a file alone does not "
        f"have: give --model {quote(f'{module}:{factory}')}, from the folder {top.parent}"
    )


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Modules beside the code can be imported, as where it is run as a script."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


@contextmanager
def one_line(name: str) -> Iterator[None]:
    """What the code raises, in one line with the place where it was raised."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # it is a person's code
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = (str(error).splitlines() or [""])[0][:160]
        raise UserError(
            f"'{name}' raised {type(error).__name__}: {reason} "
            f"({Path(last.filename).name}, line {last.lineno})."
        ) from error
