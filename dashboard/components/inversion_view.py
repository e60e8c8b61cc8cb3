"""The parts of the Inversion tab: an image reconstructed from every layer, one layer edited, an optimization
in progress, errors by depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from dashboard.components.depth_view import CONTROL, IMAGE, RUN, Chart, curve_figure
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel, table
from explain import render
from explain.formatting import decimal
from models.program import program

if TYPE_CHECKING:
    from explain.inversion.rebuild import Rebuilt

SIDE = 320
HEADS = [
    ("layer", "whose output is decoded"),
    ("error", "distance between image and reconstruction, as a fraction of the distance between two images"),
    ("other image", "the same, with the features of another image decoded"),
    ("mean image", "the same for the mean of all images"),
    ("MSE", "of the image as the network takes it"),
    ("PSNR", "dB, of pixels"),
    ("SSIM", "structural similarity of pixels"),
    ("same class", "how often the network predicts the same class"),
]
Measured = Sequence[tuple[str, Mapping[str, Any]]]
"""Layers and what was measured of their decoders."""


@dataclass(frozen=True)
class Depth:
    """What `depth_view.curve_figure` needs of a layer."""

    layer: str
    alias: str


def row_of_layers(
    original: np.ndarray,
    pred: str,
    rebuilt: "Sequence[Rebuilt]",
    classes: Sequence[str],
    chosen: str,
    title: str,
    more: str = "",
) -> Markup:
    """The image, then its reconstruction from each layer, deep to shallow; a click chooses a layer to edit.
    `pred`: the predicted class; `more`: a remark about the image."""
    tiles = _tile(original, "the image", html("<b>{}</b>", pred)) + join(
        _layer(one, classes[one.pred], pred, one.layer == chosen) for one in rebuilt
    )
    note = (
        "deep to shallow; error: distance from the image, where 1 is the distance between two images; click "
        f"a layer to edit it{'; ' * bool(more)}{more}"
    )
    return panel(title, html('<div class="vt-rebuilt">{}</div>', tiles), note)


def _layer(one: "Rebuilt", name: str, pred: str, chosen: bool) -> Markup:
    same = name == pred
    return html(
        '<button class="vt-tile vt-layer-tile{on}" {click} aria-label="edit layer {layer}">{picture}'
        "<figcaption><b>{layer}</b><br>error {error} · "
        'predicted: <b class="vt-{kind}">{name}</b> {prob}{changed}</figcaption></button>',
        on=" vt-on" if chosen else "",
        click=action("layer", one.layer),
        layer=one.layer,
        picture=_picture(one.picture, f"reconstructed from {one.layer}"),
        error=decimal(one.error),
        changed="" if same else " (changed)",
        kind="ok" if same else "bad",
        name=name,
        prob=decimal(one.prob),
    )


def edits(layer: str, found: "Mapping[str, Rebuilt]", classes: Sequence[str]) -> Markup:
    """The reconstruction from one layer as it is, edited, and from random features."""
    tiles = join(
        _tile(one.picture, name, f"error {decimal(one.error)} · {classes[one.pred]} {decimal(one.prob)}")
        for name, one in found.items()
    )
    note = "what a decoder makes of random features comes from its training, not from the image"
    return panel(f"{layer}, edited", html('<div class="vt-rebuilt">{}</div>', tiles), note)


def under_way(
    picture: np.ndarray, layer: str, step: int, steps: int, distance: Sequence[float], note: str = ""
) -> Markup:
    """An optimization: its nearest image so far, and its distance."""
    body = html(
        '<span class="vt-bar vt-long"><i style="width:{:.1f}%"></i></span><div class="vt-rebuilt">{}</div>',
        100 * step / steps,
        _tile(picture, "the nearest image", NOTHING),
    )
    text = (
        f"step {step} of {steps}; squared distance {decimal(min(distance))} of the output's, {len(distance)} "
        f"starting points{'; ' * bool(note)}{note}"
    )
    return panel(f"{layer}, by optimization", body, text)


def over_depth(about: Sequence[Mapping[str, Any]]) -> Markup:
    """Error by layer as a curve beside its controls, and as a table. `about`: the metadata of the
    decoders."""
    measured = [
        (str(a["layer"]), a["metrics"]["measured"]) for a in about if "measured" in a.get("metrics", {})
    ]
    if not measured:
        text = html("Nothing has been measured yet: run <code>{} invert train</code>.", program())
        return panel("By depth", empty(text))
    last, known = measured[-1][1], {layer for layer, _ in measured}
    missing = [str(a["layer"]) for a in about if str(a["layer"]) not in known]
    note = f"{last['on']}, {int(last['images'])} images; shallow to deep"
    note += f"; not measured: {', '.join(missing)}" if missing else ""
    rows = join(_measured_row(layer, m) for layer, m in measured)
    return panel("By depth", _charts(measured) + table(HEADS, rows, "vt-gaze-table vt-wide-first"), note)


def _charts(measured: Measured) -> Markup:
    steps = [Depth(layer, layer) for layer, _ in measured]
    errors = Chart(
        "Error",
        "distance from the image, relative to the distance between two",
        [
            ("reconstructed", [m["error"] for _, m in measured], IMAGE),
            ("another image's features", [m["other"] for _, m in measured], CONTROL),
            ("the mean image", [m["mean"] for _, m in measured], RUN),
        ],
    )
    same = Chart(
        "Same class",
        "how often the network predicts the same class",
        [("reconstructed", [m["same"] for _, m in measured], IMAGE)],
    )
    return html('<div class="vt-charts">{}</div>', join(curve_figure(c, steps, "") for c in (errors, same)))


def _measured_row(layer: str, m: Mapping[str, Any]) -> Markup:
    return html(
        '<tr><td class="vt-name">{}</td>{}<td>{:.1f}</td><td>{:.3f}</td><td>{:.0f} %</td></tr>',
        layer,
        join(html("<td>{:.3f}</td>", m[name]) for name in ("error", "other", "mean", "mse")),
        m["psnr"],
        m["ssim"],
        100 * m["same"],
    )


def _tile(picture: np.ndarray, name: str, below: str) -> Markup:
    return html(
        '<figure class="vt-tile">{}<figcaption><b>{}</b><br>{}</figcaption></figure>',
        _picture(picture, name),
        name,
        below,
    )


def _picture(picture: np.ndarray, text: str) -> Markup:
    from PIL import Image

    url = render.jpeg_url(render.jpeg_bytes(Image.fromarray(picture), SIDE, 92))
    return html('<div class="vt-stack"><img class="vt-photo" src="{}" alt="{}"></div>', url, text)
