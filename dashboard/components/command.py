"""Commands as they are shown."""

import re

from markupsafe import Markup

from dashboard.components.markup import html, join


def command_words(text: str) -> Markup:
    """A command in which no line ends inside the name of an option: browsers break lines after every hyphen,
    and `-` at an end with `-balance` below reads as another option. Copied, it is `text`."""
    return join(
        html('<span class="vt-option">{}</span>', word) if word.startswith("-") else word
        for word in re.split(r"(\s+)", text)
    )
