"""Links to the Compare tab of runs of numbers: the other run, the output, the list of images and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import gradio as gr

from dashboard.error_boundary import message_text
from dashboard.links import PAGE, number
from dashboard.tabs.compare_state import CHANGES, ID, Choice, list_of
from dashboard.tabs.numbers_state import OUTPUT
from dashboard.tabs.query import query_string
from explain.run.outputs.number_run import NumbersRun

AGAINST, GROUP = "against", "group"


def output_of(choice: Choice, run: NumbersRun) -> int:
    """The number of the output that is shown."""
    return choice.asked if 0 <= choice.asked < len(run.outputs) else run.index


def number_query(choice: Choice, names: Sequence[str], run: NumbersRun) -> str:
    """`names`: of the runs to compare with."""
    return query_string(
        tab=ID,
        against=names[choice.other],
        output=run.outputs[output_of(choice, run)] if len(run.outputs) > 1 else None,
        group=list_of(choice),
        **{PAGE: choice.page + 1 if choice.page else None},
    )


def of_link(parameters: Mapping[str, str], names: Sequence[str], run: NumbersRun, first: Choice) -> Choice:
    """The view that a link asks for. Of a link that names something which is not there, the default view of
    the other run, if there is one, and a message that says what is missing."""
    against, page = parameters.get(AGAINST), number(parameters.get(PAGE, "1"))
    base = first.apply("other", str(names.index(against))) if against in names else first
    missing = _missing(parameters, names, run)
    if not page:
        missing.append(f"the page '{parameters[PAGE][:60]}' (pages are numbers from 1)")
    if missing or not page:
        text = f"The link is broken: it names {', '.join(missing)}. The default view is shown."
        gr.Warning(message_text(text))
        return base
    asked = run.outputs.index(parameters[OUTPUT]) if OUTPUT in parameters else base.asked
    return replace(base, asked=asked, which=parameters.get(GROUP, base.which), page=page - 1)


def _missing(parameters: Mapping[str, str], names: Sequence[str], run: NumbersRun) -> list[str]:
    """What a link names and the page does not have, with what it has."""
    known = {AGAINST: ("run", names), OUTPUT: ("output", run.outputs), GROUP: ("list", tuple(CHANGES))}
    return [
        f"the {what} '{parameters[key][:60]}' (known: {_shown(allowed) or 'none'})"
        for key, (what, allowed) in known.items()
        if key in parameters and parameters[key] not in allowed
    ]


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
