"""The label of a run of several labels per image, or the output of a run of numbers, that a link names or
that is asked for in Errors."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from dashboard.error_boundary import message_text
from dashboard.tabs.errors_state import LABEL, View
from dashboard.tabs.numbers_state import NumbersView, output_of
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.errors import UserError


def label_of_link(parameters: Mapping[str, str], run: RunData) -> int | None:
    """Its number; None where the link names none. The name of a label that the run lacks is said in one
    line."""
    if isinstance(run, NumbersRun):
        return output_of(parameters, run)
    sets, name = run.label_sets, parameters.get(LABEL)
    if sets is None or not name:
        return None
    try:
        return int(sets.number(name))
    except UserError as error:
        gr.Warning(message_text(f"The link names a label that is not there. {error}"))
        return None


def label_of_errors(errors: Mapping[str, Any], run: RunData) -> int | None:
    """The number of the label, or output of numbers, that Errors shows (`errors`: its view); None for runs of
    one class."""
    if run.numbers:
        return NumbersView(**errors).output
    return None if run.label_sets is None else View(**errors).asked


def kind_of(run: RunData) -> str:
    """What the outputs of the network are called."""
    if run.numbers:
        return "outputs"
    return "classes" if run.label_sets is None else "labels"
