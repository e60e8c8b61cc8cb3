"""The component that carries markup and reports what is clicked in it.

Any element with `data-action` (and `data-value`) reports itself on a click, on Enter and on Space; selects,
boxes and text on change. Arrow keys move the focus in a confusion matrix. Python receives a `gr.SelectData`
whose `index` is the action and whose `value` is the value; inputs of a note (`data-keep`) come as `submit`
events with the same contents, of which none is dropped where one follows another.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from dashboard.components.markup import display_text


def script(name: str) -> str:
    """A .js file of this folder."""
    return (Path(__file__).parent / "scripts" / name).read_text(encoding="utf-8")


_REPORT = script("clickable.js")


def clickable(
    value: str, elem_id: str, more: str = "", functions: Sequence[Callable[[Any], Any]] = ()
) -> gr.HTML:
    """A `gr.HTML` whose `select` event carries action and value. It shows `Markup` as HTML; a plain `str`,
    here or from an event, is escaped and shown as text, because Gradio escapes nothing.

    `more` is a script that runs once, when the component is loaded; `functions`: what it may call on the
    server, by name, each with one JSON value.
    """
    made = gr.HTML(
        display_text(value),
        js_on_load=_REPORT + more,
        apply_default_css=False,
        elem_id=elem_id,
        server_functions=list(functions),
    )
    made.postprocess = _only_markup  # type: ignore[method-assign]  # Gradio writes a .pyi beside a subclass
    return made


def _only_markup(value: Any) -> Any:
    return display_text(value) if isinstance(value, str) else value
