"""The parts of Inspect: the five most probable classes, what is known of the image, and the run's maps."""

import numpy as np
from markupsafe import Markup

from dashboard.components.cards import Shown, probability_bar, tile
from dashboard.components.command import command_words
from dashboard.components.inspect.label_subject import label_facts, label_maps
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.number_runs.subject import number_facts, number_maps
from dashboard.components.panel import empty, panel
from dashboard.components.trust.trust_line import verdict_note
from dashboard.links import copy_link
from explain import render
from explain.formatting import decimal, evidence, percent
from explain.run.format import TARGETS
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.data.kinds import DRAWN

TOP = 5
TITLE = "Top five"
DRAWN_ONLY = "This network was trained on drawn faces only: predictions for photographs are not reliable."


def photo_note(run: RunData) -> str:
    """What is known of the network's predictions for photos; empty where nothing is."""
    return DRAWN_ONLY if run.manifest.request.data.partition("/")[0] in DRAWN else ""


def start_page() -> Markup:
    return panel(
        "No image selected",
        empty("Click an image in Errors, upload a photo, or choose one of the examples on the left."),
    )


def facts(
    run: RunData,
    prob: np.ndarray | None,
    row: int | None,
    temperature: float | None = None,
    live: bool = True,
    asked: int | None = None,
) -> Markup:
    """The five most probable classes, each a button that asks for its map; and what is known of the image.

    `prob` (K,) as the network outputs it; with a `temperature` the bars are calibrated. `live`: whether a
    click computes maps; `asked`: of several labels per image, and of numbers, the one whose maps are shown.
    """
    if prob is None:
        return panel("Numbers" if run.numbers else TITLE, empty("Open an image to see its predictions."))
    if isinstance(run, NumbersRun):
        return number_facts(run, prob, row, live, run.index if asked is None else asked)
    if run.all_labels and run.label_sets is not None:
        return label_facts(run, run.label_sets, prob, row, live, asked, photo_note(run))
    label = int(run.table.at[row, "label"]) if row is not None else None
    prob = prob if temperature is None else calibrated(prob, temperature)
    bars = join(_class_bar(run, prob, i, label) for i in np.argsort(-prob, kind="stable")[:TOP].tolist())
    how = f"calibrated, temperature {temperature:.2f}" if temperature else "not calibrated"
    known = NOTHING
    if row is not None and label is not None:
        known = _known(run, row, label, float(prob[label]), temperature is not None)
    elif note := photo_note(run):
        known = empty(note)
    return panel(TITLE, bars + known, f"{how}{'; click one for its map' * live}")


def _class_bar(run: RunData, prob: np.ndarray, i: int, label: int | None) -> Markup:
    kind = "hit" if label in (None, i) else "miss"
    return html(
        '<button class="vt-top" aria-label="map for {name}" {click}>{bar}</button>',
        name=run.classes[i],
        click=action("target", i),
        bar=probability_bar(run.classes[i], float(prob[i]), kind),
    )


def _known(run: RunData, row: int, label: int, prob: float, calibrated: bool) -> Markup:
    """True class, prediction, loss and name of an image of the run; `calibrated`: whether `prob` is, as no
    figure of a run."""
    item = run.table.loc[row]
    pred, correct = run.classes[int(item["pred"])], label == int(item["pred"])
    return html(
        '<dl class="vt-known"><dt>true class</dt><dd><b>{label}</b>, {prob}</dd>'
        '<dt>predicted class</dt><dd><b class="vt-{kind}">{pred}</b>, {verdict}</dd>'
        "<dt>loss</dt><dd>{loss:.2f}{raw}</dd>"
        "<dt>image</dt><dd>{id} {link}</dd></dl>",
        label=run.classes[label],
        prob=decimal(prob),
        kind="ok" if correct else "bad",
        pred=pred,
        verdict="correct" if correct else "wrong",
        loss=float(item["loss"]),
        raw=" without the temperature" if calibrated else "",
        id=item["id"],
        link=copy_link(image=item["id"]),
    )


def shown_probability(run: RunData, prob: np.ndarray, temperature: float | None, target: int) -> float:
    """The probability that stands beside a map; of several labels per image, that of the label alone."""
    return float(prob[target] if run.all_labels else calibrated(prob, temperature or 1)[target])


def calibrated(prob: np.ndarray, temperature: float) -> np.ndarray:
    """(K,) at another temperature: softmax of log p / T (Guo et al., ICML 2017)."""
    power = np.maximum(prob.astype(float), 1e-30) ** (1 / temperature)
    return np.asarray(power / power.sum())


def run_maps(run: RunData, row: int) -> Markup:
    """Every map that the run holds of this image."""
    if isinstance(run, NumbersRun):
        return number_maps(run, row)
    if run.all_labels and run.label_sets is not None:
        return label_maps(run, run.label_sets, row)
    item, picture = run.table.loc[row], render.jpeg_url(run.thumbnails([row])[0])
    targets = TARGETS if item["label"] != item["pred"] else TARGETS[:1]
    tiles = join(
        _map_tile(run, row, picture, method, target)
        for method in run.manifest.request.methods
        for target in targets
    )
    note = (
        f"{run.manifest.request.where}; each on its own scale; border: fraction of the map in the "
        "outer eighth, 44 % for a uniform map"
    )
    title = "Maps of the run for the predicted and the true class"
    shown = html('<div class="vt-maps">{}</div>', tiles)
    return panel(title, shown + verdict_note(run, *run.manifest.request.methods), note)


def _map_tile(run: RunData, row: int, picture: str, method: str, target: str) -> Markup:
    item = run.table.loc[row]
    name = run.classes[int(item[target])]
    caption = html(
        "<b>{}</b><br>{} <small>· border {}</small>",
        run.title(method),
        evidence(name, target),
        percent(float(item[f"map.{method}.{target}.border_mass"])),
    )
    raw = run.maps(method, target, [row])[0]
    return tile(picture, Shown(raw, caption, f"{run.title(method)} for {name}"))


def reproduced(command: str, script: str) -> Markup:
    """The same maps by command and in Python, to be copied."""
    parts = join(
        html(
            '<h3>{} <button class="vt-link" data-copy>copy</button></h3><pre class="vt-command">{}</pre>',
            title,
            command_words(text.strip()),
        )
        for title, text in (("On the command line", command), ("In Python", script))
        if text
    )
    return html(
        '<details class="vt-panel vt-again"><summary>Reproduce these maps by command or in Python</summary>'
        "{}</details>",
        parts,
    )
