"""The line of controls above the cards. What the server must answer reports itself; the rest is the
browser's."""

from dashboard.components.clickable import action, choices, segments
from dashboard.tabs.errors_state import LISTED, TARGETS, View
from explain.analysis.ranking import SORTS
from explain.render import COLOR_MAPS
from explain.run.reader import RunData


def pager(view: View, pages: int) -> str:
    return pages_control(view.page, pages)


def pages_control(page: int, pages: int) -> str:
    """‹ 1 / 3 ›, or nothing where everything fits on one page."""
    if pages < 2:
        return ""
    back, on = max(page - 1, 0), min(page + 1, pages - 1)
    return (
        f'<span class="vt-pager"><button {action("page", back)} aria-label="previous '
        f'page"{" disabled" if back == page else ""}>‹</button>'
        f"<span>{page + 1} / {pages}</span>"
        f'<button {action("page", on)} aria-label="next '
        f'page"{" disabled" if on == page else ""}>›</button></span>'
    )


def blend_controls() -> str:
    """Map on or off, its opacity and its colors: no round trip, remembered by the browser."""
    options = "".join(f'<option value="{name}">{name}</option>' for name in COLOR_MAPS)
    return (
        '<label class="vt-check"><input type="checkbox" data-blend="on" checked> map</label>'
        '<label>opacity <input type="range" min="0" max="100" value="65" data-blend="opacity" '
        'aria-label="opacity of the map in percent"></label>'
        f'<label>colors <select data-blend="colors">{options}</select><i class="vt-legend" title="low to '
        'high"></i></label>'
    )


def toolbar(run: RunData, view: View, pages: int) -> str:
    first = {LISTED: "as listed"} if view.group else {}
    sort = choices("sort", "sort", first | {s: s for s in SORTS}, view.sort)
    checked = " checked" if view.shared else ""
    return (
        f'<div class="vt-toolbar">{method_choice(run, view)}'
        f"{segments('target', TARGETS, view.target, 'map for')}{blend_controls()}{sort}"
        '<label class="vt-check" title="all maps on this page share one scale">'
        f'<input type="checkbox" data-action="shared"{checked}> one scale</label>'
        f"{pager(view, pages)}</div>"
    )


def method_choice(run: RunData, view: View) -> str:
    return choices("method", "method", {m: run.title(m) for m in run.manifest.request.methods}, view.method)


def one_target(view: View) -> str:
    """Of the two targets that of the view; where it shows both, the true class."""
    return "pred" if view.target == "pred" else "label"


def map_controls(run: RunData, view: View, pages: int = 1) -> str:
    """Method, one of the two targets, and how maps are blended."""
    targets = {k: v for k, v in TARGETS.items() if k != "both"}
    return (
        f'<div class="vt-toolbar">{method_choice(run, view)}'
        f"{segments('target', targets, one_target(view), 'map for')}{blend_controls()}"
        f"{pager(view, pages)}</div>"
    )
