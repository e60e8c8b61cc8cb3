"""Notes of people on the images of a run: tags, the right label where the given one is wrong (of several
labels per image, the right set of labels; of numbers, the right ones), and free text.

One line a change is appended to `RUN/notes.jsonl` under a lock and brought to the disk, so that several
people can write at once and a kill costs at most the line that was being written. The last line of each field
of an image counts.
"""

import json
import math
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from explain.run.format import NOTES
from explain.run.format import NOTES_LOCK as LOCK
from explain.run.people.appended import append_line
from explain.run.reader import RunData
from models.data.source import label_set
from models.errors import UserError
from models.files.csv_files import plain, write_csv

NONE = "none"  # of several labels
UNKNOWN = "?"  # as a label: the given one is wrong, and the right one is not known
MOST_TEXT, MOST_TAG, MOST_TAGS = 2000, 40, 12


@dataclass(frozen=True)
class Note:
    """`label`: the right class, `UNKNOWN`, or nothing. `labels`: of several labels per image, all that are
    right, empty for none; `(UNKNOWN,)`; or None where the given ones are not marked as wrong. `numbers`: of
    numbers, output -> the right one, or None where it is not known; without those that are right. `by` and
    `at` (UTC): of its last change."""

    id: str
    tags: tuple[str, ...] = ()
    label: str = ""
    text: str = ""
    by: str = ""
    at: str = ""
    labels: tuple[str, ...] | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.tags or self.wrong or self.text)

    @property
    def wrong(self) -> bool:
        """Whether the label, a label of several, or a number is marked as wrong."""
        return bool(self.label or self.numbers) or self.labels is not None

    @property
    def corrected(self) -> str:
        """The right label, or all of them as one text; `NONE` for a set without any; right numbers as 'age
        31.5, valence ?'; empty where nothing is corrected."""
        if self.numbers:
            return ", ".join(f"{name} {_number_text(value)}" for name, value in self.numbers.items())
        return self.label if self.labels is None else label_set(self.labels) or NONE


