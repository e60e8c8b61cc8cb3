"""The file of `--class-names`: names of the outputs as text, JSON or CSV."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.counts import counted
from models.errors import UserError

INDICES = ("index", "idx", "id", "number", "output", "class_id", "class_idx", "class_index", "label_id")
NAMES = ("name", "class", "label", "class_name", "label_name", "category")


def names_in(text: str, path: Path) -> tuple[str, ...]:
    """The names in the order of the outputs. The suffix says what the file is; a text that begins as JSON is
    read as JSON. In plain text every line that is not empty is a name, as it stands. Raises UserError."""
    suffix = path.suffix.lower()
    if suffix == ".json" or text.lstrip().startswith(("{", "[")):
        return _from_json(text, path)
    if suffix in (".csv", ".tsv"):
        return _from_csv(text, path, "\t" if suffix == ".tsv" else ",")
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _from_json(text: str, path: Path) -> tuple[str, ...]:
    try:
        found: Any = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(
            f"'{path}' is no JSON ({str(error)[:80]}): give a list of names, or id2label."
        ) from error
    if isinstance(found, dict) and isinstance(found.get("id2label"), dict):
        found = found["id2label"]  # a config.json of transformers
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return tuple(name.strip() for name in found)
    values = list(found.values()) if isinstance(found, dict) else []
    if values and all(type(number) is int for number in values) and len({*values}) == len(values):
        return _in_order({number: name for name, number in found.items()}, path)  # class_to_idx
    if values and all(isinstance(v, str) for v in values) and all(k.strip().isdecimal() for k in found):
        return _in_order({int(key): name for key, name in found.items()}, path)
    raise UserError(
        f'\'{path}\' is JSON of another form: give a list of names, {{"0": "cat", ...}} (id2label), or '
        '{"cat": 0, ...}.'
    )


def _from_csv(text: str, path: Path, delimiter: str) -> tuple[str, ...]:
    """Quoted names may hold commas, quotes and line breaks; `#` is part of a name."""
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [[cell.strip() for cell in row] for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"'{path}' is no CSV ({error}): give columns index and name.") from error
    header = [cell.lower().replace(" ", "_") for cell in rows[0]] if rows else []
    index = next((i for i, cell in enumerate(header) if cell in INDICES), None)
    name = next((i for i, wanted in enumerate(NAMES) if wanted in header), None)
    at = header.index(NAMES[name]) if name is not None else None
    if at is None and len(header) == 2 and rows[0][0].isdecimal():
        index, at = 0, 1
    elif at is None and len(header) == 1:
        index, at = None, 0
    elif at is None or (index is None and len(header) > 1):
        raise UserError(
            f"'{path}' has columns {', '.join(rows[0])[:60] if rows else 'none'}: give a header with index "
            "and name, or one name per line (names with commas in double quotes)."
        )
    else:
        rows = rows[1:]
    if short := next((row for row in rows if len(row) != len(header)), None):
        raise UserError(
            f"'{path}' has a row of {counted(len(short), 'cell')}, '{', '.join(short)[:40]}', where the "
            f"first has {len(header)}: put names with commas in double quotes."
        )
    if index is None:
        return tuple(row[at] for row in rows)
    numbers = [row[index] for row in rows]
    if odd := next((n for n in numbers if not n.isdecimal()), None):
        raise UserError(f"'{path}' has the index '{odd[:40]}': give numbers from 0.")
    return _in_order(_distinct(numbers, [row[at] for row in rows], path), path)


def _distinct(numbers: list[str], names: list[str], path: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    for text, name in zip(numbers, names, strict=True):
        if int(text) in found:
            raise UserError(f"'{path}' names output {int(text)} twice: name every output once.")
        found[int(text)] = name
    return found


def _in_order(names: Mapping[int, str], path: Path) -> tuple[str, ...]:
    """Raises UserError where the numbers are not 0 to K - 1."""
    if sorted(names) != list(range(len(names))):
        raise UserError(
            f"'{path}' numbers {len(names)} names from {min(names)} to {max(names)}: outputs count from 0, "
            "and every one needs a name."
        )
    return tuple(names[k].strip() for k in range(len(names)))
