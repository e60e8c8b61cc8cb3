"""HTML made by the server that reports what was clicked.

Any element with `data-action` (and `data-value`) reports itself on a click, on Enter and on Space; selects,
boxes and text on change. Arrows move about in a confusion matrix. Python receives a `gr.SelectData` whose
`index` is the action and whose `value` is the value; boxes of a note (`data-keep`) come as `submit` events of
the same contents, which are never dropped where one follows another.
"""

from html import escape
from pathlib import Path

import gradio as gr

from explain.formatting import without_turns


def script(name: str) -> str:
    """A .js file of this folder."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


_REPORT = script("clickable.js")


def clickable(value: str, elem_id: str, more: str = "") -> gr.HTML:
    """A `gr.HTML` whose value is markup from this package; its `select` event carries action and value.

    Not a subclass: Gradio writes a .pyi file beside every one. `more` is a script of its own,
    which runs once, when the piece is loaded.
    """
    return gr.HTML(value, js_on_load=_REPORT + more, apply_default_css=False, elem_id=elem_id)


def esc(text: object) -> str:
    """Every name from a run, a file or a person goes through this: Gradio escapes nothing."""
    return escape(without_turns(str(text)), quote=True)


def held(text: object) -> str:
    """For what comes back as it was given: values of buttons, boxes and lists."""
    return escape(str(text), quote=True)


def action(name: str, value: object = "") -> str:
    return f'data-action="{held(name)}" data-value="{held(value)}"'


def choices(name: str, title: str, options: dict[str, str], chosen: str) -> str:
    """A drop-down list that reports itself as `name`."""
    items = "".join(
        f'<option value="{held(k)}"{" selected" if k == chosen else ""}>{esc(v)}</option>'
        for k, v in options.items()
    )
    return f'<label>{title} <select data-action="{name}">{items}</select></label>'


def segments(name: str, options: dict[str, str], chosen: str, label: str) -> str:
    """Buttons of which one is on; `label` is what they choose, for a screen reader."""
    kinds = {True: 'class="vt-on" aria-pressed="true"', False: 'aria-pressed="false"'}
    buttons = "".join(
        f"<button {kinds[k == chosen]} {action(name, k)}>{esc(v)}</button>" for k, v in options.items()
    )
    return f'<span class="vt-seg" role="group" aria-label="{esc(label)}">{buttons}</span>'
