"""The controls of the Train tab, and the command that they stand for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from dashboard.session.training_jobs import command, recipe_of
from models.data.kind import DataRequest
from models.data.open import open_data
from models.data.registry import kind_of
from models.data.remote.location import is_url
from models.domains import DOMAINS
from models.outputs.task_names import AFFECT, MULTI, REGRESSION, SINGLE
from models.training.recipe import CHOICES, Recipe, seeds_in

OUTSIDE = (
    "weights",
    "which",
    "image_col",
    "label_col",
    "label_columns",
    "other_columns",
    "labels",
)  # options of `train` that are no part of a recipe
LOOKED_AT = ("data", "image_col", "label_col")
PLAIN = Recipe()
TASKS = (
    ("as the data shows", ""),
    ("single-label", "classes"),
    ("multi-label", MULTI),
    ("regression", REGRESSION),
    ("affect", AFFECT),
)
OF_LABELS = [("binary cross-entropy", ""), ("focal", "focal")]
OF_NUMBERS = [("squared error", ""), ("Huber", "huber"), ("1 - CCC", "ccc")]
OF_TASK = ("balance", "balance_by", "label_smoothing", "loss", "pos_weight", "focal_gamma")
"""Controls that are for some tasks only, or not the same for all."""


class TrainForm:
    """`controls` by the names of `Recipe`; what is rarely changed lies folded."""

    def __init__(self) -> None:
        with gr.Column(elem_classes="vt-controls vt-panel"):
            self.controls: dict[str, Any] = _basics()
            with gr.Accordion("Optimizer", open=False):
                self.controls |= _optimizer()
            with gr.Accordion("Data and augmentation", open=False):
                self.controls |= _data()
            with gr.Accordion("Transfer", open=False):
                self.controls |= _transfer()

    @property
    def inputs(self) -> list[Any]:
        """All controls, in the order in which handlers get their values."""
        return list(self.controls.values())

    def values(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.controls, values, strict=True))

    @property
    def looks(self) -> list[Any]:
        """Events after which other controls may apply."""
        c = self.controls
        left = [event for name in (*LOOKED_AT, "label_columns") for event in (c[name].blur, c[name].submit)]
        return [*left, *(c[name].change for name in ("task", "loss", "balance"))]

    @property
    def of_task(self) -> list[Any]:
        return [self.controls[name] for name in OF_TASK]

    def fields(self, values: Sequence[Any]) -> list[Any]:
        """Updates of `of_task`: only what applies is shown, and what does not has its default."""
        form = self.values(values)
        voted = "classes" if form["label_columns"] else ""
        task = form["task"] or voted or found_task(*(str(form[k] or "") for k in LOOKED_AT))
        numbers = task in (REGRESSION, AFFECT)
        shown = dict.fromkeys(OF_TASK, False) | {"label_smoothing": not numbers, "loss": numbers}
        choices = list(CHOICES["balance"])
        if task == MULTI:
            choices.remove("weights")  # the weights of positives are those
            shown |= {"balance": True, "loss": True, "pos_weight": True}
            shown["focal_gamma"] = form["loss"] == "focal"
        elif task == "classes":
            shown |= {"balance": True, "balance_by": form["balance"] == "sampler"}
        made = {
            name: gr.update(visible=True)
            if on
            else gr.update(visible=False, value=getattr(PLAIN, name) or "")
            for name, on in shown.items()
        }
        if shown["loss"]:
            losses = OF_NUMBERS if numbers else OF_LABELS
            kept = form["loss"] if form["loss"] in dict(losses).values() else ""
            made["loss"] = gr.update(visible=True, choices=losses, value=kept)
        if shown["balance"]:
            kept = form["balance"] if form["balance"] in choices else PLAIN.balance
            made["balance"] = gr.update(visible=True, choices=choices, value=kept)
        return list(made.values())

    def command(self, values: Sequence[Any], folder: Path) -> list[str]:
        """The words of the command that trains into this folder. Raises UserError for the first value that is
        wrong."""
        form = self.values(values)
        model, data, name, seeds = (str(form.pop(k) or "") for k in ("model", "data", "name", "seeds"))
        options = {option: str(form.pop(option) or "") for option in OUTSIDE}
        first, *others = seeds_in(seeds or "0")
        if others:
            options["seeds"] = ",".join(map(str, (first, *others)))
        recipe = recipe_of({**form, "seed": 0 if others else first})
        return command(model, data, name, folder, recipe, options)


def found_task(data: str, image_col: str, label_col: str) -> str:
    """The task of data, as it shows; one class per image where it cannot be read, which the training says."""
    columns = image_col.strip() or None, label_col.strip() or None
    if is_url(data.strip()):
        return "classes"  # nothing is listed or read at a URL while a form is filled in
    try:
        if kind_of(DataRequest(data.strip(), "train", *columns)).name == "folder":
            return "classes"  # folders of classes: large ones are not listed for this
        found = open_data(data.strip(), "train", *columns).task
        return "classes" if found == SINGLE else found
    except (ValueError, OSError):
        return "classes"


def _basics() -> dict[str, Any]:
    form: dict[str, Any] = {
        "model": gr.Dropdown(["fer_vgg"], value="fer_vgg", allow_custom_value=True, label="Model"),
        "data": gr.Textbox(
            "toon_faces",
            label="Data",
            info="a folder, a table, toon_faces, toon_studios, toon_attributes, torchvision:NAME",
            elem_id="vt-train-data",
        ),
        "recipe": gr.Radio(
            list(CHOICES["recipe"]),
            value=PLAIN.recipe,
            label="Recipe",
            info="scratch · features: a new head on a frozen base · finetune: then its last blocks too",
        ),
        "name": gr.Textbox("first", label="Name", elem_id="vt-train-name"),
    }
    with gr.Row():
        form["epochs"] = _number("Epochs", PLAIN.epochs, 1, elem_id="vt-train-epochs")
        form["seeds"] = gr.Textbox(
            str(PLAIN.seed), label="Seed", placeholder="0,1,2", min_width=90, elem_id="vt-train-seeds"
        )
    return form


def _optimizer() -> dict[str, Any]:
    form: dict[str, Any] = {}
    with gr.Row():
        form["optimizer"] = _choice("optimizer", "Optimizer")
        form["schedule"] = _choice("schedule", "Schedule")
    with gr.Row():
        form["learning_rate"] = gr.Number(None, label="Learning rate", placeholder="0.002", min_width=90)
        form["batch_size"] = _number("Batch size", PLAIN.batch_size, 2)
    with gr.Row():
        form["weight_decay"] = gr.Number(PLAIN.weight_decay, label="Weight decay", min_width=90)
        form["clip"] = gr.Number(PLAIN.clip, label="Gradient clipping", min_width=90)
    with gr.Row():
        # a text: an empty number becomes 0 in the page
        form["label_smoothing"] = gr.Textbox(
            "", label="Label smoothing", placeholder="0.05; several labels: 0", min_width=90
        )
        form["mixup"] = gr.Number(PLAIN.mixup, label="Mixup", min_width=90)
    form["patience"] = _number("Patience", PLAIN.patience, 1, elem_id="vt-train-patience")
    return form


def _columns() -> dict[str, Any]:
    rows = (
        (("image_col", "Image column", "automatic"), ("label_col", "Label column", "automatic")),
        (
            ("label_columns", "Columns of votes", "of people: a column for each class"),
            ("other_columns", "Votes for no class", "such as unknown"),
        ),
    )
    form: dict[str, Any] = {}
    for row in rows:
        with gr.Row():
            for name, label, example in row:
                form[name] = gr.Textbox("", label=label, placeholder=example, min_width=90)
    return form


def _data() -> dict[str, Any]:
    form: dict[str, Any] = _columns()
    form["labels"] = gr.Textbox("", label="Corrected labels", placeholder="labels.csv")
    form["task"] = gr.Dropdown(
        list(TASKS),
        value=PLAIN.task,
        label="Task",
        info="multi-label: any number of labels · regression: numbers · affect: valence and arousal",
        elem_id="vt-train-task",
    )
    with gr.Row():
        form["balance"] = _choice("balance", "Class balance")
        form["balance_by"] = gr.Textbox(
            "", label="Balance by column", placeholder="a column of the data", min_width=90, visible=False
        )
    form |= _losses()
    form["domain"] = gr.Dropdown(
        [("as the base says", ""), *DOMAINS],
        value=PLAIN.domain,
        label="Domain",
        info="faces: photos are cropped to a face for the network",
    )
    form["augmentation"] = gr.Textbox(str(PLAIN.augmentation), label="Augmentation", lines=2)
    return form


def _losses() -> dict[str, Any]:
    form: dict[str, Any] = {}
    with gr.Row():
        form["loss"] = gr.Dropdown(
            OF_LABELS,
            value=PLAIN.loss,
            label="Loss",
            min_width=90,
            visible=False,
        )
        form["pos_weight"] = gr.Dropdown(
            ["balanced", "none"],
            value=PLAIN.pos_weight,
            label="Weight of positives",
            info="or a number",
            allow_custom_value=True,
            min_width=90,
            visible=False,
        )
        form["focal_gamma"] = gr.Number(
            PLAIN.focal_gamma, label="Gamma of the focal loss", min_width=90, visible=False
        )
    return form


def _transfer() -> dict[str, Any]:
    form: dict[str, Any] = {
        "weights": gr.Textbox("", label="Base weights", placeholder="default: the official ones"),
        "which": gr.Textbox(
            "", label="Parameters of the checkpoint", placeholder="of several sets: its name"
        ),
    }
    with gr.Row():
        form["head"] = _choice("head", "Head")
        form["head_epochs"] = _number("Head epochs", PLAIN.head_epochs, 1)
    with gr.Row():
        form["unfreeze"] = _number("Unfrozen blocks", PLAIN.unfreeze, 1)
        form["fine_rate"] = gr.Number(PLAIN.fine_rate, label="Fraction of the learning rate", min_width=90)
    return form


def _choice(name: str, label: str) -> gr.Dropdown:
    return gr.Dropdown(list(CHOICES[name]), value=getattr(PLAIN, name), label=label, min_width=90)


def _number(label: str, value: float, minimum: int, elem_id: str | None = None) -> gr.Number:
    return gr.Number(value, label=label, precision=0, minimum=minimum, min_width=90, elem_id=elem_id)
