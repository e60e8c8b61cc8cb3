"""The parts of the Inversion tab: a picture rebuilt from every layer in a row, one layer edited, an
optimization under way, errors over depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dashboard.components.clickable import action, esc
from dashboard.components.depth_view import CONTROL, IMAGE, RUN, Chart, curve_figure
from dashboard.components.panel import empty, panel, table
from explain import render
from explain.formatting import decimal
from models.program import program

if TYPE_CHECKING:
    from explain.inversion.rebuild import Rebuilt

SIDE = 320
HEADS = [
    ("layer", "whose output is decoded"),
    ("error", "distance between the picture and what is rebuilt, as a share of that between two pictures"),
    ("other picture", "the same, where another picture's features are decoded"),
    ("mean picture", "the same for the mean of all pictures"),
    ("MSE", "of the picture as the network takes it"),
    ("PSNR", "dB, of pixels"),
    ("SSIM", "structural similarity of pixels"),
    ("same class", "how often the network still says the same"),
]


@dataclass(frozen=True)
class Depth:
    """What `depth_view.curve_figure` needs of a layer."""

    layer: str
    alias: str


def row_of_layers(
    original: np.ndarray,
    text: str,
    rebuilt: "Sequence[Rebuilt]",
    classes: Sequence[str],
    chosen: str,
    title: str,
    more: str = "",
) -> str:
    """The picture, then what each layer still knows of it, deep to shallow. `text`: the predicted class; a
    click chooses a layer to edit. `more`: what is to be said about the picture."""
    tiles = _tile(original, "the picture", f"<b>{esc(text)}</b>")
    for one in rebuilt:
        name = classes[one.pred]
        kept = (
            f'still <b class="vt-ok">{esc(name)}</b>'
            if name == text
            else f'now <b class="vt-bad">{esc(name)}</b>'
        )
        on = " vt-on" if one.layer == chosen else ""
        tiles += (
            f'<button class="vt-tile vt-layer-tile{on}" {action("layer", one.layer)} aria-label="edit '
            f'layer {esc(one.layer)}">'
            f"{_inside(one.picture, f'rebuilt from {one.layer}')}<figcaption><b>{esc(one.layer)}</b>"
            f"<br>error {decimal(one.error)} · "
            f"{kept} {decimal(one.prob)}</figcaption></button>"
        )
    note = (
        "deep to shallow; error: distance from the picture, 1 being that between two pictures; click a "
        "layer to edit it"
    )
    note += f"; {esc(more)}" if more else ""
    return panel(title, f'<div class="vt-rebuilt">{tiles}</div>', note)


def edits(layer: str, found: "Mapping[str, Rebuilt]", classes: Sequence[str]) -> str:
    """One layer's picture as it is, edited, and from random features."""
    tiles = "".join(
        _tile(one.picture, name, f"error {decimal(one.error)} · {esc(classes[one.pred])} {decimal(one.prob)}")
        for name, one in found.items()
    )
    note = "what a decoder makes of random features it has from its training, and not from the picture"
    return panel(f"{esc(layer)}, edited", f'<div class="vt-rebuilt">{tiles}</div>', note)


def under_way(
    picture: np.ndarray, layer: str, step: int, steps: int, distance: Sequence[float], note: str = ""
) -> str:
    """An optimization: its nearest picture so far, and how near it is."""
    bar = f'<span class="vt-bar vt-long"><i style="width:{100 * step / steps:.1f}%"></i></span>'
    text = (
        f"step {step} of {steps}; off by {decimal(min(distance))} of the output's square, {len(distance)} "
        "beginnings"
    )
    text += f"; {esc(note)}" if note else ""
    return panel(
        f"{esc(layer)}, by optimization",
        f'{bar}<div class="vt-rebuilt">{_tile(picture, "the nearest picture", "")}</div>',
        text,
    )


def over_depth(about: Sequence[Mapping[str, Any]]) -> str:
    """Error by layer as a curve beside its controls, and as a table; of what the decoders' files say."""
    measured = [
        (str(a["layer"]), a["metrics"]["measured"]) for a in about if "measured" in a.get("metrics", {})
    ]
    if not measured:
        return panel(
            "With depth",
            empty(f"Nothing was measured yet: <code>{program()} invert train</code> does it."),
        )
    steps = [Depth(layer, layer) for layer, _ in measured]
    lines = [
        ("rebuilt", [m["error"] for _, m in measured], IMAGE),
        ("another picture's features", [m["other"] for _, m in measured], CONTROL),
        ("the mean picture", [m["mean"] for _, m in measured], RUN),
    ]
    errors = curve_figure(Chart("Error", "distance from the picture, of that between two", lines), steps, "")
    kept = [("rebuilt", [m["same"] for _, m in measured], IMAGE)]
    same = curve_figure(Chart("Same class", "how often the network still says the same", kept), steps, "")
    rows = "".join(
        f'<tr><td class="vt-name">{esc(layer)}</td>'
        + "".join(f"<td>{m[name]:.3f}</td>" for name in ("error", "other", "mean", "mse"))
        + f"<td>{m['psnr']:.1f}</td><td>{m['ssim']:.3f}</td><td>{100 * m['same']:.0f} %</td></tr>"
        for layer, m in measured
    )
    last, known = measured[-1][1], {layer for layer, _ in measured}
    missing = [esc(str(a["layer"])) for a in about if str(a["layer"]) not in known]
    note = f"{esc(last['on'])}, {int(last['images'])} pictures; shallow to deep"
    note += f"; not measured: {', '.join(missing)}" if missing else ""
    return panel(
        "With depth",
        f'<div class="vt-charts">{errors}{same}</div>{table(HEADS, rows, "vt-standing vt-wide-first")}',
        note,
    )


def _tile(picture: np.ndarray, name: str, below: str) -> str:
    return (
        f'<figure class="vt-tile">{_inside(picture, name)}<figcaption><b>{esc(name)}</b><br>{below}'
        "</figcaption></figure>"
    )


def _inside(picture: np.ndarray, text: str) -> str:
    from PIL import Image

    url = render.jpeg_url(render.jpeg_bytes(Image.fromarray(picture), SIDE, 92))
    return f'<div class="vt-stack"><img class="vt-photo" src="{url}" alt="{esc(text)}"></div>'
