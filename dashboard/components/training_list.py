"""The trainings of a folder, what each is doing, and those that were ticked side by side."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dashboard.components.clickable import action, esc
from models.training.compare import class_difference, format_text, side_by_side
from models.training.trained import Trained

BEST = {
    "val_accuracy": "best {:.1%}",
    "val_ccc": "best CCC {:.2f}",
    "val_nss": "best NSS {:.2f}",
    "val_psnr": "best PSNR {:.1f}",
}
KINDS = {"gaze": "gaze", "inversion": "decoder"}
"""Trainings that are no classifier's."""


def training_list(
    found: Sequence[tuple[str, Trained]],
    chosen: str | None,
    ticked: Sequence[str],
    waiting: Sequence[str] = (),
) -> str:
    """One row a training; a click shows its curves, a tick puts it into the comparison."""
    rows = [
        f'<div class="vt-training"><b>{esc(name)}</b><span class="vt-state">starting</span></div>'
        for name in waiting
    ]
    rows += [_row_or_word(name, t, name == chosen, name in ticked) for name, t in found]
    inside = (
        "".join(rows)
        or '<p class="vt-empty">Nothing was trained here yet. Choose a model and data, and start.</p>'
    )
    return (
        '<section class="vt-panel"><h2>Trainings <small>click for curves; tick two or more to '
        "compare</small></h2>"
        f'<div class="vt-trainings">{inside}</div></section>'
    )


def _row_or_word(name: str, t: Trained, chosen: bool, ticked: bool) -> str:
    """A file that another program wrote must not hide the other trainings."""
    try:
        return _row(name, t, chosen, ticked)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        logging.getLogger("vitrine").warning(
            "%s is no training as Vitrine writes them", t.path, exc_info=True
        )
        return (
            f'<div class="vt-training"><b>{esc(name)}</b><span class="vt-state">its file cannot be '
            "read</span></div>"
        )


def _row(name: str, t: Trained, chosen: bool, ticked: bool) -> str:
    box = f"{'checked' if ticked else ''} {'' if t.measured else 'disabled'}"
    tick = f'<input type="checkbox" aria-label="compare {esc(name)}" {action("tick:" + name)} {box}>'
    p, stop = t.progress, ""
    if p and p.state != "finished":
        stop = (
            f'<button class="vt-link vt-bad" {action("cancel", name)}>cancel</button>'
            if p.alive
            else _go_on(name)
        )
    told = f'<span class="vt-state">{esc(state(t))}</span>{_bar(t)}'
    return (
        f'<div class="vt-training {"vt-on" if chosen else ""}">{tick}<button class="vt-open" '
        f"{action('show', name)}><b>{esc(name)}</b>"
        f"<small>{esc(about(t))}</small>{told}</button>{stop}</div>"
    )


def _go_on(name: str) -> str:
    return f'<button class="vt-link" {action("resume", name)}>go on</button>'


def about(t: Trained) -> str:
    plan = t.progress.plan if t.progress else {}
    recipe = plan.get("recipe", t.about.get("training", {})) or {}
    model = plan.get("model") or t.about.get("architecture")
    return f"{model} · {recipe.get('recipe') or KINDS.get(t.task, 'scratch')} · seed {recipe.get('seed', 0)}"


def state(t: Trained) -> str:
    """Where it is, in a few words."""
    p = t.progress
    measured = t.measured
    outcome = (
        f"{measured['accuracy']:.1%} {'test' if 'test' in t.metrics else 'validation'}".replace("%", " %")
        if "accuracy" in measured
        else ""
    )
    if "ccc" in measured:
        outcome = ", ".join(f"CCC {axis} {value:.2f}" for axis, value in measured["ccc"].items())
    if p is None or p.state == "finished":
        return outcome or _otherwise(t) or "not measured"
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


def _otherwise(t: Trained) -> str:
    """What was measured of trainings that classify nothing."""
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


def _bar(t: Trained) -> str:
    p = t.progress
    if p is None or not p.alive or not p.epochs:
        return ""
    done = (p.epoch - 1 + p.fraction if p.fraction else p.epoch) / p.epochs
    return f'<span class="vt-bar vt-long"><i style="width:{100 * min(1.0, max(0.0, done)):.1f}%"></i></span>'


def comparison(models: list[Trained]) -> str:
    """Two tables: models as columns; and the classes' recall, with what each model gains on the first."""
    if len(models) < 2:
        return ""
    table = format_text(side_by_side(models)).T
    tables = [("Side by side", table)]
    if all(m.task == "classes" for m in models):
        signed = class_difference(models)
        shown = signed.apply(
            lambda column: [f"{v:+.3f}" if " − " in str(column.name) else f"{v:.3f}" for v in column]
        )
        tables.append(("Recall of each class", shown))
    return "".join(
        f'<section class="vt-panel"><h2>{esc(title)}</h2><div class="vt-scroll">{_table(t)}</div></section>'
        for title, t in tables
    )


def _table(t: pd.DataFrame) -> str:
    names = [
        re.sub("([_.])", r"\1<wbr>", esc(c)) for c in ("", *t.columns)
    ]  # long names break where a reader would
    head = "".join(f"<th>{name}</th>" if name else "<td></td>" for name in names)
    body = "".join(
        f"<tr><th>{esc(i)}</th>{''.join(f'<td>{esc(v)}</td>' for v in row)}</tr>"
        for i, row in zip(t.index, t.to_numpy(), strict=True)
    )
    return f'<table class="vt-plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def outcome(t: Trained) -> str:
    """The chosen training: its command, its numbers, and what each class got."""
    p = t.progress
    typed = f'<pre class="vt-command">{esc(p.command)}</pre>' if p and p.command else ""
    facts = "".join(f"<dt>{esc(k)}</dt><dd>{esc(v)}</dd>" for k, v in _numbers(t.measured))
    classes = {
        name: {k: _three(v) for k, v in c.items()} for name, c in t.measured.get("classes", {}).items()
    }
    table = f'<div class="vt-scroll vt-tall">{_table(pd.DataFrame(classes).T)}</div>' if classes else ""
    return (
        f'<section class="vt-panel"><h2>{esc(t.name)} <small>{esc(state(t))}</small></h2>{typed}'
        f'<dl class="vt-facts">{facts}</dl>{table}</section>'
    )


def _numbers(m: dict[str, Any]) -> list[tuple[str, str]]:
    if "accuracy" not in m:
        return [
            (f"{k} {axis}", _three(v))
            for k in ("rmse", "ccc", "pearson", "sagr")
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


def _three(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
