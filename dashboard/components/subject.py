"""The parts of Inspect: the big picture with its map, the top five, and the run's maps."""

import numpy as np
from PIL import Image

from dashboard.components.cards import Shown, probability_bar, tile
from dashboard.components.clickable import action, esc, percent, share
from dashboard.components.toolbar import blend_controls
from explain import render
from explain.run_data import RunData

TOP = 5
SIDE = 640  # longer side of the big picture


def start_page() -> str:
    return ('<section class="vt-panel"><h2>Nothing chosen yet</h2><p class="vt-empty">Click any image in Errors, upload a photo, '
            "or take one of the examples on the left.</p></section>")  # fmt: skip


def facts(run: RunData, prob: np.ndarray | None, row: int | None) -> str:
    """The five most probable classes, each a button that asks for its map; and what is known of the image."""
    if prob is None:
        return '<section class="vt-panel"><h2>Top five</h2><p class="vt-empty">of the image that you open</p></section>'
    label = int(run.table.at[row, "label"]) if row is not None else None
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
        known = (f'<dl class="vt-known"><dt>true class</dt><dd><b>{esc(run.classes[label])}</b>, {share(float(prob[label]))}</dd>'
                 f'<dt>verdict</dt><dd>{verdict}</dd><dt>loss</dt><dd>{item["loss"]:.2f}</dd>'
                 f'<dt>image</dt><dd>{esc(item["id"])}</dd></dl>')  # fmt: skip
    elif run.manifest.request.data.startswith("toon_faces"):
        known = '<p class="vt-empty">This network has seen drawn faces only: a photograph is outside of what it knows.</p>'
    return f'<section class="vt-panel"><h2>Top five <small>click one for its map</small></h2>{bars}{known}</section>'


def live_panel(run: RunData, seen: Image.Image, raw: np.ndarray, method: str, layer: str, target: int, prob: float, source: str) -> str:
    """The picture as the network sees it, with one map, large; beside it the picture alone."""
    name = run.classes[target]
    said = f"{run.title(method)} at {layer} for {name}"
    url = render.jpeg_url(render.jpeg_bytes(seen, SIDE, 92))
    shape = "×".join(map(str, raw.shape))
    big = tile(url, Shown(raw, f"{esc(said)}, probability {share(prob)}", said), enlarge=max(1, 160 // max(raw.shape)))
    plain = tile(url, None).replace("</figure>", "<figcaption>what the network sees</figcaption></figure>")
    return (f'<section class="vt-panel"><h2>{esc(run.title(method))} for {esc(name)} <small>{esc(layer)}, {shape}, {source}</small></h2>'
            f'<div class="vt-toolbar">{blend_controls()}</div><div class="vt-big">{big}{plain}</div></section>')  # fmt: skip


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
            caption = f"<b>{esc(run.title(method))}</b><br>{why} {esc(run.classes[index])} <small>· border {border}</small>"
            tiles.append(tile(picture, Shown(raw, caption, f"{run.title(method)} for {run.classes[index]}")))
    return (f'<section class="vt-panel"><h2>Maps of the run <small>layer {esc(run.manifest.request.layer)}; each on its own scale; border: share '
            f'of the map in the outer eighth, 44 % for an even map</small></h2><div class="vt-maps">{"".join(tiles)}</div></section>')  # fmt: skip
