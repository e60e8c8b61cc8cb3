"""JSON that other programs may have written: read from regular files alone, and checked against a
dataclass."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def read_object(path: Path) -> dict[str, Any]:
    """Raises ValueError or OSError for all that is no JSON object in a regular file."""
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} instead of an object")
    return found


def build(kind: type[T], raw: Mapping[str, Any], **given: Any) -> T:
    """An instance of a dataclass; `given`: values that are known. Unknown keys, which a newer version may
    have written, are ignored. Raises ValueError for a value of another type, and for a missing one."""
    hints, values = _hints(kind), dict(given)  # type: ignore[arg-type]
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in given:
            continue
        if field.name in raw:
            values[field.name] = _as(raw[field.name], hints[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"'{field.name}' is missing")
    return kind(**values)


@lru_cache(maxsize=128)
def _hints(kind: type) -> Mapping[str, Any]:
    """The types of a dataclass, which Python makes of texts at every call."""
    return get_type_hints(kind)


def _as(value: Any, hint: Any, name: str) -> Any:
    """The value in the type of the field: a JSON list becomes a tuple."""
    if hint is Any:
        return value
    if isinstance(hint, type):
        return _plain(value, hint, name)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        return _as(value, next(kind for kind in inner if kind is not NoneType), name)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) == len(value):
            return tuple(_as(v, kind, name) for v, kind in zip(value, kinds, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {_as(k, inner[0], name): _as(v, inner[1], name) for k, v in value.items()}
    raise ValueError(f"'{name}' is {str(value)[:40]!r}")


def _plain(value: Any, hint: type, name: str) -> Any:
    """A value of a type that is no container."""
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, str) and "\0" in value:
        raise ValueError(f"'{name}' holds a null character")
    if isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise ValueError(f"'{name}' is {str(value)[:40]!r}")
