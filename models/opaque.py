"""Networks whose layers cannot be reached from Python."""

from torch import nn

from models.access import Access, reaches
from models.errors import UserError


class OpaqueNetwork(nn.Module):
    """A network in another format; subclasses run it. `what`: the format, for messages."""

    access: Access = "scores"
    what = "network"


def access_of(model: nn.Module) -> Access:
    return model.access if isinstance(model, OpaqueNetwork) else "layers"


def require_layers(model: nn.Module, title: str) -> None:
    """Raises UserError where `title` cannot be shown of the network."""
    require_access(model, "layers", title, "name the code that builds the network, as net.py:build")


def require_access(model: nn.Module, needed: Access, title: str, remedy: str) -> None:
    """Raises UserError where `title` needs more of the network than can be reached; `remedy`: what can be
    used instead."""
    if reaches(access_of(model), needed):
        return
    assert isinstance(model, OpaqueNetwork)
    lacks = "neither gradients nor layers" if model.access == "scores" else "no layers"
    of = {"layers": "layers", "gradients": "gradients", "scores": "scores"}[needed]
    raise UserError(f"{title} needs the {of} of the network, and {model.what} gives {lacks}: {remedy}.")
