"""Which score is explained: a class's logit, or by how much it exceeds another's."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.errors import UserError


@dataclass(frozen=True, eq=False)
class Target:
    """One score an image: the logit of class `plus` (N,), less that of class `contrast_class` (N,) where it
    is given."""

    plus: Tensor
    contrast_class: Tensor | None = None

    def score(self, logits: Tensor) -> Tensor:
        """(N, K) -> (N,). Raises UserError for classes that the logits do not have."""
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
        """Each target so many times in a row."""
        return Target(
            self.plus.repeat_interleave(times),
            None if self.contrast_class is None else self.contrast_class.repeat_interleave(times),
        )

    def _check(self, logits: Tensor) -> None:
        n, classes = logits.shape
        for side in (self.plus, self.contrast_class):
            if side is not None and (len(side) != n or bool(((side < 0) | (side >= classes)).any())):
                raise UserError(
                    f"Target classes {side.tolist()[:8]} do not fit {n} images of {classes} classes."
                )
        if self.contrast_class is not None and bool((self.plus == self.contrast_class).any()):
            raise UserError(
                f"The difference of class {int(self.plus[0])} and itself is nothing: choose two classes."
            )


def score(logits: Tensor, plus: Tensor, contrast_class: Tensor | None) -> Tensor:
    """Logits (N, K) -> (N,); classes unchecked, for functions that are called thousands of times."""
    chosen = logits.gather(1, plus[:, None])[:, 0]
    return chosen if contrast_class is None else chosen - logits.gather(1, contrast_class[:, None])[:, 0]


def as_target(classes: "Target | Tensor") -> Target:
    return classes if isinstance(classes, Target) else Target(torch.as_tensor(classes))
