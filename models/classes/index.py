"""The one way from what a person writes to a class: the exact name, the folded name, then its number."""

from collections.abc import Sequence

from models.classes.names import find_class, near_names
from models.errors import UserError


def find_index(text: str, classes: Sequence[str]) -> int | None:
    """As `models.classes.names.find_class`; where no class is called by a number, '4' is the fifth class.
    None where there is none.

    Raises UserError where the name may be several classes.
    """
    index = find_class(text, classes)
    if index is None and not _are_numbered(classes) and text.isdecimal() and int(text) < len(classes):
        return int(text)
    return index


def class_index(text: str, classes: Sequence[str], what: str = "class") -> int:
    """As `find_index`; `what` one of `classes` is. Raises UserError with the nearest names where there is no
    such one."""
    if (index := find_index(text, classes)) is not None:
        return index
    near = near_names(text, classes, cutoff=0.4)
    hint = f"near are {', '.join(near)}" if near else f"there are {', '.join(classes[:8])}"
    more = " ..." if not near and len(classes) > 8 else ""
    numbers = "" if _are_numbered(classes) else f"; a number from 0 to {len(classes) - 1} is taken too"
    raise UserError(f"No {what} '{text[:60]}': {hint}{more}{numbers}.")


def _are_numbered(classes: Sequence[str]) -> bool:
    return any(name.isdecimal() for name in classes)
