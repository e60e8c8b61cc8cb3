"""The trainings of a folder, the state of each, and the comparison of the selected ones."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from dashboard.components.command import command_words
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from models.counts import short
from models.measures.numbers import UNITS
from models.training import multi_label
from models.training.compare import class_difference, class_measure, format_text, side_by_side
from models.training.trained import Trained

BEST = {
    "val_accuracy": "best {:.1%}",
    "val_mAP": "best mAP {:.3f}",
    "val_ccc": "best CCC {:.2f}",
    "val_nss": "best NSS {:.2f}",
    "val_psnr": "best PSNR {:.1f}",
}
PER_CLASS = {"recall": "Recall of each class", "AP": "Average precision of each label"}
KINDS = {"gaze": "gaze", "inversion": "decoder"}
"""Trainings of other models than classifiers."""


def training_list(
    found: Sequence[tuple[str, Trained]],
    chosen: str | None,
    ticked: Sequence[str],
    waiting: Sequence[str] = (),
) -> Markup:
    """One row per training; a click shows its curves, its check box adds it to the comparison."""
    rows = [_without_file(name, "starting") for name in waiting]
    rows += [_row_or_message(name, t, name == chosen, name in ticked) for name, t in found]
    inside = join(rows) or empty("No trainings yet. Choose a model and data, and start one.")
    return panel(
        "Trainings",
        html('<div class="vt-trainings">{}</div>', inside),
        "click for curves; select two or more to compare",
    )


def _without_file(name: str, message: str) -> Markup:
    return html('<div class="vt-training"><b>{}</b><span class="vt-state">{}</span></div>', name, message)


def _row_or_message(name: str, t: Trained, chosen: bool, ticked: bool) -> Markup:
    """A file that another program wrote must not hide the other trainings."""
    try:
        return _row(name, t, chosen, ticked)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        logging.getLogger("vitrine").warning(
            "%s is no training as Vitrine writes them", t.path, exc_info=True
        )
        return _without_file(name, "its file cannot be read")


def _row(name: str, t: Trained, chosen: bool, ticked: bool) -> Markup:
    return html(
        '<div class="vt-training {on}"><input type="checkbox" aria-label="compare {name}" {tick} {checked} '
        '{disabled}><button class="vt-open" {show}><b>{name}</b><small>{about}</small>'
        '<span class="vt-state">{state}</span>{bar}</button>{end}</div>',
        on="vt-on" if chosen else "",
        name=name,
        tick=action("tick:" + name),
        checked="checked" if ticked else "",
        disabled="" if t.measured else "disabled",
        show=action("show", name),
        about=about(t),
        state=state(t),
        bar=_bar(t),
        end=_end(name, t),
    )


def _end(name: str, t: Trained) -> Markup:
    """The button that cancels or resumes it."""
    if not t.progress or t.progress.state == "finished":
        return NOTHING
    if t.progress.alive:
        return html('<button class="vt-link vt-negative" {}>cancel</button>', action("cancel", name))
    return html('<button class="vt-link" {}>resume</button>', action("resume", name))


def about(t: Trained) -> str:
    plan = t.progress.plan if t.progress else {}
    recipe = plan.get("recipe", t.about.get("training", {})) or {}
    model = plan.get("model") or t.about.get("architecture")
    return f"{model} · {recipe.get('recipe') or KINDS.get(t.task, 'scratch')} · seed {recipe.get('seed', 0)}"


def state(t: Trained) -> str:
    """Progress or result in a few words."""
    p = t.progress
    if p is None or p.state == "finished":
        return _result(t.measured, "test" in t.metrics) or _result_of_others(t) or "not measured"
    best = _best(t)
    if p.alive and not p.epoch:
        return p.message or "starting"
    where = f"{p.step} {p.epoch}/{p.epochs}"
    if p.alive:
        left = f", {_minutes(p.seconds_left)} left" if p.seconds_left else ""
        return (
            f"measuring{best}"
            if p.message == "measuring"
            else f"{where}, {p.images_per_second:.0f} images/s{left}{best}"
        )
    if p.state == "failed":
        return f"failed: {p.message}"
    return f"{'stopped' if p.state == 'stopped' else 'killed'} at {where}{best}"


def _result(measured: dict[str, Any], test: bool) -> str:
    """Of a classifier or a regression; empty for others."""
    part = "test" if test else "validation"
    if "mAP" in measured:
        return f"mAP {multi_label.written(measured['mAP'])} {part}"
    if "ccc" in measured:
        found = [f"CCC {axis} {multi_label.written(value, '.2f')}" for axis, value in measured["ccc"].items()]
        return ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
    if "accuracy" not in measured:
        return ""
    return f"{100 * measured['accuracy']:.1f} % {part}"


def _result_of_others(t: Trained) -> str:
    """Of trainings that are no classifier's."""
    if t.task == "gaze" and "gaze" in t.metrics:
        return next(
            (f"NSS {row['nss']:.2f}" for row in t.metrics["gaze"]["table"] if row["kind"] == "model"), ""
        )
    return (
        f"error {t.metrics['measured']['error']:.2f}"
        if t.task == "inversion" and "measured" in t.metrics
        else ""
    )


