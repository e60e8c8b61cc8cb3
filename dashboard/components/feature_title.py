"""The heading above feature visualizations."""

from markupsafe import Markup

from dashboard.components.clickable import esc


def feature_title(description: str) -> Markup:
    """`description`: of the units and the settings."""
    return Markup("Feature visualization <small>{}</small>").format(Markup(esc(description)))
