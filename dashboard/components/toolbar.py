"""The controls above the cards. Those that change the images report to the server; those that change how a
map is blended stay in the browser."""

from markupsafe import Markup

from dashboard.components.controls import pager, segments, select
from dashboard.components.markup import NOTHING, html, join
from dashboard.components.trust.trust_line import method_options
from dashboard.tabs.errors_state import LISTED, TARGETS, View
from explain.analysis.ranking import SORTS
from explain.quality.known import methods_by_verdict
from explain.render import COLOR_MAPS
from explain.run.reader import RunData

ONE_TARGET = {name: title for name, title in TARGETS.items() if name != "both"}


def blend_controls() -> Markup:
    """Map on or off, its opacity and its colors: no round trip, remembered by the browser."""
    names = {name: name for name in COLOR_MAPS}
    colors = select("colors", "colors", names, "", kind="blend", show_label=False)
    return html(
        '<label class="vt-check"><input type="checkbox" data-blend="on" checked> map</label>'
        '<label>opacity <input type="range" min="0" max="100" value="65" data-blend="opacity" '
        'aria-label="opacity of the map in percent"></label>'
        '<label>colors {}<i class="vt-legend" title="low to high"></i></label>',
        colors,
    )


def toolbar(run: RunData, view: View, pages: int) -> Markup:
    """Method, target, blending, sort order, scale and page of a list of images."""
    orders = ({LISTED: "as listed"} if view.group else {}) | {name: name for name in SORTS}
    return controls_row(
        method_choice(run, view),
        segments("target", TARGETS, view.target, "map for"),
        blend_controls(),
        select("sort", "sort", orders, view.sort),
        html(
            '<label class="vt-check" title="all maps on this page share one scale">'
            '<input type="checkbox" data-action="shared"{}> one scale</label>',
            " checked" if view.shared else "",
        ),
        pager(view.page, pages),
    )


def controls_row(*controls: Markup) -> Markup:
    return html('<div class="vt-toolbar">{}</div>', join(controls))


def method_choice(run: RunData, view: View) -> Markup:
    """Those that can be trusted first."""
    options = method_options(run, methods_by_verdict(run))
    return select("method", "method", options, view.method)


def one_target(view: View) -> str:
    """The view's target where it is one; the true class where the view shows both."""
    return "pred" if view.target == "pred" else "label"


def map_controls(run: RunData, view: View, pages: int = 1, first: Markup = NOTHING) -> Markup:
    """Method, one of the two targets, and blending; `first` stands before them."""
    return controls_row(
        first,
        method_choice(run, view),
        segments("target", ONE_TARGET, one_target(view), "map for"),
        blend_controls(),
        pager(view.page, pages),
    )
