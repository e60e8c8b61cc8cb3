"""A review of a run's labels by people: the next image of each reviewer, their answers, and what follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
import pandas as pd

from explain.analysis.findings import Findings
from explain.analysis.label_errors.noise import confident_joint, wrong_probability
from explain.analysis.label_errors.review_estimate import (
    Agreement,
    Estimate,
    Stratum,
    agreements,
    estimated,
    missing,
    strata_of,
)
from explain.analysis.label_errors.review_ranking import learned
from explain.analysis.label_errors.review_sample import (
    Sample,
    Shown,
    answered_rows,
    next_image,
    rows_by_id,
    sample_of,
)
from explain.formatting import counted, percent
from explain.run.people.review import (
    AGREE,
    OTHER,
    UNDO,
    Answer,
    answer,
    by_image,
    read,
    reviewer,
    reviewers,
    verdict,
)
from models.errors import UserError


@dataclass(frozen=True)
class Progress:
    """What all answers say: `estimate`, or None while answers are `missing`; the `strata` of the sample;
    answers of each reviewer; `agreements` of each two; `decided`: images with a decision, `wrong` of them
    with a wrong label."""

    estimate: Estimate | None
    missing: int
    strata: tuple[Stratum, ...]
    reviewers: dict[str, list[Answer]]
    agreements: tuple[Agreement, ...]
    decided: int
    wrong: int


class Review:
    """Of one class per image."""

    def __init__(self, findings: Findings):
        self._findings, self.run = findings.stored, findings.stored.run

    @cached_property
    def sample(self) -> Sample:
        """The same whenever the run is opened; of other data or another network, another one. Its strata are
        by the confident joint alone, so that answers keep their place when the order of the list changes."""
        request = self.run.manifest.request
        seed = crc32(f"{request.data_fingerprint} {request.weights_hash}".encode())
        return sample_of(wrong_probability(self.run, confident_joint(self.run)), seed)

    @cached_property
    def rows(self) -> dict[str, int]:
        return rows_by_id(self.run.ok["id"])

    def answers(self) -> dict[tuple[str, str], Answer]:
        """Those on images of the run, as `explain.run.people.review.read`."""
        return {key: one for key, one in read(self.run.folder).items() if one.id in self.rows}

    def ranking(self) -> pd.Series:
        """Probability of each row that its label is wrong, as far as is known by now."""
        given = by_image(self.answers())
        verdicts = {self.rows[name]: v for name, of in given.items() if (v := verdict(of)) is not None}
        if not verdicts:
            return self._findings.suspicion
        labels, suggested = self.run.ok["label"], self._findings.checked["suggested"]
        return learned(self._findings.suspicion, labels, suggested, verdicts)

    def of(self, name: str) -> list[Answer]:
        """Answers of a reviewer, in the order in which they were given."""
        return reviewers(self.answers()).get(name, [])

    def next(self, name: str) -> Shown | None:
        """The image that a reviewer sees; None where all are answered."""
        return next_image(self.sample, answered_rows(self.of(name), self.rows), self.ranking)

    def answer(self, name: str, row: int, kind: str, label: str = "") -> bool:
        """Keep an answer on the image that a reviewer sees; the given label as the right class agrees.
        Returns whether it was kept: not where the reviewer sees another image by now, as after a key that
        was pressed twice. Raises UserError as `explain.run.people.review.answer`."""
        name, shown = reviewer(name), self.next(reviewer(name))
        if shown is None or shown.row != row:
            return False
        given = self.run.classes[int(self.run.ok.at[row, "label"])]
        if kind == OTHER and label == given:
            kind, label = AGREE, ""
        image = str(self.run.ok.at[row, "id"])
        place = (shown.part, shown.stratum, shown.position, shown.size, shown.probability)
        answer(self.run.folder, Answer(image, name, kind, given, label, *place), self.run.classes)
        return True

    def undo(self, name: str) -> None:
        """Take the last answer of a reviewer back: the image is shown again. Raises UserError where there is
        none."""
        given = self.of(reviewer(name))
        if not given:
            raise UserError(f"{name} has no answer to take back.")
        last = given[-1]
        place = (last.part, last.stratum, last.position, last.size, last.probability)
        answer(self.run.folder, Answer(last.id, last.by, UNDO, last.given, "", *place), self.run.classes)

    def progress(self) -> Progress:
        answers = self.answers()
        strata = strata_of(self.sample, self.rows, answers)
        verdicts = [v for of in by_image(answers).values() if (v := verdict(of)) is not None]
        short = missing(strata, len(verdicts))
        found = None if short or not strata else estimated(strata)
        return Progress(
            found,
            short,
            tuple(strata),
            reviewers(answers),
            tuple(agreements(answers)),
            len(verdicts),
            sum(verdicts),
        )


def format_text(progress: Progress) -> list[str]:
    """Who answered how much, and the estimate or what is missing."""
    people = ", ".join(
        f"{counted(len(given), 'answer')} of {name}" for name, given in progress.reviewers.items()
    )
    lines = [people] if people else []
    if (e := progress.estimate) is not None:
        lines.append(
            f"about {percent(e.fraction)} of the labels are wrong (95 % interval {percent(e.low)} to "
            f"{percent(e.high)})"
        )
    elif people:
        lines.append(f"an estimate needs {counted(progress.missing, 'answer')} more")
    return lines


def predicted(review: Review, given: Answer) -> tuple[str, float]:
    """What the network said of an answered image: class and probability."""
    row = review.rows[given.id]
    prob = review.run.ok.loc[row, ["pred", "confidence"]]
    return review.run.classes[int(prob["pred"])], float(prob["confidence"])


def tally(answers: Sequence[Answer]) -> dict[str, int]:
    """Kind -> answers of that kind."""
    kinds, counts = np.unique([one.kind for one in answers], return_counts=True)
    return dict(zip(map(str, kinds), map(int, counts), strict=True))