def _best(t: Trained) -> str:
    for column, word in BEST.items():
        if column in t.curves:
            return ", " + word.format(t.curves[column].max()).replace("%", " %")
    return ""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def _bar(t: Trained) -> Markup:
    p = t.progress
    if p is None or not p.alive or not p.epochs:
        return NOTHING
    done = (p.epoch - 1 + p.fraction if p.fraction else p.epoch) / p.epochs
    percent = 100 * min(1.0, max(0.0, done))
    return html('<span class="vt-bar vt-long"><i style="width:{:.1f}%"></i></span>', percent)


def comparison(models: list[Trained]) -> Markup:
    """Two tables: models as columns; and the recall of classes, or the average precision of several labels,
    with what each model gains over the first."""
    if len(models) < 2:
        return NOTHING
    tables = [("Side by side", format_text(side_by_side(models)).T)]
    if measure := class_measure(models):
        signed = class_difference(models, measure)
        shown = signed.apply(
            lambda column: [f"{v:+.3f}" if " − " in str(column.name) else f"{v:.3f}" for v in column]
        )
        tables.append((PER_CLASS[measure], shown))
    return join(_table_panel(title, t) for title, t in tables)


def _table_panel(title: str, t: pd.DataFrame) -> Markup:
    return html(
        '<section class="vt-panel"><h2>{}</h2><div class="vt-scroll">{}</div></section>', title, _table(t)
    )


def _table(t: pd.DataFrame) -> Markup:
    rows = (
        html("<tr><th>{}</th>{}</tr>", i, join(html("<td>{}</td>", v) for v in row))
        for i, row in zip(t.index, t.to_numpy(), strict=True)
    )
    return html(
        '<table class="vt-plain"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>',
        html("<td></td>") + join(html("<th>{}</th>", _breakable(str(name))) for name in t.columns),
        join(rows),
    )


def _breakable(name: str) -> Markup:
    """A long name that may be broken after _ and . as a reader would."""
    parts = re.split("([_.])", name)
    return join(html("{}<wbr>", part) if part in ("_", ".") else part for part in parts)


def outcome(t: Trained) -> Markup:
    """The chosen training: its command, its numbers, and the results of each class."""
    p = t.progress
    command = (
        html('<pre class="vt-command">{}</pre>', command_words(p.command)) if p and p.command else NOTHING
    )
    facts = join(html("<dt>{}</dt><dd>{}</dd>", k, v) for k, v in _numbers(t.measured))
    classes = {
        name: {k: _three(v) for k, v in c.items()} for name, c in t.measured.get("classes", {}).items()
    }
    table = NOTHING
    if classes:
        table = html('<div class="vt-scroll vt-tall">{}</div>', _table(pd.DataFrame(classes).T))
    body = html('{}<dl class="vt-facts">{}</dl>{}', command, facts, table)
    return panel(t.name, body, state(t))


def _numbers(m: dict[str, Any]) -> list[tuple[str, str]]:
    if "mAP" in m:
        return multi_label.facts(m)
    if "accuracy" not in m:
        return [
            (f"{k} {axis}", _three(v, k in UNITS))
            for k in ("mae", "rmse", "ccc", "pearson", "r2", "sagr")
            for axis, v in m.get(k, {}).items()
        ]
    low, high = m["interval"]
    shown = [
        ("accuracy", f"{100 * m['accuracy']:.1f} %"),
        ("95 % interval", f"{100 * low:.1f} to {100 * high:.1f} %"),
    ]
    names = (
        ("macro_f1", "macro F1"),
        ("kappa", "kappa"),
        ("ece", "ECE"),
        ("ece_with_temperature", "with temperature"),
    )
    return [*shown, *((word, _three(m[key])) for key, word in names)]


def _three(value: Any, unit: bool = False) -> str:
    return "–" if value is None else short(value, unit) if isinstance(value, float) else str(value)
