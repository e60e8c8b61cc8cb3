"""Small studies: two networks trained on the same images for the same number of epochs, compared in one
table.

OUT/<name>.safetensors for each, with its curves and charts beside it; OUT/study.csv and OUT/study.md have the
results.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.counts import counted
from models.data.parts import Parts
from models.data.source import must_have_classes
from models.errors import UserError
from models.files.csv_files import write_csv
from models.inputs.options import PreprocessingOptions
from models.layers.heads import freeze
from models.outputs.task_names import MULTI
from models.training import multi_label
from models.training.compare import format_text
from models.training.network import build
from models.training.recipe import Recipe
from models.training.seeds import train_seeds
from models.training.train import Training
from models.training.trained import Trained, open_trained

STUDIES = ("fc-vs-conv", "scratch-vs-finetune")


@dataclass(frozen=True)
class StudyArm:
    """One training of a study; `name` is that of its file, `which` the set of parameters to read of
    `weights`."""

    name: str
    model: str
    weights: str | None
    recipe: Recipe
    which: str = ""


def checked(name: str) -> str:
    """The name of a study. Raises UserError for an unknown one."""
    if name not in STUDIES:
        raise UserError(f"No study '{name}': choose from {', '.join(STUDIES)}.")
    return name


def fc_vs_conv(recipe: Recipe) -> list[StudyArm]:
    """A fully connected against a convolutional network of as many parameters, on 32 × 32 pixels, both from
    random weights."""
    return [StudyArm(name, name, None, recipe) for name in ("small_dense", "small_conv")]


def scratch_vs_finetune(
    model: str, weights: str | None, scratch: Recipe, finetune: Recipe, which: str = ""
) -> list[StudyArm]:
    """A backbone from random weights against the same one fine-tuned from `weights` (None: official or
    shipped ones)."""
    tuned = StudyArm("finetune", model, weights, finetune, which)
    return [StudyArm("scratch", model, None, scratch), tuned]


def study(
    arms: list[StudyArm],
    parts: Parts,
    out: Path,
    command: str = "",
    say: Callable[[str], None] = print,
    again: bool = False,
    options: PreprocessingOptions | None = None,
) -> pd.DataFrame | None:
    """Train, measure and compare: one row per arm, or None when stopped; the same call resumes it.

    `options`: for the input of every arm. Finished arms are not trained again, unless `again`. Patience
    should equal the epochs, so that no arm stops early. Raises UserError for an arm that cannot be trained,
    and where `out` holds another study.
    """
    must_have_classes(parts.training, "study")
    if out.is_file():
        raise UserError(f"--out {out} is a file: a study writes a folder, choose another name.")
    files = {c: out / f"{c.name}.safetensors" for c in arms}
    options = options.resolved() if options else None

    def finished(c: StudyArm) -> bool:
        arm = Training(c.model, c.weights, parts, files[c], c.recipe, options=options, which=c.which)
        return arm.finished() is not None

    waiting = [c for c in arms if again or not finished(c)]
    for c in waiting:
        _check_builds(c, parts, options)
    for c in waiting:
        say(f"training   {c.name}")
        seeds = [c.recipe.seed]
        if not train_seeds(
            c.model, c.weights, parts, files[c], c.recipe, seeds, command, again, say, options, c.which
        ):
            return None
    table = pd.DataFrame([_row(open_trained(file)) for file in files.values()])
    say(f"\n{_written(table, arms, parts, out)}")
    return table


def _check_builds(arm: StudyArm, parts: Parts, options: PreprocessingOptions | None) -> None:
    """Errors of an arm are reported before the first training, not hours later."""
    classes = len(parts.training.classes)
    network = build(arm.model, arm.weights, classes, arm.recipe, options, arm.which)
    if network.head:
        freeze(network.model, network.head, arm.recipe.unfreeze)


def _written(table: pd.DataFrame, arms: list[StudyArm], parts: Parts, out: Path) -> str:
    """Write study.csv and study.md; the table in Markdown."""
    write_csv(table, out / "study.csv")
    shown = _markdown(_for_people(table))
    title, notes = " against ".join(c.name for c in arms), _notes(table, parts, arms[0].recipe)
    (out / "study.md").write_text(f"# {title}\n\n{shown}\n\n{notes}\n", encoding="utf-8")
    return shown


def _row(trained: Trained) -> dict[str, Any]:
    """The row of a measured training; `loss` is the mean cross-entropy, in nats, of the images that accuracy,
    or mAP of several labels, is computed on."""
    cost, measured = trained.metrics["cost"], trained.measured
    step = trained.curves["step"]
    whole = int((step == step.iloc[-1]).sum())
    low, high = measured["interval"]
    measures = {"accuracy": measured.get("accuracy"), "from": low, "to": high}
    return {
        "model": trained.about["architecture"],
        "recipe": trained.about["training"]["recipe"],
        "part": "test" if "test" in trained.metrics else "validation",
        "images": measured["images"],
        "parameters": cost["parameters"],
        "MACs": cost["macs"],
        "head epochs": len(step) - whole,
        "epochs": whole,
        "seconds per epoch": _seconds(trained.curves["seconds"].to_numpy(float), whole),
        "loss": measured["loss"],
        **(multi_label.row(measured) if trained.task == MULTI else measures),
    }


def _seconds(ends: np.ndarray, epochs: int) -> float:
    """Median seconds of the last `epochs` epochs, validation included; `ends` counts from the start of the
    training. The first of them is left out where there are more: images are read before it."""
    each = np.diff(ends, prepend=0.0)[-epochs:]
    return round(float(np.median(each[1:] if epochs > 1 else each)), 2)  # written in tenths


def _for_people(table: pd.DataFrame) -> pd.DataFrame:
    several = "mAP" in table
    measure, as_text = ("mAP", "{:.3f}".format) if several else ("accuracy", "{:.1%}".format)
    words = {
        "epochs": [
            f"{head} + {whole}" if head else str(whole)
            for head, whole in zip(table["head epochs"], table["epochs"], strict=True)
        ],
        "seconds per epoch": [f"{s:.1f}" for s in table["seconds per epoch"]],
        measure: [
            f"{as_text(a)} ({as_text(low)} to {as_text(high)})".replace("%", " %")
            for a, low, high in zip(table[measure], table["from"], table["to"], strict=True)
        ],
    }
    return format_text(table.assign(**words).drop(columns=["part", "images", "head epochs"])).rename(
        columns={measure: f"{measure} (95 % interval)"}
    )


def _notes(table: pd.DataFrame, parts: Parts, recipe: Recipe) -> str:
    """The data and settings behind the numbers."""
    part, several = table["part"].iloc[0], "mAP" in table
    images = counted(int(table["images"].iloc[0]), f"{part} image")
    held = f" ({parts.note})" if parts.note else ""
    kind = "label" if several else "class"
    measures = (
        f"loss (binary cross-entropy, nats) and mAP of {images}, at the epoch that was best on validation, "
        "with a bootstrap interval over images"
        if several
        else f"loss (cross-entropy, nats) and accuracy of {images}, at the epoch that was best on "
        "validation, with Wilson's interval"
    )
    text = (
        f"{parts.training.name}: {counted(len(parts.training), 'image')} of "
        f"{counted(len(parts.training.classes), kind)} to train{held}; {measures}. Seed {recipe.seed}, "
        f"batches of {recipe.batch_size}, learning rate {recipe.rate:g}; seconds per epoch with validation."
    )
    if table["head epochs"].any():
        text += (
            " Epochs a + b: a of the new head alone, on features that are computed once, and b of the "
            "network, which the seconds are of."
        )
    return (
        text
        if part == "test"
        else f"{text} The data has no test part: the epoch was chosen on the same images, so both are a "
        "little too good."
    )


def _markdown(table: pd.DataFrame) -> str:
    """Columns as wide as their longest cell, so that it reads well as plain text too."""
    rows = [list(table.columns), *table.to_numpy().tolist()]
    wide = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in wide) + "|", *lines[1:]])
