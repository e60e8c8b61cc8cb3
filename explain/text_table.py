"""Tables for a terminal: plain columns, the heading in bold where the output is a terminal."""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from explain.formatting import without_direction_marks

_WIDEST = 1_000_000  # characters of a line: nothing is cut or wrapped, a terminal wraps by itself


@dataclass(frozen=True)
class TextTable:
    """A table for a terminal or a page: `rows` of cells, the heading first, or none; `title` and `meaning`
    stand above it, where they are not empty; columns in `right` are numbers."""

    title: str
    meaning: str
    rows: Sequence[Sequence[str]]
    right: Collection[int] = ()


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """One line a row, the first row is the heading; each column is as wide as its widest cell on a terminal,
    where a Chinese character takes two places. Columns in `right` are right-aligned. Cells are text: control
    characters in them are written as escapes, and nothing in them is markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading, *body = ([Text(printable(cell)) for cell in row] for row in rows)
    table = Table(box=None, pad_edge=False)
    for k, cell in enumerate(heading):
        table.add_column(cell, justify="right" if k in right else "left", no_wrap=True, overflow="crop")
    for row in body:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=_WIDEST, force_terminal=Console().is_terminal)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def printable(text: str) -> str:
    r"""Text of one line that does nothing to a terminal: control characters as escapes (`\x1b`), characters
    that turn the direction of reading replaced."""
    return "".join(
        character if character.isprintable() or character == "\xa0" else repr(character)[1:-1]
        for character in without_direction_marks(text)
    )
