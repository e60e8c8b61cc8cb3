"""The sheet of an export of a run of numbers: one row per group of images, each image with its map. No
torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from explain.export.sheet import (
    BETWEEN,
    DIM,
    GAP,
    HEAD,
    INK,
    LINE,
    MARGIN,
    NAMES,
    RULE,
    SPACE,
    TILE,
    Tile,
    write_line,
)
from explain.render import signed_overlay
from models.palette import CORRECT, WRONG

COLUMNS = 4  # images beside each other
CELL = 2 * TILE + GAP


@dataclass(frozen=True, eq=False)
class SheetCell:
    """`tiles`: the picture, and where there is one its map; `lines` below them: the id, then true and
    predicted number; `good`: whether the image is one of the best."""

    tiles: Sequence[Tile]
    lines: tuple[str, str, str]
    good: bool


@dataclass(frozen=True, eq=False)
class SheetRow:
    """A group of images of an output."""

    output: str
    group: str
    cells: Sequence[SheetCell]

    @property
    def lines(self) -> int:
        return math.ceil(len(self.cells) / COLUMNS)


def draw_number_sheet(rows: Sequence[SheetRow], title: str, about: str) -> Image.Image:
    """RGB; one row per group: output and group, then its images, `COLUMNS` beside each other. `about`: the
    line below the title."""
    columns = min(COLUMNS, max(len(row.cells) for row in rows))
    width = MARGIN + NAMES + max(2, columns) * (CELL + BETWEEN) - BETWEEN + MARGIN
    height = HEAD + sum(row.lines * LINE + SPACE for row in rows) + MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw, wide = ImageDraw.Draw(sheet), width - 2 * MARGIN
    write_line(draw, MARGIN, MARGIN - 4, title, wide, INK, 18, bold=True)
    write_line(draw, MARGIN, MARGIN + 24, about, wide, DIM, 12)
    _legend(sheet, draw, MARGIN + 50)
    top = HEAD
    for row in rows:
        draw.line((MARGIN, top - 6, width - MARGIN, top - 6), RULE)
        write_line(draw, MARGIN, top, row.output or "(no name)", NAMES - 22, INK, 14, bold=True)
        write_line(draw, MARGIN, top + 22, row.group, NAMES - 22, DIM, 12)
        for place, cell in enumerate(row.cells):
            down, across = divmod(place, COLUMNS)
            _cell(sheet, draw, MARGIN + NAMES + across * (CELL + BETWEEN), top + down * LINE, cell)
        top += row.lines * LINE + SPACE
    return sheet


def _legend(sheet: Image.Image, draw: ImageDraw.ImageDraw, y: int) -> None:
    """The colors as they lie on a grey picture."""
    x = write_line(draw, MARGIN, y, "evidence for a smaller number", TILE * 3) + 6
    bar = signed_overlay(Image.new("RGB", (96, 10), "#b4b4b4"), np.linspace(-1, 1, 96)[None])
    sheet.paste(bar, (x, y + 2))
    write_line(draw, x + bar.width + 6, y, "for a larger number; each map on its own scale", TILE * 4)


def _cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, x: int, y: int, cell: SheetCell) -> None:
    """The image with its id below, its map with the numbers below, and the reason where there is none."""
    for k, (picture, _) in enumerate(cell.tiles):
        sheet.paste(picture, (x + k * (TILE + GAP), y))
    name, true, predicted = cell.lines
    color, right = (CORRECT if cell.good else WRONG).light, x + TILE + GAP
    write_line(draw, x, y + TILE + 4, name, TILE, end=True)
    write_line(draw, right, y + TILE + 4, true, TILE)
    write_line(draw, right, y + TILE + 18, predicted, TILE, color, 12)
    write_line(draw, x, y + TILE + 33, cell.tiles[-1][1], CELL, size=10)
