"""Verdicts over depth: a bar for the best method of each layer that was measured, and the layer to use."""

from markupsafe import Markup

from dashboard.components.command import command_words
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import row, table
from explain.formatting import counted, layer_label
from explain.quality.format_text import layer_cells
from explain.quality.next_run import command_at
from explain.quality.over_depth.depth import Depth, LayerBar, advice
from explain.quality.over_depth.known_depth import known_depth
from explain.quality.verdict import FIGURES
from explain.run.reader import RunData

LAYER = "layer"
"""Action: use a layer in Inspect."""


def over_depth(run: RunData, commands: bool, live: bool) -> Markup:
    """Folded; nothing where fewer than two layers were measured. `commands`: whether the reader may see the
    command of the next run; `live`: whether maps can be computed here."""
    depth = known_depth(run)
    if depth is None:
        return NOTHING
    figure = FIGURES[depth.figure]
    heads = (
        ("layer", "from the input to the output"),
        (figure.title, f"{figure.meaning}; of the best method of the layer"),
        ("best method", ""),
        ("best control", "the control with the largest mean"),
        ("p", "Wilcoxon's signed-rank test against the best control, Holm over the methods of the layer"),
        ("verdict", ""),
    )
    return html(
        '<details class="vt-over-depth"><summary>{layers} on {images}{best}</summary>'
        '<p class="vt-advice">{advice}</p>{next}{table}</details>',
        layers=counted(len(depth.layers), "layer"),
        images=counted(depth.images, "image"),
        best=_where(depth),
        advice=advice(depth),
        next=_next(run, depth, commands, live),
        table=table(heads, join(map(_row, depth.bars))),
    )


def _where(depth: Depth) -> str:
    """The best layer; where the run's own may be as good, the one with the largest mean."""
    if depth.best is None:
        return ""
    best = depth.advised is not None or depth.best.layer == depth.own
    return f", {'best' if best else 'largest mean'} at {layer_label(depth.best.layer)}"


def _row(bar: LayerBar) -> Markup:
    value, *others = layer_cells(bar)
    drawn = html('<span class="vt-bar"><i style="width:{:.0f}%"></i></span>{}', 100 * bar.fraction, value)
    return row([bar.name, drawn, *others])


def _next(run: RunData, depth: Depth, commands: bool, live: bool) -> Markup:
    """The best layer for live maps, and the command of a run with it; nothing where the run's own is as
    good."""
    if depth.advised is None:
        return NOTHING
    layer = depth.advised.layer
    use = html(
        '<button class="vt-run" {}>Use {} in Inspect</button>', action(LAYER, layer), layer_label(layer)
    )
    copied = html(
        ' <button class="vt-link" data-copy>copy</button><code class="vt-command">{}</code>',
        command_words(command_at(run.manifest, layer)),
    )
    return html(
        '<p class="vt-next-layer">{}{}</p>', use if live else NOTHING, copied if commands else NOTHING
    )
