"""What a method from outside does, as one hash: figures of a method are those of its present code alone."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from models.own_code.identity import code_digest, is_own

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))


def code_of(function: Callable[..., Any]) -> str:
    """12 hexadecimal digits that change with the source of a function (its bytecode where there is none) or
    of the class of a callable object, and with all that it is made of: arguments of a `partial`, defaults,
    values of the functions around it, attributes of the object, and the functions, classes and plain values
    of a person's own modules that it names. Code of installed packages is not part of it."""
    digest = hashlib.sha256()
    for piece in _pieces(function, {}):
        digest.update(piece)
        digest.update(b"\0")
    return digest.hexdigest()[:12]


def _pieces(value: Any, seen: dict[int, Any]) -> Iterator[bytes]:
    """All of what a value is made of, each object once; those in `seen` are kept, else another one may get
    the same id."""
    if isinstance(value, PLAIN):
        yield repr(value).encode()
        return
    if id(value) in seen:
        return
    seen[id(value)] = value
    yield type(value).__qualname__.encode()
    if isinstance(value, partial):
        parts: Any = (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        parts = (value.__func__, value.__self__)
    elif isinstance(value, FunctionType):
        parts = _of_function(value)
    elif isinstance(value, type):
        parts = _of_class(value)
    elif isinstance(value, Mapping):
        parts = sorted(value.items(), key=lambda item: str(item[0]))
    elif isinstance(value, list | tuple):
        parts = value
    elif isinstance(value, set | frozenset):
        parts = sorted(value, key=str)
    elif isinstance(value, ModuleType):
        parts = (code_digest(value),)
    else:
        yield from _data(value)
        parts = (type(value), getattr(value, "__dict__", {}))
    for part in parts:
        yield from _pieces(part, seen)


def _data(value: Any) -> Iterator[bytes]:
    """Of an array or tensor: shape, type and values."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().contiguous()
        value = value.float().numpy() if value.is_floating_point() else value.numpy()
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        yield f"{value.shape} {value.dtype}".encode()
        yield value.tobytes()


def _of_function(function: FunctionType) -> tuple[Any, ...]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    named = {name: function.__globals__.get(name) for name in sorted(_names(function.__code__))}
    used = {name: value for name, value in named.items() if _is_persons(value)}
    return _source(function), function.__defaults__, function.__kwdefaults__, cells, used


def _of_class(kind: type) -> tuple[Any, ...]:
    """Of a person's own class: its source, its functions and what it inherits from others of theirs."""
    if not _is_persons(kind):
        return (f"{kind.__module__}.{kind.__qualname__}",)
    inside = [getattr(value, "__func__", value) for _, value in sorted(vars(kind).items())]
    return _source(kind), [value for value in inside if isinstance(value, FunctionType)], kind.__bases__


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that is given a value later
        return False


def _names(code: CodeType) -> set[str]:
    """Global names that code may read, those of the functions in it included."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return {*code.co_names}.union(*map(_names, inner))


def _is_persons(value: Any) -> bool:
    """Plain values, and modules, functions and classes that are neither Python's nor of an installed
    package."""
    if isinstance(value, PLAIN) and value is not None:
        return True
    if isinstance(value, ModuleType):
        return is_own(value)
    if not isinstance(value, FunctionType | type):
        return False
    module = sys.modules.get(value.__module__)
    return value.__module__ == "__main__" or module is None or is_own(module)


def _source(value: FunctionType | type) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):  # typed into a console, or compiled
        code = getattr(value, "__code__", None)
        return _bytecode(code) if code else value.__qualname__


def _bytecode(code: CodeType) -> str:
    consts = [_bytecode(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return repr((code.co_code, consts, code.co_names))
