"""Label errors: confident learning on the run's probabilities, and an estimate of how many labels are
flipped: against a network that never saw such labels, and against one that learned to expect them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from explain.run.reader import RunData

FITTED = 10_000  # images, evenly spread, that the fraction of flipped labels is estimated on
FEWEST = 5
SOUND = 0.25  # fraction of predictions that labels may contradict for `DOUBTS` to apply
# of the labels that contradicted four networks trained on clean labels, 9 to 19 % ranked in the lower half
DOUBTS = 0.25
_TINY, _MOST_FLIPPED = 1e-12, 0.9


def checked(run: RunData) -> pd.DataFrame:
    """Of every readable row: `quality` (probability of the label), `suggested` (class that confident learning
    would give), and `issue` (whether it is among those that confident learning takes for wrong).

    C. Northcutt, L. Jiang, I. Chuang, *Confident Learning*, 2021, by cleanlab: as many issues as there are
    images whose confident class is another than the label, those of the least probable labels. The
    probabilities are taken as out of sample: where the network was trained on these images, fewer wrong
    labels are found than there are.
    """
    from cleanlab.experimental.label_issues_batched import LabelInspector

    label = run.ok["label"].to_numpy()
    if not len(label):
        none = {"quality": np.zeros(0, np.float32), "suggested": np.zeros(0, np.int16)}
        return pd.DataFrame(none | {"issue": np.zeros(0, bool)}, index=run.ok.index)
    inspector = LabelInspector(num_class=len(run.classes), verbose=False, n_jobs=1)
    quality, suggested = [], []
    for given, prob in run.labeled_probabilities():
        inspector.update_confident_thresholds(given, prob)
        quality.append(prob[np.arange(len(prob)), given].astype(np.float32))
    thresholds = inspector.get_confident_thresholds(silent=True)
    for given, prob in run.labeled_probabilities():
        inspector.score_label_quality(given, prob)
        suggested.append(np.where(prob >= thresholds, prob, prob - 2).argmax(1).astype(np.int16))
    found = {"quality": np.concatenate(quality), "suggested": np.concatenate(suggested)}
    issue = np.zeros(len(label), bool)
    issue[inspector.get_label_issues()] = True
    return pd.DataFrame(found | {"issue": issue & (found["suggested"] != label)}, index=run.ok.index)


@dataclass(frozen=True)
class Fit:
    """`flipped`: the fraction of labels that look as if someone had replaced them by another class at random;
    `p_flipped` of there being none. `temperature`: what the logits must be divided by to be believed (above
    1: over-confident); `p_temperature` of its being 1."""

    flipped: float
    p_flipped: float
    temperature: float
    p_temperature: float
    images: int


def fit(run: RunData) -> Fit:
    """Flipped labels are estimated in two ways, of which the more significant counts: `mixture` and
    `scattered`."""
    logs, label = _evenly(run)
    if len(label) < 2 or logs.shape[1] < 2:
        return Fit(0.0, 1.0, 1.0, 1.0, len(label))
    flipped, p, temperature, p_temperature = mixture(logs, label)
    scatter, p_scatter = scattered(logs, label)
    if p_scatter < p:
        flipped, p = scatter, p_scatter
    return Fit(flipped, min(1.0, 2 * p), temperature, p_temperature, len(label))  # two tests: Bonferroni


def mixture(logs: np.ndarray, label: np.ndarray) -> tuple[float, float, float, float]:
    """(fraction of flipped labels, its p, temperature, its p) of log p (n, K) and labels (n,), both at once
    by maximum likelihood: P(label) = (1 - e) q + e (1 - q) / (K - 1) with q = softmax(log p / T) of the
    label. A flipped label contradicts the network however confident it is; over-confidence has its fraction
    at every level. Likelihood ratio tests.

    The fraction is that of D. Patrini et al. 2017's symmetric noise, the temperature that of C. Guo et al.
    2017."""

    def best(temperature: float) -> tuple[float, float]:
        return _flips(_probability(logs / temperature, label), logs.shape[1])

    def over(noisy: bool) -> tuple[float, float]:
        """(log-likelihood, temperature)"""

        def unlikely(t: float) -> float:
            at = float(np.exp(t))
            return -(best(at)[0] if noisy else _likelihood(_probability(logs / at, label)))

        found = optimize.minimize_scalar(
            unlikely, bounds=(-1.5, 1.8), method="bounded", options={"xatol": 0.01}
        )
        return -float(found.fun), float(np.exp(found.x))

    (both, temperature), (clean, _), (cold, _) = over(True), over(False), best(1.0)
    p_flipped, p_temperature = (
        0.5 * stats.chi2.sf(max(0, 2 * (both - clean)), 1),
        stats.chi2.sf(max(0, 2 * (both - cold)), 1),
    )
    return best(temperature)[1], float(p_flipped), temperature, float(p_temperature)


def scattered(logs: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """(fraction of flipped labels, its p) by where labels rank that contradict the network, of log p (n, K)
    and labels (n,).

    A network that was trained on flipped labels expects them: its probabilities leave room for them, and no
    likelihood shows it. But a doubt ranks its label second or third, a flipped label ranks anywhere. So
    labels that contradict the surer half of the answers are compared with those that contradict the other
    half, where doubts prevail (Mann-Whitney, one-sided); and, where few answers are contradicted at all, the
    fraction that ranks in the lower half of the other classes with what doubts reach there (`DOUBTS`,
    binomial). No estimate for less than four classes, or of less than `FEWEST` contradictions.
    """
    n, classes = logs.shape
    rank = (logs > logs[np.arange(n), label][:, None]).sum(1)  # 0: the prediction
    against, sure = rank > 0, np.zeros(n, bool)
    sure[np.argsort(-logs.max(1), kind="stable")[: n // 2]] = True
    far = rank > (classes - 1) // 2
    found = []
    if classes >= 4 and min((against & sure).sum(), (against & ~sure).sum()) >= FEWEST:
        p = stats.mannwhitneyu(rank[against & sure], rank[against & ~sure], alternative="greater").pvalue
        found.append((_scattered_fraction(far, against, sure, float(far[against & ~sure].mean())), float(p)))
    if classes >= 4 and FEWEST <= against.sum() <= SOUND * n:
        p = stats.binom.sf(far[against].sum() - 1, against.sum(), DOUBTS)
        found.append((_scattered_fraction(far, against, np.ones(n, bool), DOUBTS), float(p)))
    fraction, p = min(found, key=lambda f: f[1], default=(0.0, 1.0))
    return fraction, min(1.0, max(1, len(found)) * p)


def _scattered_fraction(far: np.ndarray, against: np.ndarray, where: np.ndarray, doubts: float) -> float:
    """The fraction of flipped labels `where`, if the fraction `doubts` of all doubts is `far`, and half of
    all flipped labels."""
    by_chance = 0.5
    mixed = (
        (float(far[against & where].mean()) - doubts) / (by_chance - doubts) if doubts < by_chance else 0.0
    )
    return float(np.clip(mixed, 0, 1)) * float(against[where].mean())


def _evenly(run: RunData) -> tuple[np.ndarray, np.ndarray]:
    """log p (n, K) and labels (n,) of at most `FITTED` images."""
    every = len(run.ok)
    wanted = np.zeros(every, bool)
    wanted[np.linspace(0, every - 1, min(FITTED, every)).astype(int)] = True
    logs, label, begin = [], [], 0
    for given, prob in run.labeled_probabilities():
        chosen = wanted[begin : begin + len(given)]
        logs.append(np.log(np.maximum(prob[chosen], _TINY)))
        label.append(given[chosen])
        begin += len(given)
    return (np.concatenate(logs), np.concatenate(label)) if logs else (np.zeros((0, 1)), np.zeros(0, int))


def _probability(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted[np.arange(len(label)), label] / shifted.sum(1))


def _likelihood(q: np.ndarray) -> float:
    return float(np.log(np.maximum(q, _TINY)).sum())


def _flips(q: np.ndarray, classes: int) -> tuple[float, float]:
    """(log-likelihood, likeliest fraction of flipped labels) for probabilities q (n,) of the labels; the
    likelihood is concave in the fraction."""
    right, flipped = np.maximum(q, _TINY), np.maximum((1 - q) / (classes - 1), _TINY)

    def slope(e: float) -> float:
        return float(((flipped - right) / ((1 - e) * right + e * flipped)).sum())

    e = (
        0.0
        if slope(0) <= 0
        else float(optimize.brentq(slope, 0, _MOST_FLIPPED))
        if slope(_MOST_FLIPPED) < 0
        else _MOST_FLIPPED
    )
    return float(np.log((1 - e) * right + e * flipped).sum()), e
