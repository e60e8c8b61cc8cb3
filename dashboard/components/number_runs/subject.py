"""The parts of Inspect for a run of numbers: true and predicted number of every output, and the maps that the
run keeps."""

import numpy as np
from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.number_runs.cards import alt, signed_tile
from dashboard.components.panel import empty, panel
from dashboard.links import copy_link
from explain import render
from explain.analysis.numbers.run_numbers import ranges_of
from explain.analysis.numbers.text import number, signed_number
from explain.run.outputs.number_run import NumbersRun

MOST = 24
"""Outputs that are listed, besides the chosen one."""
NOT_KEPT = "not kept by the run"
MEANING = "teal speaks for a larger number, orange for a smaller one"
MEANING = "teal speaks for a larger number, orange for a smaller one"


def number_facts(
    run: NumbersRun, predicted: np.ndarray, row: int | None, live: bool, chosen: int = 0
) -> Markup:
    """Two bars for each output, a button that asks for its map. `predicted` (R,); `row`: None for pictures
    from outside, whose true numbers nobody knows; `chosen`: the output whose maps are shown."""
    truth = None if row is None else run.truth[row]
    low, high, shared = ranges_of(run)
    shown = [k for k in range(len(run.outputs)) if k < MOST or k == chosen]
    ends = list(zip(low.tolist(), high.tolist(), strict=True))
    bars = join(
        _output(run, k, float(predicted[k]), None if truth is None else float(truth[k]), ends[k], k == chosen)
        for k in shown
    )
    if more := len(run.outputs) - len(shown):
        bars += empty(f"and {more:,} more outputs")
    scale = "one scale" if shared else "each on the range of its numbers in the run"
    notes = [scale] * (len(run.outputs) > 1) + ["click one for its map"] * live
    known = NOTHING if row is None else _known(run, row, chosen)
    return panel("Numbers", bars + known, "; ".join(notes))


def _output(
    run: NumbersRun, k: int, predicted: float, true: float | None, ends: tuple[float, float], chosen: bool
) -> Markup:
    error = "" if true is None or true != true else signed_number(predicted - true)
    rows = [_bar("predicted", predicted, ends, "vt-predicted")]
    if true is not None:
        rows.append(_bar("true", true, ends, "vt-true"))
    return html(
        '<button class="vt-top vt-output{on}" aria-label="map for {name}: {text}" {click}>'
        "<b>{name} <small>{error}</small></b>{bars}</button>",
        on=" vt-on" if chosen else "",
        name=run.outputs[k],
        text=f"predicted {number(predicted)}" + ("" if true is None else f", true {number(true)}"),
        click=action("target", k),
        error=error,
        bars=join(rows),
    )


def _bar(name: str, value: float, ends: tuple[float, float], kind: str) -> Markup:
    """From zero where the range holds it, otherwise from its lower end."""
    low, high = ends
    span = (high - low) or 1.0
    zero = min(max(0.0, low), high)
    a, b = sorted(min(max(100 * (v - low) / span, 0), 100) for v in (zero, value if value == value else zero))
    line = html('<i class="vt-origin" style="left:{:.2f}%"></i>', 100 * (zero - low) / span)
    return html(
        '<span class="vt-amount {kind}"><em>{name}</em><span><u style="left:{left:.2f}%;width:{width:.2f}%">'
        "</u>{line}</span><em>{value}</em></span>",
        kind=kind,
        name=name,
        left=a,
        width=b - a,
        line=line,
        value=number(value),
    )


def _known(run: NumbersRun, row: int, chosen: int) -> Markup:
    image = run.table.at[row, "id"]
    output = run.outputs[chosen] if len(run.outputs) > 1 else None
    return html(
        '<dl class="vt-known"><dt>image</dt><dd>{} {}</dd></dl>',
        image,
        copy_link(image=image, output=output),
    )


def number_maps(run: NumbersRun, row: int) -> Markup:
    """Every map that the run holds of this image: one of each output and method."""
    picture = render.jpeg_url(run.thumbnails([row])[0])
    kept = [k for k in range(len(run.outputs)) if run.has_map(k, row)]
    tiles = join(
        signed_tile(
            picture,
            run.maps_of(m, k, [row])[0],
            alt(run, m, k),
            caption=html("<b>{}</b><br>{}", run.outputs[k], run.title(m)),
        )
        for k in kept
        for m in run.manifest.request.methods
    )
    lost = len(run.outputs) - len(kept)
    note = f"{run.manifest.request.where}; each on its own scale; {MEANING}"
    body = html('<div class="vt-maps">{}</div>', tiles)
    if lost:
        body += empty(f"Maps of {lost} output{'s' * (lost != 1)} are {NOT_KEPT}.")
    return panel("Maps of the run for each output", body, note)
