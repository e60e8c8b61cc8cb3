"""Work in steps that has a result: a generator that stops between two batches of passes, where others may
have the network."""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]


def to_end(work: Steps[Result]) -> Result:
    """The result of `work`, without a stop."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result


def at(fraction: float, work: Steps[Result]) -> Generator[float, None, Result]:
    """`work`, of which every step yields `fraction`: how much of the whole is done."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield fraction
