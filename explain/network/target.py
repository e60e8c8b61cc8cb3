"""Which score is explained: a class's logit, or by how much it exceeds another's."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from explain.formatting import counted
from models.errors import UserError


@dataclass(frozen=True, eq=False)
class Target:
    """One score per image: the logit of class `plus` (N,), minus that of class `contrast_class` (N,) where it
    is given."""

    plus: Tensor
    contrast_class: Tensor | None = None

    @cached_property
    def key(self) -> tuple[tuple[int, ...], ...]:
        """The classes as a hashable value: equal for equal targets."""
        return tuple(tuple(side.tolist()) for side in (self.plus, self.contrast_class) if side is not None)

    def score(self, logits: Tensor) -> Tensor:
        """Logits (N, K) -> scores (N,). Raises UserError for classes that the logits do not have."""
        self._check(logits)
        return score(
            logits,
            self.plus.to(logits.device),
            None if self.contrast_class is None else self.contrast_class.to(logits.device),
        )

    def rows(self, rows: slice | Tensor) -> "Target":
        """The targets of some of the images."""
        return Target(self.plus[rows], None if self.contrast_class is None else self.contrast_class[rows])

    def repeated(self, times: int) -> "Target":
        """Each target `times` times in a row."""
        return Target(
            self.plus.repeat_interleave(times),
            None if self.contrast_class is None else self.contrast_class.repeat_interleave(times),
        )

    def _check(self, logits: Tensor) -> None:
        n, classes = logits.shape
        for side in (self.plus, self.contrast_class):
            if side is not None and (len(side) != n or bool(((side < 0) | (side >= classes)).any())):
                raise UserError(
                    f"Target classes {side.tolist()[:8]} do not fit {counted(n, 'image')} of "
                    f"{counted(classes, 'class')}."
                )
        if self.contrast_class is not None and bool((self.plus == self.contrast_class).any()):
            raise UserError("The target class and the contrast class are the same class: choose two classes.")


def score(logits: Tensor, plus: Tensor, contrast_class: Tensor | None) -> Tensor:
    """Logits (N, K) -> scores (N,). Classes are not checked: for functions that are called thousands of
    times."""
    chosen = logits.gather(1, plus[:, None])[:, 0]
    return chosen if contrast_class is None else chosen - logits.gather(1, contrast_class[:, None])[:, 0]


def as_target(classes: "Target | Tensor") -> Target:
    return classes if isinstance(classes, Target) else Target(torch.as_tensor(classes))
