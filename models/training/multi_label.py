"""What a measured training of several labels per image says: its numbers, and how they are written. Needs no
torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.measures import labels as measures


def sigmoid(logits: np.ndarray) -> np.ndarray:
    result: np.ndarray = 0.5 * (1 + np.tanh(np.asarray(logits, np.float64) / 2))
    return result


def cross_entropy(logits: np.ndarray, truth: np.ndarray) -> float:
    """Mean binary cross-entropy over all images and labels, in nats."""
    return float((np.logaddexp(0, logits) - truth * logits).mean())


def measured(tables: Sequence[pd.DataFrame], classes: Sequence[str]) -> dict[str, Any]:
    """Of validation and test, where there is one; tables as `models.training.measure` stores them."""
    found: dict[str, Any] = {}
    for table, part in zip(tables, ("validation", "test"), strict=False):
        logits, truth = (np.stack(table[c].to_list()).astype(np.float64) for c in ("answer", "truth"))
        found[part] = numbers(logits, truth.astype(bool), classes)
    if "test" in found:
        found |= {"test_mAP": found["test"]["mAP"], "test_images": found["test"]["images"]}
    return found


def numbers(logits: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Of one split, `logits` (n, K) and `truth` bool (n, K). `chance`: the mAP of answers that know nothing,
    which is the mean prevalence of the labels that have an average precision. F1, precision and recall are of
    probabilities from 0.5 on."""
    prob = sigmoid(logits)
    called, each = prob >= measures.CALLED, measures.average_precisions(truth, prob)
    hits, positives, f1 = (truth & called).sum(0), truth.sum(0), measures.f1_scores(truth, called)
    predicted, prevalence = called.sum(0), truth.mean(0)
    total = 2 * hits.sum() / max(1, positives.sum() + predicted.sum())
    return {
        "images": len(truth),
        "mAP": measures.mean_of_known(each),
        "interval": list(measures.mean_average_precision_interval(truth, prob)),
        "chance": measures.mean_of_known(np.where(np.isfinite(each), prevalence, np.nan)),
        "macro_f1": float(f1.mean()),
        "micro_f1": float(total),
        "subset_accuracy": float((called == truth).all(1).mean()),
        "loss": cross_entropy(logits, truth),
        "classes": {
            name: {
                "AP": float(each[k]),
                "prevalence": float(prevalence[k]),
                "precision": _ratio(hits[k], predicted[k]),
                "recall": _ratio(hits[k], positives[k]),
                "f1": float(f1[k]),
                "images": int(positives[k]),
            }
            for k, name in enumerate(classes)
        },
    }


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def written(value: float | None, form: str = ".3f") -> str:
    """A number of `numbers`; what is not defined is a dash."""
    return "–" if value is None or value != value else format(value, form)


def format_text(shown: dict[str, Any]) -> str:
    """The numbers of one split in one line."""
    low, high = shown["interval"]
    return (
        f"mAP {written(shown['mAP'])} ({written(low)} to {written(high)}; by chance "
        f"{written(shown['chance'])}), macro-F1 {shown['macro_f1']:.3f}, micro-F1 {shown['micro_f1']:.3f}, "
        f"all labels right {100 * shown['subset_accuracy']:.1f} %"
    )


def row(shown: dict[str, Any]) -> dict[str, Any]:
    """Columns of a comparison of trainings."""
    low, high = shown["interval"]
    named = {"macro-F1": "macro_f1", "micro-F1": "micro_f1", "all labels right": "subset_accuracy"}
    columns = {name: shown[key] for name, key in named.items()}
    return {"mAP": shown["mAP"], "from": low, "to": high, "mAP by chance": shown["chance"]} | columns


def facts(shown: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and texts of the numbers, as the Train tab lists them."""
    low, high = shown["interval"]
    return [
        ("mAP", written(shown["mAP"])),
        ("95 % interval", f"{written(low)} to {written(high)}"),
        ("mAP by chance", written(shown["chance"])),
        ("macro F1", written(shown["macro_f1"])),
        ("micro F1", written(shown["micro_f1"])),
        ("all labels right", f"{100 * shown['subset_accuracy']:.1f} %"),
    ]
