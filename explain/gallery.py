"""Pictures to take away: a sheet with every class, the overlays one by one, and a table of what they are. No torch."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont, ImageOps

from explain.errors import ClassSample, overview
from explain.pictures import seen
from explain.render import normalise, overlay, problem
from explain.run_data import RunData
from explain.run_folder import TARGETS
from models.errors import UserError

SHEET, TABLE, OVERLAYS = "sheet.png", "export.csv", "overlays"
COLUMNS = ("id", "true", "predicted", "confidence", "loss", "result", "method", "layer", "files")
CALLED = {"pred": "predicted", "label": "true"}  # a run's targets, in names of files
LINES = 50  # of images on a sheet, 9000 pixels: few programs open larger ones
TILE, GAP, BETWEEN, SIDES, NAMES, MARGIN, HEAD, LINE, SPACE = 128, 4, 14, 36, 150, 28, 132, 176, 16  # pixels
WIDTHS = {"wrong": 3 * TILE + 2 * GAP, "right": 2 * TILE + GAP}
Tile = tuple[Image.Image, str]  # at most TILE × TILE pixels, and why there is no map on it
INK, DIM, RULE, TEAL, WARM = "#1b1d1f", "#63686d", "#e4e4e0", "#0f766e", "#b8481a"


@dataclass(frozen=True)
class Export:
    """What was written: the sheet, and so many images with their overlays, into the folder."""

    sheet: Path
    images: int
    folder: Path


def export(run: RunData, out: Path, per_class: int = 2, method: str | None = None, sort: str = "most confident") -> Export:
    """`per_class` wrong and `per_class` right images of every class, the worst class first, with their maps, each on its own scale.

    An earlier export in `out` is replaced. Raises UserError where `out` holds something else.
    """
    if not 1 <= per_class <= 2 * LINES:
        raise UserError(f"{per_class} images of a class cannot be exported: ask for 1 to {2 * LINES}.")
    method, samples = method or run.manifest.request.methods[0], overview(run, per_class, sort)
    picked = [(s.index, result, rank, row) for s in samples for result in WIDTHS for rank, row in enumerate(getattr(s, result).tolist(), 1)]
    rows = [row for *_, row in picked]
    if not rows:
        raise UserError(f"The run '{run.folder}' has no readable image, so there is nothing to export: look at its data.")
    maps = {target: dict(zip(rows, run.maps(method, target, rows), strict=True)) for target in TARGETS}
    _claim(out)
    folders, columns = safe_names(run.classes), min(per_class, 2)
    on_sheet = samples[: LINES // math.ceil(per_class / columns)]
    drawn = {sample.index for sample in on_sheet}
    table, tiles, written = [], {}, set()
    for index, result, rank, row in picked:
        item, picture = run.table.loc[row], seen(run, row)
        targets = TARGETS if result == "wrong" else TARGETS[:1]
        images = {"image": picture} | {CALLED[t]: overlay(picture, normalise(maps[t][row])) for t in targets}
        name = safe(re.sub(r"[.]\w+$", "", item["id"])[-48:])
        files = [out / OVERLAYS / folders[index] / f"{result}-{rank:02d}-{name}.{kind}.png" for kind in images]
        for path, image in zip(files, images.values(), strict=True):
            _save(image, path)
        written.update(files)
        if index in drawn:
            small = [ImageOps.contain(image, (TILE, TILE), Image.Resampling.LANCZOS) for image in images.values()]
            tiles[row] = list(zip(small, ["", *(problem(maps[t][row]) for t in targets)], strict=True))
        table.append((item["id"], run.classes[index], run.classes[int(item["pred"])], item["confidence"], item["loss"], result, method,
                      run.manifest.request.layer, " ".join(path.relative_to(out).as_posix() for path in files)))  # fmt: skip
    _remove_stale(out / OVERLAYS, written)
    limits = [f"the worst {len(on_sheet)} of {len(samples)} classes"] if len(on_sheet) < len(samples) else []
    limits += ["the run has not ended"] if run.manifest.status != "complete" else []
    title = " · ".join([f"{run.manifest.request.model} on {run.manifest.request.data}", *limits])
    e, choice = run.evaluation, f"{per_class} wrong and {per_class} right of a class, {sort} first"
    about = f"{run.title(method)}, layer {run.manifest.request.layer} · accuracy {e.accuracy:.1%} of {e.support.sum()} images · {choice}"
    _save(_sheet(run, on_sheet, tiles, columns, title, about), out / SHEET)
    with _atomic(out / TABLE) as temporary:
        pd.DataFrame(table, columns=list(COLUMNS)).to_csv(temporary, index=False, float_format="%.6g")
    return Export(out / SHEET, len(rows), out)


def safe(text: str) -> str:
    """A name for a file on any system: small ASCII letters, digits, '-' and '_', at most 48, never empty."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))  # no accents
    return re.sub(r"[^a-z0-9_]+", "-", plain.lower())[:48].strip("-") or "unnamed"


