"""The camera's panel: what stands in it before it is started, and what each frame changes."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from dashboard.components.cards import probability_bar
from dashboard.components.inspect.face_view import placed_at
from dashboard.components.inspect.map_cards import Card, drawn_map
from dashboard.components.markup import NOTHING, html, join
from dashboard.components.panel import empty
from dashboard.components.toolbar import blend_controls, controls_row
from explain.formatting import layer_label, listed, percent
from explain.quality.flags import flags
from explain.run.format import CALLED

ALL, TOP = 8, 5
"""Up to so many classes are all shown, in their order; of more, the most probable ones."""
INSTEAD = "Upload a photo, or take one there, instead: Upload a photo has a camera button where there is one."
NUMBERS = "Live shows networks that name classes; this one answers numbers. Upload a photo instead."
NO_FACE = "No face found"
SHORT = "camera → probabilities and a map for each frame; nothing is kept"
OF_LABELS = (
    f"Each label has a probability of its own, and is called from {CALLED}: they need not sum to 1. The map "
    "is of the most probable label."
)
NONE_CALLED = "No label is called"
TEXTS = {
    "insecure": f"Browsers give a camera to https pages and to localhost alone. {INSTEAD}",
    "none": f"No camera was found. {INSTEAD}",
    "refused": f"The camera was refused: allow it for this page in the browser. {INSTEAD}",
    "broken": f"The camera cannot be opened. {INSTEAD}",
    "lost": "The server does not answer: start again.",
    "hidden": "Stopped, because the page was out of sight: start again.",
    "waiting": "Waiting for the camera and the network …",
    "stopped": "Stopped.",
}
"""What the script says, by the names that it uses."""


def live_view(note: str, limit: float | None, labels: bool = False) -> Markup:
    """The panel, closed. `note`: what is known of the network's predictions for photos; `limit`: seconds that
    a visit may last; `labels`: whether an image has any number of labels."""
    said = " ".join(filter(None, [note, "" if limit is None else f"It stops after {limit:.0f} s."]))
    about = html('<p class="vt-empty">{}</p>', OF_LABELS) if labels else NOTHING
    texts = join(html('data-text-{}="{}" ', name, text) for name, text in TEXTS.items())
    return html(
        '<details class="vt-panel vt-camera" {texts}>'
        "<summary>Live <small>{short}</small></summary>"
        '<div class="vt-toolbar"><button class="vt-run" data-live="start">Start the camera</button>'
        '<button class="vt-run" data-live="stop" hidden>Stop</button><span data-live="rate"></span></div>'
        '<p class="vt-found" data-live="said">{said}</p>'
        '<div data-live="view" hidden>{blend}<div class="vt-frames">'
        '<figure class="vt-tile"><div class="vt-stack" data-live="stack">'
        '<canvas role="img" aria-label="the frame that was explained"></canvas>'
        '<div data-live="over"></div></div><figcaption data-live="caption"></figcaption></figure>'
        '<div><div data-live="bars"></div>{about}</div></div><div data-live="verdict"></div></div>'
        '<p class="vt-unseen" aria-live="polite" data-live="top"></p></details>',
        texts=texts,
        short=SHORT,
        said=said,
        blend=controls_row(blend_controls()),
        about=about,
    )


def not_live(reason: str) -> Markup:
    """The panel of a network that is not shown live."""
    return html(
        '<details class="vt-panel vt-camera"><summary>Live</summary>{}</details>',
        empty(reason),
    )


def announced(classes: Sequence[str], prob: np.ndarray, labels: bool = False) -> str:
    """The most probable class, by probabilities (K,); of any number of `labels`, those that are called."""
    if not labels:
        return classes[int(prob.argmax())]
    called = [name for name, p in zip(classes, prob.tolist(), strict=True) if p >= CALLED]
    return listed(called, len(called)) if called else NONE_CALLED


def bars(classes: Sequence[str], prob: np.ndarray, labels: bool = False) -> Markup:
    """Probabilities (K,) as bars, the most probable one marked; of `labels` all that are called."""
    order = np.argsort(-prob, kind="stable").tolist()
    most = max(TOP, int((prob >= CALLED).sum())) if labels else TOP
    shown = range(len(classes)) if len(classes) <= ALL else order[:most]
    return join(
        html(
            '<div class="{}">{}</div>',
            "vt-first" if i == order[0] else "",
            probability_bar(classes[i], float(prob[i]), "hit"),
        )
        for i in shown
    )


def over_frame(
    card: Card,
    place: tuple[float, float, float, float],
    region: tuple[int, int, int, int] | None,
    size: tuple[int, int],
) -> Markup:
    """The map where it lies on a frame of `size` (width, height), and the dashed frame of what was cropped.
    `place`, `region`: left, top, right and bottom in pixels of the frame."""
    if card.raw is None:
        return NOTHING
    cropped = NOTHING
    if region is not None:
        cropped = html('<i class="vt-crop" style="{}"></i>', placed_at(region, size))
    return html(
        '<div class="vt-place" style="{}">{}</div>{}',
        placed_at(place, size),
        drawn_map(card, card.raw, None, 0),
        cropped,
    )


def caption(card: Card, name: str, prob: float) -> Markup:
    """Which map this is, and what is wrong with it on its face. `prob`: of the class `name`, in this
    frame."""
    if card.raw is None:
        return NOTHING
    h, w = card.raw.shape
    found = join(html("<br><b>{}</b> {}", flag.name, flag.reason) for flag in flags(card.raw, prob))
    return html(
        "{} for <b>{}</b>, {} in this frame · {}, {}×{}{}",
        card.title,
        name,
        percent(prob),
        layer_label(card.layer) or "input",
        h,
        w,
        found,
    )
