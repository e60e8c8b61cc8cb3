"""Answers of reviewers on the labels of a run: one line of `RUN/review.jsonl` per answer, as notes are
written. The last answer of a reviewer on an image counts; what most reviewers say becomes the label of the
image's note, so `notes --labels` writes it."""

import json
import math
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from explain.run.format import NOTES_LOCK, REVIEW
from explain.run.people.appended import append_line
from explain.run.people.notes import UNKNOWN, add
from models.errors import UserError

AGREE, OTHER, UNSURE, SKIP, UNDO = "agree", "other", "unsure", "skip", "undo"
KINDS = (AGREE, OTHER, UNSURE, SKIP, UNDO)
SAMPLE, SUSPICIOUS = "sample", "suspicious"
"""Parts of a review: images of the random sample, and the most suspicious ones."""
LONGEST_NAME = 80


@dataclass(frozen=True)
class Answer:
    """Of reviewer `by` on image `id`, whose label is `given`: `kind` of `KINDS`, with `label` the right class
    of `OTHER`. `part`: why the image was shown. `stratum`, `position` (from 1) and `size`: its place in the
    random order of its stratum, and the images of that. `probability`: that a sample that ends with this
    image contains it, position / size. `at`: UTC."""

    id: str
    by: str
    kind: str
    given: str
    label: str = ""
    part: str = SAMPLE
    stratum: int = 0
    position: int = 1
    size: int = 1
    probability: float = 1.0
    at: str = ""

    @property
    def decided(self) -> bool:
        return self.kind in (AGREE, OTHER)

    @property
    def says(self) -> str:
        """The class that the reviewer gives; empty where there is none."""
        return {AGREE: self.given, OTHER: self.label}.get(self.kind, "")


def reviewer(name: str) -> str:
    """A reviewer's name, without spaces around it. Raises UserError for one that is empty or too long."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise UserError(f"A reviewer's name has 1 to {LONGEST_NAME} letters, got {len(name)}: type yours.")
    return name


def answer(folder: Path, given: Answer, classes: Sequence[str]) -> None:
    """Append an answer, and write the note where what most reviewers say has changed by it. Raises UserError
    for an answer that is not allowed, which changes nothing, and where the folder cannot be written."""
    reviewer(given.by)
    if given.kind not in KINDS:
        raise UserError(f"No answer '{given.kind[:40]}': choose from {', '.join(KINDS)}.")
    if given.kind == OTHER and given.label not in classes:
        raise UserError(f"No class '{given.label[:60]}': choose one of the run's.")
    before = consensus(of_image(read(folder), given.id))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append_line(folder / REVIEW, asdict(given) | {"at": now}, NOTES_LOCK)
    after = consensus(of_image(read(folder), given.id))
    if after != before:
        add(folder, given.id, "label", after or "", given.by, classes)


def read(folder: Path) -> dict[tuple[str, str], Answer]:
    """(reviewer, image) -> the answer that counts, in the order in which they were given, without those that
    were taken back. Lines that are incomplete or not ours are passed over."""
    try:
        known = (folder / REVIEW).stat()
    except OSError:
        return {}
    if not stat.S_ISREG(known.st_mode):  # reading a pipe would never end
        return {}
    return dict(_read(folder / REVIEW, known.st_size, known.st_mtime_ns))


@lru_cache(maxsize=8)
def _read(path: Path, _size: int, _changed: int) -> dict[tuple[str, str], Answer]:
    found: dict[tuple[str, str], Answer] = {}
    for line in path.read_bytes().splitlines():
        if (one := _answer_in(line)) is None:
            continue
        found.pop((one.by, one.id), None)
        if one.kind != UNDO:
            found[one.by, one.id] = one
    return found


@lru_cache(maxsize=20_000)
def _answer_in(line: bytes) -> Answer | None:
    """None for a line that is not ours. Lines are only ever added, and all of them are read after each."""
    try:
        return _parsed(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _parsed(raw: Mapping[str, object]) -> Answer:
    """Raises ValueError, TypeError or KeyError for what `answer` does not write."""
    texts = {name: str(raw[name]) for name in ("id", "by", "kind", "given", "label", "part", "at")}
    numbers = {name: int(str(raw[name])) for name in ("stratum", "position", "size")}
    probability = float(str(raw["probability"]))
    if texts["kind"] not in KINDS or not math.isfinite(probability):
        raise ValueError(texts["kind"])
    return Answer(**texts, **numbers, probability=probability)  # type: ignore[arg-type]


def of_image(answers: Mapping[tuple[str, str], Answer], image: str) -> list[Answer]:
    return [one for (_, name), one in answers.items() if name == image]


def by_image(answers: Mapping[tuple[str, str], Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for one in answers.values():
        found.setdefault(one.id, []).append(one)
    return found


def verdict(answers: Iterable[Answer]) -> bool | None:
    """Whether the label of an image is wrong, as most reviewers who gave a class say; None where as many say
    the one as the other, or nobody gave a class."""
    votes = Counter(one.kind == OTHER for one in answers if one.decided)
    return None if votes[True] == votes[False] else votes[True] > votes[False]


def consensus(answers: Sequence[Answer]) -> str | None:
    """What becomes the label of the image's note: None where the label is right or undecided, the class that
    most of those give who contradict it, or `UNKNOWN` where they give different ones equally often."""
    if not verdict(answers):
        return None
    first, *rest = Counter(one.label for one in answers if one.kind == OTHER).most_common(2)
    return UNKNOWN if rest and rest[0][1] == first[1] else first[0]


def reviewers(answers: Mapping[tuple[str, str], Answer]) -> dict[str, list[Answer]]:
    """Reviewer -> their answers, in the order in which they were given."""
    found: dict[str, list[Answer]] = {}
    for (name, _), one in answers.items():
        found.setdefault(name, []).append(one)
    return found
