"""What to try for one output of a run of numbers. A new check is one function evidence -> proposals, and one
entry here."""

import re
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from explain.analysis.numbers.checks import (
    LEAST_IMAGES,
    NumberEvidence,
    bias,
    compressed_range,
    disagreeing_duplicates,
    few_images,
    worse_slices,
    wrong_numbers,
    wrong_scale,
)
from explain.analysis.numbers.groups import NumberGroup, number_group, ordered
from explain.analysis.numbers.maps import worst_at_the_border
from explain.analysis.numbers.outliers import suspects
from explain.analysis.numbers.run_numbers import caution_of_mean, plane_of
from explain.analysis.on_maps import checks_to_make, maps_note, remarked
from explain.analysis.proposals.proposal import Proposal
from explain.formatting import counted, plural
from explain.quality.known import Stamp, stamp_of
from explain.run.outputs.number_run import NumbersRun
from explain.run.people.notes import read

CHECKS: dict[str, Callable[[NumberEvidence], Iterator[Proposal]]] = {
    "probably wrong true numbers": wrong_numbers,
    "regression to the mean": compressed_range,
    "scale": wrong_scale,
    "bias": bias,
    "ranges with few images": few_images,
    "near duplicates that disagree": disagreeing_duplicates,
    "slices": worse_slices,
    "errors at the border": worst_at_the_border,
}
"""Name -> check, in the order in which equals are shown."""
SUSPICIOUS = "suspicious"
"""The group of true numbers that are probably wrong."""
NOTED = {"notes": "with a note", "corrected": "with a corrected number"}
"""Groups of images that people wrote about."""
KEPT = 32
_PROPOSAL = re.compile(r"proposal:(\d{1,2})")


class NumberFindings:
    """Of one output of a run."""

    def __init__(self, run: NumbersRun, output: int):
        self.of = NumberEvidence(run, output)
        self._said: tuple[Stamp, list[Proposal]] | None = None
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether `proposals` are computed."""
        return self._said is not None

    @property
    def inconclusive(self) -> str:
        """Why nothing is concluded; empty where something may be."""
        run, output = self.of.run, self.of.output
        n = len(plane_of(run, output).rows)
        if n < LEAST_IMAGES:
            return (
                f"{counted(n, 'image')} {plural(n, 'has', 'have')} a true and a predicted number: "
                f"{LEAST_IMAGES} are needed for findings."
            )
        return caution_of_mean(run, output)

    @property
    def proposals(self) -> list[Proposal]:
        """Those about the most images first; none where nothing may be concluded. Computed once, in the
        thread that asks first; anew where more is known of the maps."""
        with self._lock:
            stamp = stamp_of(self.of.run)
            if self._said is None or self._said[0] != stamp:
                self._said = stamp, [] if self.inconclusive else self._proposals()
            return self._said[1]

    def compute(self) -> Iterator[float]:
        """Compute `proposals`; yields the fraction that is done."""
        yield 1.0 if self.proposals is not None else 0.0

    @property
    def maps_note(self) -> str:
        """As `on_maps.maps_note`."""
        return "" if self.inconclusive else maps_note(self.of.maps, CHECKS, self.proposals)

    def _proposals(self) -> list[Proposal]:
        checks = checks_to_make(self.of.maps, CHECKS)
        found = [p for name, check in checks.items() for p in remarked(self.of.maps, name, check(self.of))]
        return sorted(found, key=lambda p: -p.errors)


@lru_cache(maxsize=KEPT)
def number_findings(run: NumbersRun, output: int) -> NumberFindings:
    return NumberFindings(run, output)


def is_found(key: str) -> bool:
    """Whether a name is of a group that findings or notes have: `SUSPICIOUS`, 'proposal:N', or one of
    `NOTED`."""
    return key == SUSPICIOUS or key in NOTED or _PROPOSAL.fullmatch(key) is not None


def group_of(run: NumbersRun, output: int, key: str, sort: str = "") -> NumberGroup | None:
    """As `groups.number_group`, and the groups of `is_found`."""
    plane = plane_of(run, output)
    if key == SUSPICIOUS:
        inconclusive = number_findings(run, output).inconclusive
        chosen = suspects(plane.residual)[: 0 if inconclusive else None]
        note = "errors beyond what the spread of the others explains, the largest first"
        return ordered(plane, "suspicious true numbers", note, chosen, sort)
    if key in NOTED:
        notes = {image for image, note in read(run.folder).items() if key == "notes" or note.wrong}
        chosen = np.flatnonzero(run.table["id"].iloc[plane.rows].isin(notes))
        return ordered(plane, f"images {NOTED[key]}", "in the order of the data", chosen, sort)
    match = _PROPOSAL.fullmatch(key)
    if match is None:
        return number_group(plane, key, sort)
    found = number_findings(run, output).proposals
    if int(match[1]) >= len(found):
        return None
    proposal = found[int(match[1])]
    places = {int(row): k for k, row in enumerate(plane.rows)}
    indices = [places[row] for row in proposal.rows.tolist()]
    return ordered(plane, proposal.title.removesuffix("."), "the most telling first", indices, sort)
