"""The sheet of an export: one row per class, its misclassified and its correct images with their maps. No
torch."""

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from explain.analysis.ranking import ClassSample
from explain.render import overlay
from explain.run.reader import RunData
from models.palette import CORRECT, WRONG

LINES = 50  # of images on a sheet, 9000 pixels: few programs open larger ones
TILE, GAP, BETWEEN, SIDES, NAMES, MARGIN, HEAD, LINE, SPACE = 128, 4, 14, 36, 150, 28, 132, 176, 16  # pixels
WIDTHS = {"wrong": 3 * TILE + 2 * GAP, "right": 2 * TILE + GAP}
Tile = tuple[Image.Image, str]  # at most TILE × TILE pixels, and why there is no map on it
INK, DIM, RULE = "#1b1d1f", "#63686d", "#e4e4e0"


def draw_sheet(
    run: RunData,
    samples: list[ClassSample],
    tiles: dict[int, list[Tile]],
    columns: int,
    title: str,
    about: str,
) -> Image.Image:
    """RGB; one row per class: its name, then `columns` wrong and `columns` correct images side by side, more
    of them below. `tiles`: of each row of the run; `about`: the line below the title."""
    lines = [max(1, math.ceil(max(len(s.wrong), len(s.right)) / columns)) for s in samples]
    left = _left(columns)
    width = left["right"] + columns * (WIDTHS["right"] + BETWEEN) - BETWEEN + MARGIN
    sheet = Image.new("RGB", (width, HEAD + sum(n * LINE + SPACE for n in lines) + MARGIN), "white")
    _heading(sheet, title, about, left)
    top = HEAD
    for sample, n in zip(samples, lines, strict=True):
        _class_row(run, sheet, top, sample, tiles, columns)
        top += n * LINE + SPACE
    return sheet


def _left(columns: int) -> dict[str, int]:
    """Where the wrong and the correct images begin, in pixels."""
    wrong = MARGIN + NAMES
    return {"wrong": wrong, "right": wrong + columns * (WIDTHS["wrong"] + BETWEEN) - BETWEEN + SIDES}


def _heading(sheet: Image.Image, title: str, about: str, left: dict[str, int]) -> None:
    draw, wide = ImageDraw.Draw(sheet), sheet.width - 2 * MARGIN
    write_line(draw, MARGIN, MARGIN - 4, title, wide, INK, 18, bold=True)
    write_line(draw, MARGIN, MARGIN + 24, about, wide, DIM, 12)
    _legend(sheet, draw, MARGIN + 50)
    for result, words, color in (
        ("wrong", "misclassified", WRONG.light),
        ("right", "correct", CORRECT.light),
    ):
        write_line(draw, left[result], HEAD - 26, words, TILE, color, 12, bold=True)


def _class_row(
    run: RunData,
    sheet: Image.Image,
    top: int,
    sample: ClassSample,
    tiles: dict[int, list[Tile]],
    columns: int,
) -> None:
    draw, left = ImageDraw.Draw(sheet), _left(columns)
    draw.line((MARGIN, top - 6, sheet.width - MARGIN, top - 6), RULE)
    _class_name(run, draw, top, sample.index)
    for result, none in (("wrong", "no errors"), ("right", "none correct")):
        for place, row in enumerate(getattr(sample, result).tolist()):
            down, across = divmod(place, columns)
            x = left[result] + across * (WIDTHS[result] + BETWEEN)
            _image(run, sheet, x, top + down * LINE, row, tiles[row])
        if not len(getattr(sample, result)):
            write_line(draw, left[result], top + TILE // 2, none, WIDTHS[result], size=12)


def _fraction(value: float) -> str:
    """.66 or 1.00, as the dashboard writes it."""
    return f"{value:.2f}".removeprefix("0")


@lru_cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """matplotlib's DejaVu: Pillow's own font has no accents."""
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' * bold}.ttf", size)


def write_line(
    draw: ImageDraw.ImageDraw,
    x: int,
    y: int,
    text: str,
    width: int,
    color: str = DIM,
    size: int = 11,
    bold: bool = False,
    end: bool = False,
) -> int:
    """One line of at most `width` pixels, shortened with an ellipsis, or with one before its `end`; the x
    after it."""
    font, text = _font(size, bold), " ".join(text.split())
    kept = text[-200:] if end else text[:200]
    while kept and font.getlength(text) > width:
        kept = kept[1:] if end else kept[:-1]
        text = f"…{kept}" if end else f"{kept.rstrip()}…"
    draw.text((x, y), text, color, font)
    return x + math.ceil(font.getlength(text))


def _legend(sheet: Image.Image, draw: ImageDraw.ImageDraw, y: int) -> None:
    """The colors as they lie on a grey picture."""
    x = write_line(draw, MARGIN, y, "evidence for the class below: none", TILE * 3) + 6
    bar = overlay(Image.new("RGB", (96, 10), "#b4b4b4"), np.linspace(0, 1, 96)[None])
    sheet.paste(bar, (x, y + 2))
    x = write_line(draw, x + bar.width + 6, y, "the map's maximum", TILE) + 24
    for words, color in (("wrong prediction", WRONG.light), ("true class", CORRECT.light)):
        draw.rectangle((x, y + 2, x + 9, y + 11), color)
        x = write_line(draw, x + 16, y, words, TILE) + 18
    write_line(draw, x, y, "numbers are probabilities", TILE * 2)


def _class_name(run: RunData, draw: ImageDraw.ImageDraw, y: int, index: int) -> None:
    """Name, recall as number and bar, and how many images there are."""
    e, wide = run.evaluation, NAMES - 22
    n, recall = int(e.support[index]), float(e.recall[index])
    write_line(draw, MARGIN, y, run.classes[index] or "(no name)", wide, INK, 14, bold=True)
    draw.rectangle((MARGIN, y + 24, MARGIN + wide, y + 27), RULE)
    if recall > 0:
        draw.rectangle((MARGIN, y + 24, MARGIN + round(recall * wide), y + 27), CORRECT.light)
    write_line(draw, MARGIN, y + 34, f"recall {_fraction(recall)}", wide, size=12)
    write_line(draw, MARGIN, y + 51, f"n {n}, wrong {n - int(e.confusion[index, index])}", wide, size=12)


def _image(run: RunData, sheet: Image.Image, x: int, y: int, row: int, tiles: list[Tile]) -> None:
    """The image with its id below, each overlay with its class and probability below, and the reason where
    there is no map."""
    draw, item = ImageDraw.Draw(sheet), run.table.loc[row]
    label, pred, p_label = (
        run.classes[int(item["label"])],
        run.classes[int(item["pred"])],
        float(np.exp(-item["loss"])),
    )
    lines = [
        (item["id"], "", DIM),
        (
            f"predicted {_fraction(item['confidence'])}",
            pred,
            CORRECT.light if item["pred"] == item["label"] else WRONG.light,
        ),
        (f"true {_fraction(p_label)}", label, CORRECT.light),
    ]
    for (picture, note), (message, name, color) in zip(tiles, lines, strict=False):
        sheet.paste(picture, (x, y))
        write_line(draw, x, y + TILE + 4, message, TILE, end=not name)
        write_line(draw, x, y + TILE + 18, name, TILE, color, 12)
        write_line(draw, x, y + TILE + 33, note, TILE, size=10)
        x += TILE + GAP
