"""A framed part of the page, and a table of numbers in it."""

import re
from collections.abc import Sequence

from dashboard.components.clickable import esc


def panel(title: str, body: str, note: str = "", end: str = "") -> str:
    """`title`, `note` and `end` (what stands at the right of the head) are markup."""
    after = f'<span class="vt-space"></span>{end}' if end else ""
    return f'<section class="vt-panel"><h2>{title} <small>{note}</small>{after}</h2>{body}</section>'


def warning(text: str) -> str:
    """What must be read before anything else; `text` is plain, its command-line options are set off."""
    marked = re.sub(r"(--[a-z][a-z-]*)", r"<code>\1</code>", esc(text))
    return f'<p class="vt-warning" role="alert">{marked}</p>'


def empty(text: str) -> str:
    """Said where there is nothing to show; `text` is markup."""
    return f'<p class="vt-empty">{text}</p>'


def table(heads: Sequence[tuple[str, str]], rows: str, kind: str = "") -> str:
    """Heads are (markup, what it means); rows are markup."""
    cells = "".join(f'<th title="{esc(meaning)}">{name}</th>' for name, meaning in heads)
    return (
        '<div class="vt-scroll"><table class="vt-classes vt-audit '
        f'{kind}"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
