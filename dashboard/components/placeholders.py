"""Panels in the place of results that are not there yet, and how to get them."""

from markupsafe import Markup

from dashboard.components.markup import html
from dashboard.components.panel import empty, panel
from models.program import program


def waiting(title: str, text: str) -> Markup:
    """A panel with one sentence."""
    return panel(title, empty(text))


def no_decoders(title: str) -> Markup:
    """How to train decoders for the Inversion tab."""
    text = html(
        "No decoders are available for this network. <code>{0} invert train --model … --data … --layers … "
        "--out decoders</code> trains them; <code>{0} serve --decoders decoders</code> shows them. Without "
        "decoders, a layer can be inverted by optimization.",
        program(),
    )
    return panel(title, empty(text))


def no_gaze_folder() -> Markup:
    """How to compare fixations with networks for the Gaze tab."""
    text = html(
        "<code>{0} gaze evaluate --data fixations.csv --model mobilenet_v2 --out gaze/first</code> compares "
        "fixations with networks; <code>{0} serve --gaze gaze/first</code> shows the results.",
        program(),
    )
    return panel("Recorded fixations", empty(text))


def no_gaze_model() -> Markup:
    """How to train a gaze model."""
    text = html("No gaze model is installed: <code>{} gaze train</code> trains one.", program())
    return panel("Models and baselines", empty(text))
