"""What a browser makes of a page: its elements and their attributes."""

from html.parser import HTMLParser


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def elements(text: str) -> list[tuple[str, dict[str, str]]]:
    """(tag, attributes) of every element."""
    reader = _Reader()
    reader.feed(text)
    return reader.found


def runs_nothing(text: str) -> bool:
    """Whether nothing in the page is a script, or would run when something happens."""
    found = elements(text)
    return not any(
        tag in ("script", "iframe", "object", "embed")
        or any(name.startswith("on") for name in attributes)
        or any(value.strip().lower().startswith("javascript:") for value in attributes.values())
        for tag, attributes in found
    )
