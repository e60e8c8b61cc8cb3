"""Networks in other formats than PyTorch's modules."""

from torch import nn

from models.errors import UserError
from models.layers.access import Access, reaches


class ForeignNetwork(nn.Module):
    """A network in another format; subclasses run it. `access`: how much of it can be reached; `what`: the
    format, for messages."""

    access: Access = "scores"
    what = "network"


def access_of(model: nn.Module) -> Access:
    return model.access if isinstance(model, ForeignNetwork) else "modules"


LACKS = {
    "scores": "neither gradients nor layers",
    "gradients": "no layers",
    "layers": "layers of other kinds than PyTorch's",
}
"""What a network cannot give that can be reached so far."""


def require_layers(model: nn.Module, title: str) -> None:
    """Raises UserError where `title` cannot be shown of the network."""
    require_access(model, "layers", title, "name the code that builds the network, as net.py:build")


def require_access(model: nn.Module, needed: Access, title: str, remedy: str) -> None:
    """Raises UserError where `title` needs more of the network than can be reached; `remedy`: what can be
    used instead."""
    access = access_of(model)
    if reaches(access, needed):
        return
    assert isinstance(model, ForeignNetwork)
    wanted = "modules of PyTorch" if needed == "modules" else f"the {needed} of the network"
    raise UserError(f"{title} needs {wanted}, and this {model.what} gives {LACKS[access]}: {remedy}.")
