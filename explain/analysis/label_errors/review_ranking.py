"""Suspicion that learns from answers: a small logistic regression of wrong labels."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

SPREAD_OF_CLASS, SPREAD_OF_SLOPE, SPREAD_OF_LEVEL = 1.0, 0.5, 3.0
"""Standard deviations of the coefficients before any answer, in logits."""
STEPS, CLIP = 25, 1e-4


def learned(
    suspicion: pd.Series, label: pd.Series, suggested: pd.Series, verdicts: Mapping[int, bool]
) -> pd.Series:
    """Probability of each row that its label is wrong: a logistic regression on the logit of its suspicion,
    with an offset for its label and one for the class that is suggested instead (J. Platt, 1999, with
    Gaussian priors: slope 1, no offsets; so without answers it is the suspicion).

    `suspicion`, `label` (class), `suggested` (class): of the rows of a run. `verdicts`: row -> whether the
    label is wrong; those of other rows are left out.
    """
    verdicts = {row: wrong for row, wrong in verdicts.items() if row in suspicion.index}
    if not verdicts:
        return suspicion
    logit = _logit(suspicion.to_numpy(float))
    rows, wrong = list(verdicts), np.array(list(verdicts.values()), float)
    classes = sorted({*label.loc[rows], *suggested.loc[rows]})  # others keep their prior: no offset
    x = _features(logit, label.to_numpy(), suggested.to_numpy(), classes)
    weights = _fitted(x[suspicion.index.get_indexer(pd.Index(rows))], wrong)
    return pd.Series(1 / (1 + np.exp(-(x @ weights))), index=suspicion.index)


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, CLIP, 1 - CLIP)
    return np.asarray(np.log(p / (1 - p)))


def _features(logit: np.ndarray, label: np.ndarray, suggested: np.ndarray, classes: list[int]) -> np.ndarray:
    """(n, 2 + 2 K): one, logit, and which label and which suggestion an image has."""
    own = [label == k for k in classes]
    other = [suggested == k for k in classes]
    return np.stack([np.ones(len(logit)), logit, *own, *other], 1).astype(float)


def _fitted(x: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """The most probable coefficients (d,), by Newton's method with halved steps: the posterior is concave."""
    d = x.shape[1]
    mean = np.zeros(d)
    mean[1] = 1.0
    spread = np.array([SPREAD_OF_LEVEL, SPREAD_OF_SLOPE, *[SPREAD_OF_CLASS] * (d - 2)])

    def log_posterior(w: np.ndarray) -> float:
        z = x @ w
        return float((wrong * z - np.logaddexp(0, z)).sum() - (((w - mean) / spread) ** 2).sum() / 2)

    w = mean.copy()
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(x @ w)))
        slope = x.T @ (wrong - p) - (w - mean) / spread**2
        curve = (x * (p * (1 - p))[:, None]).T @ x + np.diag(1 / spread**2)
        step, best = np.linalg.solve(curve, slope), log_posterior(w)
        while log_posterior(w + step) < best and np.abs(step).max() > 1e-9:
            step = step / 2
        w = w + step
        if np.abs(step).max() < 1e-8:
            break
    return w
