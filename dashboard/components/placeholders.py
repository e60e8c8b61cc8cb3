"""Panels that stand where results are not there yet, and say how to get them."""

from markupsafe import Markup

from dashboard.components.clickable import esc
from dashboard.components.panel import empty, panel
from models.program import program


def waiting(title: str, text: str) -> Markup:
    """A panel with one sentence of plain text."""
    return Markup(panel(Markup(esc(title)), Markup(empty(Markup(esc(text))))))


def no_decoders(title: str) -> Markup:
    """How to train decoders for the Inversion tab."""
    text = Markup(
        "No decoders are available for this network. <code>{0} invert train --model … --data … --layers … "
        "--out decoders</code> trains them; <code>{0} serve --decoders decoders</code> shows them. Without "
        "decoders, a layer can be inverted by optimization."
    ).format(program())
    return Markup(panel(Markup(esc(title)), Markup(empty(text))))


def no_gaze_folder() -> Markup:
    """How to compare fixations with networks for the Gaze tab."""
    text = Markup(
        "<code>{0} gaze evaluate --data fixations.csv --model mobilenet_v2 --out gaze/first</code> compares "
        "fixations with networks; <code>{0} serve --gaze gaze/first</code> shows the results."
    ).format(program())
    return Markup(panel("Recorded fixations", Markup(empty(text))))


def no_gaze_model() -> Markup:
    """How to train a gaze model."""
    text = Markup("No gaze model is installed: <code>{} gaze train</code> trains one.").format(program())
    return Markup(panel("Models and baselines", Markup(empty(text))))
