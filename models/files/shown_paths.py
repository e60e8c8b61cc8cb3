"""Local folders that stand for a URL: messages and printed commands name the URL."""

_SHOWN: dict[str, str] = {}


def show_as(folder: object, url: str) -> None:
    """From now on texts name `url` in place of this folder."""
    _SHOWN[str(folder)] = url


def shown(text: str) -> str:
    """A text in which such folders, and paths below them, are URLs."""
    for folder in sorted(_SHOWN, key=len, reverse=True):
        if folder in text:
            text = text.replace(folder, _SHOWN[folder])
    return text
