"""The parts of the Filters tab: layers with filters, what they want to see, their weights, and one filter
alone."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dashboard.components.clickable import action, esc
from dashboard.components.panel import panel
from dashboard.components.sheet import Cell, bars, choice, pages_of, sheet, turner
from explain import render

if TYPE_CHECKING:
    from explain.features.activation_maximization import Maximized
    from explain.features.kernels import Kernels
    from explain.network.summary import Layer

PAGE, COLUMNS = 64, 8
SLICES = 64
WIDEST = 1024  # columns of a strip
UNMOVED = "no input activates this unit"
SHARPNESS = 192  # pixels a picture on the sheet


def filter_table(layers: list[tuple["Layer", int]], chosen: str) -> str:
    """One row a layer, with how many filters it has; a click shows them."""
    rows = []
    for layer, count in layers:
        on = f'tabindex="0" role="button" aria-label="show {esc(layer.name)}" {action("layer", layer.name)}'
        facts = (str(count), esc(layer.kind), esc(layer.name))
        rows.append(
            f'<tr class="{"vt-on" if layer.name == chosen else ""}" {on}><td class="vt-name" '
            f'title="{esc(layer.name)}">'
            f"{esc(layer.alias or layer.name)}</td>{''.join(f'<td>{fact}</td>' for fact in facts)}</tr>"
        )
    head = "".join(f"<th>{name}</th>" for name in ("layer", "filters", "kind", "name"))
    return (
        '<section class="vt-panel"><h2>Layers with filters <small>click one</small></h2><div '
        'class="vt-scroll vt-tall">'
        '<table class="vt-classes '
        f'vt-layers"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></section>'
    )


def feature_panel(
    made: "Maximized | None", title: str, names: list[str], chosen: int | None, note: str = ""
) -> str:
    """The maximized pictures on one sheet, or what to do to get them. `names`: of the units."""
    message = note or "Feature visualization: images optimized from noise by gradient ascent."
    head = f'<h2>{title}</h2><p class="vt-empty">{esc(message)}</p>'
    if made is None:
        return f'<section class="vt-panel">{head}</section>'
    columns = 4 if len(made.units) <= 16 else COLUMNS
    cells = [_wish(made, k, names[k], unit == chosen) for k, unit in enumerate(made.units)]
    side = SHARPNESS if columns == 4 else SHARPNESS // 2
    drawn = sheet(
        render.pictures_url(made.pictures, columns, side),
        columns,
        cells,
        "wish",
        made.pictures.shape[1:3],
        f"vt-wishes vt-by-{columns}",
    )
    return f'<section class="vt-panel">{head}{_bar(made)}{drawn}</section>'


def _wish(made: "Maximized", k: int, name: str, chosen: bool) -> Cell:
    dead = not made.moved[k] and made.step > 0
    message = (
        f"{name}: {UNMOVED if dead else f'{made.began[k]:.3g} for noise, {made.answers[k]:.3g} for this'}"
    )
    return Cell(made.units[k], name, message, f"{'vt-on' if chosen else ''} {'vt-dead' if dead else ''}")


def _bar(made: "Maximized") -> str:
    if made.step >= made.steps:
        return ""
    return f'<span class="vt-bar vt-long"><i style="width:{100 * made.step / made.steps:.0f}%"></i></span>'


def kernel_panel(found: "Kernels", view: dict[str, Any], alias: str, link: str = "") -> str:
    """A page of the layer's filters: as pictures, or as strips of their norms by input channel. `link`: the
    button that copies the view's address."""
    from explain.features.kernels import DEAD, DUPLICATES, SORTS

    count, wide, high, across = found.weights.shape
    ranked = found.order(view["sort"])
    page, pages = pages_of(count, PAGE, int(view["page"]))
    shown = ranked[page * PAGE : (page + 1) * PAGE]
    size = f"{high}×{across} over {wide} channel{'s' if wide > 1 else ''}" + (
        f", in {found.groups} groups" if found.groups > 1 else ""
    )
    dead, duplicates = int(found.dead.sum()), int(found.duplicate.sum())
    told = [f"{dead} dead (norm at most {DEAD:.0%} of the median)"] if dead else ["none is dead"]
    if (found.twin >= 0).any():
        told.append(
            f"{duplicates} nearly the same as another (cosine of weights ≥ {DUPLICATES:g})"
            if duplicates
            else "no two are nearly the same"
        )
    cells = [_kernel(found, int(number), number == view["unit"]) for number in shown]
    if found.pictures:
        drawn = sheet(
            render.kernels_png(found.weights[shown], COLUMNS), COLUMNS, cells, "unit", (high, across)
        )
    else:
        drawn = _strips(found.input_norms(), shown, cells)
    what = (
        "each up to its own largest weight; grey is zero"
        if found.pictures
        else "one row a filter: how large its weights are, by input channel"
    )
    tools = (
        f'<div class="vt-toolbar">{choice("sort", SORTS, view["sort"])}<span>{what}</span>'
        f"{turner(page, pages)}</div>"
    )
    return panel(
        f"Weights of {esc(alias)}", tools + drawn, f"{count} filters, {size}; {'; '.join(told)}", link
    )


