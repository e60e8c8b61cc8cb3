"""HTML made by the server that reports what was clicked.

Any element with `data-action` (and `data-value`) reports itself on a click, on Enter and on Space, selects and check
boxes on change. Python receives a `gr.SelectData` whose `index` is the action and whose `value` is the value.
"""

from html import escape

import gradio as gr

_REPORT = """
const report = (node, value) => trigger('select', {index: node.dataset.action, value: String(value)});
element.addEventListener('click', (event) => {
  const node = event.target.closest('[data-action]');
  if (node && element.contains(node) && !['SELECT', 'INPUT'].includes(node.tagName)) report(node, node.dataset.value ?? '');
});
element.addEventListener('keydown', (event) => {
  const node = event.target.closest('[data-action]');
  if (node && node === event.target && ['Enter', ' '].includes(event.key) && !['SELECT', 'INPUT', 'BUTTON'].includes(node.tagName)) {
    event.preventDefault();
    report(node, node.dataset.value ?? '');
  }
});
element.addEventListener('change', (event) => {
  const node = event.target.closest('select[data-action], input[data-action]');
  if (node) report(node, node.type === 'checkbox' ? node.checked : node.value);
});
"""


def clickable(value: str, elem_id: str, script: str = "") -> gr.HTML:
    """A `gr.HTML` whose value is markup from this package; its `select` event carries action and value.

    Not a subclass: Gradio writes a .pyi file beside every one. `script` runs once, when the piece is loaded.
    """
    return gr.HTML(value, js_on_load=_REPORT + script, apply_default_css=False, elem_id=elem_id)


def esc(text: object) -> str:
    """Every name from a run, a file or a person goes through this: Gradio escapes nothing."""
    return escape(str(text), quote=True)


def action(name: str, value: object = "") -> str:
    return f'data-action="{esc(name)}" data-value="{esc(value)}"'


def share(value: float) -> str:
    """.66, 1.0, or a dash for what could not be measured."""
    return "–" if value != value else f"{value:.2f}".removeprefix("0") if value < 0.995 else "1.0"


def percent(value: float) -> str:
    return "–" if value != value else f"{value:.0%}".replace("%", " %")
