"""A training that is interrupted in its second epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest


@contextmanager
def in_the_second_epoch(module: ModuleType) -> Iterator[None]:
    """Every `run_epochs` of a training module ends like one on which someone pressed Ctrl-C."""
    real, epochs = module.run_epochs, []

    def cancellation(trainee: Any, *more: Any) -> Any:
        def begins() -> None:
            epochs.append(1)
            if len(epochs) == 2:
                raise KeyboardInterrupt

        trainee.on_train_epoch_start = begins
        return real(trainee, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_epochs", cancellation)
        yield
    assert len(epochs) == 2