def add(folder: Path, image: str, field: str, value: Any, by: str = "", classes: Sequence[str] = ()) -> None:
    """Add to the note on an image: `tags` (a list), `label` (one of `classes`, `UNKNOWN`, or "" to remove
    it), `labels` (a list of `classes`, `[UNKNOWN]`, or None to remove it), `numbers` (one of `classes` -> the
    right number, or None where it is not known; empty to remove them), or `text`.

    Raises UserError for a value that is not allowed, and where the folder cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    message = {
        "id": image,
        "field": field,
        "value": _checked(field, value, classes),
        "by": by[:80],
        "at": now,
    }
    append_line(folder / NOTES, message, LOCK)


def _checked(field: str, value: Any, classes: Sequence[str]) -> Any:
    if field == "tags":
        tags = list(dict.fromkeys(" ".join(str(tag).lower().split()) for tag in value if str(tag).strip()))
        if len(tags) > MOST_TAGS or any(len(tag) > MOST_TAG for tag in tags):
            raise UserError(
                f"At most {MOST_TAGS} tags of {MOST_TAG} letters each: shorten them, or write free text."
            )
        return tags
    if field == "labels":
        return _checked_labels(value, classes)
    if field == "numbers":
        return _checked_numbers(value, classes)
    if field not in ("label", "text"):
        raise UserError(f"No field '{field}' in a note: choose from tags, label, labels, numbers, text.")
    text = str(value).strip()
    if field == "text" and len(text) > MOST_TEXT:
        raise UserError(f"A note of {len(text)} letters: at most {MOST_TEXT} are kept.")
    if field == "label" and text and text != UNKNOWN and text not in classes:
        raise UserError(
            f"No class '{text[:60]}': choose one of the run's, or {UNKNOWN} where the right label is not "
            "known."
        )
    return text


def _checked_labels(value: Any, classes: Sequence[str]) -> list[str] | None:
    if value is None:
        return None
    names = list(dict.fromkeys(map(str, value)))
    unknown = [name for name in names if name not in classes]
    if unknown and names != [UNKNOWN]:
        raise UserError(
            f"No label '{unknown[0][:60]}': choose some of the run's, or {UNKNOWN} alone where the right "
            "ones are not known."
        )
    return names


def _checked_numbers(value: Any, classes: Sequence[str]) -> dict[str, float | None]:
    found = dict(value)
    for name, right in found.items():
        if name not in classes:
            raise UserError(f"No output '{str(name)[:60]}': the run has {', '.join(classes[:12])}.")
        if right is not None and not math.isfinite(right):
            raise UserError(f"{right} is no right number of {name}: give a finite one, such as 31.5.")
    return found


def read(folder: Path) -> dict[str, Note]:
    """Image -> its note, without empty ones, in the order of their first lines. Lines that are incomplete or
    not ours are passed over."""
    try:
        known = (folder / NOTES).stat()
    except OSError:
        return {}
    if not stat.S_ISREG(known.st_mode):  # reading a pipe would never end
        return {}
    return dict(_read(folder / NOTES, known.st_size, known.st_mtime_ns))


@lru_cache(maxsize=8)
def _read(path: Path, _size: int, _changed: int) -> dict[str, Note]:
    notes: dict[str, Note] = {}
    for line in path.read_bytes().splitlines():
        try:
            message = json.loads(line)
            image, field, value = str(message["id"]), message["field"], message["value"]
            change: dict[str, Any] = {
                field: _as_read(field, value),
                "by": str(message["by"]),
                "at": str(message["at"]),
            }
            notes[image] = replace(notes.get(image, Note(image)), **change)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return {image: note for image, note in notes.items() if not note.empty}


def _as_read(field: str, value: Any) -> Any:
    """Raises TypeError for a value that `add` does not write."""
    if field == "numbers":
        known = {str(name): None if right is None else float(right) for name, right in value.items()}
        if any(right is not None and not math.isfinite(right) for right in known.values()):
            raise TypeError(field)
        return known
    if field not in ("tags", "labels"):
        return str(value)
    if value is None and field == "labels":
        return None
    if not isinstance(value, list):
        raise TypeError(field)
    return tuple(map(str, value))


def tags_of(notes: dict[str, Note]) -> dict[str, int]:
    """Tag -> images that have it, the commonest first."""
    return dict(Counter(tag for note in notes.values() for tag in note.tags).most_common())


def as_table(run: RunData, notes: dict[str, Note]) -> pd.DataFrame:
    """One row a note, in the run's order; those of images that the run does not hold come last, without
    classes."""
    known = run.noted.drop_duplicates("id").set_index("id")
    order = [i for i in known.index if i in notes] + [i for i in notes if i not in known.index]
    names, texts = dict(enumerate(run.classes)), run.all_labels or run.numbers
    picked, message = known.reindex(order), [notes[i] for i in order]
    return pd.DataFrame(
        {
            "id": order,
            "true": (picked["labels"] if texts else picked["label"].map(names)).to_list(),
            "predicted": (picked["called"] if texts else picked["pred"].map(names)).to_list(),
            "confidence": None if texts else picked["confidence"].to_list(),
            "tags": [plain(", ".join(n.tags)) for n in message],
            "corrected": [plain(n.corrected) for n in message],
            "text": [plain(n.text) for n in message],
            "by": [plain(n.by) for n in message],
            "at": [n.at for n in message],
        }
    )


def corrections_of(run: RunData, notes: dict[str, Note]) -> tuple[list[Note], dict[str, int]]:
    """The notes that correct labels in the way of the run (one label, a set of them, or numbers); and the
    names that the run lacks -> notes that are left out because of them."""
    found, missing = list[Note](), Counter[str]()
    for note in notes.values():
        names: tuple[str, ...] | None = (note.label,) if note.label else None
        if run.numbers:
            names = tuple(note.numbers) or None
        elif run.label_sets is not None:
            names = note.labels
        if names is None:
            continue
        lacking = [n for n in names if n not in _names(run) and n != UNKNOWN]
        missing.update(lacking)
        found += [note] if not lacking else []
    return found, dict(missing.most_common())


def _names(run: RunData) -> dict[str, str]:
    """Each label of the run as the data calls it."""
    whole = run if run.label_sets is None else run.label_sets.whole
    return dict(zip(whole.classes, whole.data_names, strict=True))


def labels_table(run: RunData, notes: dict[str, Note]) -> pd.DataFrame:
    """`image`, `label` (empty where the right one is not known: the image is to be left out; of several
    labels per image a JSON list of all that are right; of numbers the right one, or a JSON object of those
    that are corrected), `data` (the data set that they belong to).

    Labels are written as the data calls its classes, where one class of the data was matched to the output
    that a note names."""
    wrong, names = corrections_of(run, notes)[0], _names(run)
    unknown = UNKNOWN not in names  # a class may be called so: a character, say

    def text(note: Note) -> str:
        if run.numbers:
            return _cell({names[n]: value for n, value in note.numbers.items()}, len(run.classes) == 1)
        if run.label_sets is None:
            return "" if note.label == UNKNOWN and unknown else names.get(note.label, note.label)
        if note.labels == (UNKNOWN,) and unknown:
            return ""
        return json.dumps([names.get(n, n) for n in note.labels or ()], ensure_ascii=False)

    return pd.DataFrame(
        {
            "image": [n.id for n in wrong],
            "label": [text(n) for n in wrong],
            "data": [run.manifest.request.data] * len(wrong),
        }
    )


def _cell(numbers: Mapping[str, float | None], alone: bool) -> str:
    """Right numbers in a table; empty where one is not known. `alone`: an image has one number."""
    if None in numbers.values():
        return ""
    return repr(next(iter(numbers.values()))) if alone else json.dumps(dict(numbers), ensure_ascii=False)


def corrected_number(note: Note, output: str) -> str:
    """The right number of an output as text; empty where it is not corrected."""
    return _number_text(note.numbers[output]) if output in note.numbers else ""


def _number_text(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.10g}"


def write_table(run: RunData, out: Path) -> int:
    """`as_table` as CSV; how many notes there are."""
    return _write(as_table(run, read(run.folder)), out)


def write_labels(run: RunData, out: Path) -> int:
    """`labels_table` as CSV, for `--labels` of `train` and `run`; how many labels are corrected."""
    return _write(labels_table(run, read(run.folder)), out)


def _write(table: pd.DataFrame, out: Path) -> int:
    write_csv(table, out)
    return len(table)
