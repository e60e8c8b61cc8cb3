"""The file of `--classes`, CSV: lines 'data class, model class', or 'data class,' to leave one out."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.class_index import find_index
from models.classes import near_names
from models.errors import UserError

HEADERS = ({"data", "model"}, {"data class", "model class"})
_EXPECTED = "expected 'data class, model class'; names with commas stand in double quotes"


@dataclass(frozen=True)
class ClassMapping:
    """`pairs`: class of the data -> class of the model, as they stand in `path`, or empty where its images
    are left out; `lines`: the line of each."""

    path: Path
    pairs: dict[str, str]
    lines: dict[str, int]

    def left_out(self, data: Sequence[str]) -> tuple[str, ...]:
        """The classes whose images are left out. Raises UserError for one that the data lacks, and where none
        is left."""
        found = tuple(name for name, wanted in self.pairs.items() if not wanted)
        for name in found:
            if name not in data:
                raise self._unknown(name, name, "the data", data)
        if len(found) == len(data):
            raise UserError(f"'{self.path}' leaves out every class of the data: name the output of one.")
        return found

    def outputs(self, data: Sequence[str], model: Sequence[str]) -> dict[str, int]:
        """Class of the data -> index of the model's output, without those that are left out. The model's
        classes may be given by number where none is called by one.

        Raises UserError, which names the line, for a class that the data or the model lacks.
        """
        found = {}
        for name, wanted in self.pairs.items():
            if not wanted:
                continue
            if name not in data:
                raise self._unknown(name, name, "the data", data)
            if (index := find_index(wanted, model)) is None:
                raise self._unknown(name, wanted, "the model", model)
            found[name] = index
        return found

    def _unknown(self, pair: str, name: str, owner: str, classes: Sequence[str]) -> UserError:
        near = near_names(name, classes, 1)
        hint = (
            f"near is '{near[0]}'"
            if near
            else f"it has {', '.join(classes[:8])}{' ...' if len(classes) > 8 else ''}"
        )
        return UserError(
            f"Line {self.lines[pair]} of '{self.path}' names class '{name[:60]}', which {owner} lacks: "
            f"{hint}."
        )


def read_mapping(path: Path) -> ClassMapping:
    """Commas, tabs or '=' between the two names; an empty second one leaves the class out; a line that begins
    with '#' is a comment (a name that begins so stands in quotes).

    Raises UserError, which names the line, for a line that is no pair, a class that is named twice, and
    classes that are exchanged in a cycle.
    """
    if not path.is_file():
        raise UserError(
            f"No class mapping at '{path}': expected a text file with lines 'data class, model class', or "
            "one of the words "
            "sorted, numbers."
        )
    pairs: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = _cells(line)
        if not pairs and len(parts) == 2 and {p.lower() for p in parts} in HEADERS:
            continue
        if len(parts) != 2 or not parts[0]:
            raise UserError(f"Line {number} of '{path}' is '{line[:60]}': {_EXPECTED}.")
        if parts[0] in pairs:
            raise UserError(
                f"Line {number} of '{path}' names '{parts[0]}' again, after line {lines[parts[0]]}: a "
                "class is named once."
            )
        pairs[parts[0]], lines[parts[0]] = parts[1], number
    if not pairs:
        raise UserError(f"'{path}' has no line: {_EXPECTED}.")
    for name in pairs:
        _require_no_cycle(name, pairs, lines, path)
    return ClassMapping(path, pairs, lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"'{path}' cannot be read as text ({str(error)[:80]}): {_EXPECTED}.") from error


def _cells(line: str) -> list[str]:
    """The names of a line, split at the first of tab, comma and '=' that it contains."""
    for separator in "\t,=":
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
        if len(cells) > 1:
            return [cell.strip() for cell in cells]
    return [line.strip()]


def _require_no_cycle(name: str, pairs: dict[str, str], lines: dict[str, int], path: Path) -> None:
    """Raises UserError for `a, b` and `b, a`: classes are exchanged by mistake more often than on purpose."""
    chain = [name]
    while (other := pairs.get(chain[-1])) is not None and other != chain[-1]:
        if other == name:
            raise UserError(
                f"Line {lines[chain[-1]]} of '{path}' closes a cycle: {' → '.join([*chain, name])}. Where "
                "the outputs really are exchanged, write their numbers instead of their names."
            )
        if other in chain:
            return
        chain.append(other)
