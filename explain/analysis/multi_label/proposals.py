"""What to try for a run of several labels per image: for all labels, and for one. A new check is one function
(evidence, labels) -> proposals, and one entry here."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache

from explain.analysis.chance import inconclusive
from explain.analysis.multi_label.checks import (
    better_thresholds,
    few_positives,
    labels_at_chance,
    wrong_label_sets,
)
from explain.analysis.multi_label.evidence import LabelEvidence
from explain.analysis.multi_label.maps import labels_at_the_border, labels_outside_their_region
from explain.analysis.multi_label.pairs import confused_labels, labels_together
from explain.analysis.on_maps import checks_to_make, remarked
from explain.analysis.proposals.proposal import Proposal, of_labels
from explain.quality.known import Stamp, stamp_of
from explain.run.outputs.label_sets import LabelSets

Check = Callable[[LabelEvidence, Sequence[int]], Iterator[Proposal]]

OF_EACH: dict[str, Check] = {
    "labels with too few training images": few_positives,
    "thresholds": better_thresholds,
    "labels called instead of others": confused_labels,
    "labels that are almost always together": labels_together,
    "labels recognized by the border": labels_at_the_border,
    "labels with maps outside of their region": labels_outside_their_region,
}
"""Name -> check, that compare a label with the others: of all labels, and of one."""
OF_ALL: dict[str, Check] = {
    "probable label errors": wrong_label_sets,
    "labels at chance": labels_at_chance,
    **OF_EACH,
}
"""Those of all labels; what they find of one label by itself is in `proposals.registry.CHECKS`, too."""


class LabelSetFindings(LabelEvidence):
    """What is found of all labels of a run."""

    _said: tuple[Stamp, list[Proposal]] | None = None

    @cached_property
    def inconclusive(self) -> str:
        """Why nothing is concluded from any label; nothing where some are above chance."""
        return inconclusive(self.run)

    @property
    def proposals(self) -> list[Proposal]:
        """Of all labels, those about the most errors first; none where nothing may be concluded. Anew where
        more is known of the maps."""
        stamp = stamp_of(self.run)
        if self._said is None or self._said[0] != stamp:
            self._said = stamp, [] if self.inconclusive else self._of(OF_ALL, range(len(self.classes)))
        return self._said[1]

    @property
    def ready(self) -> bool:
        """Whether `proposals` are computed."""
        return self._said is not None

    def of_label(self, k: int) -> list[Proposal]:
        """What comparing it with the other labels tells of one."""
        return self._of(OF_EACH, [k])

    def _of(self, checks: dict[str, Check], labels: Sequence[int]) -> list[Proposal]:
        made = checks_to_make(self, checks)
        found = [of_labels(p) for name, f in made.items() for p in remarked(self, name, f(self, labels))]
        return sorted(found, key=lambda p: -p.errors)


@lru_cache(maxsize=4)
def label_set_findings(sets: LabelSets) -> LabelSetFindings:
    return LabelSetFindings(sets)
