"""Pages that are written to files: every value is escaped, and a name that a page does not get is an error.
Jinja2."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explain.formatting import visible_text
from models.palette import css_variables

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
_LIGHT, _DARK = (f":root {{ {css_variables('--', dark)} }}" for dark in (False, True))
COLORS = f"{_LIGHT} @media (prefers-color-scheme: dark) {{ {_DARK} }} @media print {{ {_LIGHT} }}\n"


@lru_cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible_text(value) if type(value) is str else value,
    )


def page(name: str, **values: Any) -> str:
    """The template `name` with its values, and `style` as it is: ours, not a person's."""
    from markupsafe import Markup

    style = Markup(COLORS + (TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return _environment().get_template(name).render(style=style, **values)
