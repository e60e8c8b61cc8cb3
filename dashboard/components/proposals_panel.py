"""What to try next: findings in words, each with its numbers, its images, and the option of `train` that
tries it."""

from collections.abc import Sequence

from dashboard.components.clickable import action, esc
from dashboard.components.panel import empty, panel, warning
from explain.analysis.proposal import Proposal
from explain.analysis.proposals import CHECKS

SHOWN = 3  # before a click


def proposals_panel(found: Sequence[Proposal] | None, chosen: str = "", inconclusive: str = "") -> str:
    """`found` None: still being worked out; `inconclusive`: why nothing may be concluded."""
    if inconclusive:
        return panel("What to check first", warning(inconclusive))
    if found is None:
        return panel("What to try", empty("Looking for what stands out: labels, duplicates, slices, maps …"))
    if not found:
        return panel(
            "What to try", empty(f"Nothing stands out beyond chance. Looked for: {', '.join(CHECKS)}.")
        )
    cards = [_card(i, p, chosen == f"proposal:{i}") for i, p in enumerate(found)]
    more = ""
    if len(cards) > SHOWN:
        more = (
            f'<details class="vt-more"><summary>{len(cards) - SHOWN} more</summary><div '
            f'class="vt-tries">{"".join(cards[SHOWN:])}</div></details>'
        )
    return panel(
        "What to try",
        f'<div class="vt-tries">{"".join(cards[:SHOWN])}</div>{more}',
        "what the numbers carry, the most errors first",
    )


def _card(number: int, p: Proposal, chosen: bool) -> str:
    count = f"show {len(p.rows):,} image{'s' * (len(p.rows) != 1)}"
    show = (
        f'<button class="vt-link" {action("group", f"proposal:{number}")}>{count}</button>'
        if len(p.rows)
        else ""
    )
    return (
        f'<article class="vt-try{" vt-on" if chosen else ""}"><p><b>{esc(p.title)}</b> {esc(p.text)}</p>'
        f'<p class="vt-advice">{esc(p.advice)} <code>train {esc(p.option)}</code> {show}</p></article>'
    )
