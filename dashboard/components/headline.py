"""The headline figures: one card each, readable before any click."""

from collections.abc import Sequence

from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from explain.analysis.headline import Figure, headline
from explain.run.reader import RunData


def numbers(run: RunData, method: str) -> Markup:
    """One card per figure; a figure about certain images is a button that opens them."""
    of_label = (
        html('<h2 class="vt-of-label">Label <b>{}</b>: yes or no</h2>', run.classes[1])
        if run.label_sets is not None
        else NOTHING
    )
    return of_label + headline_cards(headline(run, method))


def headline_cards(figures: Sequence[Figure]) -> Markup:
    return html('<div class="vt-kpis">{}</div>', join(map(_card, figures)))


def _card(f: Figure) -> Markup:
    tag, click = "div", NOTHING
    if f.about:
        i, j = f.about
        tag, click = "button", action("class", i) if i == j else action("cell", f"{i},{j}")
    return html(
        '<{tag} class="vt-kpi" {click} title="{meaning}"><span>{name}</span><b>{value}</b>'
        "<em>{note}</em></{tag}>",
        tag=tag,
        click=click,
        meaning=f.meaning,
        name=f.name,
        value=f.value,
        note=f.note,
    )
