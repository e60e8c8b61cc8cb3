"""The parts of Inspect for several labels per image: the answer to every label, which of them are true, and
the maps that the run keeps."""

import numpy as np
from markupsafe import Markup

from dashboard.components.cards import Shown, probability_bar, tile
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from dashboard.links import copy_link
from explain import render
from explain.formatting import decimal, listed, percent, plural
from explain.run.format import CALLED
from explain.run.outputs.label_sets import LabelSets
from explain.run.reader import RunData

MOST = 12
"""Labels that are listed: all that are true or called, then the most probable ones."""
OUTCOMES = {
    (True, True): ("found", "hit"),
    (True, False): ("missed", "miss"),
    (False, True): ("false alarm", "miss"),
    (False, False): ("", "hit"),
}


def label_facts(
    run: RunData,
    sets: LabelSets,
    prob: np.ndarray,
    row: int | None,
    live: bool,
    asked: int | None = None,
    note: str = "",
) -> Markup:
    """A bar for each label, a button that asks for its map. `prob` (K,): sigmoids, which do not sum to 1;
    `row`: None for pictures from outside, whose labels nobody knows; `asked`: the label of the link; `note`:
    what is known of answers to pictures from outside."""
    truth = None if row is None else sets.truth[row]
    called = prob >= CALLED
    named = np.flatnonzero(called if truth is None else called | truth)
    order = [k for k in np.argsort(-prob, kind="stable").tolist() if k in named]
    order += [k for k in np.argsort(-prob, kind="stable").tolist() if k not in named]
    bars = join(_bar(sets, prob, k, truth) for k in order[: max(MOST, len(named))])
    outside = empty(note) if note else NOTHING
    known = _known(run, sets, row, asked) if row is not None else outside
    how = f"the probability of each label, which is called from {CALLED}"
    return panel("Labels", bars + known, f"{how}{'; click one for its map' * live}")


def _bar(sets: LabelSets, prob: np.ndarray, k: int, truth: np.ndarray | None) -> Markup:
    text, kind = ("", "hit") if truth is None else OUTCOMES[bool(truth[k]), bool(prob[k] >= CALLED)]
    name = sets.classes[k] + (f" · {text}" if text else "")
    return html(
        '<button class="vt-top" aria-label="map for {label}" {click}>{bar}</button>',
        label=sets.classes[k],
        click=action("target", k),
        bar=probability_bar(name, float(prob[k]), kind),
    )


def _known(run: RunData, sets: LabelSets, row: int, asked: int | None) -> Markup:
    """The labels of an image, those that are called, loss and name."""
    names = np.array(sets.classes)
    true, called = (names[chosen].tolist() for chosen in (sets.truth[row], sets.prob[row] >= CALLED))
    return html(
        '<dl class="vt-known"><dt>true {labels}</dt><dd><b>{true}</b></dd>'
        '<dt>called {called_labels}</dt><dd><b class="vt-{kind}">{called}</b></dd>'
        "<dt>loss</dt><dd>{loss}</dd><dt>image</dt><dd>{id} {link}</dd></dl>",
        labels=plural(len(true), "label"),
        called_labels=plural(len(called), "label"),
        true=listed(true) if true else "none",
        called=listed(called) if called else "none",
        kind="ok" if true == called else "bad",
        loss=decimal(float(run.table.at[row, "loss"])),
        id=run.table.at[row, "id"],
        link=copy_link(image=run.table.at[row, "id"], label="" if asked is None else sets.classes[asked]),
    )


def label_maps(run: RunData, sets: LabelSets, row: int) -> Markup:
    """Every map that the run holds of this image: one of each label and method."""
    picture = render.jpeg_url(run.thumbnails([row])[0])
    labels = sorted(sets.places.loc[sets.places["row"] == row, "class"].astype(int))
    tiles = join(
        _tile(run, sets, row, picture, method, k) for method in run.manifest.request.methods for k in labels
    )
    note = f"{run.manifest.request.where}; each on its own scale; what speaks for the label"
    body = html('<div class="vt-maps">{}</div>', tiles) if labels else empty("No label is true or called.")
    return panel("Maps of the run for the labels that are true or called", body, note)


def _tile(run: RunData, sets: LabelSets, row: int, picture: str, method: str, k: int) -> Markup:
    name, p = sets.classes[k], float(sets.prob[row, k])
    text = OUTCOMES[bool(sets.truth[row, k]), p >= CALLED][0]
    caption = html("<b>{}</b><br>{} <small>· {}, {}</small>", name, run.title(method), text, percent(p))
    return tile(picture, Shown(sets.maps(method, k, [row])[0], caption, f"{run.title(method)} for {name}"))