def safe_names(texts: Iterable[str]) -> list[str]:
    """`safe` for each text, numbered where two would be one."""
    names: list[str] = []
    taken = {"con", "prn", "aux", "nul"}  # no names of folders on Windows
    for text in texts:
        name, number = safe(text), 1
        while name in taken:
            number += 1
            name = f"{safe(text)}-{number}"
        taken.add(name)
        names.append(name)
    return names


def _claim(out: Path) -> None:
    """Begin the table at once, so that an export that was stopped can be started again."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / TABLE).is_file())):
        raise UserError(f"'{out}' holds something else than an export (no {TABLE}): choose an earlier export, or a new or empty folder, as --out.")
    if not (out / TABLE).exists():
        with _atomic(out / TABLE) as temporary:
            temporary.write_text(",".join(COLUMNS) + "\n")


@contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """A temporary name that becomes `path` in the end. Raises UserError where it cannot be written."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"'{path}' cannot be written ({error.strerror or error}): free space, or choose another --out.") from error


def _save(image: Image.Image, path: Path) -> None:
    """PNG of the pixels alone: nothing that a camera wrote beside them goes along."""
    with _atomic(path) as temporary:
        Image.fromarray(np.asarray(image)).save(temporary, "PNG")


def _remove_stale(folder: Path, written: set[Path]) -> None:
    """Remove what an earlier export left; files of other names are not ours."""
    for path in folder.glob("*/*"):
        if path not in written and path.is_file() and path.name.startswith(("wrong-", "right-")):
            path.unlink()
    for inner in folder.iterdir():
        if inner.is_dir() and not any(inner.iterdir()):
            inner.rmdir()


def _share(value: float) -> str:
    """.66 or 1.00, as the dashboard writes it."""
    return f"{value:.2f}".removeprefix("0")


@lru_cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """matplotlib's DejaVu: Pillow's own font has no accents."""
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' * bold}.ttf", size)


def _text(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, width: int, colour: str = DIM, size: int = 11,
          bold: bool = False, end: bool = False) -> int:  # fmt: skip
    """One line of at most `width` pixels, shortened with an ellipsis, or with one before its `end`; the x after it."""
    font, text = _font(size, bold), " ".join(text.split())
    kept = text[-200:] if end else text[:200]
    while kept and font.getlength(text) > width:
        kept = kept[1:] if end else kept[:-1]
        text = f"…{kept}" if end else f"{kept.rstrip()}…"
    draw.text((x, y), text, colour, font)
    return x + math.ceil(font.getlength(text))


