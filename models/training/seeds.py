"""Train and measure one recipe with one or several seeds."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.counts import counted, short
from models.data.parts import Parts
from models.inputs.options import PreprocessingOptions
from models.measures.numbers import UNITS
from models.training import multi_label
from models.training.measure import measure
from models.training.recipe import Recipe
from models.training.train import Training

FIGURES = ("accuracy", "mAP", "macro_f1", "micro_f1", "kappa", "ece")


NUMBERS = {"mae": "MAE", "rmse": "RMSE", "ccc": "CCC", "pearson": "r", "r2": "R²", "sagr": "sign"}
"""Measures of each output of a regression."""


def train_seeds(
    name: str,
    weights: str | None,
    parts: Parts,
    out: Path,
    recipe: Recipe,
    seeds: list[int],
    command: str,
    again: bool,
    say: Callable[[str], None],
    options: PreprocessingOptions | None = None,
    which: str = "",
) -> bool:
    """Train and measure; several seeds write OUT.seed0.safetensors ... and OUT.seeds.csv with mean and
    standard deviation.

    False when stopped. Raises UserError for a training that cannot begin.
    """
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        file = file_of(out, seed, seeds)
        training = Training(name, weights, parts, file, recipe.with_seed(seed), command, options, which, say)
        # of several seeds, those that are done are not trained again
        metrics = training.finished() if len(seeds) > 1 and not again else None
        if metrics is None:
            if not training.fit(again):
                return False
            training.progress.say(file, "running", "measuring")
            metrics = measure(file, parts)
            training.finish(format_text(metrics))
        say(
            f"{'seed ' + str(seed) if len(seeds) > 1 else 'measured':10} {format_text(metrics)}\ncheckpoint "
            f"{file}"
        )
        rows.append({"seed": seed, **figures(metrics)})
    if len(rows) > 1:
        _summarize(rows, out, say)
    return True


def file_of(out: Path, seed: int, seeds: list[int]) -> Path:
    """The checkpoint of one of the seeds."""
    return out if len(seeds) == 1 else out.with_suffix(f".seed{seed}{out.suffix}")


def figures(metrics: dict[str, Any]) -> dict[str, float]:
    """The measures that are compared between trainings."""
    found: dict[str, float] = {}
    for part in ("validation", "test"):
        numbers = metrics.get(part, {})
        found |= {f"{part} {k}": numbers[k] for k in FIGURES if k in numbers}
        for k in NUMBERS:
            found |= {f"{part} {k} {axis}": value for axis, value in numbers.get(k, {}).items()}
    return found


def format_text(metrics: dict[str, Any]) -> str:
    shown = metrics.get("test") or metrics["validation"]
    part = f"of {counted(shown['images'], 'test image' if 'test' in metrics else 'validation image')}"
    if "mAP" in shown:
        return f"{multi_label.format_text(shown)} {part}"
    if "accuracy" in shown:
        low, high = shown["interval"]
        return (
            f"accuracy {100 * shown['accuracy']:.1f} % ({100 * low:.1f} % to {100 * high:.1f} %), macro-F1 "
            f"{shown['macro_f1']:.3f}, kappa {shown['kappa']:.3f}, ECE {shown['ece']:.3f} "
            f"({shown['ece_with_temperature']:.3f} with temperature {metrics['temperature']:.2f}) {part}"
        )
    kept = [k for k in NUMBERS if k in shown]
    each = "; ".join(
        f"{axis}: {', '.join(_number(k, shown[k][axis]) for k in kept)}" for axis in shown["rmse"]
    )
    return f"{each} {part}"


def _number(measure: str, value: float | None) -> str:
    if value is None:
        return f"{NUMBERS[measure]} –"
    if measure == "sagr":
        return f"{NUMBERS[measure]} {100 * value:.1f} %"
    return f"{NUMBERS[measure]} {short(value, unit=measure in UNITS)}"


def _summarize(rows: list[dict[str, Any]], out: Path, say: Callable[[str], None]) -> None:
    """Mean and sample standard deviation over the seeds."""
    keys = list(rows[0])[1:]
    values = np.array([[row[k] for k in keys] for row in rows])
    mean, sd = values.mean(0), values.std(0, ddof=1)
    with out.with_suffix(".seeds.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["seed", *keys])
        table.writerows([[row["seed"], *(row[k] for k in keys)] for row in rows])
        table.writerows([["mean", *mean], ["sd", *sd]])
    for key, m, s in zip(keys, mean, sd, strict=True):
        if key.endswith(("accuracy", "mAP", "macro_f1")) or "ccc" in key:
            say(f"{key:24} {m:.4f} ± {s:.4f} over {counted(len(rows), 'seed')}")
