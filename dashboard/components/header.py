"""The line on top: what is being looked at."""

from dashboard.components.clickable import esc, script
from explain.render import color_filters
from explain.run.reader import RunData

BLEND, KEYBOARD = script("header.js"), script("keyboard.js")


def header(run: RunData) -> str:
    """Logo and pills: model, data, run; and the color filters that every map on the page uses."""
    request, manifest = run.manifest.request, run.manifest
    when = manifest.finished[:16].replace("T", " ") or "not finished"
    pills = [
        ("model", request.model),
        ("data", f"{request.data} · {len(run.table):,}"),
        ("layer", request.layer),
        ("run", when),
    ]
    if manifest.status != "complete":
        pills.append(("status", "partial: start the run again to go on"))
    chips = "".join(f'<span class="vt-chip">{name} <b>{esc(value)}</b></span>' for name, value in pills)
    return (
        f'<header class="vt-header"><h1 class="vt-logo"><i></i>Vitrine</h1>{chips}<span '
        'class="vt-space"></span>'
        '<button class="vt-chip" data-theme-switch>light / '
        f"dark</button></header>{color_filters()}"
    )
