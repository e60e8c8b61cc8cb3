"""The analysis of a run as text for a terminal."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from explain.analysis.findings import Findings
from explain.analysis.multi_label.proposals import OF_ALL, LabelSetFindings
from explain.analysis.numbers.proposals import CHECKS, NumberFindings
from explain.analysis.on_maps import ATTENTION, command, maps_note, slices_to_say
from explain.analysis.proposals.next_training import command_of
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.proposals.registry import checks_of
from explain.analysis.slices import Slice
from explain.text_table import columns

LINES, WIDTH, LEVEL = 8, 110, 0.05
AT_HALF = "Findings are those at the threshold 0.5; slices are at the chosen one."
ALL_AT_HALF = "Findings are those at the threshold 0.5."


def format_text(findings: Findings) -> str:
    """Proposals, then the slices that are significantly worse; or why nothing is concluded. Proposals are of
    the network's own predictions, whatever the threshold."""
    if findings.inconclusive:
        return textwrap.fill(f"{findings.run.unfinished} {findings.inconclusive}".strip(), WIDTH)
    worse = _worse(findings)
    by_maps = any(s.kind == ATTENTION for s in worse)
    note = maps_note(findings, checks_of(findings.run), findings.proposals, by_maps)
    return "\n\n".join(
        filter(
            None,
            [
                textwrap.fill(findings.run.unfinished, WIDTH),
                AT_HALF if findings.run.decision else "",
                _proposals(findings),
                _slices(worse),
                _wrapped(note, command(findings.run)),
            ],
        )
    )


def format_label_sets(findings: LabelSetFindings) -> str:
    """Of all labels of a run: what to try, or why nothing is concluded."""
    if findings.inconclusive:
        return textwrap.fill(findings.inconclusive, WIDTH)
    note = maps_note(findings, OF_ALL, findings.proposals)
    return "\n\n".join(
        filter(None, [_numbered(findings.proposals, OF_ALL), _wrapped(note, command(findings.run))])
    )


def _wrapped(note: str, command: str) -> str:
    """A note as lines; the command at its end, if there is one, stays in one line, to be copied."""
    text = note.removesuffix(command).rstrip()
    return "\n".join([textwrap.fill(text, WIDTH), *([f"   {command}"] if text != note else [])])


def format_numbers(findings: NumberFindings, name: str) -> str:
    """Of one output of a run of numbers, `name`: what to try; empty where nothing may be concluded."""
    if findings.inconclusive:
        return ""
    note = _wrapped(findings.maps_note, command(findings.of.asked))
    text = f"What to try: {name}\n{_numbered(findings.proposals, CHECKS)}"
    return f"{text}\n\n{note}" if note else text


def format_proposals(findings: Findings | LabelSetFindings | NumberFindings, most: int = 3) -> list[str]:
    """The first few, one line each; or why nothing is concluded."""
    if findings.inconclusive:
        return [f"warning    {findings.inconclusive}"]
    shown = findings.proposals[:most]
    of = findings.of.maps if isinstance(findings, NumberFindings) else findings
    note = maps_note(of, (), shown)
    lines = [f"try        {p.title}{_train(p)}" for p in shown]
    return [*lines, f"maps       {note}"] if note else lines


def _train(p: Proposal) -> str:
    return f" train {p.option}" if p.option else ""


def _proposals(findings: Findings) -> str:
    run = findings.run
    commands = {p.option: command_of(run, p.option) for p in findings.proposals}
    return _numbered(findings.proposals, checks_of(run), commands)


def _numbered(
    found: Sequence[Proposal], checks: Iterable[str], commands: Mapping[str, str] | None = None
) -> str:
    """`commands`: by the option of a proposal the whole command, where it is known."""
    if not found:
        return textwrap.fill(f"No significant finding. Checked: {', '.join(checks)}.", WIDTH)
    message = []
    for number, p in enumerate(found, 1):
        text = textwrap.fill(
            f"{p.title} {p.text} {p.advice}", WIDTH, initial_indent=f"{number}. ", subsequent_indent="   "
        )
        whole = (commands or {}).get(p.option)
        message.append(f"{text}\n   {whole or _train(p).strip()}" if p.option else text)
    return "\n".join(message)


def _worse(findings: Findings) -> list[Slice]:
    found = slices_to_say(findings, findings.slices(findings.method))
    return [s for s in found if max(s.p, s.p_within) < LEVEL][:LINES]


def _slices(worse: Sequence[Slice]) -> str:
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
