"""Names of classes and images as names of files on any system."""

import re
import unicodedata
from collections.abc import Iterable


def safe(text: str) -> str:
    """A file name for any system: 1 to 48 lowercase ASCII letters, digits, '-' and '_'."""
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)
    )  # no accents
    return re.sub(r"[^a-z0-9_]+", "-", plain.lower())[:48].strip("-") or "unnamed"


def safe_names(texts: Iterable[str]) -> list[str]:
    """`safe` for each text, numbered where two would be one."""
    names: list[str] = []
    taken = {"con", "prn", "aux", "nul"}  # no names of folders on Windows
    for text in texts:
        name, number = safe(text), 1
        while name in taken:
            number += 1
            name = f"{safe(text)}-{number}"
        taken.add(name)
        names.append(name)
    return names


def stem(image: str) -> str:
    """A file name from an image's id: its end, without the suffix."""
    return safe(re.sub(r"[.]\w+$", "", image)[-48:])
