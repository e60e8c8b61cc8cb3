"""A torchvision transform that is written in a Python file, as `Preprocessing`. The file's code is run: its name
comes from the command line or from Python, never from a request or from a file of results."""

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from models.errors import UserError
from models.preprocessing import Preprocessing
from models.transforms import read_transform


def preprocessing_in_file(text: str) -> Preprocessing:
    """What `FILE.py:NAME` names: a transform, or a function or class without parameters that makes one. Raises
    UserError where it is not there, fails, or cannot be expressed as `Preprocessing`."""
    file, _, name = text.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise UserError(f"--preprocess {text}: give FILE.py:NAME, the file and the transform's name in it.")
    if not Path(file).is_file():
        raise UserError(f"--preprocess {text}: there is no file '{file}'.")
    module = _loaded(Path(file), text)
    if not hasattr(module, name):
        known = [k for k, v in vars(module).items() if not k.startswith("_") and callable(v)]
        raise UserError(
            f"--preprocess {text}: the file has no '{name}'; it has {', '.join(known) or 'nothing'}."
        )
    try:
        return read_transform(_transform(getattr(module, name), text))
    except UserError as error:
        raise UserError(f"--preprocess {text}: {error}") from error


def _loaded(path: Path, text: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"preprocess_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file may raise anything
        raise UserError(f"--preprocess {text}: {_reason(error)}") from error
    return module


def _transform(found: Any, text: str) -> Any:
    """The transform itself. Raises UserError for a function that takes an image: what it does cannot be read."""
    if not (inspect.isfunction(found) or inspect.isclass(found)):
        return found
    needed = [
        p.name
        for p in inspect.signature(found).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise UserError(
            f"{found.__name__}({', '.join(needed)}) is code of its own, and is not read: give a torchvision "
            "transform, or a function without parameters that returns one"
        )
    try:
        return found()
    except Exception as error:
        raise UserError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return f"the file fails ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]})."
