"""Controls that several views share: a drop-down list, a group of buttons, a pager."""

from collections.abc import Mapping
from typing import Literal

from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join, verbatim


def select(
    name: str,
    label: str,
    options: Mapping[str, str],
    chosen: str,
    *,
    kind: Literal["action", "blend"] = "action",
    show_label: bool = True,
) -> Markup:
    """A drop-down list. `options`: text by value; `kind`: 'action' reports to the server as `name`, 'blend'
    stays in the browser (header.js); `label` names it for screen readers also where it is not shown."""
    items = join(
        html(
            '<option value="{value}"{mark}>{text}</option>',
            value=verbatim(value),
            mark=" selected" if value == chosen else "",
            text=text,
        )
        for value, text in options.items()
    )
    made = html(
        '<select data-{kind}="{name}" aria-label="{label}">{items}</select>',
        kind=kind,
        name=verbatim(name),
        label=label,
        items=items,
    )
    return html("<label>{} {}</label>", label, made) if show_label else made


def segments(name: str, options: Mapping[str, str], chosen: str, label: str) -> Markup:
    """Buttons of which one is on; `label` is what they choose, for a screen reader."""
    states = {
        True: Markup('class="vt-on" aria-pressed="true"'),
        False: Markup('aria-pressed="false"'),
    }
    buttons = join(
        html("<button {} {}>{}</button>", states[value == chosen], action(name, value), text)
        for value, text in options.items()
    )
    return html('<span class="vt-seg" role="group" aria-label="{}">{}</span>', label, buttons)


def lens_bar(
    lenses: Mapping[str, str], chosen: str, lists: Mapping[str, str], group: str, shown: Markup
) -> Markup:
    """The views of Errors as tabs, a list of image lists, and the panel of the chosen view."""
    states = {
        True: Markup('class="vt-on" aria-selected="true"'),
        False: Markup('aria-selected="false"'),
    }
    tabs = join(
        html(
            '<button role="tab" id="vt-lens-{}" aria-controls="vt-lens" {} {}>{}</button>',
            name,
            states[name == chosen],
            action("lens", name),
            title,
        )
        for name, title in lenses.items()
    )
    options = {"": "lists …", **lists}
    choice = select("group", "a list of images", options, group if group in lists else "", show_label=False)
    return html(
        '<div class="vt-lenses"><div role="tablist" aria-label="view of the images">{}</div>{}</div>'
        '<div role="tabpanel" id="vt-lens" aria-labelledby="vt-lens-{}">{}</div>',
        tabs,
        choice,
        chosen,
        shown,
    )


def pages_of(count: int, size: int, page: int = 0) -> tuple[int, int]:
    """(page, pages): the nearest page that exists, from 0, and how many pages `count` items fill."""
    pages = max(1, -(-count // size))
    return min(max(page, 0), pages - 1), pages


def pager(page: int, pages: int) -> Markup:
    """‹ 1 / 3 ›, or nothing where everything fits on one page."""
    if pages < 2:
        return NOTHING
    return html(
        '<span class="vt-pager">{}<span>{} / {}</span>{}</span>',
        _turn(page, max(page - 1, 0), "previous page", "‹"),
        page + 1,
        pages,
        _turn(page, min(page + 1, pages - 1), "next page", "›"),
    )


def _turn(page: int, target: int, label: str, sign: str) -> Markup:
    disabled = " disabled" if target == page else ""
    return html('<button {} aria-label="{}"{}>{}</button>', action("page", target), label, disabled, sign)
