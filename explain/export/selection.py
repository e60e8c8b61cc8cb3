"""Which images are exported: some of every class, or a selection."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from explain.analysis.findings import Findings
from explain.analysis.groups import KINDS, group, lists_of
from explain.analysis.ranking import ClassSample, by_recall, overview, select
from explain.formatting import counted
from explain.run.people.notes import read
from explain.run.reader import RunData
from models.classes.names import find_class
from models.errors import UserError

LONGEST = 1000  # characters of a selection
EACH = 2  # images of a class, where nothing is selected


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows by class, wrong and correct, the class of lowest recall first; `description`: as text."""

    samples: list[ClassSample]
    description: str

    @property
    def rows(self) -> list[int]:
        return [row for s in self.samples for row in (*s.wrong.tolist(), *s.right.tolist())]


def selected(
    findings: Findings, wanted: str = "", per_class: int | None = None, sort: str = "most confident"
) -> Selection:
    """`wanted`: empty for some of every class; `errors`, `correct`, `class:NAME`, `pair:TRUE>PREDICTED`, or
    one of `explain.analysis.groups` (labels, border, tag:NAME, slice:NAME ...). `per_class`: maximum number
    of wrong and of correct images per class (default: two where `wanted` is empty, otherwise all).

    Raises UserError for an unknown selection, and where no image is left.
    """
    if len(wanted) > LONGEST:
        raise UserError(f"A selection of {counted(len(wanted), 'character')}: at most {LONGEST:,} are read.")
    if not wanted:
        each = per_class or EACH
        text = f"{each} wrong and {each} correct images per class, {sort} first"
        made = Selection(overview(findings.run, each, sort), text)
    else:
        rows, text = _rows(findings, wanted, sort)
        made = Selection(_by_class(findings.run, rows, per_class), text)
    if not made.rows:
        raise UserError(f"No readable image fits '{wanted or 'every class'}', so there is nothing to export.")
    return made


def _rows(findings: Findings, wanted: str, sort: str) -> tuple[np.ndarray, str]:
    """The rows of a selection, and its description."""
    run, kind, name = findings.run, *(wanted.partition(":")[::2])
    if wanted in ("errors", "correct"):
        text = "all errors" if wanted == "errors" else "all correct images"
        return select(run, correct=wanted == "correct", sort=sort), f"{text}, {sort} first"
    if kind == "class":
        return select(run, _class(run, name), sort=sort), f"images of {name}, {sort} first"
    if kind == "pair":
        label, pred = _pair(run, name)
        text = f"true {run.classes[label]}, predicted {run.classes[pred]}, {sort} first"
        return select(run, label, pred, sort=sort), text
    found = group(findings, read(run.folder), wanted)
    if found is None:
        raise UserError(
            f"Nothing is called '{wanted[:80]}': select correct, class:NAME, pair:TRUE>PREDICTED, "
            f"{', '.join(lists_of(run))}, or {', '.join(f'{k}:…' for k in KINDS)}."
        )
    return found.rows, f"{found.title} ({found.maps})" if found.maps else found.title


def _by_class(run: RunData, rows: np.ndarray, each: int | None) -> list[ClassSample]:
    """In the order of `rows` within every class; an image that is in two pairs is there once."""
    rows = np.array(list(dict.fromkeys(rows.tolist())), int)
    label, right = run.ok.loc[rows, "label"].to_numpy(), run.ok.loc[rows, "correct"].to_numpy()
    found = [
        ClassSample(i, rows[(label == i) & ~right][:each], rows[(label == i) & right][:each])
        for i in by_recall(run)
    ]
    return [s for s in found if len(s.wrong) or len(s.right)]


def _class(run: RunData, name: str) -> int:
    if (found := find_class(name, run.classes)) is None:
        some = ", ".join(run.classes[i] for i in run.present[:8])
        raise UserError(f"No class '{name[:60]}': the run has {some}{' …' if len(run.present) > 8 else ''}.")
    return found


def _pair(run: RunData, text: str) -> tuple[int, int]:
    """Names may hold a '>' themselves."""
    sides = [(text[:i].strip(), text[i + 1 :].strip()) for i, letter in enumerate(text) if letter == ">"]
    if not sides:
        raise UserError(f"'{text[:60]}' is no pair: write pair:TRUE>PREDICTED, in quotes.")
    exact = [pair for pair in sides if pair[0] in run.classes and pair[1] in run.classes]
    if len(exact) > 1:
        raise UserError(
            f"'{text[:60]}' may be {' or '.join(f'true {a}, predicted {b}' for a, b in exact)}: choose the "
            "pair in the dashboard."
        )
    for label, pred in exact or sides[:-1]:
        with suppress(UserError):
            return _class(run, label), _class(run, pred)
    return _class(run, sides[-1][0]), _class(run, sides[-1][1])
