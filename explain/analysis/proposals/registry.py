"""What to try next: every check in turn. A new check is one function `Evidence -> Iterator[Proposal]` and one
entry here."""

from explain.analysis.multi_label.proposals import OF_EACH
from explain.analysis.on_maps import checks_to_make, remarked
from explain.analysis.proposals.data_checks import (
    disagreeing_duplicates,
    few_images,
    unusual_classes,
    worse_slices,
    wrong_labels,
)
from explain.analysis.proposals.evidence import Evidence
from explain.analysis.proposals.exchanged import exchanged_labels
from explain.analysis.proposals.model_checks import (
    confused_classes,
    errors_at_the_border,
    over_confident,
    recognized_by_border,
)
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.proposals.shortcut_check import recognized_by_column
from explain.run.reader import RunData

CHECKS = {
    "probable label errors": wrong_labels,
    "labels exchanged between classes": exchanged_labels,
    "near duplicates that disagree": disagreeing_duplicates,
    "classes with too few training images": few_images,
    "classes unlike the others": unusual_classes,
    "classes recognized by their border": recognized_by_border,
    "classes recognized by a column of the data": recognized_by_column,
    "errors at the border": errors_at_the_border,
    "confused pairs": confused_classes,
    "slices": worse_slices,
    "over-confidence": over_confident,
}
"""Name -> check, in the order in which equals are shown."""


def checks_of(run: RunData) -> list[str]:
    """Names of the checks of a run; of a label, also of those that compare it with the others."""
    return [*CHECKS, *(OF_EACH if run.label_sets is not None else ())]


def proposals(evidence: Evidence) -> list[Proposal]:
    """The proposals of all checks, those about the most errors first; none where nothing stands out. Of
    those that rest on maps, as `on_maps`."""
    checks = checks_to_make(evidence, CHECKS)
    found = [p for name, check in checks.items() for p in remarked(evidence, name, check(evidence))]
    return sorted(found, key=lambda p: -p.errors)
