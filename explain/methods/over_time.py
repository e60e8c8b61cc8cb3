"""The mean of what changes from frame to frame. NumPy only."""

import math

import numpy as np

TIME_CONSTANT = 0.5
"""Seconds after which a step of the probabilities is shown to 63 %."""


class ExponentialMean:
    """The exponentially weighted mean of values (K,) at any times: m += (1 - exp(-Δt / τ)) (value - m), so
    that it does not depend on how often values come. It begins with the first one."""

    def __init__(self, time_constant: float = TIME_CONSTANT):
        self._time_constant, self._at = time_constant, 0.0
        self._mean: np.ndarray | None = None

    def add(self, value: np.ndarray, at: float) -> np.ndarray:
        """The mean (K,) after a value of the time `at`, in seconds, which does not go back."""
        if self._mean is None:
            self._mean = value.astype(float)
        else:
            weight = -math.expm1(-(at - self._at) / self._time_constant)
            self._mean = self._mean + weight * (value - self._mean)
        self._at = at
        return self._mean

    def clear(self) -> None:
        """Begin again with the next value."""
        self._mean = None
