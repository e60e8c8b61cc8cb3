"""Notes of people on the images of a run: tags, the right label where the given one is wrong, and free
text.

One line a change is appended to `RUN/notes.jsonl` under a lock and brought to the disk, so that several
people can write at once and a kill costs at most the line that was being written. The last line of each field
of an image counts.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from explain.run.reader import RunData
from models.csv_files import plain, write_csv
from models.errors import UserError

NOTES, LOCK = "notes.jsonl", "notes.lock"
UNKNOWN = "?"  # as a label: the given one is wrong, and the right one is not known
PATIENCE = 10.0  # seconds for the lock
MOST_TEXT, MOST_TAG, MOST_TAGS = 2000, 40, 12


@dataclass(frozen=True)
class Note:
    """`label`: the right class, `UNKNOWN`, or nothing. `by` and `at` (UTC): of its last change."""

    id: str
    tags: tuple[str, ...] = ()
    label: str = ""
    text: str = ""
    by: str = ""
    at: str = ""

    @property
    def empty(self) -> bool:
        return not (self.tags or self.label or self.text)

    @property
    def wrong(self) -> bool:
        """Whether the label is marked as wrong."""
        return bool(self.label)


def add(folder: Path, image: str, field: str, value: Any, by: str = "", classes: Sequence[str] = ()) -> None:
    """Add to the note on an image: `tags` (a list), `label` (one of `classes`, `UNKNOWN`, or "" to remove
    it), or `text`.

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
    line = (json.dumps(message, ensure_ascii=False) + "\n").encode()
    try:
        with FileLock(folder / LOCK, timeout=PATIENCE):
            _append(folder / NOTES, line)
    except Timeout as error:
        raise UserError(
            f"'{folder / NOTES}' is being written by others for {PATIENCE:.0f} s: try again."
        ) from error
    except OSError as error:
        raise UserError(
            f"'{folder / NOTES}' cannot be written ({error.strerror or error}): free space, or make the "
            "folder writable."
        ) from error


def _append(path: Path, line: bytes) -> None:
    """In one write where there is room; what a killed writer left half done is closed first, so that it costs
    no other line. Raises OSError where not all of it could be written."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        os.lseek(handle, max(size - 1, 0), os.SEEK_SET)
        torn = size > 0 and os.read(handle, 1) != b"\n"
        rest = (b"\n" if torn else b"") + line
        while rest:  # a disk that fills up takes a part of it, and only then says so
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _checked(field: str, value: Any, classes: Sequence[str]) -> Any:
    if field == "tags":
        tags = list(dict.fromkeys(" ".join(str(tag).lower().split()) for tag in value if str(tag).strip()))
        if len(tags) > MOST_TAGS or any(len(tag) > MOST_TAG for tag in tags):
            raise UserError(
                f"At most {MOST_TAGS} tags of {MOST_TAG} letters each: shorten them, or write free text."
            )
        return tags
    if field not in ("label", "text"):
        raise UserError(f"No field '{field}' in a note: choose from tags, label, text.")
    text = str(value).strip()
    if field == "text" and len(text) > MOST_TEXT:
        raise UserError(f"A note of {len(text)} letters: at most {MOST_TEXT} are kept.")
    if field == "label" and text and text != UNKNOWN and text not in classes:
        raise UserError(
            f"No class '{text[:60]}': choose one of the run's, or {UNKNOWN} where the right label is not "
            "known."
        )
    return text


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
                field: tuple(map(str, value)) if field == "tags" else str(value),
                "by": str(message["by"]),
                "at": str(message["at"]),
            }
            notes[image] = replace(notes.get(image, Note(image)), **change)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return {image: note for image, note in notes.items() if not note.empty}


def tags_of(notes: dict[str, Note]) -> dict[str, int]:
    """Tag -> images that have it, the commonest first."""
    return dict(Counter(tag for note in notes.values() for tag in note.tags).most_common())


def as_table(run: RunData, notes: dict[str, Note]) -> pd.DataFrame:
    """One row a note, in the run's order; those of images that the run does not hold come last, without
    classes."""
    known = run.ok.drop_duplicates("id").set_index("id")
    order = [i for i in known.index if i in notes] + [i for i in notes if i not in known.index]
    names = dict(enumerate(run.classes))
    picked, message = known.reindex(order), [notes[i] for i in order]
    return pd.DataFrame(
        {
            "id": order,
            "true": (picked["labels"] if run.all_labels else picked["label"].map(names)).to_list(),
            "predicted": (picked["called"] if run.all_labels else picked["pred"].map(names)).to_list(),
            "confidence": None if run.all_labels else picked["confidence"].to_list(),
            "tags": [plain(", ".join(n.tags)) for n in message],
            "corrected": [n.label for n in message],
            "text": [plain(n.text) for n in message],
            "by": [plain(n.by) for n in message],
            "at": [n.at for n in message],
        }
    )


def labels_table(run: RunData, notes: dict[str, Note]) -> pd.DataFrame:
    """`image`, `label` (empty where the right one is not known: the image is to be left out), `data` (the
    data set that they belong to).

    Labels are written as the data calls its classes, where one class of the data was matched to the output
    that a note names."""
    wrong, names = (
        [note for note in notes.values() if note.wrong],
        dict(zip(run.classes, run.data_names, strict=True)),
    )
    unknown = UNKNOWN not in run.classes  # a class may be called so: a character, say
    labels = ["" if n.label == UNKNOWN and unknown else names.get(n.label, n.label) for n in wrong]
    return pd.DataFrame(
        {"image": [n.id for n in wrong], "label": labels, "data": [run.manifest.request.data] * len(wrong)}
    )


def write_table(run: RunData, out: Path) -> int:
    """`as_table` as CSV; how many notes there are."""
    return _write(as_table(run, read(run.folder)), out)


def write_labels(run: RunData, out: Path) -> int:
    """`labels_table` as CSV, for `--labels` of `train` and `run`; how many labels are corrected."""
    return _write(labels_table(run, read(run.folder)), out)


def _write(table: pd.DataFrame, out: Path) -> int:
    write_csv(table, out)
    return len(table)
