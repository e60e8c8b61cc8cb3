"""Controls of methods, made from the registry: a group for each method that has parameters, shown while it is
chosen."""

from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr

from explain.methods.spec import Method, Parameter


class ParameterControls:
    """`inputs` are all controls in one order; `groups` show and hide; `read` gives what differs from the
    defaults."""

    def __init__(self, methods: Iterable[Method]):
        self._methods = [m for m in methods if m.parameters]
        self.inputs: list[Any] = []
        self.groups: list[gr.Group] = []
        for method in self._methods:
            with gr.Group(visible=False, elem_classes="vt-parameters") as group:
                gr.Markdown(f"**{method.title}**")
                self.inputs += [_control(p) for p in method.parameters]
            self.groups.append(group)

    def visible(self, chosen: Sequence[str]) -> list[gr.Group]:
        return [gr.Group(visible=m.name in chosen) for m in self._methods]

    def read(self, values: Sequence[Any]) -> dict[str, tuple[tuple[str, Any], ...]]:
        """Raises UserError for a value that a parameter does not take."""
        given, rest = {}, iter(values)
        for method in self._methods:
            read = [(p.name, p.read(next(rest)), p.default) for p in method.parameters]
            given[method.name] = tuple((name, value) for name, value, default in read if value != default)
        return given


def _control(p: Parameter) -> Any:
    label = p.name.replace("_", " ")
    if isinstance(p.default, bool):
        return gr.Checkbox(p.default, label=label, info=p.help)
    if p.choices:
        return gr.Dropdown(list(p.choices), value=p.default, label=label, info=p.help)
    return gr.Number(
        p.default,
        label=label,
        info=f"{p.help} ({p.low:g} to {p.high:g})",
        precision=0 if isinstance(p.default, int) else None,
    )
