"""Measure a trained checkpoint: chosen on validation, tested once; every prediction is stored beside it."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from models import checkpoints
from models.classifier import Classifier
from models.counts import counted
from models.data.parts import Parts
from models.data.source import ImageSource
from models.data.tensors import PixelDataset, readable, workers
from models.errors import UserError
from models.measures.affect import affect_measures
from models.measures.calibration import calibration, fit_temperature, log_softmax, softmax
from models.measures.cost import measure_cost
from models.measures.evaluation import evaluate
from models.measures.numbers import number_measures
from models.measures.roc import roc_curves
from models.outputs.task import as_named
from models.outputs.task_names import AFFECT, MULTI, REGRESSION
from models.registry import load
from models.training import multi_label
from models.training.charts import charts
from models.training.draw import save_charts
from models.training.keep import half_of
from models.training.progress import predictions_file
from models.training.trained import open_trained


def measure(out: Path, parts: Parts) -> dict[str, Any]:
    """Predict validation and test in float32. Writes a table (part, id, truth, answer) beside the checkpoint,
    the measures into its metadata, and charts as PNG and CSV into OUT.charts/; returns the measures. The
    temperature is fitted on validation only."""
    classifier = as_named(load(str(out)))
    tables = [
        _answers(classifier, part, name)
        for name, part in (("validation", parts.validation), ("test", parts.test))
        if part
    ]
    pd.concat(tables).to_parquet(predictions_file(out), index=False)
    about = dict(classifier.metadata)
    measured = MEASURES[about.get("task", "classes")](tables, classifier.classes)
    metrics: dict[str, Any] = _plain(
        about["metrics"] | measured | {"cost": asdict(measure_cost(classifier, out))}
    )
    checkpoints.save(out, classifier.model, about | {"metrics": metrics}, half=half_of(about))
    save_charts(charts(open_trained(out)), out.with_suffix(".charts"))
    return metrics


def _answers(classifier: Classifier, source: ImageSource, part: str) -> pd.DataFrame:
    data = PixelDataset(source, classifier.preprocessing, classifier.classes)
    answers, truths = [], []
    with torch.inference_mode():
        for x, y in tqdm(
            DataLoader(data, 64, num_workers=workers(len(data), 64)),
            desc=f"measuring on {part}",
            unit="batch",
            leave=False,
        ):
            answers.append(
                classifier.model(classifier.preprocessing.normalize(x, classifier.device)).float().cpu()
            )
            truths.append(y)
    answer, truth = torch.cat(answers), torch.cat(truths)
    finite = answer.isfinite().all(1)
    if not finite.any():
        raise UserError(
            f"The network answers NaN to every image of {part}: it has not learned; train with a lower "
            "--learning-rate or --clip 1."
        )
    if unanswered := int((readable(truth) & ~finite).sum()):
        print(
            f"{unanswered} of {counted(len(finite), 'image')} of {part} left out: the network answers NaN or "
            "infinite numbers",
            file=sys.stderr,
        )
    good = (readable(truth) & finite).numpy()
    kept = np.flatnonzero(good)
    return pd.DataFrame(
        {
            "part": part,
            "id": [source.items[i].id for i in kept],
            "truth": list(truth[kept].numpy()),
            "answer": list(answer[kept].numpy()),
        }
    )


def _classes(tables: list[pd.DataFrame], classes: tuple[str, ...]) -> dict[str, Any]:
    logits = [np.stack(table["answer"].to_list()).astype(np.float64) for table in tables]
    labels = [table["truth"].to_numpy(np.int64) for table in tables]
    temperature = fit_temperature(logits[0], labels[0])
    measured: dict[str, Any] = {
        "validation": _numbers(logits[0], labels[0], classes, temperature),
        "temperature": temperature,
    }
    if len(tables) > 1:
        test = measured["test"] = _numbers(logits[1], labels[1], classes, temperature)
        measured |= {"test_accuracy": test["accuracy"], "test_images": test["images"]}
    return measured


def _numbers(
    logits: np.ndarray, label: np.ndarray, classes: tuple[str, ...], temperature: float
) -> dict[str, Any]:
    prob = softmax(logits)
    pred = prob.argmax(1)
    e = evaluate(label, pred, prob.max(1), len(classes))
    calibrated = softmax(logits / temperature).max(1)
    per_class = {
        name: {"precision": p, "recall": r, "f1": f, "images": int(n)}
        for name, p, r, f, n in zip(classes, e.precision, e.recall, e.f1, e.support, strict=True)
    }
    areas = {curve.name: curve.area for curve in roc_curves(label, prob, classes)}
    return {
        "images": len(label),
        "accuracy": e.accuracy,
        "interval": list(e.interval),
        "macro_f1": e.macro_f1,
        "kappa": e.kappa,
        "ece": e.calibration_error,
        "ece_with_temperature": calibration(calibrated, (pred == label).astype(float))[0],
        "auc": areas,
        "classes": per_class,
        "confusion": e.confusion.tolist(),
        "loss": -float(log_softmax(logits)[np.arange(len(label)), label].mean()),
    }


def _numbers_of(
    measures: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
    tables: list[pd.DataFrame],
    outputs: tuple[str, ...],
) -> dict[str, Any]:
    """Of each split the measures by their names, each by output."""
    measured = {}
    for table, part in zip(tables, ("validation", "test"), strict=False):
        answer, truth = (np.stack(table[column].to_list()).astype(float) for column in ("answer", "truth"))
        each = measures(answer, truth)
        measured[part] = {
            "images": len(table),
            **{name: dict(zip(outputs, v.tolist(), strict=True)) for name, v in each.items()},
        }
    return measured


MEASURES: dict[str, Callable[[list[pd.DataFrame], tuple[str, ...]], dict[str, Any]]] = {
    "classes": _classes,
    MULTI: multi_label.measured,
    REGRESSION: partial(_numbers_of, number_measures),
    AFFECT: partial(_numbers_of, affect_measures),
}
"""By the names in `models.training.tasks.TASKS`."""


def _plain(value: Any) -> Any:
    """The value with None in place of NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and np.isnan(value) else value
