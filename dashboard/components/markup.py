"""HTML as a type. `Markup` is HTML; everything else is text and is escaped where it becomes part of HTML.

Templates are literals of this package with fields as in `str.format`; `tests/test_injection.py` holds that.
Text is escaped in one of two ways: `display_text` for what is read, `verbatim` for what comes back from the
page unchanged (values of buttons, inputs and lists).
"""

from collections.abc import Iterable
from numbers import Number

from markupsafe import Markup

from explain.formatting import visible_text

NOTHING = Markup()


def display_text(value: object) -> Markup:
    """Text for display: escaped, without control characters and characters that change the direction of
    reading. Markup stays as it is."""
    if isinstance(value, Markup):
        return value
    return Markup.escape(visible_text(str(value)))


def verbatim(value: object) -> Markup:
    """Text that the page sends back as it was given: escaped, nothing removed."""
    return Markup.escape(str(value))


def html(template: str, /, *values: object, **named: object) -> Markup:
    """`template`, a literal of ours, with its fields filled: numbers by their format, Markup as it is, all
    else by `display_text`."""
    # every field is escaped or a number by now: str.format is ten times faster than Markup.format
    return Markup(str.format(template, *map(_field, values), **{k: _field(v) for k, v in named.items()}))


def _field(value: object) -> object:
    return value if isinstance(value, int | float | Number) else display_text(value)


def join(parts: Iterable[object], separator: str = "") -> Markup:
    """The parts one after another, each as `display_text`."""
    return display_text(separator).join(map(display_text, parts))


def action(name: str, value: object = "") -> Markup:
    """Attributes that make an element report `name` and `value` when it is clicked or changed."""
    return html('data-action="{}" data-value="{}"', verbatim(name), verbatim(value))
