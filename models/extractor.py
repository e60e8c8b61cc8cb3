"""The features of some layers of a network, as a network of its own: for training on them."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from models.errors import UserError


def feature_extractor(model: nn.Module, layers: Sequence[str]) -> nn.Module:
    """The network, put in eval mode, up to the deepest of these layers, which answers with a dict of them; all of it where torch.fx cannot follow.
    Raises UserError for layers that it has not."""
    from torchvision.models.feature_extraction import create_feature_extractor

    known = dict(model.named_modules())
    if missing := [name for name in layers if name not in known]:
        raise UserError(f"{type(model).__name__} has no layer {', '.join(missing)}: see python launch.py layers.")
    single = list({type(m) for m in known.values() if not any(True for _ in m.children())})  # their code need not be followed
    try:
        return create_feature_extractor(model.eval(), list(layers), tracer_kwargs={"leaf_modules": single})
    except Exception:  # torch.fx has many kinds
        return Watched(model.eval(), layers)


class Watched(nn.Module):
    """A network whose layers are hooked for the time of a pass. Of a layer that runs several times, the last run."""

    def __init__(self, network: nn.Module, layers: Sequence[str]):
        super().__init__()
        self.network, self.layers = network, list(layers)

    def forward(self, x: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
            found[name] = output.clone() if isinstance(output, Tensor) else output  # what follows may write into it

        known = dict(self.network.named_modules())
        hooks = [known[name].register_forward_hook(partial(keep, name)) for name in self.layers]
        try:
            self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        if missing := [name for name in self.layers if name not in found]:
            raise UserError(f"Layer {', '.join(missing)} of {type(self.network).__name__} does not run in a forward pass: choose another one.")
        return found
