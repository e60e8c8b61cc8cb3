"""The parts of the Filters tab: layers with filters, feature visualizations, weights, one filter alone."""

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from dashboard.components.controls import pager, pages_of, select
from dashboard.components.markup import NOTHING, html, join
from dashboard.components.network.layer_view import layer_row, layers_panel
from dashboard.components.panel import empty, panel
from dashboard.components.sheet import Cell, bars, marks, sheet
from dashboard.components.toolbar import controls_row
from explain import render
from explain.formatting import counted, ordinal

if TYPE_CHECKING:
    from explain.features.activation_maximization import Maximized
    from explain.features.kernels import Kernels
    from explain.network.summary import Layer

PAGE, COLUMNS = 64, 8
SLICES, LARGEST = 64, 5
WIDEST = 1024  # columns of a strip
NO_INPUT = "no input activates this unit"
RESOLUTION = 192  # pixels per image on the sheet
METHOD = "Feature visualization: images optimized from noise by gradient ascent."


def filter_table(layers: list[tuple["Layer", int]], chosen: str) -> Markup:
    """One row per layer, with how many filters it has; a click shows them."""
    rows = join(
        layer_row(layer, layer.name == chosen, (str(count), layer.kind, layer.name))
        for layer, count in layers
    )
    return layers_panel("Layers with filters", "click a layer", ("layer", "filters", "kind", "name"), rows)


def feature_panel(
    made: "Maximized | None", title: str, names: list[str], chosen: int | None, note: str = ""
) -> Markup:
    """The feature visualizations on one sheet, or how to compute them. `names`: of the units."""
    message = empty(note or METHOD)
    if made is None:
        return _headed(title, message)
    columns = 4 if len(made.units) <= 16 else COLUMNS
    side = RESOLUTION if columns == 4 else RESOLUTION // 2
    drawn = sheet(
        render.pictures_url(made.pictures, columns, side),
        columns,
        [_feature(made, k, names[k], unit == chosen) for k, unit in enumerate(made.units)],
        "maximized",
        made.pictures.shape[1:3],
        f"vt-features vt-by-{columns}",
    )
    return _headed(title, message + _bar(made) + drawn)


def _headed(title: str, body: Markup) -> Markup:
    return html('<section class="vt-panel"><h2>{}</h2>{}</section>', title, body)


def _feature(made: "Maximized", k: int, name: str, chosen: bool) -> Cell:
    dead = not made.moved[k] and made.step > 0
    message = f"{name}: {NO_INPUT if dead else _activations(made, k)}"
    return Cell(made.units[k], name, message, marks(chosen, dead))


def _activations(made: "Maximized", k: int) -> str:
    return f"activation {made.began[k]:.3g} for noise, {made.answers[k]:.3g} for this image"


def _bar(made: "Maximized") -> Markup:
    if made.step >= made.steps:
        return NOTHING
    percent = 100 * made.step / made.steps
    return html('<span class="vt-bar vt-long"><i style="width:{:.0f}%"></i></span>', percent)


def kernel_panel(found: "Kernels", view: dict[str, Any], alias: str, link: str = "") -> Markup:
    """A page of the layer's filters: as images, or as strips of their norms by input channel. `link`: the
    button that copies the view's address."""
    from explain.features.kernels import SORTS

    page, pages = pages_of(len(found.weights), PAGE, int(view["page"]))
    shown = found.order(view["sort"])[page * PAGE : (page + 1) * PAGE]
    cells = [_kernel(found, int(number), number == view["unit"]) for number in shown]
    if found.pictures:
        what = "each scaled to its largest weight; grey is zero"
        what += "; without alpha's weights" if found.of_alpha else ""
        url = render.kernels_png(found.colors[shown], COLUMNS)
        drawn = sheet(url, COLUMNS, cells, "unit", found.weights.shape[2:])
    else:
        what = "one row per filter: norm of its weights by input channel"
        drawn = _strips(found.input_norms(), shown, cells)
    sorts = select("sort", "sort", {name: name for name in SORTS}, view["sort"])
    controls = controls_row(sorts, html("<span>{}</span>", what), pager(page, pages))
    return panel(f"Weights of {alias}", controls + drawn, _summary(found), link)


def _summary(found: "Kernels") -> str:
    """Number, size, dead and duplicate filters of a layer."""
    from explain.features.kernels import DEAD, DUPLICATES

    count, wide, high, across = found.weights.shape
    groups = f", in {found.groups} groups" if found.groups > 1 else ""
    facts = [
        f"{counted(count, 'filter')}, {high}×{across} over {wide} channel{'s' if wide > 1 else ''}{groups}"
    ]
    dead, duplicates = int(found.dead.sum()), int(found.duplicate.sum())
    facts.append(f"{dead} dead (norm at most {100 * DEAD:.0f} % of the median)" if dead else "none is dead")
    if (found.twin >= 0).any():
        similar = f"{duplicates} nearly identical to another (cosine of weights ≥ {DUPLICATES:g})"
        facts.append(similar if duplicates else "no two are nearly identical")
    return "; ".join(facts)