def _sheet(run: RunData, samples: list[ClassSample], tiles: dict[int, list[Tile]], columns: int, title: str, about: str) -> Image.Image:
    """RGB; a row a class: its name, then `columns` wrong and `columns` right images side by side, more of them below."""
    lines = [max(1, math.ceil(max(len(s.wrong), len(s.right)) / columns)) for s in samples]
    left = {"wrong": MARGIN + NAMES}
    left["right"] = left["wrong"] + columns * (WIDTHS["wrong"] + BETWEEN) - BETWEEN + SIDES
    size = (left["right"] + columns * (WIDTHS["right"] + BETWEEN) - BETWEEN + MARGIN, HEAD + sum(n * LINE + SPACE for n in lines) + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw, wide = ImageDraw.Draw(sheet), size[0] - 2 * MARGIN
    _text(draw, MARGIN, MARGIN - 4, title, wide, INK, 18, bold=True)
    _text(draw, MARGIN, MARGIN + 24, about, wide, DIM, 12)
    _legend(sheet, draw, MARGIN + 50)
    for result, words, colour in (("wrong", "misclassified", WARM), ("right", "correct", TEAL)):
        _text(draw, left[result], HEAD - 26, words, TILE, colour, 12, bold=True)
    top = HEAD
    for sample, n in zip(samples, lines, strict=True):
        draw.line((MARGIN, top - 6, size[0] - MARGIN, top - 6), RULE)
        _class_name(run, draw, top, sample.index)
        for result, none in (("wrong", "no errors"), ("right", "none right")):
            for place, row in enumerate(getattr(sample, result).tolist()):
                down, across = divmod(place, columns)
                _image(run, sheet, left[result] + across * (WIDTHS[result] + BETWEEN), top + down * LINE, row, tiles[row])
            if not len(getattr(sample, result)):
                _text(draw, left[result], top + TILE // 2, none, WIDTHS[result], size=12)
        top += n * LINE + SPACE
    return sheet


def _legend(sheet: Image.Image, draw: ImageDraw.ImageDraw, y: int) -> None:
    """The colours as they lie on a grey picture."""
    x = _text(draw, MARGIN, y, "evidence for the class below: none", TILE * 3) + 6
    bar = overlay(Image.new("RGB", (96, 10), "#b4b4b4"), np.linspace(0, 1, 96)[None])
    sheet.paste(bar, (x, y + 2))
    x = _text(draw, x + bar.width + 6, y, "the map's most", TILE) + 24
    for words, colour in (("called wrongly", WARM), ("the true class", TEAL)):
        draw.rectangle((x, y + 2, x + 9, y + 11), colour)
        x = _text(draw, x + 16, y, words, TILE) + 18
    _text(draw, x, y, "numbers are probabilities", TILE * 2)


def _class_name(run: RunData, draw: ImageDraw.ImageDraw, y: int, index: int) -> None:
    """Name, recall as number and bar, and how many images there are."""
    e, wide = run.evaluation, NAMES - 22
    n, recall = int(e.support[index]), float(e.recall[index])
    _text(draw, MARGIN, y, run.classes[index] or "(no name)", wide, INK, 14, bold=True)
    draw.rectangle((MARGIN, y + 24, MARGIN + wide, y + 27), RULE)
    if recall > 0:
        draw.rectangle((MARGIN, y + 24, MARGIN + round(recall * wide), y + 27), TEAL)
    _text(draw, MARGIN, y + 34, f"recall {_share(recall)}", wide, size=12)
    _text(draw, MARGIN, y + 51, f"n {n}, wrong {n - int(e.confusion[index, index])}", wide, size=12)


def _image(run: RunData, sheet: Image.Image, x: int, y: int, row: int, tiles: list[Tile]) -> None:
    """The picture over its id, the overlays over what the network said, and words where there is no map."""
    draw, item = ImageDraw.Draw(sheet), run.table.loc[row]
    label, pred, p_label = run.classes[int(item["label"])], run.classes[int(item["pred"])], float(np.exp(-item["loss"]))
    lines = [(item["id"], "", DIM), (f"called {_share(item['confidence'])}", pred, TEAL if item["pred"] == item["label"] else WARM),
             (f"true {_share(p_label)}", label, TEAL)]  # fmt: skip
    for (picture, note), (said, name, colour) in zip(tiles, lines, strict=False):
        sheet.paste(picture, (x, y))
        _text(draw, x, y + TILE + 4, said, TILE, end=not name)
        _text(draw, x, y + TILE + 18, name, TILE, colour, 12)
        _text(draw, x, y + TILE + 33, note, TILE, size=10)
        x += TILE + GAP
