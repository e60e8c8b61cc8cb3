"""Work in steps that has a result: a generator that stops between two batches of passes, where others may
have the network."""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]


def to_end(work: Steps[Result]) -> Result:
    """The result of `work`, without a stop."""
    results = list[Result]()
    for _ in _kept(work, results):
        pass
    return results[0]


def at(fraction: float, work: Steps[Result]) -> Generator[float, None, Result]:
    """`work`, of which every step yields `fraction`: how much of the whole is done."""
    results = list[Result]()
    for _ in _kept(work, results):
        yield fraction
    return results[0]


def _kept(work: Steps[Result], results: list[Result]) -> Steps[None]:
    """`work`, whose result is added to `results`."""
    results.append((yield from work))
