"""The file of `--classes`, CSV: lines 'data class, model class', or 'data class,' to leave one out."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.classes.index import find_index
from models.classes.names import near_names
from models.classes.order import ORDERS
from models.errors import UserError
from models.files.atomic import output_file

_OUTPUT = re.compile(r"output (\d{1,9})")
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

    def outputs(self, data: Sequence[str], model: Sequence[str], names_from: str = "") -> dict[str, int]:
        """Class of the data -> index of the model's output, without those that are left out. The model's
        classes may be given by number where none is called by one, or as 'output 3'.

        `names_from`: where a person gave the model's names, which must not contradict the lines. Raises
        UserError, which names the line, for that, and for a class that the data or the model lacks.
        """
        found = {}
        for name, wanted in self.pairs.items():
            if not wanted:
                continue
            if name not in data:
                raise self._unknown(name, name, "the data", data)
            if (index := _index(wanted, model)) is None:
                raise self._unknown(name, wanted, "the model", model)
            found[name] = index
        if names_from:
            self._require_given_names(found, data, model, names_from)
        return found

    def _require_given_names(
        self, found: Mapping[str, int], data: Sequence[str], model: Sequence[str], names_from: str
    ) -> None:
        """Raises UserError where a class has an output of its name, and is another one: the predictions would
        be right, and shown under wrong names."""
        for name, output in found.items():
            called = model[output]
            if called == name or name not in model:
                continue
            if called in data and found.get(called, output) == output:
                continue  # two classes of the data are counted as one
            raise UserError(
                f"Line {self.lines[name]} of '{self.path}' makes '{name}' output {output}, which "
                f"{names_from} calls '{called}', while it calls output {list(model).index(name)} '{name}': "
                f"correct the names in {names_from}, and leave --classes out."
            )

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


def _index(wanted: str, model: Sequence[str]) -> int | None:
    """A class of the model by its name or number; 'output 3' is the output of this number."""
    number = _OUTPUT.fullmatch(wanted)
    if number and wanted not in model:
        return int(number[1]) if int(number[1]) < len(model) else None
    return find_index(wanted, model)


def read_mapping(path: Path, names_from: str = "") -> ClassMapping:
    """Commas, tabs or '=' between the two names; an empty second one leaves the class out; a line that begins
    with '#' is a comment (a name that begins so stands in quotes). `names_from`: where a person gave the
    model's names.

    Raises UserError, which names the line, for a line that is no pair, a class that is named twice, and
    classes that are exchanged in a cycle.
    """
    if not path.is_file():
        raise UserError(
            f"No class mapping at '{path}': expected a text file with lines 'data class, model class', or "
            f"one of the words {', '.join(ORDERS)}."
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
        _require_no_cycle(name, pairs, lines, path, names_from)
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


def _require_no_cycle(
    name: str, pairs: dict[str, str], lines: dict[str, int], path: Path, names_from: str
) -> None:
    """Raises UserError for `a, b` and `b, a`: classes are exchanged by mistake more often than on purpose."""
    chain = [name]
    while (other := pairs.get(chain[-1])) is not None and other != chain[-1]:
        if other == name:
            remedy = (
                f"The outputs have their names from {names_from}: where these are in another order, correct "
                "them there, and leave --classes out."
                if names_from
                else "Where the outputs really are exchanged, write their numbers instead of their names: "
                "'output 0'."
            )
            raise UserError(
                f"Line {lines[chain[-1]]} of '{path}' closes a cycle: {' → '.join([*chain, name])}. {remedy}"
            )
        if other in chain:
            return
        chain.append(other)


def write_mapping(path: Path, outputs: Mapping[str, int | None]) -> None:
    """Write class of the data -> output as a new file that `read_mapping` reads: lines '"red","output 2"'. An
    output that is not known (None) is '?', which is refused until a person replaces it. Raises UserError
    where the file exists or cannot be written."""
    require_new(path)
    text = io.StringIO()
    table = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writerow(["data class", "model class"])
    table.writerows([name, "?" if k is None else f"output {k}"] for name, k in outputs.items())
    with output_file(path, "choose another name") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def require_new(path: Path) -> None:
    """Raises UserError where a file of classes would replace another."""
    if path.exists():
        raise UserError(f"'{path}' exists, and is not replaced: name a new file for the classes.")
