"""Layer-wise relevance propagation, by Captum."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from explain.explainers.scorer import captum, pixels
from models.errors import UserError

if TYPE_CHECKING:
    from explain.case import Case


def lrp(case: "Case") -> Tensor:
    """Layer-wise relevance propagation with Captum's rules: the epsilon rule for weighted layers, relevance unchanged through ReLUs.

    Raises UserError for a network with branches, whose relevance Captum would count twice, and for layers that have no rule.
    """
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    instead = "use Integrated Gradients or DeepLift."
    with captum(case, 2, "guided", copy=True) as (net, more):
        if net.joins:
            raise UserError(f"LRP is for networks without branches, and this one joins some: {instead}")
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.rule = EpsilonRule()  # type: ignore[assignment] # as Captum has it for BatchNorm2d
        for parent in list(net.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.Identity | nn.Flatten) or "Dropout" in type(child).__name__:
                    setattr(parent, name, Unchanged(child))
        try:
            return pixels(LRP(net).attribute(**more))
        except TypeError as error:
            kind = str(error).partition("<class '")[2].partition("'")[0].rpartition(".")[2]
            raise UserError(f"LRP has no rule for a layer of this network ({kind.replace('ClippedRelu', 'ReLU6')}): {instead}") from error


class Unchanged(nn.Module):
    """A layer that changes no number when it is not trained, for which Captum has no rule: below it stands one that it knows."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.known = nn.Dropout(0)
        self.ends = (layer.start_dim, layer.end_dim) if isinstance(layer, nn.Flatten) else None

    def forward(self, x: Tensor) -> Tensor:
        return self.known(x).flatten(*self.ends) if self.ends else self.known(x)
