"""The parts of the Inversion tab: an image reconstructed from every layer, one layer edited, an optimization
in progress, errors by depth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.network.depth_view import CONTROL, IMAGE, RUN, Chart, curve_figure
from dashboard.components.panel import empty, panel, table
from explain import render
from explain.analysis.numbers.text import number
from explain.formatting import counted, decimal, listed
from explain.run.format import CALLED
from models.outputs.task import MULTI
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
]
SAME_CLASS = ("same class", "how often the network predicts the same class")
SAME_LABELS = ("same labels", "how often exactly the same labels are called")
MOST_LABELS = 4
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
    asked: int | None = None,
    before: np.ndarray | None = None,
) -> Markup:
    """The image, then its reconstruction from each layer, deep to shallow; a click chooses a layer to edit.
    `pred`: the predicted class, or the called labels; `more`: a remark about the image; `asked`: of several
    labels per image, or of numbers, the one that is always shown; `before` (R,): of numbers, those of the
    image."""
    tiles = _tile(original, "the image", html("<b>{}</b>", pred)) + join(
        _layer(one, predicted(one, classes), pred, one.layer == chosen, _numbers(one, classes, asked))
        if one.numbers is None
        else _number_layer(one, before_and_after(before, one.numbers, classes, asked), one.layer == chosen)
        for one in rebuilt
    )
    note = (
        "deep to shallow; error: distance from the image, where 1 is the distance between two images; click "
        f"a layer to edit it{'; ' * bool(more)}{more}"
    )
    return panel(title, html('<div class="vt-rebuilt">{}</div>', tiles), note)


def predicted(one: "Rebuilt", classes: Sequence[str]) -> str:
    """The predicted class, or of several labels per image those that are called."""
    return classes[one.pred] if one.labels is None else called(classes, one.labels)


def called(classes: Sequence[str], prob: np.ndarray) -> str:
    """Names of the labels that are called; `prob` (K,)."""
    names = [name for name, p in zip(classes, prob, strict=True) if p >= CALLED]
    return listed(names) if names else "no label"


def _numbers(one: "Rebuilt", classes: Sequence[str], asked: int | None) -> str:
    """The probability of the prediction; of several labels per image, that of each that is called, and of the
    one that is asked for."""
    if one.labels is None:
        return decimal(one.prob)
    order = np.argsort(-one.labels, kind="stable").tolist()
    shown = [k for k in order if one.labels[k] >= CALLED][:MOST_LABELS]
    shown += [k for k in (asked,) if k is not None and k not in shown]
    return ", ".join(f"{classes[k]} {decimal(float(one.labels[k]))}" for k in shown)


def before_and_after(
    before: np.ndarray | None, after: np.ndarray, outputs: Sequence[str], asked: int | None
) -> str:
    """'age 31.2 → 28.4, valence 0.4 → 0.3' of the image and of a reconstruction; only the latter where
    `before` is None."""
    shown = [*range(min(len(outputs), MOST_LABELS))]
    shown += [k for k in (asked,) if k is not None and k not in shown]
    first = ["" if before is None else f"{number(float(before[k]))} → " for k in shown]
    return ", ".join(f"{outputs[k]} {b}{number(float(after[k]))}" for k, b in zip(shown, first, strict=True))


def _number_layer(one: "Rebuilt", numbers: str, chosen: bool) -> Markup:
    return html(
        '<button class="vt-tile vt-layer-tile{on}" {click} aria-label="edit layer {layer}">{picture}'
        "<figcaption><b>{layer}</b><br>error {error} · <b>{numbers}</b></figcaption></button>",
        on=" vt-on" if chosen else "",
        click=action("layer", one.layer),
        layer=one.layer,
        picture=_picture(one.picture, f"reconstructed from {one.layer}"),
        error=decimal(one.error),
        numbers=numbers,
    )


def _layer(one: "Rebuilt", name: str, pred: str, chosen: bool, numbers: str) -> Markup:
    same = name == pred
    return html(
        '<button class="vt-tile vt-layer-tile{on}" {click} aria-label="edit layer {layer}">{picture}'
        "<figcaption><b>{layer}</b><br>error {error} · "
        '{how}: <b class="vt-{kind}">{name}</b> {prob}{changed}</figcaption></button>',
        how="predicted" if one.labels is None else "called",
        on=" vt-on" if chosen else "",
        click=action("layer", one.layer),
        layer=one.layer,
        picture=_picture(one.picture, f"reconstructed from {one.layer}"),
        error=decimal(one.error),
        changed="" if same else " (changed)",
        kind="ok" if same else "bad",
        name=name,
        prob=numbers if one.labels is None or not numbers else f"({numbers})",
    )


def edits(
    layer: str,
    found: "Mapping[str, Rebuilt]",
    classes: Sequence[str],
    asked: int | None = None,
    before: np.ndarray | None = None,
) -> Markup:
    """The reconstruction from one layer as it is, edited, and from random features. `asked`, `before`: as of
    `row_of_layers`."""

    def answer(one: "Rebuilt") -> str:
        if one.numbers is not None:
            return before_and_after(before, one.numbers, classes, asked)
        numbers = _numbers(one, classes, asked)
        return f"{classes[one.pred]} {numbers}" if one.labels is None else numbers or "no label"

    tiles = join(
        _tile(one.picture, name, f"error {decimal(one.error)} · {answer(one)}") for name, one in found.items()
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


def over_depth(
    about: Sequence[Mapping[str, Any]], of_labels: bool = False, of_numbers: bool = False
) -> Markup:
    """Error by layer as a curve beside its controls, and as a table. `about`: the metadata of the decoders;
    `of_labels`: the network answers with several labels per image, and how often they stay the same is left
    out where it was measured for one class; `of_numbers`: with numbers, which never stay exactly the same."""
    measured = [
        (str(a["layer"]), a["metrics"]["measured"]) for a in about if "measured" in a.get("metrics", {})
    ]
    if not measured:
        text = html("Nothing has been measured yet: run <code>{} invert train</code>.", program())
        return panel("By depth", empty(text))
    last, known = measured[-1][1], {layer for layer, _ in measured}
    missing = [str(a["layer"]) for a in about if str(a["layer"]) not in known]
    note = f"{last['on']}, {counted(int(last['images']), 'image')}; shallow to deep"
    note += f"; not measured: {', '.join(missing)}" if missing else ""
    stays: tuple[str, str] | None = None if of_numbers else SAME_LABELS if of_labels else SAME_CLASS
    if of_labels and any(m.get("task") != MULTI for _, m in measured):
        stays = None
        note += "; how often the labels stay the same was not measured: the decoders' data has one per image"
    rows = join(_measured_row(layer, m, stays is not None) for layer, m in measured)
    measures = table([*HEADS, *filter(None, [stays])], rows, "vt-gaze-table vt-wide-first")
    return panel("By depth", _charts(measured, stays) + measures, note)


def _charts(measured: Measured, stays: tuple[str, str] | None) -> Markup:
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
    charts = [errors]
    if stays is not None:
        same = [("reconstructed", [m["same"] for _, m in measured], IMAGE)]
        charts.append(Chart(stays[0].capitalize(), stays[1], same))
    return html('<div class="vt-charts">{}</div>', join(curve_figure(c, steps, "") for c in charts))


def _measured_row(layer: str, m: Mapping[str, Any], same: bool) -> Markup:
    return html(
        '<tr><td class="vt-name">{}</td>{}<td>{:.1f}</td><td>{:.3f}</td>{}</tr>',
        layer,
        join(html("<td>{:.3f}</td>", m[name]) for name in ("error", "other", "mean", "mse")),
        m["psnr"],
        m["ssim"],
        html("<td>{:.0f} %</td>", 100 * m["same"]) if same else NOTHING,
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
