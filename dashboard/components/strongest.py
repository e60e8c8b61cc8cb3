"""The strongest images of a channel in the run, each with the part that its strongest place sees."""

import io
from typing import TYPE_CHECKING

from PIL import Image

from dashboard.components.clickable import action, esc
from explain.render import jpeg_url
from explain.run.reader import RunData

if TYPE_CHECKING:
    from explain.network.summary import Layer

FIND = "Find them"


def strongest_strip(
    run: RunData,
    layer: "Layer",
    channel: int,
    size: tuple[int, int],
    offered: bool = True,
    otherwise: str = "",
) -> str:
    """Thumbnails, the strongest first; or the button that looks for them. `size` (H, W): of the network's
    input; `offered`: the button; `otherwise`: what stands there without it."""
    from explain.features.top_activations import stored_counts, strongest

    about = stored_counts(run)
    if about is None:
        button = f'<button class="vt-run" {action("survey")}>{FIND}</button>' if offered else otherwise
        return (
            '<h3>Strongest images of the run</h3><p class="vt-empty">Not looked for yet: one pass over '
            f"the run, then kept. {button}</p>"
        )
    found = strongest(run, layer.name, channel)
    if found.empty:
        return (
            '<h3>Strongest images of the run</h3><p class="vt-empty">None: the run has not seen this '
            "layer.</p>"
        )
    tiles = []
    for item, thumbnail in zip(found.itertuples(), run.thumbnails(found["at"].tolist()), strict=True):
        name, text = (
            run.classes[int(run.table.at[item.at, "label"])],
            f'title="{esc(item.id)}" aria-label="show {esc(item.id)}"',
        )
        tiles.append(
            f'<button class="vt-tile" {action("row", item.at)} {text}><div class="vt-stack">'
            f'<img class="vt-photo" src="{jpeg_url(thumbnail)}" '
            f'alt="">{field_box(layer, int(item.row), int(item.column), size)}</div>'
            f"<figcaption>{item.value:.3g} {esc(name)}</figcaption></button>"
        )
    return (
        f"<h3>Strongest images of the run <small>of {about['images']:,}, with what the place "
        "sees</small></h3>"
        f'<div class="vt-strongest">{"".join(tiles)}</div>'
    )


def field_box(layer: "Layer", row: int, column: int, size: tuple[int, int]) -> str:
    """A frame around what a place sees, in percent of the picture; nothing where that is not known or
    everything."""
    where = visible(layer, row, column, size)
    if where is None:
        return ""
    upper, left, lower, right = (
        100 * value / side for value, side in zip(where, (*size, *size), strict=True)
    )
    return (
        '<i class="vt-box" '
        f'style="left:{left:.2f}%;top:{upper:.2f}%;width:{right - left:.2f}%;height:{lower - upper:.2f}%">'
        "</i>"
    )


def visible(layer: "Layer", row: int, column: int, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """(upper, left, lower, right) in pixels of the input, clipped to it."""
    where = layer.field.pixels(row, column) if layer.field and layer.spatial else None
    if where is None:
        return None
    return tuple(min(max(value, 0), side) for value, side in zip(where, (*size, *size), strict=True))  # type: ignore[return-value]


def part_of(
    picture: Image.Image, where: tuple[int, int, int, int] | None, size: tuple[int, int], side: int = 240
) -> bytes:
    """JPEG of that part of a picture of the input, enlarged; all of it where `where` is None."""
    picture = picture.resize((size[1], size[0])) if picture.size != (size[1], size[0]) else picture
    upper, left, lower, right = where or (0, 0, *size)
    cut = picture.crop((left, upper, max(right, left + 1), max(lower, upper + 1)))
    scale = side / max(cut.size)
    buffer = io.BytesIO()
    cut.resize(
        (max(1, round(cut.width * scale)), max(1, round(cut.height * scale))), Image.Resampling.NEAREST
    ).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