def _kernel(found: "Kernels", number: int, chosen: bool) -> Cell:
    dead, twin = bool(found.dead[number]), bool(found.duplicate[number])
    message = f"filter {number}, norm {found.norms[number]:.3g}" + (
        ", dead" if dead else f", like {found.twin[number]}" if twin else ""
    )
    text = f"{number}" + (" dead" if dead else f" ≈ {found.twin[number]}" if twin else "")
    return Cell(number, text, message, marks(chosen, dead))


def _strips(norms: np.ndarray, shown: np.ndarray, cells: list[Cell]) -> Markup:
    """Rows on one scale for the layer, so that filters can be compared."""
    bins = -(-norms.shape[1] // WIDEST)  # a column shows the largest of so many channels
    padded = np.pad(norms[shown], ((0, 0), (0, -norms.shape[1] % bins)))
    values = padded.reshape(len(shown), -1, bins).max(2) / max(float(norms.max()), 1e-12)
    return sheet(
        render.sheet_png(values[:, None], 1, "viridis", WIDEST), 1, cells, "unit", (1, 1), "vt-strips"
    )


def filter_alone(
    found: "Kernels", number: int, name: str, made: "Maximized | None", strongest: str
) -> Markup:
    """One filter: its feature visualization, its norm, its slices, and its strongest images of the run."""
    rank = int((found.norms > found.norms[number]).sum()) + 1
    facts = [f"norm {found.norms[number]:.3g} ({ordinal(rank)} of {len(found.norms)})"]
    if found.dead[number]:
        facts.append("dead: its weights are close to zero")
    elif found.duplicate[number]:
        facts.append(f"nearly identical to {found.twin[number]} (cosine {found.cosine[number]:.2f})")
    picture = NOTHING
    if made is not None and number in made.units:
        picture = _picture(made, number, name)
        facts.append(_strength(made, number))
    body = html('<div class="vt-alone">{}<div>{}</div></div>{}', picture, _slices(found, number), strongest)
    return panel(name, body, "; ".join(facts))


def class_alone(number: int, name: str, made: "Maximized", kind: str = "class") -> Markup:
    """The feature visualization of one class, or label (`kind`)."""
    body = html('<div class="vt-alone">{}</div>', _picture(made, number, name))
    return panel(name, body, f"{kind} {number}; {_strength(made, number)}")


def _picture(made: "Maximized", unit: int, name: str) -> Markup:
    image = Image.fromarray(made.pictures[made.units.index(unit)])
    return html(
        '<div class="vt-stack"><img class="vt-photo" src="{}" alt="feature visualization of {}"></div>',
        render.jpeg_url(render.jpeg_bytes(image, 480, 92)),
        name,
    )


def _strength(made: "Maximized", unit: int) -> str:
    k = made.units.index(unit)
    return _activations(made, k) if made.moved[k] else NO_INPUT


def _slices(found: "Kernels", number: int) -> Markup:
    weights = found.weights[number]
    if min(weights.shape[1:]) == 1 and weights[0].size == 1:
        return _one_by_one(found, number, weights[:, 0, 0])
    strong = np.argsort(-found.input_norms()[number], kind="stable")[:SLICES]
    top = float(np.abs(weights).max()) or 1.0
    return html(
        '<h3>Slices by input channel <small><span class="vt-positive">positive</span>, '
        '<span class="vt-negative">negative</span>, one scale{}</small></h3>'
        '<div class="vt-slices" style="--vt-columns:{}">{}</div>',
        f", the {SLICES} largest of {len(weights)}" if len(weights) > SLICES else "",
        min(COLUMNS, len(strong)),
        join(
            html(
                '<figure><img src="{}" alt=""><figcaption>{}</figcaption></figure>',
                render.difference_png(weights[i] / top),
                found.inputs(number)[i],
            )
            for i in strong
        ),
    )


def _one_by_one(found: "Kernels", number: int, values: np.ndarray) -> Markup:
    """Weights (C,) of a 1×1 filter, as bars."""
    largest = ", ".join(
        f"{found.inputs(number)[i]} ({values[i]:+.2g})" for i in np.argsort(-np.abs(values))[:LARGEST]
    )
    title = Markup("<h3>Weights by input channel</h3>")
    return title + empty(f"Largest: {largest}.") + bars(values.tolist())
