"""The label that a link names, of a run of several labels per image."""

from collections.abc import Mapping

import gradio as gr

from dashboard.error_boundary import message_text
from dashboard.tabs.errors_state import LABEL
from explain.run.reader import RunData
from models.errors import UserError


def label_of_link(parameters: Mapping[str, str], run: RunData) -> int | None:
    """Its number; None where the link names none. A name that the run lacks is said in one line."""
    sets, name = run.label_sets, parameters.get(LABEL)
    if sets is None or not name:
        return None
    try:
        return int(sets.number(name))
    except UserError as error:
        gr.Warning(message_text(f"The link names a label that is not there. {error}"))
        return None
