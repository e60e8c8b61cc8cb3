"""Query parameters of a link to a tab's view."""

from urllib.parse import urlencode


def query_string(**parts: object) -> str:
    """`?tab=layers&channel=3`; parts that are empty or None are left out."""
    return "?" + urlencode({k: str(v) for k, v in parts.items() if v not in ("", None)})
