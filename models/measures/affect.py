"""Measures of valence and arousal, each tested against an independent reference. NumPy only."""

import numpy as np

AXES = ("valence", "arousal")


def concordance(answer: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Lin's concordance correlation (1989) of each column of (n, k): 1 only where predictions equal the
    labels."""
    shift = answer.mean(0) - truth.mean(0)
    both = ((answer - answer.mean(0)) * (truth - truth.mean(0))).mean(0)
    spread = answer.var(0) + truth.var(0) + shift**2
    return np.divide(2 * both, spread, out=np.zeros_like(both), where=spread > 0)


def correlation(answer: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pearson's r of each column of (n, k); 0 where one of the two is constant."""
    both = ((answer - answer.mean(0)) * (truth - truth.mean(0))).mean(0)
    spread = answer.std(0) * truth.std(0)
    return np.divide(both, spread, out=np.zeros_like(both), where=spread > 0)


def sign_agreement(answer: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fraction of images whose prediction has the sign of the label (Nicolaou et al. 2011), of each
    column."""
    return (np.sign(answer) == np.sign(truth)).mean(0)


def affect_measures(answer: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """(n, 2) predictions and labels -> rmse, pearson, ccc and sagr, each (2,) for valence and arousal."""
    return {
        "rmse": np.sqrt(((answer - truth) ** 2).mean(0)),
        "pearson": correlation(answer, truth),
        "ccc": concordance(answer, truth),
        "sagr": sign_agreement(answer, truth),
    }
