"""What the checks of a run of several labels per image read: scores of all labels, which of them are above
chance, and labels that look wrong."""

from functools import cached_property

import numpy as np

from explain.analysis.label_errors.confident_learning import Fit
from explain.analysis.label_errors.quality import image_quality
from explain.analysis.multi_label.counts import LabelCounts
from explain.analysis.multi_label.measures import LabelScores
from explain.analysis.multi_label.scores import is_at_chance, label_scores
from explain.analysis.on_maps import method_of_findings
from explain.analysis.proposals.evidence import Evidence
from explain.run.format import CALLED, OF_CLASS, map_column
from explain.run.outputs.label_sets import LabelSets


class LabelEvidence:
    """Of all labels of a run at once. Arrays over images (n, ...) are of those that have an answer: `rows`
    (n,) of the run's table."""

    def __init__(self, sets: LabelSets):
        self.sets, self.run = sets, sets.whole
        self.rows = self.run.ok.index.to_numpy()

    @property
    def classes(self) -> tuple[str, ...]:
        return self.sets.classes

    @property
    def scores(self) -> LabelScores:
        return label_scores(self.sets)

    @cached_property
    def counts(self) -> LabelCounts:
        """At 0.5."""
        return self.scores.at(CALLED)

    @cached_property
    def at_chance(self) -> tuple[int, ...]:
        """Labels of which nothing is concluded, as `is_at_chance`."""
        return tuple(k for k in range(len(self.classes)) if is_at_chance(self.scores, k))

    @cached_property
    def decided(self) -> tuple[int, ...]:
        """Labels that are above chance."""
        out = {*self.at_chance, *map(self.classes.index, self.scores.undefined)}
        return tuple(k for k in range(len(self.classes)) if k not in out)

    @cached_property
    def _each(self) -> tuple[dict[int, Fit], np.ndarray]:
        """`fits` and `suspect`. Runs of single labels are not kept: there may be thousands."""
        fits, suspect = dict[int, Fit](), np.zeros(self.scores.truth.shape, bool)
        for k in self.decided:
            one = Evidence(self.sets.label(k))
            fits[k], suspect[:, k] = one.fit, one.checked["issue"].to_numpy()
        return fits, suspect

    @property
    def fits(self) -> dict[int, Fit]:
        """As `confident_learning.fit`, of each label that is above chance."""
        return self._each[0]

    @property
    def suspect(self) -> np.ndarray:
        """(n, K) bool: answers that confident learning takes for wrong (`confident_learning.checked`), each
        label by itself; none of labels that are not above chance."""
        return self._each[1]

    @cached_property
    def quality(self) -> np.ndarray:
        """(n,): `image_quality` of all labels that are above chance."""
        known = list(self.decided)
        return image_quality(self.scores.truth[:, known], self.scores.prob[:, known])

    def suspect_rows(self, labels: "list[int] | None" = None) -> np.ndarray:
        """Rows of images of which an answer is suspect (of `labels`, by default of any), those whose labels
        fit worst first."""
        chosen = self.suspect if labels is None else self.suspect[:, labels]
        which = np.flatnonzero(chosen.any(1))
        return np.asarray(self.rows[which[np.argsort(self.quality[which], kind="stable")]])

    @property
    def method(self) -> str:
        """As `on_maps.method_of_findings`."""
        return method_of_findings(self.run, self._without_map)

    @cached_property
    def _without_map(self) -> dict[str, int]:
        """Method -> kept maps that are empty."""
        methods = self.run.manifest.request.methods
        return {m: int(np.isnan(self._of_maps(m, "border_mass")).sum()) for m in methods}

    def _of_maps(self, method: str, statistic: str) -> np.ndarray:
        return self.sets.places[f"{map_column(method, OF_CLASS)}.{statistic}"].to_numpy(float)

    def maps_of_hits(self, statistic: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of every map of a label that is true and called: row of the table, label, and a statistic; (m,)
        each. A run keeps those hits of an image that the network is least sure of."""
        places = self.sets.places
        row, label = places["row"].to_numpy(int), places["class"].to_numpy(int)
        hit = self.sets.truth[row, label] & (self.sets.prob[row, label] >= CALLED)
        return row[hit], label[hit], self._of_maps(self.method, statistic)[hit]
