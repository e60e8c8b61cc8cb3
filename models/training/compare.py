"""Trained models side by side: cost, accuracy, and differences per class."""

from typing import Any

import pandas as pd

from models.counts import short
from models.errors import UserError
from models.outputs.task_names import AFFECT, MULTI, REGRESSION
from models.training import multi_label
from models.training.trained import Trained

CLASS_MEASURES = {"classes": "recall", MULTI: "AP"}


def side_by_side(models: list[Trained]) -> pd.DataFrame:
    """One row per model, in the order given; missing measures are NaN. Raises UserError for a model without
    measures."""
    if missing := [m.name for m in models if not m.measured]:
        raise UserError(f"{', '.join(missing[:3])} was not measured yet: let its training finish first.")
    return pd.DataFrame([_row(m) for m in models]).set_index("model")


def _row(model: Trained) -> dict[str, Any]:
    training, cost, measured = model.about.get("training", {}), model.metrics.get("cost", {}), model.measured
    row = {
        "model": model.name,
        "architecture": model.about.get("architecture"),
        "recipe": training.get("recipe"),
        "data": model.about.get("data", {}).get("name"),
        "epochs": len(model.curves) or None,
        "parameters": cost.get("parameters"),
        "MACs": cost.get("macs"),
        "bytes": cost.get("bytes"),
        "images/s": cost.get("images_per_second"),
        "part": "test" if "test" in model.metrics else "validation",
        "images": measured.get("images"),
    }
    if model.task in (REGRESSION, AFFECT):
        each = ("mae", "rmse", "pearson", "ccc", "r2", "sagr")
        return row | {f"{k} {axis}": v for k in each for axis, v in measured.get(k, {}).items()}
    if model.task == MULTI:
        return row | multi_label.row(measured)
    low, high = measured["interval"]
    row |= {
        "accuracy": measured["accuracy"],
        "from": low,
        "to": high,
        "macro-F1": measured["macro_f1"],
        "kappa": measured["kappa"],
    }
    return row | {
        "AUC": measured["auc"].get("macro average"),
        "ECE": measured["ece"],
        "ECE with temperature": measured["ece_with_temperature"],
    }


def class_measure(models: list[Trained]) -> str:
    """The measure of a class by which models are compared: recall, or average precision of several labels;
    empty where models are of unlike tasks, or of one without classes."""
    tasks = {model.task for model in models}
    return CLASS_MEASURES.get(tasks.pop(), "") if len(tasks) == 1 else ""


def class_difference(models: list[Trained], measure: str = "recall") -> pd.DataFrame:
    """Classes as rows, models as columns: recall (or precision, f1; AP of several labels), and the difference
    of each later model to the first. Only classes that all models have. Raises UserError where there is
    none."""
    tables = [m.measured.get("classes", {}) for m in models]
    shared = [name for name in tables[0] if all(name in t for t in tables)] if tables else []
    if not shared:
        raise UserError("These models share no class: compare models that were trained on the same classes.")
    found = pd.DataFrame(
        {m.name: [t[name][measure] for name in shared] for m, t in zip(models, tables, strict=True)},
        index=shared,
        dtype=float,
    )
    for m in models[1:]:
        found[f"{m.name} − {models[0].name}"] = found[m.name] - found[models[0].name]
    return found


def format_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text: fractions as per cent, millions as M."""
    shown = table.drop(columns=["from", "to"], errors="ignore").copy()
    for name in shown.columns:
        shown[name] = [_word(name, value) for value in shown[name]]
    return shown


def _word(column: str, value: Any) -> str:
    if value is None or value != value:
        return "–"
    if not isinstance(value, int | float):
        return str(value)
    if column in ("parameters", "MACs"):
        return f"{value / 1e6:.2f} M"
    if column == "bytes":
        return f"{value / 1e6:.1f} MB"
    if column in ("accuracy", "all labels right"):
        return f"{100 * value:.1f} %"
    if column in ("epochs", "images", "images/s"):
        return f"{value:.0f}"
    return short(value, unit=column.startswith(("mae ", "rmse ")))
