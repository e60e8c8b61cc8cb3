"""The parts of the Layers tab: the network as a table, the channels of a layer on one sheet, and one channel alone."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dashboard.components.clickable import action, esc
from explain import render

if TYPE_CHECKING:
    from explain.activations import Activations
    from explain.layers import Layer

PAGE, COLUMNS = 64, 8
COLOURS = ("viridis", "grey")


def layer_table(layers: list["Layer"], chosen: str) -> str:
    """One row a layer; a click shows its channels."""
    from explain.layers import counted, seen

    rows = []
    for layer in layers:
        if layer.passes_on and layer.name != chosen:
            continue
        shape = "×".join(map(str, layer.shape)) or "did not run"
        zeros = "" if layer.zeros is None else f"{layer.zeros:.0%}".replace("%", " %")
        name = esc(layer.alias or layer.name or "the network")
        on = f'tabindex="0" role="button" aria-label="show {esc(layer.name)}" {action("layer", layer.name)}' if layer.name and layer.shape else ""
        facts = (shape, seen(layer.field), zeros, counted(layer.parameters), counted(layer.macs), esc(layer.kind), esc(layer.name))
        rows.append(f'<tr class="{"vt-on" if layer.name == chosen else ""}" {on}><td class="vt-name" title="{esc(layer.name)}">{name}</td>'
                    f"{''.join(f'<td>{fact}</td>' for fact in facts)}</tr>")  # fmt: skip
    heads = ("layer", "output", "sees, pixels", "zeros", "parameters", "mult-adds", "kind", "name")
    head = "".join(f"<th>{name}</th>" for name in heads)
    total = (f"{counted(sum(x.parameters for x in layers))} parameters, {counted(sum(x.macs for x in layers))} multiply-adds; "
             "zeros of this image; click a layer")  # fmt: skip
    return (f'<section class="vt-panel"><h2>The network <small>{total}</small></h2><div class="vt-scroll vt-tall">'
            f'<table class="vt-classes vt-layers"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></section>')  # fmt: skip


def channel_sheet(found: "Activations", view: dict[str, Any], ranked: np.ndarray, alias: str) -> str:
    """A page of channels, or bars for a layer without places."""
    from explain.activations import ORDERS, SCALES, scaled

    title = f"{esc(alias or found.layer)} <small>{esc(found.layer)}, {'×'.join(map(str, found.values.shape))}</small>"
    if not found.spatial:
        return f'<section class="vt-panel"><h2>{title}</h2>{_bars(found.values)}</section>'
    pages = -(-len(ranked) // PAGE)
    page = min(max(int(view["page"]), 0), pages - 1)
    shown = ranked[page * PAGE : (page + 1) * PAGE]
    maps = scaled(found.values[shown], view["scale"], (float(found.values.min()), float(found.values.max())))
    sheet, rows = render.sheet_png(maps, COLUMNS, view["colours"]), -(-len(shown) // COLUMNS)
    cells = "".join(_cell(int(channel), k, rows, channel == view["channel"], not found.values[channel].any()) for k, channel in enumerate(shown))
    choices = _choice("order", ORDERS, view["order"]) + _choice("scale", SCALES, view["scale"]) + _choice("colours", COLOURS, view["colours"])
    first, last = " disabled" if page == 0 else "", " disabled" if page == pages - 1 else ""
    pager = (f'<span class="vt-pager"><button {action("page", page - 1)} aria-label="previous page"{first}>‹</button>{page + 1} / {pages}'
             f'<button {action("page", page + 1)} aria-label="next page"{last}>›</button></span>')  # fmt: skip
    h, w = found.values.shape[1:]
    return (f'<section class="vt-panel"><h2>{title}</h2><div class="vt-toolbar">{choices}{pager}</div><div class="vt-channels" '
            f'style="--vt-sheet:url({sheet});--vt-rows:{rows};--vt-shape:{w}/{h}">{cells}</div></section>')  # fmt: skip


def _cell(channel: int, k: int, rows: int, chosen: bool, dead: bool) -> str:
    across, down = 100 * (k % COLUMNS) / (COLUMNS - 1), 100 * (k // COLUMNS) / max(rows - 1, 1)
    said = f"channel {channel}{', zero everywhere' if dead else ''}"
    return (f'<button class="vt-channel{" vt-on" if chosen else ""}{" vt-dead" if dead else ""}" aria-label="{said}" title="{said}" '
            f'style="background-position:{across:.3f}% {down:.3f}%" {action("channel", channel)}><em>{channel}</em></button>')  # fmt: skip


def _choice(name: str, options: tuple[str, ...], chosen: str) -> str:
    made = "".join(f'<option{" selected" if o == chosen else ""}>{o}</option>' for o in options)
    return f'<label>{name} <select {action(name)} aria-label="{name}">{made}</select></label>'


def _bars(values: np.ndarray) -> str:
    """Values of a layer without places, by their number."""
    top, low = max(float(values.max()), 0.0), min(float(values.min()), 0.0)
    span = (top - low) or 1.0
    width = 1000 / len(values)
    marks = "".join(f'<rect x="{i * width:.2f}" y="{100 * (top - max(v, 0)) / span:.2f}" width="{max(width * 0.9, 0.5):.2f}" '
                    f'height="{100 * abs(v) / span:.2f}"/>' for i, v in enumerate(values.tolist()))  # fmt: skip
    largest = ", ".join(f"{i} ({values[i]:.3g})" for i in np.argsort(-values)[:5])
    return (f'<p class="vt-empty">This layer has no places: one value a unit, from {low:.3g} to {top:.3g}. Largest: {largest}.</p>'
            f'<svg class="vt-values" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{len(values)} values">{marks}</svg>')


def channel_alone(found: "Activations", channel: int | None, layer: "Layer", picture: Image.Image, size: tuple[int, int], colours: str) -> str:
    """One channel enlarged, and the part of the picture that its strongest place sees. `size` (H, W): of the network's input."""
    from explain.activations import SCALES, scaled
    from explain.layers import seen

    url = render.jpeg_url(render.jpeg_bytes(picture, 480, 90))
    if channel is None or not found.spatial or channel >= len(found.values):
        inside = f'<img class="vt-photo" src="{url}" alt="the picture as the network sees it">'
        return (f'<section class="vt-panel"><h2>What the network sees</h2><div class="vt-one"><div class="vt-stack">{inside}</div></div>'
                '<p class="vt-empty">Click a channel.</p></section>')  # fmt: skip
    one, (row, column, value) = found.values[channel], found.strongest(channel)
    sheet = render.sheet_png(scaled(one[None], SCALES[0], (0, 1)), 1, colours)
    if not one.any():
        said, box = "zero everywhere on this image", ""
    else:
        said = f"strongest in row {row}, column {column}: {value:.3g}; from {one.min():.3g}; there it sees {seen(layer.field).split(',')[0]} pixels"
        box = _box(layer, row, column, size)
        if layer.field is None:
            said = said.replace("not known pixels", "a part of the picture that is not known")
        elif layer.field.size is None:
            said = said.replace(" pixels", "")
    return (f'<section class="vt-panel"><h2>Channel {channel} <small>{said}</small></h2><div class="vt-one"><div class="vt-stack">'
            f'<img class="vt-photo" src="{url}" alt="the picture as the network sees it">{box}</div><div class="vt-stack">'
            f'<img class="vt-pixels" src="{sheet}" alt="channel {channel}"></div></div></section>')  # fmt: skip


def _box(layer: "Layer", row: int, column: int, size: tuple[int, int]) -> str:
    where = layer.field.pixels(row, column) if layer.field else None
    if where is None:
        return ""
    upper, left, lower, right = (100 * min(max(value, 0), side) / side for value, side in zip(where, (*size, *size), strict=True))
    return f'<i class="vt-box" style="left:{left:.2f}%;top:{upper:.2f}%;width:{right - left:.2f}%;height:{lower - upper:.2f}%"></i>'
