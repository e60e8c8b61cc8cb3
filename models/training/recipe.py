"""Settings of a training: one frozen record, stored in the checkpoint's metadata and printed as a command
line."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from models.errors import UserError
from models.training.augment import Augmentation

CHOICES = {
    "recipe": ("scratch", "features", "finetune"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "plateau"),
    "balance": ("none", "weights", "sampler"),
    "head": ("linear", "dense"),
    "task": ("classes", "affect"),
}
RATES = {"adamw": 2e-3, "sgd": 2e-2}
"""Default of the highest learning rate."""


@dataclass(frozen=True)
class Recipe:
    """`recipe`: scratch trains all layers from random weights; features trains a new head on precomputed
    features of the frozen base; finetune continues with the last `unfreeze` blocks, at `fine_rate` times the
    rate.

    `schedule` cosine warms up over a quarter of the steps and falls to zero; plateau halves the rate when
    validation loss has not fallen for three epochs. `mixup` is the alpha of Zhang et al. 2018 (0: off),
    `clip` the maximum norm of the gradient (0: off). `head_epochs`: epochs of the new head. `balance_by`: a
    column of the data; the sampler then draws every class equally often, and within it every value of that
    column. Raises UserError for a value that is not accepted.
    """

    recipe: str = "scratch"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float | None = None
    optimizer: str = "adamw"
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    label_smoothing: float = 0.05
    mixup: float = 0.0
    clip: float = 0.0
    patience: int = 6
    balance: str = "none"
    seed: int = 0
    head: str = "linear"
    head_epochs: int = 30
    unfreeze: int = 2
    fine_rate: float = 0.1
    task: str = "classes"
    augmentation: Augmentation = field(default_factory=Augmentation)
    balance_by: str = ""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"No {name} '{getattr(self, name)}': choose from {', '.join(allowed)}.")
        limits = {
            "epochs": 1,
            "batch_size": 2,
            "patience": 1,
            "head_epochs": 1,
            "unfreeze": 1,
            "mixup": 0,
            "clip": 0,
            "weight_decay": 0,
        }
        for name, least in limits.items():
            if not getattr(self, name) >= least:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least {least}.")
        if self.balance_by and self.balance != "sampler":
            raise UserError(
                f"balance_by '{self.balance_by}' needs balance sampler, it is {self.balance}: add "
                "--balance sampler."
            )
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing is {self.label_smoothing}: it must lie between 0 and 1.")
        if not 0 < self.rate < 10:
            raise UserError(f"learning_rate is {self.rate}: it must be above 0, and 0.001 to 0.1 is usual.")

    @property
    def rate(self) -> float:
        """The highest learning rate, of the new head where there is one."""
        return RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"learning_rate": self.rate}

    def differences(self, kept: dict[str, Any]) -> list[str]:
        """One phrase for every entry of another recipe's `as_dict` that differs. Entries that an earlier
        version did not have count as the default."""
        mine, usual = self.as_dict(), Recipe().as_dict()
        before = usual | kept | {"augmentation": usual["augmentation"] | kept.get("augmentation", {})}
        return [f"{k} {before[k]} (now {v})" for k, v in mine.items() if before[k] != v]

    def with_seed(self, seed: int) -> "Recipe":
        return replace(self, seed=seed)


NAMES = tuple(f.name for f in fields(Recipe))


def seeds_in(text: str) -> list[int]:
    """The seeds of '0' or '0,1,2', each once. Raises UserError for anything else."""
    words = text.replace(" ", "").split(",")
    if not all(word.isdecimal() and int(word) < 2**32 for word in words):
        raise UserError(f"seeds are '{text}': give whole numbers with commas between them, as in 0,1,2.")
    return list(dict.fromkeys(map(int, words)))
