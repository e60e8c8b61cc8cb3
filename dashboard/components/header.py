"""The line at the top: which model, data and run the page shows."""

from markupsafe import Markup

from dashboard.components.clickable import script
from dashboard.components.markup import NOTHING, html, join
from explain.formatting import layer_label
from explain.render import color_filters
from explain.run.reader import RunData

# what every page loads once
SCRIPTS = "".join(script(name) for name in ("click_order.js", "quiet_inputs.js", "header.js", "keyboard.js"))


def list_header() -> Markup:
    """Of the list of runs: logo, and light or dark."""
    return _bar(NOTHING)


def _bar(chips: Markup) -> Markup:
    return html(
        '<header class="vt-header"><h1 class="vt-logo"><i></i>Vitrine</h1>{}<span class="vt-space"></span>'
        '<button class="vt-chip" data-theme-switch>light / dark</button></header>',
        chips,
    )


def header(run: RunData, home: str = "") -> Markup:
    """Logo and chips (model, data, layer, run), and the color filters that every map on the page uses.
    `home`: the path of the list of runs, where the page has one."""
    request, manifest = run.manifest.request, run.manifest
    chips = [
        ("model", manifest.network),
        ("data", f"{request.data} · {len(run.table):,}"),
        ("layer", layer_label(request.layer) or "none"),
        ("run", manifest.finished[:16].replace("T", " ") or "not finished"),
    ]
    if manifest.status != "complete":
        chips.append(("status", "partial: start the run again to resume it"))
    back = html('<a class="vt-chip" href="{}">all runs</a>', home) if home else NOTHING
    filters = Markup(color_filters())  # an SVG of constants
    return _bar(back + join(_chip(name, value, request.layer) for name, value in chips)) + filters


def _chip(name: str, value: str, layers: str) -> Markup:
    """A chip that is short for several layers has all of them in its tooltip."""
    tooltip = layers.replace(",", ", ") if name == "layer" and "," in layers else ""
    title = html(' title="{}"', tooltip) if tooltip else Markup("")
    return html('<span class="vt-chip"{}>{} <b>{}</b></span>', title, name, value)
