"""The right side of Errors: ways to look at images as tabs, lists of images, and what is shown."""

from collections.abc import Mapping

from markupsafe import Markup

from dashboard.components.clickable import action, esc


def lens_bar(lenses: Mapping[str, str], chosen: str, lists: Mapping[str, str], group: str) -> Markup:
    """Tabs that report themselves as `lens`, and a drop-down list that reports itself as `group`."""
    tabs = Markup("").join(_tab(name, title, name == chosen) for name, title in lenses.items())
    options = Markup("").join(_option(name, title, name == group) for name, title in lists.items())
    return Markup(
        '<div class="vt-lenses"><div role="tablist" aria-label="view of the images">{}</div>'
        '<select data-action="group" aria-label="a list of images"><option value="">lists …</option>{}'
        "</select></div>"
    ).format(tabs, options)


def lens_panel(chosen: str, content: Markup) -> Markup:
    """What the chosen tab shows."""
    return Markup('<div role="tabpanel" id="vt-lens" aria-labelledby="vt-lens-{}">{}</div>').format(
        chosen, content
    )


def _tab(name: str, title: str, chosen: bool) -> Markup:
    state = Markup('class="vt-on" aria-selected="true"' if chosen else 'aria-selected="false"')
    return Markup('<button role="tab" id="vt-lens-{}" aria-controls="vt-lens" {} {}>{}</button>').format(
        name, state, Markup(action("lens", name)), Markup(esc(title))
    )


def _option(name: str, title: str, chosen: bool) -> Markup:
    selected = " selected" if chosen else ""
    return Markup('<option value="{}"{}>{}</option>').format(name, selected, Markup(esc(title)))
