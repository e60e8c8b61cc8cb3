"""The parts of the Layers tab: the network as a table, the channels of a layer on one sheet, and one channel
alone."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dashboard.components.clickable import action, esc
from dashboard.components.panel import panel
from dashboard.components.sheet import Cell, bars, choice, pages_of, sheet, turner
from dashboard.components.strongest import field_box, part_of, visible
from explain import render

if TYPE_CHECKING:
    from explain.features.activations import Activations
    from explain.network.summary import Layer

PAGE, COLUMNS = 64, 8
LARGEST = 12  # units of a layer without places that can be clicked
COLORS = ("viridis", "grey")


def layer_table(layers: list["Layer"], chosen: str) -> str:
    """One row a layer; a click shows its channels."""
    from explain.network.summary import format_count, format_field, missing_information

    rows = []
    for layer in layers:
        if layer.is_passthrough and layer.name != chosen:
            continue
        shape = "×".join(map(str, layer.shape)) or "did not run"
        zeros = "" if layer.zeros is None else f"{layer.zeros:.0%}".replace("%", " %")
        name = esc(layer.alias or layer.name or "the network")
        on = (
            f'tabindex="0" role="button" aria-label="show {esc(layer.name)}" {action("layer", layer.name)}'
            if layer.name and layer.shape
            else ""
        )
        facts = (
            shape,
            format_field(layer.field),
            zeros,
            format_count(layer.parameters),
            format_count(layer.macs),
            esc(layer.kind),
            esc(layer.name),
        )
        rows.append(
            f'<tr class="{"vt-on" if layer.name == chosen else ""}" {on}><td class="vt-name" '
            f'title="{esc(layer.name)}">{name}</td>'
            f"{''.join(f'<td>{fact}</td>' for fact in facts)}</tr>"
        )
    heads = ("layer", "output", "sees, pixels", "zeros", "parameters", "mult-adds", "kind", "name")
    head = "".join(f"<th>{name}</th>" for name in heads)
    total = (
        f"{format_count(sum(x.parameters for x in layers))} parameters, "
        f"{format_count(sum(x.macs for x in layers))} multiply-adds; "
        "zeros of this image; click a layer"
    )
    missing = f'<p class="vt-empty">{esc(gap)}</p>' if (gap := missing_information(layers)) else ""
    return (
        f'<section class="vt-panel"><h2>The network <small>{total}</small></h2>{missing}<div '
        'class="vt-scroll vt-tall">'
        '<table class="vt-classes '
        f'vt-layers"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></section>'
    )


def channel_sheet(
    found: "Activations", view: dict[str, Any], ranked: np.ndarray, alias: str, link: str = ""
) -> str:
    """A page of channels, or bars for a layer without places. `link`: the button that copies the view's
    address."""
    from explain.features.activations import ORDERS, SCALES, scaled

    title, note = esc(alias or found.layer), f"{esc(found.layer)}, {'×'.join(map(str, found.values.shape))}"
    if not found.spatial:
        return panel(title, _bars(found.values, view["channel"]), note, link)
    page, pages = pages_of(len(ranked), PAGE, int(view["page"]))
    shown = ranked[page * PAGE : (page + 1) * PAGE]
    maps = scaled(found.values[shown], view["scale"], (float(found.values.min()), float(found.values.max())))
    cells = [
        _cell(int(channel), channel == view["channel"], not found.values[channel].any()) for channel in shown
    ]
    choices = (
        choice("order", ORDERS, view["order"])
        + choice("scale", SCALES, view["scale"])
        + choice("colors", COLORS, view["colors"])
    )
    drawn = sheet(
        render.sheet_png(maps, COLUMNS, view["colors"]), COLUMNS, cells, "channel", found.values.shape[1:]
    )
    return panel(title, f'<div class="vt-toolbar">{choices}{turner(page, pages)}</div>{drawn}', note, link)


def _cell(channel: int, chosen: bool, dead: bool) -> Cell:
    text = f"channel {channel}{', zero everywhere' if dead else ''}"
    return Cell(channel, str(channel), text, f"{'vt-on' if chosen else ''} {'vt-dead' if dead else ''}")


def _bars(values: np.ndarray, chosen: int | None) -> str:
    """Values of a layer without places, by their number; the largest as buttons."""
    largest = "".join(
        f'<button class="vt-run{" vt-on" if i == chosen else ""}" {action("channel", i)}>{i}: '
        f"{values[i]:.3g}</button> "
        for i in np.argsort(-values)[:LARGEST]
    )
    return (
        f'<p class="vt-empty">This layer has no places: one value a unit, from {values.min():.3g} to '
        f"{values.max():.3g}. The largest:</p>"
        f'<div class="vt-toolbar">{largest}</div>{bars(values.tolist())}'
    )


def channel_alone(
    found: "Activations",
    channel: int | None,
    layer: "Layer",
    picture: Image.Image,
    size: tuple[int, int],
    colors: str,
    saw: dict[str, np.ndarray] | str = "",
    strongest: str = "",
) -> str:
    """One channel enlarged, the part of the picture that its strongest place sees, what it saw there (`saw`:
    values of pixels by name, or why there are none), and its strongest images of the run. `size` (H, W): of
    the network's input."""
    from explain.features.activations import SCALES, scaled
    from explain.network.summary import format_field

    url = render.jpeg_url(render.jpeg_bytes(picture, 480, 90))
    photo = f'<img class="vt-photo" src="{url}" alt="the picture as the network sees it">'
    if channel is None or channel >= len(found.values):
        return (
            '<section class="vt-panel"><h2>What the network sees</h2><div class="vt-one"><div '
            f'class="vt-stack">{photo}</div></div>'
            f'<p class="vt-empty">Click a {"channel" if found.spatial else "unit"}.</p></section>'
        )
    one = found.values[channel]
    row, column, value = found.strongest(channel) if found.spatial else (0, 0, float(one))
    if not one.any():
        text, box = "zero everywhere on this image", ""
    elif found.spatial:
        text = (
            f"strongest in row {row}, column {column}: {value:.3g}; from {one.min():.3g}; there it sees "
            f"{format_field(layer.field).split(',')[0]} pixels"
        )
        text = text.replace("not known pixels", "a part that is not known").replace(
            "the whole image pixels", "the whole image"
        )
        box = field_box(layer, row, column, size)
    else:
        text, box = f"{value:.3g}", ""
    tiles = [
        f'<figure class="vt-tile"><div class="vt-stack">{photo}{box}</div><figcaption>what the network '
        "sees</figcaption></figure>"
    ]
    if found.spatial:
        sheet_url = render.sheet_png(scaled(one[None], SCALES[0], (0, 1)), 1, colors)
        tiles.append(
            f'<figure class="vt-tile"><div class="vt-stack"><img class="vt-pixels" src="{sheet_url}" '
            f'alt="channel {channel}"></div>'
            "<figcaption>its activations</figcaption></figure>"
        )
    note = f'<p class="vt-empty">{esc(saw)}</p>' if isinstance(saw, str) and saw else ""
    if isinstance(saw, dict):
        where = visible(layer, row, column, size)
        tiles += [_saw(name, values, where, size) for name, values in saw.items()]
    kind = "Channel" if found.spatial else "Unit"
    return (
        f'<section class="vt-panel"><h2>{kind} {channel} <small>{text}</small></h2><div '
        f'class="vt-one">{"".join(tiles)}</div>{note}'
        f"{strongest}</section>"
    )


def _saw(
    name: str, values: np.ndarray, where: tuple[int, int, int, int] | None, size: tuple[int, int]
) -> str:
    caption = f"<figcaption>{esc(name)}{', the framed part' if where else ''}</figcaption>"
    if not values.any():
        return (
            '<figure class="vt-tile"><div class="vt-stack vt-waiting"><p>the picture does not change '
            f"it</p></div>{caption}</figure>"
        )
    cut = render.jpeg_url(part_of(render.signed_pixels(values), where, size))
    return (
        f'<figure class="vt-tile"><div class="vt-stack"><img class="vt-photo" src="{cut}" '
        f'alt="{esc(name)}"></div>{caption}</figure>'
    )
