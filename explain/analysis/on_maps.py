"""Findings on where maps are strong are given only if the maps beat their controls (`explain.quality`). If
they do not, or the network is at chance, these findings are left out, and figures and mean maps stand beside
the verdict; if nobody measured it, they say so. `may_say_of` decides for all of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from explain.analysis.chance import in_few_words
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.slices import Slice
from explain.formatting import listed
from explain.quality.known import State, state_of, verdict_of
from explain.quality.sample import target_name
from explain.run.reader import RunData
from models.program import typed

CHECKS_ON_MAPS = (
    "classes recognized by their border",
    "errors at the border",
    "labels recognized by the border",
    "labels with maps outside of their region",
)
"""Names of checks, of any kind of run, that say nothing without maps."""
PARTS = {"confused pairs": "where the maps of confused pairs agree", "slices": "slices by map statistics"}
"""Name of a check -> what it says of maps besides."""
ATTENTION = "attention"  # kind of a slice
REMARK = "The maps have not been compared with controls."
NOT_MEASURED = "not measured"
DO_NOT = "do not conclude from where these maps are strong"
RANKS: dict[State, int] = {"passes": 0, "unknown": 1, "does not pass": 2}


class OfMaps(Protocol):
    """Evidence of a run, and the method whose maps it reads."""

    @property
    def run(self) -> RunData: ...

    @property
    def method(self) -> str: ...


@dataclass(frozen=True)
class MapsOf:
    """`OfMaps` of a run in which one output is asked for."""

    run: RunData
    method: str


def method_of_findings(run: RunData, missing: Mapping[str, int]) -> str:
    """The method whose maps findings rest on: one that passes, otherwise one of which nothing is known; of
    equals that whose maps are seldom empty (`missing`: how many are), then the first."""
    return min(missing, key=lambda m: (RANKS[state_of(run, m)], missing[m]))


def may_say_of(run: RunData, method: str) -> bool:
    """Whether a statement may rest on where the run's maps of a method are strong: they do not lose to
    controls, and the network is above chance."""
    return not at_chance(run) and state_of(run, method) != "does not pass"


def at_chance(run: RunData) -> str:
    """Why nothing is concluded from the run, so neither from its maps, in a few words; empty where something
    may be."""
    return in_few_words(run)


def may_say(found: OfMaps) -> bool:
    """As `may_say_of`, of the maps that findings rest on."""
    return may_say_of(found.run, found.method)


def verdict_text(run: RunData, method: str) -> str:
    """The verdict on the run's maps of a method, beside figures and pictures that rest on where they are
    strong: 'not measured', 'no better than the center: do not conclude from where these maps are strong';
    that of a network at chance is the same for all methods."""
    if reason := at_chance(run):
        return f"{reason}: {DO_NOT}"
    verdict = verdict_of(run, method)
    if verdict is None:
        return NOT_MEASURED
    return verdict.text if may_say_of(run, method) else f"{verdict.text}: {DO_NOT}"


def said_of(run: RunData, method: str) -> str:
    """As `verdict_text`, with the name of the method before it."""
    return f"{run.title(method)}: {verdict_text(run, method)}"


def said_of_both(a: RunData, b: RunData, method: str | None) -> str:
    """As `said_of`, of the maps of two runs that are shown side by side; empty where they share no method."""
    if method is None:
        return ""
    return f"{a.title(method)}, run A: {verdict_text(a, method)}; run B: {verdict_text(b, method)}."


def checks_to_make(found: OfMaps, checks: Mapping[str, Any]) -> dict[str, Any]:
    """`checks` without those that rest on maps which do not pass."""
    allowed = may_say(found)
    return {name: check for name, check in checks.items() if allowed or name not in CHECKS_ON_MAPS}


def remarked(found: OfMaps, name: str, made: Iterable[Proposal]) -> Iterator[Proposal]:
    """Proposals of the check `name`: those that rest on maps say where these are not measured."""
    unknown = state_of(found.run, found.method) == "unknown"
    for p in made:
        on_maps = p.on_maps or name in CHECKS_ON_MAPS
        yield replace(p, on_maps=on_maps, text=f"{p.text} {REMARK}" if on_maps and unknown else p.text)


def slices_to_say(found: OfMaps, slices: Iterable[Slice]) -> list[Slice]:
    """`slices` without those by statistics of maps which do not pass."""
    allowed = may_say(found)
    return [s for s in slices if allowed or s.kind != ATTENTION]


def maps_note(found: OfMaps, checks: Iterable[str], said: Iterable[Proposal], slices: bool = False) -> str:
    """A line below the findings of `checks`: which are not said because their maps do not pass; or, where
    some of `said` (or `slices`) rest on maps that are not measured, the command that does it. Empty where
    neither is so."""
    run, method = found.run, found.method
    state, verdict = state_of(run, method), verdict_of(run, method)
    if state == "does not pass" and verdict is not None:
        of_maps = run.label_sets is None and not run.numbers  # whether there are slices by map statistics
        parts = {k: v for k, v in PARTS.items() if of_maps or k != "slices"}
        names = [parts.get(c, c) for c in checks if c in parts or c in CHECKS_ON_MAPS]
        return not_said(names, run.title(method), verdict.text) if names else ""
    if state == "unknown" and (slices or any(p.on_maps for p in said)):
        return f"Some findings rest on maps of {run.title(method)}. {REMARK} {command(run)}"
    return ""


def not_said(what: Iterable[str], title: str, verdict: str) -> str:
    """`verdict` on the maps of the method `title`, in a few words."""
    names = list(what)
    return f"Not said: {listed(names, len(names))}, because of the maps ({title}: {verdict})."


def not_said_of(run: RunData, method: str, what: str) -> str:
    """As `not_said`, of one thing that rests on the maps of `method`; empty where it may be said."""
    if reason := at_chance(run):
        return f"Not said: {what}, because {reason}."
    verdict = verdict_of(run, method)
    if verdict is None or may_say_of(run, method):
        return ""
    return not_said([what], run.title(method), verdict.text)


def command(run: RunData) -> str:
    """The command that measures a run's maps."""
    of_output = ["--label", target_name(run)] if getattr(run, "one_output", False) else []
    return typed(["trust", str(run.folder), *of_output])
