"""The analysis of a run as text for a terminal."""

import textwrap
from collections.abc import Iterable, Sequence

from explain.analysis.findings import Findings
from explain.analysis.label_proposals import OF_ALL, LabelSetFindings
from explain.analysis.number_proposals import CHECKS, NumberFindings
from explain.analysis.proposal import Proposal
from explain.analysis.proposals import checks_of
from explain.text_table import columns

LINES, WIDTH, LEVEL = 8, 110, 0.05
AT_HALF = "Findings are those at the threshold 0.5; slices are at the chosen one."
ALL_AT_HALF = "Findings are those at the threshold 0.5."


def format_text(findings: Findings) -> str:
    """Proposals, then the slices that are significantly worse; or why nothing is concluded. Proposals are of
    the network's own predictions, whatever the threshold."""
    if findings.inconclusive:
        return textwrap.fill(f"{findings.run.unfinished} {findings.inconclusive}".strip(), WIDTH)
    return "\n\n".join(
        filter(
            None,
            [
                textwrap.fill(findings.run.unfinished, WIDTH),
                AT_HALF if findings.run.decision else "",
                _proposals(findings),
                _slices(findings),
            ],
        )
    )


def format_label_sets(findings: LabelSetFindings) -> str:
    """Of all labels of a run: what to try, or why nothing is concluded."""
    return textwrap.fill(findings.inconclusive, WIDTH) or _numbered(findings.proposals, OF_ALL)


def format_numbers(findings: NumberFindings, name: str) -> str:
    """Of one output of a run of numbers, `name`: what to try; empty where nothing may be concluded."""
    if findings.inconclusive:
        return ""
    return f"What to try: {name}\n{_numbered(findings.proposals, CHECKS)}"


def format_proposals(findings: Findings | LabelSetFindings | NumberFindings, most: int = 3) -> list[str]:
    """The first few, one line each; or why nothing is concluded."""
    if findings.inconclusive:
        return [f"warning    {findings.inconclusive}"]
    return [f"try        {p.title}{_train(p)}" for p in findings.proposals[:most]]


def _train(p: Proposal) -> str:
    return f" train {p.option}" if p.option else ""


def _proposals(findings: Findings) -> str:
    return _numbered(findings.proposals, checks_of(findings.run))


def _numbered(found: Sequence[Proposal], checks: Iterable[str]) -> str:
    if not found:
        return textwrap.fill(f"No significant finding. Checked: {', '.join(checks)}.", WIDTH)
    message = []
    for number, p in enumerate(found, 1):
        text = textwrap.fill(
            f"{p.title} {p.text} {p.advice}", WIDTH, initial_indent=f"{number}. ", subsequent_indent="   "
        )
        message.append(f"{text}\n  {_train(p)}" if p.option else text)
    return "\n".join(message)


def _slices(findings: Findings) -> str:
    worse = [s for s in findings.slices(findings.method) if max(s.p, s.p_within) < LEVEL][:LINES]
    if not worse:
        return ""
    head = ("slice", "images", "wrong", "rest", "p", "p within classes")
    rows = [
        (
            s.name,
            str(len(s.rows)),
            f"{100 * s.rate:.1f} %",
            f"{100 * s.rest_rate:.1f} %",
            f"{s.p:.2g}",
            f"{s.p_within:.2g}",
        )
        for s in worse
    ]
    return columns([head, *rows], right=range(1, 6))
