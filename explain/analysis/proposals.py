"""What to try next: every check in turn. A new check is one function `Findings -> Iterator[Proposal]` and one
entry here."""

from explain.analysis.data_checks import disagreeing_twins, starved, unlike, worse_slices, wrong_labels
from explain.analysis.findings import Findings
from explain.analysis.model_checks import (
    errors_at_the_border,
    over_confident,
    standing_out,
    told_by_the_border,
)
from explain.analysis.proposal import Proposal

CHECKS = {
    "labels that look wrong": wrong_labels,
    "near duplicates that disagree": disagreeing_twins,
    "classes with too few training images": starved,
    "classes unlike the others": unlike,
    "classes recognized by their border": told_by_the_border,
    "errors at the border": errors_at_the_border,
    "confused pairs": standing_out,
    "slices": worse_slices,
    "over-confidence": over_confident,
}
"""What is looked for, in the order in which equals are shown."""


def proposals(findings: Findings) -> list[Proposal]:
    """Those that the numbers carry, the one that is about most errors first; none where nothing stands out,
    or nothing may be concluded."""
    if findings.inconclusive:
        return []
    found = [proposal for check in CHECKS.values() for proposal in check(findings)]
    return sorted(found, key=lambda p: -p.errors)
