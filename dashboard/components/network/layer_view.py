"""The parts of the Layers tab: the network as a table, the channels of a layer on one sheet, and one channel
alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from dashboard.components.controls import pager, pages_of, select
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.network.strongest import field_box, part_of, receptive_area
from dashboard.components.panel import empty, panel
from dashboard.components.sheet import Cell, bars, marks, sheet
from dashboard.components.toolbar import controls_row
from explain import render

if TYPE_CHECKING:
    from explain.features.activations import Activations
    from explain.network.summary import Layer

PAGE, COLUMNS = 64, 8
LARGEST = 12  # units of a layer without spatial positions that can be clicked
COLORS = ("viridis", "grey")
HEADS = ("layer", "output", "receptive field, pixels", "zeros", "parameters", "mult-adds", "kind", "name")
THE_INPUT = "the input of the network"


def layer_table(layers: list["Layer"], chosen: str) -> Markup:
    """One row per layer; a click shows its channels."""
    from explain.network.summary import format_count, missing_information

    rows = join(
        layer_row(layer, layer.name == chosen, _facts(layer), bool(layer.name and layer.shape))
        for layer in layers
        if not layer.is_passthrough or layer.name == chosen
    )
    total = (
        f"{format_count(sum(x.parameters for x in layers))} parameters, "
        f"{format_count(sum(x.macs for x in layers))} multiply-adds; zeros of this image; click a layer"
    )
    missing = empty(gap) if (gap := missing_information(layers)) else NOTHING
    return layers_panel("The network", total, HEADS, rows, missing)


def _facts(layer: "Layer") -> tuple[str, ...]:
    from explain.network.summary import format_count, format_field

    return (
        "×".join(map(str, layer.shape)) or "did not run",
        format_field(layer.field),
        "" if layer.zeros is None else f"{100 * layer.zeros:.0f} %",
        format_count(layer.parameters),
        format_count(layer.macs),
        layer.kind,
        layer.name,
    )


def layer_row(layer: "Layer", chosen: bool, facts: Sequence[str], clicks: bool = True) -> Markup:
    """A layer and its `facts`, one a column; `clicks`: whether a click chooses it."""
    click = html(
        'tabindex="0" role="button" aria-label="show {}" {}', layer.name, action("layer", layer.name)
    )
    return html(
        '<tr class="{on}" {click}><td class="vt-name" title="{name}">{alias}</td>{facts}</tr>',
        on="vt-on" if chosen else "",
        click=click if clicks else NOTHING,
        name=layer.name,
        alias=layer.alias or layer.name or "the network",
        facts=join(html("<td>{}</td>", fact) for fact in facts),
    )


def layers_panel(
    title: str, note: str, heads: Sequence[str], rows: Markup, before: Markup = NOTHING
) -> Markup:
    """A table of layers; `before`: a message above it."""
    body = html(
        '{}<div class="vt-scroll vt-tall"><table class="vt-classes vt-layers"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>",
        before,
        join(html("<th>{}</th>", head) for head in heads),
        rows,
    )
    return panel(title, body, note)


def channel_sheet(
    found: "Activations",
    view: dict[str, Any],
    ranked: np.ndarray,
    alias: str,
    link: str = "",
    towards: Markup = NOTHING,
    called: str = "class",
) -> Markup:
    """A page of channels, or bars for a layer without spatial positions. `link`: the button that copies the
    view's address; `towards`: of several labels per image, and of numbers, the choice of the label or output
    of the weights, which is `called` so."""
    from explain.features.activations import ORDERS, SCALES, scaled

    title, note = alias or found.layer, f"{found.layer}, {'×'.join(map(str, found.values.shape))}"
    if not found.spatial:
        return panel(title, _units(found.values, view["channel"]), note, link)
    page, pages = pages_of(len(ranked), PAGE, int(view["page"]))
    shown = ranked[page * PAGE : (page + 1) * PAGE]
    maps = scaled(found.values[shown], view["scale"], (float(found.values.min()), float(found.values.max())))
    cells = [_cell(int(i), i == view["channel"], not found.values[i].any()) for i in shown]
    options = {"order": ORDERS, "scale": SCALES, "colors": COLORS}
    of_label = {o: o.replace("class", called) for o in ORDERS}
    controls = controls_row(
        *(select(name, name, {o: of_label.get(o, o) for o in n}, view[name]) for name, n in options.items()),
        towards if view["order"] == ORDERS[-1] else NOTHING,
        pager(page, pages),
    )
    url = render.sheet_png(maps, COLUMNS, view["colors"])
    drawn = sheet(url, COLUMNS, cells, "channel", found.values.shape[1:])
    return panel(title, controls + drawn, note, link)


def label_choice(labels: Sequence[str], chosen: int, called: str = "label") -> Markup:
    """The label, or output, that the weights of the channels are of."""
    return select("label", called, {str(k): name for k, name in enumerate(labels)}, str(chosen))


def _cell(channel: int, chosen: bool, dead: bool) -> Cell:
    text = f"channel {channel}{', zero everywhere' if dead else ''}"
    return Cell(channel, str(channel), text, marks(chosen, dead))


def _units(values: np.ndarray, chosen: int | None) -> Markup:
    """Values of a layer without spatial positions, by their index; the largest as buttons."""
    largest = join(
        html(
            '<button class="vt-run{}" {}>{}: {:.3g}</button> ',
            " vt-on" if i == chosen else "",
            action("channel", i),
            i,
            values[i],
        )
        for i in np.argsort(-values)[:LARGEST]
    )
    text = (
        f"This layer has no spatial positions: one value per unit, from {values.min():.3g} to "
        f"{values.max():.3g}. The largest:"
    )
    return empty(text) + controls_row(largest) + bars(values.tolist())


@dataclass(frozen=True, eq=False)
class _Channel:
    """One channel of a layer; `position`: its strongest one (row, column), None where it has none."""

    found: "Activations"
    number: int
    layer: "Layer"
    size: tuple[int, int]

    @property
    def values(self) -> np.ndarray:
        return np.asarray(self.found.values[self.number])

    @property
    def position(self) -> tuple[int, int] | None:
        if not self.found.spatial or not self.values.any():
            return None
        row, column, _ = self.found.strongest(self.number)
        return row, column

    def description(self) -> str:
        """Where it is strongest, and what that position depends on."""
        from explain.network.summary import format_field

        if not self.values.any():
            return "zero everywhere on this image"
        if self.position is None:
            return f"{float(self.values):.3g}"
        row, column, value = self.found.strongest(self.number)
        field = format_field(self.layer.field).split(",")[0]
        field = f"{field} pixels" if field[:1].isdigit() else field
        return (
            f"strongest at row {row}, column {column}: {value:.3g}; minimum {self.values.min():.3g}; "
            f"receptive field: {field}"
        )

    def box(self) -> Markup:
        return field_box(self.layer, *self.position, self.size) if self.position else NOTHING


def channel_alone(
    found: "Activations",
    channel: int | None,
    layer: "Layer",
    picture: Image.Image,
    size: tuple[int, int],
    colors: str,
    projected: dict[str, np.ndarray] | str = "",
    strongest: str = "",
) -> Markup:
    """One channel enlarged, the receptive field of its strongest position, what activated it there
    (`projected`: pixel values by method, or why there are none), and its strongest images of the run. `size`
    (H, W): of the network's input."""
    url = render.jpeg_url(render.jpeg_bytes(picture, 480, 90))
    kind = "channel" if found.spatial else "unit"
    if channel is None or channel >= len(found.values):
        body = html('<div class="vt-one"><div class="vt-stack">{}</div></div>', _photo(url))
        return panel("Input of the network", body + empty(f"Click a {kind}."))
    one = _Channel(found, channel, layer, size)
    tiles = [_tile(_photo(url) + one.box(), THE_INPUT)]
    if found.spatial:
        tiles.append(_tile(_map(one, colors), "its activations"))
    note = empty(projected) if isinstance(projected, str) and projected else NOTHING
    if isinstance(projected, dict):
        where = receptive_area(layer, *(one.position or (0, 0)), size)
        tiles += [_projection(name, values, where, size) for name, values in projected.items()]
    body = html('<div class="vt-one">{}</div>{}{}', join(tiles), note, strongest)
    return panel(f"{kind.capitalize()} {channel}", body, one.description())


def _photo(url: str) -> Markup:
    return html('<img class="vt-photo" src="{}" alt="{}">', url, THE_INPUT)


def _map(one: _Channel, colors: str) -> Markup:
    from explain.features.activations import SCALES, scaled

    url = render.sheet_png(scaled(one.values[None], SCALES[0], (0, 1)), 1, colors)
    return html('<img class="vt-pixels" src="{}" alt="channel {}">', url, one.number)


def _tile(inside: Markup, caption: str, css_class: str = "") -> Markup:
    return html(
        '<figure class="vt-tile"><div class="vt-stack{}">{}</div><figcaption>{}</figcaption></figure>',
        css_class,
        inside,
        caption,
    )


def _projection(
    name: str, values: np.ndarray, where: tuple[int, int, int, int] | None, size: tuple[int, int]
) -> Markup:
    """What activated the channel, cut to its receptive field."""
    caption = f"{name}{', the framed part' if where else ''}"
    if not values.any():
        return _tile(Markup("<p>the image does not change it</p>"), caption, " vt-waiting")
    cut = render.jpeg_url(part_of(render.signed_pixels(values), where, size))
    return _tile(html('<img class="vt-photo" src="{}" alt="{}">', cut, name), caption)
