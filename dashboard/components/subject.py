"""The parts of Inspect: the big picture with its map, the top five, and the run's maps."""

import numpy as np

from dashboard.components.cards import Shown, probability_bar, tile
from dashboard.components.clickable import action, esc
from dashboard.links import copy_link
from explain import render
from explain.formatting import decimal, percent
from explain.run.reader import RunData

TOP = 5


def start_page() -> str:
    return (
        '<section class="vt-panel"><h2>Nothing chosen yet</h2><p class="vt-empty">Click any image in '
        "Errors, upload a photo, "
        "or take one of the examples on the left.</p></section>"
    )


def facts(
    run: RunData,
    prob: np.ndarray | None,
    row: int | None,
    temperature: float | None = None,
    live: bool = True,
) -> str:
    """The five most probable classes, each a button that asks for its map; and what is known of the image.

    `prob` (K,) as the network says it; with a `temperature` the bars are calibrated. `live`: whether a click
    makes maps.
    """
    if prob is None:
        return (
            '<section class="vt-panel"><h2>Top five</h2><p class="vt-empty">of the image that you '
            "open</p></section>"
        )
    label = int(run.table.at[row, "label"]) if row is not None else None
    prob = prob if temperature is None else calibrated(prob, temperature)
    bars = "".join(
        f'<button class="vt-top" aria-label="map for {esc(run.classes[i])}" {action("target", i)}>'
        f"{probability_bar(run.classes[i], float(prob[i]), 'hit' if label in (None, i) else 'miss')}</button>"
        for i in np.argsort(-prob, kind="stable")[:TOP].tolist()
    )
    known = ""
    if row is not None and label is not None:
        item = run.table.loc[row]
        called = f'<b class="vt-bad">called {esc(run.classes[int(item["pred"])])}</b>'
        verdict = '<b class="vt-ok">correct</b>' if label == int(item["pred"]) else called
        known = (
            f'<dl class="vt-known"><dt>true class</dt><dd><b>{esc(run.classes[label])}</b>, '
            f"{decimal(float(prob[label]))}</dd>"
            f"<dt>verdict</dt><dd>{verdict}</dd><dt>loss</dt><dd>{item['loss']:.2f}</dd>"
            f"<dt>image</dt><dd>{esc(item['id'])} {copy_link(image=item['id'])}</dd></dl>"
        )
    elif run.manifest.request.data.startswith("toon_faces"):
        known = (
            '<p class="vt-empty">This network has seen drawn faces only: a photograph is outside of '
            "what it knows.</p>"
        )
    how = (
        f"calibrated, temperature {temperature:.2f}" if temperature else "as the network says, not calibrated"
    )
    return (
        '<section class="vt-panel"><h2>Top five '
        f"<small>{how}{'; click one for its map' * live}</small></h2>{bars}{known}</section>"
    )


def calibrated(prob: np.ndarray, temperature: float) -> np.ndarray:
    """(K,) at another temperature: softmax of log p / T (Guo et al., ICML 2017)."""
    power = np.maximum(prob.astype(float), 1e-30) ** (1 / temperature)
    return np.asarray(power / power.sum())


def run_maps(run: RunData, row: int) -> str:
    """Every map that the run holds of this image."""
    item, picture = run.table.loc[row], render.jpeg_url(run.thumbnails([row])[0])
    label, pred = int(item["label"]), int(item["pred"])
    targets = [("pred", pred, "why")] + ([("label", label, "why not")] if label != pred else [])
    tiles = []
    for method in run.manifest.request.methods:
        for target, index, why in targets:
            raw = run.maps(method, target, [row])[0]
            border = percent(float(item[f"map.{method}.{target}.border_mass"]))
            caption = (
                f"<b>{esc(run.title(method))}</b><br>{why} {esc(run.classes[index])} <small>· border "
                f"{border}</small>"
            )
            tiles.append(tile(picture, Shown(raw, caption, f"{run.title(method)} for {run.classes[index]}")))
    note = (
        f"layer {esc(run.manifest.request.layer)}; each on its own scale; border: share of the map in "
        "the outer eighth, 44 % for an even map"
    )
    return (
        f'<section class="vt-panel"><h2>The run’s maps, why and why not <small>{note}</small></h2>'
        f'<div class="vt-maps">{"".join(tiles)}</div></section>'
    )


def reproduced(command: str, script: str) -> str:
    """The same maps by command and in Python, to be copied."""
    parts = "".join(
        f'<h3>{title} <button class="vt-link" data-copy>copy</button></h3><pre '
        f'class="vt-command">{esc(text.strip())}</pre>'
        for title, text in (("On the command line", command), ("In Python", script))
        if text
    )
    return (
        '<details class="vt-panel vt-again"><summary>The same maps again, by command or in '
        f"Python</summary>{parts}</details>"
    )
