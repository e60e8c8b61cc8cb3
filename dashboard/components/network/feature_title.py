"""The heading above feature visualizations."""

from markupsafe import Markup

from dashboard.components.markup import html


def feature_title(description: str) -> Markup:
    """`description`: of the units and the settings."""
    return html("Feature visualization <small>{}</small>", description)
