"""What guessing reaches, and how likely it is that predictions are guesses."""

import numpy as np

from models.measures.evaluation import Evaluation

LEVEL = 0.025
"""Of `p_of_chance`: as the lower end of a 95 % interval."""


def p_of_chance(e: Evaluation) -> float:
    """One-sided p of so many hits if predictions were assigned to images at random: mean and variance of the
    hits over all permutations, given how often each class is true and predicted (as in N. Mantel, W.
    Haenszel, JNCI 22, 1959), and the normal distribution. So it is fair to data of which nearly all is one
    class, where raw accuracy is high by itself. Of images of one class alone: p of the binomial with one over
    the number of classes."""
    return _p_of_chance(e.confusion)


def too_few(e: Evaluation) -> bool:
    """Whether the images cannot tell: also a network that is right about all of them would not be above
    chance (`p_of_chance`)."""
    return _p_of_chance(np.diag(e.confusion.sum(1))) > LEVEL


def _p_of_chance(confusion: np.ndarray) -> float:
    """`confusion` (K, K) counts, rows true, columns predicted."""
    from scipy.special import ndtr

    rows, columns, n = (v.astype(float) for v in (confusion.sum(1), confusion.sum(0), confusion.sum()))
    hits = float(np.trace(confusion))
    if np.count_nonzero(rows) == 1:
        from scipy import stats

        return float(stats.binomtest(int(hits), int(n), 1 / len(rows), alternative="greater").pvalue)
    both = float((rows * columns).sum())
    variance = (
        (both**2 + n**2 * both - n * float((rows * columns * (rows + columns)).sum())) / (n**2 * (n - 1))
        if n > 1
        else 0.0
    )
    if variance <= 1e-12:
        return 1.0
    return float(ndtr((both / n - hits) / variance**0.5))


def chance_level(e: Evaluation) -> float:
    """Accuracy of guesses as frequent as the network's predictions: Σ over classes of P(true) P(predicted),
    the expected agreement of Cohen's kappa; of images of one class alone, one over the number of classes."""
    n = e.confusion.sum()
    if np.count_nonzero(e.support) == 1:
        return 1 / len(e.support)
    return float((e.confusion.sum(0) * e.confusion.sum(1)).sum() / n**2)
