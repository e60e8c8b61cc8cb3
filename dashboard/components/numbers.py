"""The numbers on top: six cards that answer before a click."""

from dashboard.components.clickable import action, esc
from explain.analysis.headline import Figure, headline
from explain.run.reader import RunData


def numbers(run: RunData, method: str) -> str:
    """A card a figure; those that are about some images lead to them."""
    return f'<div class="vt-kpis">{"".join(map(_card, headline(run, method)))}</div>'


def _card(f: Figure) -> str:
    tag, click = "div", ""
    if f.about:
        i, j = f.about
        tag, click = "button", action("class", i) if i == j else action("cell", f"{i},{j}")
    return (
        f'<{tag} class="vt-kpi" {click} '
        f'title="{esc(f.meaning)}"><span>{esc(f.name)}</span><b>{esc(f.value)}</b><em>{esc(f.note)}</em>'
        f"</{tag}>"
    )
