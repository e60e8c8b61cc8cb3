"""What a network is about, where that changes how a photo is prepared for it. No torch."""

from typing import Any

from models.errors import UserError

FACES = "faces"
DOMAINS = (FACES,)
_EXPRESSIONS, _DRAWN = "fer_", ":toon_faces"
"""Shipped networks whose files need not say it: those of expressions are about faces, as photos frame them;
drawn faces are framed otherwise, and photos are not what their network was trained on."""


def domain_of(about: dict[str, Any], shipped_as: str = "") -> str:
    """Of a checkpoint, by its description; otherwise, of one that is shipped, by its name; empty where
    nothing says it."""
    if domain := str(about.get("domain") or ""):
        return domain
    return FACES if shipped_as.startswith(_EXPRESSIONS) and not shipped_as.endswith(_DRAWN) else ""


def require_domain(text: str) -> str:
    """Raises UserError for a domain that there is not; empty text stays."""
    if text and text not in DOMAINS:
        raise UserError(f"No domain '{text}': choose from {', '.join(DOMAINS)}, or leave it out.")
    return text
