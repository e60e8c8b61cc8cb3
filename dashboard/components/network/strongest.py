"""The images of the run that activate a channel most, each with the receptive field of the strongest
position."""

import io
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty
from explain.render import jpeg_url
from explain.run.reader import RunData
from models.inputs.channels import as_rgb

if TYPE_CHECKING:
    from explain.network.summary import Layer

FIND = "Find them"
TITLE = Markup("<h3>Strongest images of the run</h3>")


def strongest_strip(
    run: RunData,
    layer: "Layer",
    channel: int,
    size: tuple[int, int],
    offered: bool = True,
    otherwise: str = "",
) -> Markup:
    """Thumbnails, the strongest first; or the button that looks for them. `size` (H, W): of the network's
    input; `offered`: the button; `otherwise`: the text in its place. Nothing for runs of numbers."""
    from explain.features.top_activations import stored_counts, strongest

    if run.numbers:  # the pass over a run takes those of classes
        return NOTHING
    about = stored_counts(run)
    if about is None:
        button = html('<button class="vt-run" {}>{}</button>', action("survey"), FIND)
        text = html(
            "Not computed yet: one pass over the run, whose result is kept. {}",
            button if offered else otherwise,
        )
        return TITLE + empty(text)
    found = strongest(run, layer.name, channel)
    if found.empty:
        return TITLE + empty("None: the pass over the run did not include this layer.")
    thumbnails = run.thumbnails(found["at"].tolist())
    return html(
        "<h3>Strongest images of the run <small>of {:,}, with the receptive field of the strongest "
        'position</small></h3><div class="vt-strongest">{}</div>',
        about["images"],
        join(
            _tile(run, item, thumbnail, layer, size)
            for item, thumbnail in zip(found.itertuples(), thumbnails, strict=True)
        ),
    )


def _tile(run: RunData, item: Any, thumbnail: bytes, layer: "Layer", size: tuple[int, int]) -> Markup:
    return html(
        '<button class="vt-tile" {click} title="{id}" aria-label="show {id}"><div class="vt-stack">'
        '<img class="vt-photo" src="{url}" alt="">{box}</div><figcaption>{value:.3g} {name}</figcaption>'
        "</button>",
        click=action("row", item.at),
        id=item.id,
        url=jpeg_url(thumbnail),
        box=field_box(layer, int(item.row), int(item.column), size),
        value=item.value,
        name=truth_of(run, int(item.at)),
    )


def truth_of(run: RunData, row: int) -> str:
    """The true class of an image, or its labels."""
    if run.all_labels:
        return str(run.table.at[row, "labels"]) or "no label"
    return run.classes[int(run.table.at[row, "label"])]


def field_box(layer: "Layer", row: int, column: int, size: tuple[int, int]) -> Markup:
    """A frame around the receptive field of a position; nothing where that is unknown or the whole image."""
    where = receptive_area(layer, row, column, size)
    if where is None:
        return NOTHING
    upper, left, lower, right = (value / side for value, side in zip(where, (*size, *size), strict=True))
    return frame(left, upper, right, lower)


def frame(left: float, upper: float, right: float, lower: float) -> Markup:
    """A rectangle on an image, as fractions of its width and height."""
    return html(
        '<i class="vt-box" style="left:{:.2f}%;top:{:.2f}%;width:{:.2f}%;height:{:.2f}%"></i>',
        100 * left,
        100 * upper,
        100 * (right - left),
        100 * (lower - upper),
    )


def receptive_area(
    layer: "Layer", row: int, column: int, size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """(upper, left, lower, right) in pixels of the input, clipped to it."""
    where = layer.field.pixels(row, column) if layer.field and layer.spatial else None
    if where is None:
        return None
    return tuple(min(max(value, 0), side) for value, side in zip(where, (*size, *size), strict=True))  # type: ignore[return-value]


def part_of(
    picture: Image.Image, where: tuple[int, int, int, int] | None, size: tuple[int, int], side: int = 240
) -> bytes:
    """JPEG of that part of an image of the input, enlarged; all of it where `where` is None."""
    picture = as_rgb(picture)
    picture = picture.resize((size[1], size[0])) if picture.size != (size[1], size[0]) else picture
    upper, left, lower, right = where or (0, 0, *size)
    cut = picture.crop((left, upper, max(right, left + 1), max(lower, upper + 1)))
    scale = side / max(cut.size)
    buffer = io.BytesIO()
    cut.resize(
        (max(1, round(cut.width * scale)), max(1, round(cut.height * scale))), Image.Resampling.NEAREST
    ).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
