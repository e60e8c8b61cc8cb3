"""The line of controls above the cards. What the server must answer reports itself; the rest is the browser's."""

from dashboard.components.clickable import action, esc
from dashboard.view import TARGETS, View
from explain.errors import SORTS
from explain.render import COLOUR_MAPS
from explain.run_data import RunData


def _select(name: str, title: str, options: dict[str, str], chosen: str) -> str:
    items = "".join(f'<option value="{esc(k)}"{" selected" if k == chosen else ""}>{esc(v)}</option>' for k, v in options.items())
    return f'<label>{title} <select data-action="{name}">{items}</select></label>'


def pager(view: View, pages: int) -> str:
    """‹ 1 / 3 ›, or nothing where everything fits on one page."""
    if pages < 2:
        return ""
    back, on = max(view.page - 1, 0), min(view.page + 1, pages - 1)
    return (f'<span class="vt-pager"><button {action("page", back)} aria-label="previous page"{" disabled" if back == view.page else ""}>‹</button>'
            f"<span>{view.page + 1} / {pages}</span>"
            f'<button {action("page", on)} aria-label="next page"{" disabled" if on == view.page else ""}>›</button></span>')  # fmt: skip


def blend_controls() -> str:
    """Map on or off, its opacity and its colours: no round trip, remembered by the browser."""
    options = "".join(f'<option value="{name}">{name}</option>' for name in COLOUR_MAPS)
    return ('<label class="vt-check"><input type="checkbox" data-blend="on" checked> map</label>'
            '<label>opacity <input type="range" min="0" max="100" value="65" data-blend="opacity" aria-label="opacity of the map in percent"></label>'
            f'<label>colours <select data-blend="colours">{options}</select><i class="vt-legend" title="low to high"></i></label>')  # fmt: skip


def toolbar(run: RunData, view: View, pages: int) -> str:
    request = run.manifest.request
    segments = "".join(f'<button class="{"vt-on" if k == view.target else ""}" aria-pressed="{str(k == view.target).lower()}" '
                       f'{action("target", k)}>{v}</button>' for k, v in TARGETS.items())  # fmt: skip
    method = _select("method", "method", {m: run.title(m) for m in request.methods}, view.method)
    sort = _select("sort", "sort", {s: s for s in SORTS}, view.sort)
    checked = " checked" if view.shared else ""
    return (f'<div class="vt-toolbar">{method}<span class="vt-seg" role="group" aria-label="map for">{segments}</span>{blend_controls()}{sort}'
            '<label class="vt-check" title="all maps on this page share one scale">'
            f'<input type="checkbox" data-action="shared"{checked}> one scale</label>'
            f"{pager(view, pages)}</div>")  # fmt: skip
