"""How a network that predicts gaze is trained: one frozen record, kept in the checkpoint's metadata."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from models.errors import UserError
from models.program import program

CHOICES = {
    "model": ("gaze_readout", "gaze_small", "salnet-half", "salnet"),
    "loss": ("nll", "kl", "mse", "bce", "nss"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "steps"),
}
OUTPUTS = {"nll": "log density", "kl": "log density", "mse": "map", "nss": "map", "bce": "logits"}
"""The output of a network, by the loss it is trained with."""
DENSITIES = ("gaze_readout", "gaze_small")
LAYERS = {
    "mobilenet_v2": ("features.7", "features.10", "features.13", "features.16", "features.17", "features.18"),
    "vgg16": ("features.15", "features.22", "features.25", "features.27", "features.29"),
    "resnet50": ("layer2", "layer3", "layer4"),
    "timm:mobilenetv1_100": ("blocks.2", "blocks.3", "blocks.4"),
}
"""Default layers of a readout."""


@dataclass(frozen=True)
class GazeRecipe:
    """`loss`: nll, the log-likelihood of fixations; kl, mse, bce against their blurred density (for mse and
    bce scaled to a maximum of 1); nss. `schedule`: cosine to zero after a warm-up, or steps, a tenth of the
    rate every ten epochs. `backbone`, `layers`, `size` (of its input), `grid` (of the output), `dropout`: of
    a readout. `flips`: every image also flipped horizontally."""

    model: str
    loss: str
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    schedule: str
    weight_decay: float = 1e-4
    flips: bool = False
    seed: int = 0
    backbone: str = ""
    layers: tuple[str, ...] = ()
    size: tuple[int, int] = (240, 320)
    grid: tuple[int, int] = (236, 316)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"No {name} '{getattr(self, name)}': choose from {', '.join(allowed)}.")
        for name, least in {"epochs": 1, "batch_size": 1}.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least {least}.")
        if not 0 < self.learning_rate < 10:
            raise UserError(
                f"learning_rate is {self.learning_rate}: it must be above 0; "
                f"{RECIPES[self.model].learning_rate:g} is this recipe's."
            )
        if self.model in DENSITIES and self.loss not in ("nll", "kl"):
            raise UserError(
                f"{self.model} outputs a density, which {self.loss} does not train: choose nll or kl."
            )

    @property
    def output(self) -> str:
        return OUTPUTS[self.loss]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, kept: dict[str, Any]) -> list[str]:
        """One phrase for every entry of another recipe's `as_dict` that differs."""
        mine = self.as_dict()
        before = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}
        return [f"{k} {before.get(k)} (now {v})" for k, v in mine.items() if before.get(k) != v]


_SALNET = GazeRecipe("salnet", "mse", 20, 2, 1e-4, "sgd", "steps")
RECIPES: dict[str, GazeRecipe] = {}
RECIPES |= {
    "salnet": _SALNET,
    "salnet-half": replace(_SALNET, model="salnet-half"),
    "gaze_readout": GazeRecipe(
        "gaze_readout",
        "nll",
        25,
        16,
        1e-3,
        "adamw",
        "cosine",
        1e-3,
        True,
        size=(600, 800),
        grid=(60, 80),
        dropout=0.3,
    ),
    "gaze_small": GazeRecipe(
        "gaze_small", "kl", 60, 32, 3e-3, "adamw", "cosine", 1e-2, True, size=(192, 256), grid=(24, 32)
    ),
}
"""Pan et al. 2016; a readout of a frozen backbone; and a small network, best distilled from a readout."""


def gaze_recipe(model: str, **changes: Any) -> GazeRecipe:
    """The recipe of a name with changes (None: unchanged). Raises UserError."""
    if model not in RECIPES:
        raise UserError(f"No gaze model '{model}': choose from {', '.join(RECIPES)}.")
    recipe = replace(RECIPES[model], **{k: v for k, v in changes.items() if v is not None})
    if model != "gaze_readout":
        return recipe
    if not recipe.backbone:
        recipe = replace(recipe, backbone="mobilenet_v2")
    if not recipe.layers and recipe.backbone not in LAYERS:
        raise UserError(
            f"Which layers of {recipe.backbone}? Name some with --layers, as {program()} layers lists them; "
            f"known are those of {', '.join(LAYERS)}."
        )
    return recipe if recipe.layers else replace(recipe, layers=LAYERS[recipe.backbone])
