"""Ctrl-C whose exception Python drops still stops the work."""

import signal
from collections.abc import Iterator
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from models.interrupts import listen, raise_if_interrupted
from models.training.loop import run_epochs


class Finalized:
    """A signal that comes while this is destroyed: Python prints "Exception ignored" and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Steps(L.LightningModule):
    """Counts its steps; the signal comes at the second."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.steps = nn.Linear(2, 1), 0

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        self.steps += 1
        if self.steps == 2:
            Finalized()
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As they were before."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    listen()
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dropped_interrupt_is_kept() -> None:
    raise_if_interrupted()
    Finalized()
    with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()
    listen()
    raise_if_interrupted()


def test_an_interrupt_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore")
def test_a_training_stops_at_the_next_batch() -> None:
    loader = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=1)
    trainee, handler = Steps(), signal.getsignal(signal.SIGINT)
    assert not run_epochs(trainee, loader, loader, 50, [])
    assert trainee.steps == 2
    assert signal.getsignal(signal.SIGINT) is handler
