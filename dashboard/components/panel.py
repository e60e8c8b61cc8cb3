"""A framed part of the page, a table in it, and messages."""

import re
from collections.abc import Sequence

from markupsafe import Markup

from dashboard.components.markup import NOTHING, html, join

_OPTION = re.compile(r"(--[a-z][a-z-]*)")


def panel(title: str, body: str, note: str = "", end: str = "") -> Markup:
    """A section with a heading. `note` stands beside the title, `end` at the right of the heading. Each is
    Markup or text."""
    after = html('<span class="vt-space"></span>{}', end) if end else NOTHING
    return html(
        '<section class="vt-panel"><h2>{title} <small>{note}</small>{after}</h2>{body}</section>',
        title=title,
        note=note,
        after=after,
        body=body,
    )


def warning(text: str) -> Markup:
    """A message to be read before anything else; command-line options in it are set as code."""
    parts = _OPTION.split(text)
    marked = (html("<code>{}</code>", part) if _OPTION.fullmatch(part) else part for part in parts)
    return html('<p class="vt-warning" role="alert">{}</p>', join(marked))


def empty(text: str) -> Markup:
    """A message where there is nothing to show."""
    return html('<p class="vt-empty">{}</p>', text)


def table(heads: Sequence[tuple[str, str]], rows: Markup, kind: str = "") -> Markup:
    """`heads`: (title, meaning), the meaning as a tooltip; `rows`: <tr> elements; `kind`: more CSS
    classes."""
    cells = join(html('<th title="{}">{}</th>', meaning, name) for name, meaning in heads)
    return html(
        '<div class="vt-scroll"><table class="vt-classes vt-audit {kind}"><thead><tr>{cells}</tr></thead>'
        "<tbody>{rows}</tbody></table></div>",
        kind=kind,
        cells=cells,
        rows=rows,
    )


def row(cells: Sequence[object], attributes: Markup = NOTHING) -> Markup:
    """A <tr> with one <td> per cell."""
    return html("<tr {}>{}</tr>", attributes, join(html("<td>{}</td>", cell) for cell in cells))
