"""Which images are exported: some of every class, or those that a person names."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from explain.analysis.findings import Findings
from explain.analysis.groups import KINDS, LISTS, group
from explain.analysis.ranking import ClassSample, by_recall, overview, select
from explain.run.notes import read
from explain.run.reader import RunData
from models.classes import find_class
from models.errors import UserError

LONGEST = 1000  # characters of a selection
EACH = 2  # images of a class, where nothing is selected


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows by class, wrong and right, the worst class first; `description`: in words."""

    samples: list[ClassSample]
    description: str

    @property
    def rows(self) -> list[int]:
        return [row for s in self.samples for row in (*s.wrong.tolist(), *s.right.tolist())]


def selected(
    findings: Findings, wanted: str = "", per_class: int | None = None, sort: str = "most confident"
) -> Selection:
    """`wanted`: nothing for some of every class; `errors`, `correct`, `class:NAME`, `pair:TRUE>CALLED`, or
    one of `explain.analysis.groups` (labels, border, tag:NAME, slice:NAME ...). `per_class`: so many wrong
    and so many right ones of a class at most; by itself two where nothing is wanted, otherwise all.

    Raises UserError for what nobody knows, and where no image is left.
    """
    if len(wanted) > LONGEST:
        raise UserError(f"A selection of {len(wanted):,} characters: at most {LONGEST:,} are read.")
    run, kind, name = findings.run, *(wanted.partition(":")[::2])
    each = per_class or (None if wanted else EACH)
    if not wanted:
        made = Selection(
            overview(run, each or EACH, sort), f"{each} wrong and {each} right of a class, {sort} first"
        )
    elif wanted in ("errors", "correct"):
        rows = select(run, correct=wanted == "correct", sort=sort)
        made = Selection(
            _by_class(run, rows, each),
            f"{'all errors' if wanted == 'errors' else 'all correct images'}, {sort} first",
        )
    elif kind == "class":
        made = Selection(
            _by_class(run, select(run, _class(run, name), sort=sort), each), f"images of {name}, {sort} first"
        )
    elif kind == "pair":
        label, pred = _pair(run, name)
        description = f"{run.classes[label]} called {run.classes[pred]}, {sort} first"
        made = Selection(_by_class(run, select(run, label, pred, sort=sort), each), description)
    else:
        found = group(findings, read(run.folder), wanted)
        if found is None:
            raise UserError(
                f"Nothing is called '{wanted[:80]}': select correct, class:NAME, pair:TRUE>CALLED, "
                f"{', '.join(LISTS)}, or "
                f"{', '.join(f'{k}:…' for k in KINDS)}."
            )
        made = Selection(_by_class(run, found.rows, each), found.title)
    if not made.rows:
        raise UserError(f"No readable image fits '{wanted or 'every class'}', so there is nothing to export.")
    return made


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
        raise UserError(f"'{text[:60]}' is no pair: write pair:TRUE>CALLED, in quotes.")
    exact = [pair for pair in sides if pair[0] in run.classes and pair[1] in run.classes]
    if len(exact) > 1:
        raise UserError(
            f"'{text[:60]}' may be {' or '.join(f'{a} called {b}' for a, b in exact)}: choose the pair in "
            "the dashboard."
        )
    for label, pred in exact or sides[:-1]:
        with suppress(UserError):
            return _class(run, label), _class(run, pred)
    return _class(run, sides[-1][0]), _class(run, sides[-1][1])
