"""Proposals: what to try next, each with its numbers, its images, and the option of `train` that tries it."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from dashboard.components.command import command_words
from dashboard.components.markup import NOTHING, action, html, join, verbatim
from dashboard.components.panel import empty, panel, warning
from dashboard.links import TAB
from dashboard.tabs.compare_state import ID as COMPARE
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.proposals.registry import CHECKS

SHOWN = 3  # before a click
TITLE = "What to try"
NONE: Mapping[str, Any] = MappingProxyType({})
NOTE = "significant findings, the most errors first"


def proposals_panel(
    found: Sequence[Proposal] | None,
    chosen: str = "",
    inconclusive: str = "",
    note: str = NOTE,
    of: str = "",
    checks: Iterable[str] = CHECKS,
    of_all: bool = False,
    maps: str = "",
    commands: Mapping[str, str] = NONE,
    tried: Mapping[str, Sequence[str]] = NONE,
    done: float = 0.0,
) -> Markup:
    """`found` None: the analysis is still running, and the fraction `done` of it is done; `inconclusive`: why
    nothing can be concluded; `note`: what they are; `of`: what they are about; `checks`: names of those that
    were made. `of_all`: of several labels per image, those of all labels: a click on one also asks for its
    label. `maps`: what is said or not said because of the maps (`explain.analysis.on_maps.maps_note`). By the
    option of a proposal, `commands`: the whole command, and `tried`: names of runs to compare with, whose
    network was trained so (`explain.analysis.proposals.next_training`)."""
    below = html('<p class="vt-advice vt-maps-note">{}</p>', maps) if maps else NOTHING
    if inconclusive:
        return panel(f"What to check first{of}", warning(inconclusive))
    if found is None:
        percent = f" {100 * done:.0f} %" if done else ""
        return panel(TITLE + of, empty(f"Checking labels, duplicates, slices, maps …{percent}"))
    if not found:
        return panel(TITLE + of, empty(f"No significant finding. Checked: {', '.join(checks)}.") + below)
    cards = [
        _card(i, p, chosen, of_all, commands.get(p.option, ""), tried.get(p.option, ()))
        for i, p in enumerate(found)
    ]
    return panel(TITLE + of, _cards(cards[:SHOWN]) + _more(cards[SHOWN:]) + below, note)


def _cards(cards: Sequence[Markup]) -> Markup:
    return html('<div class="vt-proposals">{}</div>', join(cards))


def _more(cards: Sequence[Markup]) -> Markup:
    if not cards:
        return NOTHING
    return html('<details class="vt-more"><summary>{} more</summary>{}</details>', len(cards), _cards(cards))


def _card(number: int, p: Proposal, chosen: str, of_all: bool, command: str, tried: Sequence[str]) -> Markup:
    count = sum(len(side.rows) for side in p.sides) or len(p.rows)
    show = html(
        '<button class="vt-link" {}>{} {:,} image{}</button>',
        action("all", f"{p.label},{number}") if of_all else action("group", f"proposal:{number}"),
        "compare" if p.sides else "show",
        count,
        "s" * (count != 1),
    )
    return html(
        '<article class="vt-proposal{on}"><p><b>{title}</b> {text}</p>'
        '<p class="vt-advice">{advice} {option} {show}</p>{command}{tried}</article>',
        on=" vt-on" if chosen == f"{'all' if of_all else 'proposal'}:{number}" else "",
        title=p.title,
        text=p.text,
        advice=p.advice,
        option=html("<code>train {}</code>", command_words(p.option)) if p.option else NOTHING,
        show=show if count else NOTHING,
        command=_command(command),
        tried=join(map(_tried, tried)),
    )


def _command(command: str) -> Markup:
    """The whole command behind a click, to be copied."""
    if not command:
        return NOTHING
    return html(
        '<details class="vt-advice"><summary>the whole command</summary>'
        '<span><button class="vt-link" data-copy>copy</button></span>'
        '<code class="vt-command">{}</code></details>',
        command_words(command),
    )


def _tried(name: str) -> Markup:
    """A run of a network that was trained so, and the link that opens it beside this one."""
    return html(
        '<p class="vt-advice">A network trained so: run {} <a class="vt-link" href="{}">compare</a></p>',
        name,
        verbatim("?" + urlencode({TAB: COMPARE, "against": name})),
    )
