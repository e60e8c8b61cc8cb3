"""Settings of a training: one frozen record, stored in the checkpoint's metadata and printed as a command
line."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from models.data.source import ImageSource
from models.domains import require_domain
from models.errors import UserError
from models.outputs.task_names import AFFECT, MULTI, REGRESSION, SINGLE
from models.training.augment import Augmentation

CHOICES = {
    "recipe": ("scratch", "features", "finetune"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "plateau"),
    "balance": ("none", "weights", "sampler"),
    "head": ("linear", "dense"),
    "task": ("classes", MULTI, REGRESSION, AFFECT),
    "loss": ("cross-entropy", "bce", "focal", "mse", "huber", "ccc"),
}
LOSSES = {
    "classes": ("cross-entropy",),
    MULTI: ("bce", "focal"),
    REGRESSION: ("mse", "huber", "ccc"),
    AFFECT: ("mse", "huber", "ccc"),
}
"""Task -> its losses, the default first."""
RATES = {"adamw": 2e-3, "sgd": 2e-2}
"""Default of the highest learning rate."""


@dataclass(frozen=True)
class Recipe:
    """`recipe`: scratch trains all layers from random weights; features trains a new head on precomputed
    features of the frozen base; finetune continues with the last `unfreeze` blocks, at `fine_rate` times the
    rate. `task`: as the data says where it is empty.

    `schedule` cosine warms up over a quarter of the steps and falls to zero; plateau halves the rate when
    validation loss has not fallen for three epochs. `mixup` is the alpha of Zhang et al. 2018 (0: off),
    `clip` the maximum norm of the gradient (0: off). `head_epochs`: epochs of the new head. `balance_by`: a
    column of the data; the sampler then draws every class equally often, and within it every value of that
    column.

    Of any number of labels per image: `loss` is bce (binary cross-entropy) or focal; `pos_weight`, the factor
    on the loss of positives, is balanced, none or a number; `focal_gamma` is the exponent of the focal loss.
    Of numbers: `loss` is mse, huber or ccc. `domain`: what the images show (`models.domains`); as the base
    says where it is empty.
    Raises UserError for a value that is not accepted.
    """

    recipe: str = "scratch"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float | None = None
    optimizer: str = "adamw"
    schedule: str = "cosine"
    weight_decay: float = 1e-4
    label_smoothing: float | None = None
    mixup: float = 0.0
    clip: float = 0.0
    patience: int = 6
    balance: str = "none"
    seed: int = 0
    head: str = "linear"
    head_epochs: int = 30
    unfreeze: int = 2
    fine_rate: float = 0.1
    task: str = ""
    augmentation: Augmentation = field(default_factory=Augmentation)
    balance_by: str = ""
    loss: str = ""
    pos_weight: str = "balanced"
    focal_gamma: float = 2.0
    domain: str = ""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in (*allowed, *(("",) if name in ("task", "loss") else ())):
                named = (SINGLE if word == "classes" else word for word in allowed)  # as commands call it
                raise UserError(f"No {name} '{getattr(self, name)}': choose from {', '.join(named)}.")
        limits = {
            "epochs": 1,
            "batch_size": 2,
            "patience": 1,
            "head_epochs": 1,
            "unfreeze": 1,
            "mixup": 0,
            "clip": 0,
            "focal_gamma": 0,
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
        if not 0 <= self.smoothing < 1:
            raise UserError(f"label_smoothing is {self.label_smoothing}: it must lie between 0 and 1.")
        require_domain(self.domain)
        if self.task:
            self._check_task()
        if not 0 < self.rate < 10:
            raise UserError(f"learning_rate is {self.rate}: it must be above 0, and 0.001 to 0.1 is usual.")

    def _check_task(self) -> None:
        """Raises UserError for what does not apply to the task."""
        if self.loss_name not in LOSSES[self.task]:
            raise UserError(
                f"loss {self.loss} is not for task {self.task}: choose from {', '.join(LOSSES[self.task])}."
            )
        if self.task != MULTI and (self.pos_weight, self.focal_gamma) != ("balanced", 2.0):
            raise UserError(
                f"pos_weight and focal_gamma are for data with several labels per image, the task is "
                f"{self.task}: leave them out."
            )
        if self.task != MULTI:
            return
        if self.balance == "weights":
            raise UserError(
                "balance weights is for one class per image: of several labels, pos_weight balances the loss."
            )
        if self.balance_by:
            raise UserError("balance_by is for one class per image: leave it out.")
        if self.pos_weight not in ("balanced", "none") and not _is_positive(self.pos_weight):
            raise UserError(f"pos_weight is '{self.pos_weight}': give balanced, none, or a number above 0.")

    def of_data(self, source: ImageSource) -> "Recipe":
        """With the task of the data, where none is given. Raises UserError where the task is of other
        data."""
        found = "classes" if source.task == SINGLE else source.task
        if self.task and self.task != found and self.task != AFFECT:
            raise UserError(
                f"The task is {self.task}, and {source.name} is data of task {found}: leave the task out."
            )
        return replace(self, task=self.task or found)

    @property
    def loss_name(self) -> str:
        """The loss, or the default of the task."""
        return self.loss or LOSSES[self.task or "classes"][0]

    @property
    def smoothing(self) -> float:
        """Of labels; by default only of one class per image: with rare labels, smoothed negatives would
        outweigh the positives."""
        if self.label_smoothing is not None:
            return self.label_smoothing
        return 0.05 if self.task in ("", "classes") else 0.0

    @property
    def rate(self) -> float:
        """The highest learning rate, of the new head where there is one."""
        return RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    def as_dict(self) -> dict[str, Any]:
        found = {"learning_rate": self.rate, "label_smoothing": self.smoothing, "loss": self.loss_name}
        return asdict(self) | found | {"task": self.task or "classes"}

    def differences(self, kept: dict[str, Any]) -> list[str]:
        """One phrase for every entry of another recipe's `as_dict` that differs. Entries that an earlier
        version did not have count as the default."""
        task = kept.get("task", "")
        mine, usual = self.as_dict(), Recipe(task=task if task in LOSSES else "").as_dict()
        before = usual | kept | {"augmentation": usual["augmentation"] | kept.get("augmentation", {})}
        return [f"{k} {before[k]} (now {v})" for k, v in mine.items() if before[k] != v]

    def with_seed(self, seed: int) -> "Recipe":
        return replace(self, seed=seed)


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


NAMES = tuple(f.name for f in fields(Recipe))


def seeds_in(text: str) -> list[int]:
    """The seeds of '0' or '0,1,2', each once. Raises UserError for anything else."""
    words = text.replace(" ", "").split(",")
    if not all(word.isdecimal() and int(word) < 2**32 for word in words):
        raise UserError(f"seeds are '{text}': give whole numbers with commas between them, as in 0,1,2.")
    return list(dict.fromkeys(map(int, words)))
