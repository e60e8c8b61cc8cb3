"""The features of some layers of a network, as a network of its own: for training on them. torchvision traces
it; nothing is hooked."""

from collections.abc import Sequence

from torch import nn

from models.errors import UserError
from models.program import program


class Untraceable(UserError):
    """torch.fx cannot follow this network."""


def feature_extractor(model: nn.Module, layers: Sequence[str]) -> nn.Module:
    """The network up to the deepest of these layers; it returns a dict from layer to output. Sets the network
    to eval mode. Raises UserError for unknown layers, and `Untraceable`."""
    from torchvision.models.feature_extraction import create_feature_extractor

    known = dict(model.named_modules())
    if missing := [name for name in layers if name not in known]:
        raise UserError(f"{type(model).__name__} has no layer {', '.join(missing)}: see {program()} layers.")
    single = list(
        {type(m) for m in known.values() if not any(True for _ in m.children())}
    )  # their code need not be followed
    try:
        return create_feature_extractor(model.eval(), list(layers), tracer_kwargs={"leaf_modules": single})
    except Exception as error:  # torch.fx has many kinds
        raise Untraceable(
            f"{type(model).__name__} cannot be traced by torch.fx ({type(error).__name__}): choose "
            "another one."
        ) from error
