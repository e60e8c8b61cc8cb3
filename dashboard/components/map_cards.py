"""Maps of one picture side by side: one card a method, in the registry's order."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dashboard.components.clickable import action, esc
from dashboard.components.toolbar import blend_controls
from explain import render
from explain.formatting import decimal
from explain.methods.boxes import strongest_box

SIDE = 640  # longer side of the picture


@dataclass(frozen=True, eq=False)
class Card:
    """A method's place among the maps: its map `raw` (h, w) at `layer`, or `why` there is none; and how many
    `seconds` it took, or would take. Maps of the run took none. `expected_sum`: what the map should sum to,
    where the method promises that."""

    method: str
    title: str
    raw: np.ndarray | None = None
    layer: str = ""
    seconds: float = 0.0
    why: str = ""
    expected_sum: float | None = None


def map_cards(
    seen: Image.Image, cards: list[Card], heading: str, shared: bool, threshold: float, saved: str | None = ""
) -> str:
    """A panel: the picture as the network sees it, then a card each. `shared`: all maps on one scale;
    `saved`: whose files are offered; None: nobody may ask for any."""
    picture = render.jpeg_url(render.jpeg_bytes(seen, SIDE, 92))
    raws = [c.raw for c in cards if c.raw is not None]
    top = max((float(render.peak(raw)) for raw in raws), default=0.0) if shared else None
    plain = (
        '<figure class="vt-tile"><figcaption class="vt-method"><b>Picture</b></figcaption><div '
        'class="vt-stack">'
        f'<img class="vt-photo" src="{picture}" alt="the picture as the network sees '
        'it"></div><figcaption>what the network sees</figcaption>'
        "</figure>"
    )
    body = "".join(_card(c, seen, top, threshold, saved) for c in cards)
    return (
        f'<section class="vt-panel"><h2>{heading}</h2><div '
        f'class="vt-toolbar">{blend_controls()}{_split()}</div>'
        f'<div class="vt-methods" style="--vt-picture:url({picture})">{plain}{body}</div></section>'
    )


def _split() -> str:
    return (
        '<label title="left of it the picture alone, right of it with its map">before / after <input '
        'type="range" min="0" max="100" value="0" '
        'data-blend="split" aria-label="how much of the picture is without its map, in percent"></label>'
    )


def _card(c: Card, seen: Image.Image, top: float | None, threshold: float, saved: str | None) -> str:
    name = f'<figcaption class="vt-method"><b>{esc(c.title)}</b>'
    if c.raw is None:
        text = (
            f"<p>{esc(c.why)}</p>"
            if c.why
            else f'<p>about {_seconds(c.seconds)}</p><button class="vt-run" '
            f"{action('compute', c.method)}>compute</button>"
        )
        return (
            f'<figure class="vt-tile">{name}</figcaption><div class="vt-stack '
            f'vt-waiting">{text}</div></figure>'
        )
    raw = c.raw
    reason = render.problem(raw)
    note = f'<span class="vt-none">{esc(reason)}</span>' if reason else ""
    grey = render.map_png(render.normalize(raw, top), max(1, 160 // max(raw.shape)))
    overlay = f'<img class="vt-map" src="{grey}" alt="{esc(c.title)}">' if np.isfinite(raw).any() else ""
    where = f"{esc(c.layer or 'input')}, {raw.shape[0]}×{raw.shape[1]}"
    save = (
        f'<button class="vt-link" {action("save", c.method)} aria-label="files of '
        f'{esc(c.title)}">save</button>'
        if saved is not None
        else ""
    )
    files = _files(c, seen) if saved == c.method else ""
    facts = (
        f"{_number(raw.min())} to {_number(raw.max())} · "
        f"{_seconds(c.seconds) if c.seconds else 'from the run'}<br>{where}{_sum(c)}"
    )
    return (
        f'<figure class="vt-tile">{name}{save}</figcaption><div class="vt-stack">'
        f'<div class="vt-photo" role="img" aria-label="the picture"></div>{overlay}'
        f"{_box(raw, threshold)}{note}</div><figcaption>{facts}</figcaption>{files}</figure>"
    )


def _sum(c: Card) -> str:
    """How close a complete method came to its promise."""
    if c.raw is None or c.expected_sum is None:
        return ""
    text = "by how much the score rises above the baseline's, which this method's maps should sum to"
    return (
        f'<br><span title="{text}">sums to {_number(float(c.raw.sum()))} of {_number(c.expected_sum)}</span>'
    )


def _box(raw: np.ndarray, threshold: float) -> str:
    """The strongest region's rectangle; none at threshold 0."""
    box = strongest_box(raw, threshold) if threshold > 0 else None
    if box is None:
        return ""
    left, upper, right, lower = (100 * value for value in box)
    return (
        '<i class="vt-box" '
        f'style="left:{left:.2f}%;top:{upper:.2f}%;width:{right - left:.2f}%;height:{lower - upper:.2f}%">'
        "</i>"
    )


def _files(c: Card, seen: Image.Image) -> str:
    """Links that hold the files themselves: no route, no file on the server."""
    assert c.raw is not None
    npy, overlay, scaled = io.BytesIO(), io.BytesIO(), render.normalize(c.raw)
    np.save(npy, c.raw)
    render.overlay(seen, scaled).save(overlay, "PNG")
    links = [
        ("map.png", render.colored_png(scaled)),
        ("overlay.png", _data("image/png", overlay)),
        ("npy", _data("application/octet-stream", npy)),
    ]
    made = "".join(
        f'<a class="vt-link" download="{esc(c.method)}.{kind}" href="{href}">{kind}</a>'
        for kind, href in links
    )
    return f'<figcaption class="vt-files">{made}</figcaption>'


def _data(kind: str, buffer: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _seconds(value: float) -> str:
    if value < 0.1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < 9.5 else f"{value:.0f} s" if value < 90 else f"{value / 60:.0f} min"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def heading(
    title: str, classes: tuple[str, ...], target: int, contrast_class: int | None, prob: float
) -> str:
    """'Maps for fear, and not surprise  probability .66'."""
    less = f", and not {esc(classes[contrast_class])}" if contrast_class is not None else ""
    return f"{esc(title)} for {esc(classes[target])}{less} <small>probability {decimal(prob)}</small>"
