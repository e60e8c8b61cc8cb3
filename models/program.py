"""How this program was started, so that messages name the command that a person can type."""

import sys
from pathlib import Path

from models.files.shown_paths import shown


def program() -> str:
    """`vitrine` where it was installed, `python launch.py` in a checkout."""
    return "vitrine" if Path(sys.argv[0]).stem == "vitrine" else "python launch.py"


def typed(words: list[str]) -> str:
    """The command line for these arguments, as a person types it."""
    import shlex

    return f"{program()} {shlex.join(map(shown, words))}"
