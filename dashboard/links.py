"""Links to a view: query parameters of the page, copied by a button, read when the page is opened."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from dashboard.components.markup import html, verbatim
from explain.run.reader import RunData
from models.errors import UserError

TAB, IMAGE, PAGE = "tab", "image", "sheet"  # Gradio keeps the word `page` for itself


def copy_link(**parts: object) -> Markup:
    """The button that copies the page's address with these parameters; those that are empty or None are left
    out."""
    return linked("?" + urlencode({k: str(v) for k, v in parts.items() if v not in ("", None)}))


def linked(query: str) -> Markup:
    """The button that copies the page's address with this query."""
    return html('<button class="vt-link" data-link="{}">copy link</button>', verbatim(query))


def row_of(run: RunData, parameters: Mapping[str, str]) -> int | None:
    """The row of the image that a link names; None where the run has no such readable image."""
    found = run.ok.index[run.ok["id"] == parameters.get(IMAGE)]
    return int(found[0]) if len(found) else None


def image_of(run: RunData, subject: Mapping[str, object] | None) -> str:
    """The name that a link needs; nothing for pictures from outside, which nobody else can open."""
    return str(run.table.at[int(str(subject["row"])), "id"]) if subject and "row" in subject else ""


def number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 8 else None


def clicked_row(run: RunData, value: object) -> int:
    """The row that a click names. Raises UserError where the run has no such row."""
    row = number(str(value))
    if row is None or row not in run.table.index:
        raise UserError(f"The run has no image number '{str(value)[:40]}': reload the page.")
    return row


def in_inspect(run: RunData, row: object, label: int | None = None) -> list[Any]:
    """Values for `ctx.opened` and `ctx.tabs`: this row of the run, in Inspect; again where it is there
    already. `label`: of several labels per image, the one whose maps are shown. Raises UserError where the
    run has no such row."""
    opened = {"row": clicked_row(run, row), "click": time.monotonic_ns(), "label": label}
    return [opened, gr.Tabs(selected="inspect")]
