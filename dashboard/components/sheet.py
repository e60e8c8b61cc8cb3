"""A sheet of small pictures, each a button, from one image: browsers cut it up, and grids wrap as they
like."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.components.clickable import action, esc


@dataclass(frozen=True)
class Cell:
    """What a click reports, what is written on it, what is said of it, and how it looks: '', 'vt-on',
    'vt-dead' ..."""

    value: int
    text: str
    description: str
    look: str = ""


def sheet(
    url: str, columns: int, cells: Sequence[Cell], name: str, shape: tuple[int, int], look: str = ""
) -> str:
    """`url`: the cells side by side, `columns` in a row, each `shape` (h, w); `name`: of the action that a
    click reports."""
    rows = -(-len(cells) // columns)
    buttons = "".join(_button(cell, k, columns, rows, name) for k, cell in enumerate(cells))
    return (
        f'<div class="vt-channels {look}" '
        f'style="--vt-sheet:url({url});--vt-columns:{columns};--vt-rows:{rows};'
        f'--vt-shape:{shape[1]}/{shape[0]}">{buttons}</div>'
    )


def _button(cell: Cell, k: int, columns: int, rows: int, name: str) -> str:
    across, down = 100 * (k % columns) / max(columns - 1, 1), 100 * (k // columns) / max(rows - 1, 1)
    return (
        f'<button class="vt-channel {cell.look}" aria-label="{esc(cell.description)}" '
        f'title="{esc(cell.description)}" '
        f'style="background-position:{across:.3f}% {down:.3f}%" '
        f"{action(name, cell.value)}><em>{esc(cell.text)}</em></button>"
    )


def choice(name: str, options: Sequence[str], chosen: str, title: str = "") -> str:
    made = "".join(f"<option{' selected' if o == chosen else ''}>{esc(o)}</option>" for o in options)
    return (
        f'<label>{title or name} <select {action(name)} aria-label="{title or name}">{made}</select></label>'
    )


def pages_of(count: int, size: int, page: int) -> tuple[int, int]:
    """The page that there is, and how many there are."""
    pages = max(1, -(-count // size))
    return min(max(page, 0), pages - 1), pages


def turner(page: int, pages: int) -> str:
    """‹ 1 / 3 ›, or nothing where everything fits on one page."""
    if pages < 2:
        return ""
    first, last = " disabled" if page == 0 else "", " disabled" if page == pages - 1 else ""
    return (
        f'<span class="vt-pager"><button {action("page", page - 1)} aria-label="previous '
        f'page"{first}>‹</button>{page + 1} / {pages}'
        f'<button {action("page", page + 1)} aria-label="next page"{last}>›</button></span>'
    )


def bars(values: Sequence[float]) -> str:
    """Values by their number, from zero up and down."""
    top, low = max(*values, 0.0), min(*values, 0.0)
    span, width = (top - low) or 1.0, 1000 / len(values)
    marks = "".join(
        f'<rect x="{i * width:.2f}" y="{100 * (top - max(v, 0)) / span:.2f}" '
        f'width="{max(width * 0.9, 0.5):.2f}" '
        f'height="{100 * abs(v) / span:.2f}"/>'
        for i, v in enumerate(values)
    )
    return (
        '<svg class="vt-values" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{len(values)} values">{marks}</svg>'
    )