def _kernel(found: "Kernels", number: int, chosen: bool) -> Cell:
    dead, twin = bool(found.dead[number]), bool(found.duplicate[number])
    message = f"filter {number}, norm {found.norms[number]:.3g}" + (
        ", dead" if dead else f", like {found.twin[number]}" if twin else ""
    )
    text = f"{number}" + (" dead" if dead else f" ≈ {found.twin[number]}" if twin else "")
    return Cell(number, text, message, f"{'vt-on' if chosen else ''} {'vt-dead' if dead else ''}")


def _strips(norms: np.ndarray, shown: np.ndarray, cells: list[Cell]) -> str:
    """Rows on one scale for the layer, so that filters can be compared."""
    bins = -(-norms.shape[1] // WIDEST)  # the largest of so many channels
    padded = np.pad(norms[shown], ((0, 0), (0, -norms.shape[1] % bins)))
    values = padded.reshape(len(shown), -1, bins).max(2) / max(float(norms.max()), 1e-12)
    return sheet(
        render.sheet_png(values[:, None], 1, "viridis", WIDEST), 1, cells, "unit", (1, 1), "vt-strips"
    )


def filter_alone(found: "Kernels", number: int, name: str, made: "Maximized | None", strongest: str) -> str:
    """One filter: what it wants to see, how large it is, its slices, and its strongest images of the run."""
    rank = int((found.norms > found.norms[number]).sum()) + 1
    facts = [f"norm {found.norms[number]:.3g}, {rank} of {len(found.norms)}"]
    if found.dead[number]:
        facts.append("dead: its weights are next to nothing")
    elif found.duplicate[number]:
        facts.append(f"nearly the same as {found.twin[number]} (cosine {found.cosine[number]:.2f})")
    picture = ""
    if made is not None and number in made.units:
        picture, told = _picture(made, number, name)
        facts.append(told)
    return (
        f'<section class="vt-panel"><h2>{esc(name)} <small>{"; ".join(facts)}</small></h2><div '
        f'class="vt-alone">{picture}'
        f"<div>{_slices(found, number)}</div></div>{strongest}</section>"
    )


def class_alone(number: int, name: str, made: "Maximized") -> str:
    """One class: what it wants to see."""
    picture, told = _picture(made, number, name)
    return (
        f'<section class="vt-panel"><h2>{esc(name)} <small>class {number}; {told}</small></h2><div '
        f'class="vt-alone">{picture}</div></section>'
    )


def _picture(made: "Maximized", unit: int, name: str) -> tuple[str, str]:
    """Enlarged, and how strongly it is answered to."""
    k = made.units.index(unit)
    url = render.jpeg_url(render.jpeg_bytes(Image.fromarray(made.pictures[k]), 480, 92))
    picture = (
        f'<div class="vt-stack"><img class="vt-photo" src="{url}" alt="feature visualization of '
        f'{esc(name)}"></div>'
    )
    return picture, f"{made.began[k]:.3g} for noise, {made.answers[k]:.3g} for this picture" if made.moved[
        k
    ] else UNMOVED


def _slices(found: "Kernels", number: int) -> str:
    weights = found.weights[number]
    if min(weights.shape[1:]) == 1 and weights[0].size == 1:
        values = weights[:, 0, 0]
        largest = ", ".join(
            f"{found.inputs(number)[i]} ({values[i]:+.2g})" for i in np.argsort(-np.abs(values))[:5]
        )
        return (
            '<h3>Weights by input channel</h3><p class="vt-empty">Largest: '
            f"{largest}.</p>{bars(values.tolist())}"
        )
    strong = np.argsort(-found.input_norms()[number], kind="stable")[:SLICES]
    top = float(np.abs(weights).max()) or 1.0
    columns = min(COLUMNS, len(strong))
    items = "".join(
        f'<figure><img src="{render.difference_png(weights[i] / top)}" '
        f'alt=""><figcaption>{found.inputs(number)[i]}</figcaption></figure>'
        for i in strong
    )
    more = f", the {SLICES} largest of {len(weights)}" if len(weights) > SLICES else ""
    signs = f'<span class="vt-ok">positive</span>, <span class="vt-bad">negative</span>, one scale{more}'
    return (
        f"<h3>Slices by input channel <small>{signs}</small></h3>"
        f'<div class="vt-slices" style="--vt-columns:{columns}">{items}</div>'
    )
