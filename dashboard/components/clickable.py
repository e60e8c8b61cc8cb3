"""HTML made by the server that reports what was clicked.

Any element with `data-action` (and `data-value`) reports itself on a click, on Enter and on Space; selects, boxes and text on
change. Arrows move about in a confusion matrix. Python receives a `gr.SelectData` whose `index` is the action and whose `value` is the value;
boxes of a note (`data-keep`) come as `submit` events of the same contents, which are never dropped where one follows another.
"""

from html import escape

import gradio as gr

from explain.formatting import without_turns

_REPORT = """
const report = (node, value) => trigger('keep' in node.dataset ? 'submit' : 'select', {index: node.dataset.action, value: String(value)});
element.addEventListener('click', (event) => {
  const node = event.target.closest('[data-action]');
  if (node && element.contains(node) && !['SELECT', 'INPUT', 'TEXTAREA'].includes(node.tagName)) report(node, node.dataset.value ?? '');
});
element.addEventListener('keydown', (event) => {
  const node = event.target.closest('[data-action]');
  if (node && node === event.target && ['Enter', ' '].includes(event.key) && !['SELECT', 'INPUT', 'TEXTAREA', 'BUTTON'].includes(node.tagName)) {
    event.preventDefault();
    report(node, node.dataset.value ?? '');
  }
});
element.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
  const cell = event.target.closest('.vt-matrix td');
  if (!step || !cell) return;
  const row = cell.parentElement.parentElement.rows[cell.parentElement.sectionRowIndex + step[0]];
  row?.cells[cell.cellIndex + step[1]]?.querySelector('button')?.focus();
  event.preventDefault();
});
element.addEventListener('change', (event) => {
  const node = event.target.closest('select[data-action], input[data-action], textarea[data-action]');
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
    return escape(without_turns(str(text)), quote=True)


def held(text: object) -> str:
    """For what comes back as it was given: values of buttons, boxes and lists."""
    return escape(str(text), quote=True)


def action(name: str, value: object = "") -> str:
    return f'data-action="{held(name)}" data-value="{held(value)}"'


def choices(name: str, title: str, options: dict[str, str], chosen: str) -> str:
    """A drop-down list that reports itself as `name`."""
    items = "".join(f'<option value="{held(k)}"{" selected" if k == chosen else ""}>{esc(v)}</option>' for k, v in options.items())
    return f'<label>{title} <select data-action="{name}">{items}</select></label>'


def segments(name: str, options: dict[str, str], chosen: str, said: str) -> str:
    """Buttons of which one is on; `said` is what they choose, for a screen reader."""
    kinds = {True: 'class="vt-on" aria-pressed="true"', False: 'aria-pressed="false"'}
    buttons = "".join(f"<button {kinds[k == chosen]} {action(name, k)}>{esc(v)}</button>" for k, v in options.items())
    return f'<span class="vt-seg" role="group" aria-label="{esc(said)}">{buttons}</span>'
