"""The registry of explanation methods: adding a method is adding one entry to `cam_entries` or
`attribution_entries`, or calling `register` from elsewhere.

The dashboard's controls, the command line, the contract tests and the table in the documentation read these
entries.
"""

from collections.abc import Iterable

from explain.methods.attribution_entries import ATTRIBUTION_METHODS
from explain.methods.cam_entries import CAM_METHODS
from explain.methods.spec import Method
from models.errors import UserError
from models.program import program

METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add an entry. Raises ValueError where the name is taken."""
    if method.name in METHODS:
        raise ValueError(f"method '{method.name}' is registered twice")
    METHODS[method.name] = method
    return method


def get(name: str) -> Method:
    """Raises UserError for an unknown name, with the nearest ones."""
    if name not in METHODS:
        raise UserError(f"No method '{name}': {_near(name, METHODS)}'{program()} methods' lists all.")
    return METHODS[name]


def from_a_pass(name: str) -> Method:
    """A method that needs one captured pass and no more, as runs over many images do. Raises UserError for
    others."""
    names = names_from_a_pass()
    if name not in METHODS:
        raise UserError(f"No method '{name}': {_near(name, names)}A run takes {', '.join(names)}.")
    if name not in names:
        raise UserError(
            f"{METHODS[name].title} runs the network many times for one image: a run takes "
            f"{', '.join(names)}; for single images use 'explain', or Inspect."
        )
    return METHODS[name]


def names_from_a_pass() -> list[str]:
    return [m.name for m in METHODS.values() if m.needs == "pass"]


def _near(name: str, names: Iterable[str]) -> str:
    """'did you mean ...? ' with the nearest of the methods' names and titles, or ''."""
    import difflib

    known = {_plain(text): choice for choice in names for text in (METHODS[choice].title, choice)}
    found = [_plain(name)] if _plain(name) in known else difflib.get_close_matches(_plain(name), known, 3)
    choices = list(dict.fromkeys(known[text] for text in found))
    return f"did you mean {' or '.join(choices)}? " if choices else ""


def _plain(text: str) -> str:
    """Without case, spaces and signs: Grad-CAM++ is gradcampp."""
    return "".join(c for c in text.lower().replace("+", "p").replace("×", "x") if c.isalnum())


for method in (*CAM_METHODS, *ATTRIBUTION_METHODS):
    register(method)
