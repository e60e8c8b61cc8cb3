"""A torchvision transform that is written in a Python file, as `Preprocessing`. The file's code is run: its
name comes from the command line or from Python, never from a request or from a file of results."""

import inspect
from pathlib import Path
from typing import Any

from models.errors import UserError
from models.inputs.transform_check import AGREE, UnreadableTransform
from models.inputs.transforms import UNDERSTOOD, read_and_compared
from models.own_code.files import importing_from, module_at, one_line
from models.preprocessing import Preprocessing

OPTIONS = (
    f"understood are {', '.join(UNDERSTOOD)} and conversions to tensors; leave steps of training out, or say "
    "the same with --input-size, --resize, --crop, --fill, --scale, --mean, --std and --channels instead"
)


_compared: dict[str, str] = {}
"""What was found of the transforms that were read in this process."""


def how_compared(text: str) -> str:
    """One phrase on how near `preprocessing_in_file(text)` is to the transform itself."""
    return _compared.get(text, AGREE)


def preprocessing_in_file(text: str) -> Preprocessing:
    """What `FILE.py:NAME` names: a transform, or a function or class without parameters that makes one.
    Raises UserError where it is not there, fails, or cannot be expressed as `Preprocessing`."""
    file, _, name = text.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise UserError(f"--preprocess {text}: give FILE.py:NAME, a file and the name of a transform in it.")
    path = Path(file).expanduser().resolve()
    with importing_from(path.parent), one_line(text):
        module = module_at(str(path))
        found = getattr(module, name, None)
    if found is None:
        raise UserError(f"--preprocess {text}: '{file}' has no '{name}': give the name of a transform in it.")
    with importing_from(path.parent), one_line(text):
        transform = _transform(found)
    try:
        made, _compared[text] = read_and_compared(transform)
    except UnreadableTransform as error:
        raise UserError(f"--preprocess {text}: {error.reason}: {OPTIONS}.") from error
    return made


def _transform(found: Any) -> Any:
    """The transform itself. Raises UserError for a function that takes an image: what it does cannot be
    read."""
    if not (inspect.isfunction(found) or inspect.isclass(found)):
        return found
    needed = [
        p.name
        for p in inspect.signature(found).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise UserError(
            f"--preprocess: {found.__name__}({', '.join(needed)}) is code of its own, which cannot be read: "
            "give a torchvision transform, or a function without parameters that returns one."
        )
    return found()
