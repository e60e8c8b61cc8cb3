"""Maps of one image side by side: one card per method, in the registry's order."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from PIL import Image

from dashboard.components.inspect.badge_view import badge_lines, check_view
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.network.strongest import frame
from dashboard.components.number_runs.cards import signed_controls
from dashboard.components.toolbar import blend_controls, controls_row
from explain import render
from explain.analysis.numbers.text import number
from explain.formatting import decimal, layer_label
from explain.methods.boxes import strongest_box
from models.data.images import PNG

if TYPE_CHECKING:
    from explain.quality.one_map.kept import Badge
    from explain.quality.one_map.map_check import MapCheck

SIDE = 640  # longer side of the image
ENLARGED = 160  # least longer side of a map


@dataclass(frozen=True, eq=False)
class Card:
    """A method and its map `raw` (h, w) at `layer`, or `why` there is none; `seconds`: how long it took, or
    would take, 0 for maps of the run. `expected_sum`: what the map should sum to, where the method promises
    that. `signed`: negative values are drawn, too. `badge`: what is said of the map, `check`: its check,
    where it was made, `of_run`: what is known of the method's maps over the run, `caution`: why nothing is
    concluded from the check."""

    method: str
    title: str
    raw: np.ndarray | None = None
    layer: str = ""
    seconds: float = 0.0
    why: str = ""
    expected_sum: float | None = None
    signed: bool = False
    badge: "Badge | None" = None
    check: "MapCheck | None" = None
    of_run: str = ""
    caution: str = ""


def map_cards(
    image: Image.Image,
    cards: list[Card],
    heading: str,
    shared: bool,
    threshold: float,
    saved: str | None = "",
) -> Markup:
    """A panel: the network's input, then a card for each method. `shared`: all maps on one scale;
    `threshold`: of the box around the strongest region, 0 for none; `saved`: the method whose files are
    offered, None where nobody may ask for files, or for the check of a map."""
    picture = render.jpeg_url(render.jpeg_bytes(image, SIDE, 92))
    signed, top = any(c.signed for c in cards), shared_top(cards) if shared else None
    return html(
        '<section class="vt-panel"><h2>{heading}</h2>{controls}'
        '<div class="vt-methods" style="--vt-picture:url({picture})">{plain}{cards}</div></section>',
        heading=heading,
        controls=controls_row(signed_controls() if signed else blend_controls(), _split()),
        picture=picture,
        plain=_plain(picture),
        cards=join(
            _waiting(c) if c.raw is None else _card(c, c.raw, image, top, threshold, saved) for c in cards
        ),
    )


def shared_top(cards: list[Card]) -> float:
    """The value that is drawn strongest where all maps share one scale."""
    peak = render.signed_peak if any(c.signed for c in cards) else render.peak
    return max((float(peak(c.raw)) for c in cards if c.raw is not None), default=0.0)


def _plain(picture: str) -> Markup:
    return html(
        '<figure class="vt-tile"><figcaption class="vt-method"><b>Image</b></figcaption>'
        '<div class="vt-stack"><img class="vt-photo" src="{}" alt="the input of the network"></div>'
        "<figcaption>the input of the network</figcaption></figure>",
        picture,
    )


def _split() -> Markup:
    return Markup(
        '<label title="left of it the image alone, right of it with its map">before / after <input '
        'type="range" min="0" max="100" value="0" data-blend="split" '
        'aria-label="how much of the image is without its map, in percent"></label>'
    )


def _waiting(c: Card) -> Markup:
    """Why there is no map, or the button that computes it."""
    offer = html(
        '<p>about {}</p><button class="vt-run" {}>compute</button>',
        _seconds(c.seconds),
        action("compute", c.method),
    )
    return html(
        '<figure class="vt-tile"><figcaption class="vt-method"><b>{}</b></figcaption>'
        '<div class="vt-stack vt-waiting">{}</div></figure>',
        c.title,
        html("<p>{}</p>", c.why) if c.why else offer,
    )


def _card(
    c: Card, raw: np.ndarray, image: Image.Image, top: float | None, threshold: float, saved: str | None
) -> Markup:
    save = html(
        '<button class="vt-link" {} aria-label="files of {}">save</button>',
        action("save", c.method),
        c.title,
    )
    return html(
        '<figure class="vt-tile"><figcaption class="vt-method"><b>{title}</b>{save}</figcaption>'
        '<div class="vt-stack"><div class="vt-photo" role="img" aria-label="the image"></div>{overlay}</div>'
        "<figcaption>{facts}</figcaption>{files}{badge}</figure>{check}",
        title=c.title,
        save=NOTHING if saved is None else save,
        overlay=drawn_map(c, raw, top, threshold),
        facts=_facts(c, raw),
        files=_files(c, raw, image) if saved == c.method else NOTHING,
        badge=badge_lines(c.badge, c.method, c.title, saved is not None),
        check=NOTHING if c.check is None else check_view(c.check, c.title, c.of_run, c.caution),
    )


def drawn_map(c: Card, raw: np.ndarray, top: float | None, threshold: float) -> Markup:
    """The map, the box, and the reason where there is nothing to draw."""
    drawn, reason = NOTHING, render.signed_problem(raw) if c.signed else render.problem(raw)
    if c.signed and np.isfinite(raw).any():
        url = render.difference_png(render.signed(raw, top))
        drawn = html('<img class="vt-difference vt-signed" src="{}" alt="{}">', url, c.title)
    elif np.isfinite(raw).any():
        grey = render.map_png(render.normalize(raw, top), max(1, ENLARGED // max(raw.shape)))
        drawn = html('<img class="vt-map" src="{}" alt="{}">', grey, c.title)
    box = strongest_box(raw, threshold) if threshold > 0 else None
    drawn += NOTHING if box is None else frame(*box)
    return drawn + (html('<span class="vt-none">{}</span>', reason) if reason else NOTHING)


def _facts(c: Card, raw: np.ndarray) -> Markup:
    return html(
        "{low} to {high} · {seconds}<br>{layer}, {h}×{w}{sum}",
        low=_number(raw.min()),
        high=_number(raw.max()),
        seconds=_seconds(c.seconds) if c.seconds else "from the run",
        layer=layer_label(c.layer) or "input",
        h=raw.shape[0],
        w=raw.shape[1],
        sum=NOTHING if c.expected_sum is None else _sum(float(raw.sum()), c.expected_sum),
    )


def _sum(total: float, expected: float) -> Markup:
    """How close a complete method comes to its promise."""
    return html(
        '<br><span title="the score minus the baseline\'s score, which maps of this method should sum to">'
        "sums to {} of {}</span>",
        _number(total),
        _number(expected),
    )


def _files(c: Card, raw: np.ndarray, image: Image.Image) -> Markup:
    """Links that hold the files themselves: no route, no file on the server."""
    npy, overlay, scaled = io.BytesIO(), io.BytesIO(), render.normalize(raw)
    np.save(npy, raw)
    render.overlay(image, scaled).save(overlay, **PNG)
    links = [
        ("map.png", render.colored_png(scaled)),
        ("overlay.png", data_url("image/png", overlay)),
        ("npy", data_url("application/octet-stream", npy)),
    ]
    return file_links(c.method, links)


def file_links(method: str, links: list[tuple[str, str]]) -> Markup:
    """Of (kind of file, data URL): downloads of files METHOD.KIND."""
    made = join(
        html(
            '<a class="vt-link" download="{method}.{kind}" href="{href}">{kind}</a>',
            method=method,
            kind=kind,
            href=href,
        )
        for kind, href in links
    )
    return html('<figcaption class="vt-files">{}</figcaption>', made)


def data_url(kind: str, buffer: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _seconds(value: float) -> str:
    if value < 0.1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < 9.5 else f"{value:.0f} s" if value < 90 else f"{value / 60:.0f} min"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def heading(
    title: str, classes: tuple[str, ...], target: int, contrast_class: int | None, prob: float
) -> Markup:
    """'Maps for fear, and not surprise  probability .66'."""
    less = f", and not {classes[contrast_class]}" if contrast_class is not None else ""
    return html("{} for {}{} <small>probability {}</small>", title, classes[target], less, decimal(prob))


def number_heading(title: str, name: str, predicted: float) -> Markup:
    """'Maps for age  predicted 41.2'."""
    return html("{} for {} <small>predicted {}</small>", title, name, number(predicted))
