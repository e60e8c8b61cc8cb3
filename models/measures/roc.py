"""Receiver operating characteristics of a classifier, one class against the rest, on scikit-learn."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Roc:
    """One curve: `fpr`, `tpr` (n,), and the area below it (NaN where the class or the rest has no image)."""

    name: str
    fpr: np.ndarray
    tpr: np.ndarray
    area: float


def roc_curves(label: np.ndarray, prob: np.ndarray, classes: tuple[str, ...], points: int = 200) -> list[Roc]:
    """One curve for each class, then micro (all decisions pooled) and macro (mean of the curves of
    classes with images).

    `label` (n,), `prob` (n, K). Areas are exact; curves are thinned to about `points` for drawing.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    truth = label[:, None] == np.arange(len(classes))
    curves = []
    for k, name in enumerate(classes):
        if truth[:, k].any() and not truth[:, k].all():
            fpr, tpr, _ = roc_curve(truth[:, k], prob[:, k])
            curves.append(Roc(name, *_thin(fpr, tpr, points), float(roc_auc_score(truth[:, k], prob[:, k]))))
        else:
            curves.append(Roc(name, np.zeros(0), np.zeros(0), float("nan")))
    known = [c for c in curves if len(c.fpr)]
    if not known:
        return curves
    fpr, tpr, _ = roc_curve(truth.ravel(), prob.ravel())
    grid = np.linspace(0, 1, points)
    mean = np.mean([np.interp(grid, c.fpr, c.tpr) for c in known], axis=0)
    mean[0] = 0.0
    micro = Roc("micro average", *_thin(fpr, tpr, points), float(roc_auc_score(truth.ravel(), prob.ravel())))
    return [*curves, micro, Roc("macro average", grid, mean, float(np.mean([c.area for c in known])))]


def _thin(fpr: np.ndarray, tpr: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    if len(fpr) <= points:
        return fpr, tpr
    kept = np.unique(np.linspace(0, len(fpr) - 1, points).round().astype(int))
    return fpr[kept], tpr[kept]
