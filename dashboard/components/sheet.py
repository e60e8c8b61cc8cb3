"""A sheet of small images, each a button, cut by the browser from one image; and values as bars."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboard.components.markup import action, html, join


@dataclass(frozen=True)
class Cell:
    """`value`: what a click reports; `text`: written on it; `description`: its label; `css_class`: '',
    'vt-on', 'vt-dead' ..."""

    value: int
    text: str
    description: str
    css_class: str = ""


def sheet(
    url: str, columns: int, cells: Sequence[Cell], name: str, shape: tuple[int, int], css_class: str = ""
) -> Markup:
    """`url`: the cells side by side, `columns` in a row, each `shape` (h, w); `name`: the action that a click
    reports."""
    rows = -(-len(cells) // columns)
    return html(
        '<div class="vt-channels {css_class}" style="--vt-sheet:url({url});--vt-columns:{columns};'
        '--vt-rows:{rows};--vt-shape:{wide}/{high}">{buttons}</div>',
        css_class=css_class,
        url=url,
        columns=columns,
        rows=rows,
        wide=shape[1],
        high=shape[0],
        buttons=join(_button(cell, k, columns, rows, name) for k, cell in enumerate(cells)),
    )


def _button(cell: Cell, k: int, columns: int, rows: int, name: str) -> Markup:
    return html(
        '<button class="vt-channel {css_class}" aria-label="{description}" title="{description}" '
        'style="background-position:{across:.3f}% {down:.3f}%" {click}><em>{text}</em></button>',
        css_class=cell.css_class,
        description=cell.description,
        across=100 * (k % columns) / max(columns - 1, 1),
        down=100 * (k // columns) / max(rows - 1, 1),
        click=action(name, cell.value),
        text=cell.text,
    )


def marks(chosen: bool, dead: bool) -> str:
    """CSS classes of a cell."""
    return f"{'vt-on' if chosen else ''} {'vt-dead' if dead else ''}"


def bars(values: Sequence[float]) -> Markup:
    """Values by their index, from zero up and down."""
    top, low = max(*values, 0.0), min(*values, 0.0)
    span, width = (top - low) or 1.0, 1000 / len(values)
    return html(
        '<svg class="vt-values" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        'aria-label="{} values">{}</svg>',
        len(values),
        join(
            html(
                '<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>',
                i * width,
                100 * (top - max(v, 0)) / span,
                max(width * 0.9, 0.5),
                100 * abs(v) / span,
            )
            for i, v in enumerate(values)
        ),
    )
