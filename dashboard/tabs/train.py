"""Train: look at the data, start a training, follow it, and set what was trained side by side."""

import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.training_list import comparison, outcome, training_list
from dashboard.error_boundary import error_boundary
from dashboard.plots import figure
from dashboard.server.uploads import handed_out
from dashboard.session.context import Context
from dashboard.session.training_jobs import TrainingJobs, as_typed, command, recipe_of
from models.training.charts import charts
from models.training.recipe import CHOICES, Recipe, seeds_in

TITLE, ID = "Train", "train"
NEEDS = "computes"
PLOTS = ("loss", "accuracy", "roc", "reliability", "confusion", "confusion-normalized")
MORE = ("weights", "image_col", "label_col", "labels")  # options of `train` that are no part of a recipe
KEEP: dict[str, Any] = {"chosen": None, "ticked": [], "drawn": ""}


def build(ctx: Context) -> None:
    trainings = TrainingJobs(ctx.trainings)
    kept = gr.State(dict(KEEP))
    with gr.Row(elem_classes="vt-main vt-train"):
        with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
            form, order = _form()
            typed = gr.Textbox(
                interactive=False,
                label="The same on the command line",
                lines=3,
                buttons=["copy"],
                elem_id="vt-typed",
            )
            with gr.Row():
                look, start = (
                    gr.Button("Preview data", size="md"),
                    gr.Button("Start training", variant="primary", size="md", elem_id="vt-start"),
                )
        with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
            shown = clickable(training_list([], None, []), "vt-training-list")
            seen = gr.Image(visible=False, show_label=False, elem_id="vt-preview", buttons=[])
            counted = gr.Markdown(visible=False)
            detail = clickable("", "vt-outcome")
            with gr.Row(elem_classes="vt-plots"):
                plots = [
                    gr.Plot(visible=False, show_label=False, min_width=330, elem_id=f"vt-plot-{key}")
                    for key in PLOTS
                ]
            save = gr.DownloadButton("Save all charts (PNG and CSV)", visible=False, size="sm")
            table = clickable("", "vt-comparison")
    clock = gr.Timer(2, active=False)
    areas = [kept, shown, detail, *plots, save, table, clock]

    def words(*values: Any) -> list[str]:
        given = dict(zip(order, values, strict=True))
        model, data, name, seeds = (str(given.pop(k) or "") for k in ("model", "data", "name", "seeds"))
        more = {option: str(given.pop(option) or "") for option in MORE}
        first, *others = seeds_in(seeds or "0")
        if others:
            more["seeds"] = ",".join(map(str, (first, *others)))
        return command(
            model, data, name, trainings.folder, recipe_of({**given, "seed": 0 if others else first}), more
        )

    def show(keep: dict[str, Any]) -> list[Any]:
        """The list always; details only where something new is to be seen."""
        found = [(trainings.key(t), t) for t in trainings.all()]
        for complaint in trainings.complaints():
            gr.Warning(complaint)
        names = {name for name, _ in found}
        keep["ticked"] = [name for name in keep["ticked"] if name in names]
        waiting = trainings.waiting
        listed = training_list(
            found, keep["chosen"], keep["ticked"], [name for name in waiting if name not in names]
        )
        running = bool(waiting) or any(t.progress and t.progress.alive for _, t in found)
        chosen = next((t for name, t in found if name == keep["chosen"]), None)
        stamp = (
            f"{keep['chosen']} {len(chosen.curves) if chosen else 0} "
            f"{chosen.measured.get('accuracy') if chosen else ''} {keep['ticked']}"
        )
        words_of = outcome(chosen) if chosen else ""
        if stamp == keep["drawn"]:
            return [keep, listed, words_of, *[gr.skip()] * (len(plots) + 2), gr.Timer(active=running)]
        keep["drawn"] = stamp
        made = {"accuracy" if c.key == "ccc" else c.key: figure(c) for c in charts(chosen)} if chosen else {}
        drawn = [gr.Plot(made.get(key), visible=key in made) for key in PLOTS]
        beside = comparison([t for name in keep["ticked"] for key, t in found if key == name])
        zipped = gr.DownloadButton(visible=bool(chosen and chosen.path.with_suffix(".charts").is_dir()))
        return [keep, listed, words_of, *drawn, zipped, beside, gr.Timer(active=running)]

    @error_boundary
    def opened(keep: dict[str, Any]) -> list[Any]:
        from models.registry import names  # torch is there by now

        return [gr.Dropdown(choices=names()), *show({**keep, "drawn": ""})]

    @error_boundary
    def typing(*values: Any) -> str:
        return as_typed(words(*values))

    @error_boundary
    def begin(keep: dict[str, Any], *values: Any) -> list[Any]:
        keep["chosen"] = trainings.start(words(*values))
        return [*show(keep), gr.Image(visible=False), gr.Markdown(visible=False)]

    @error_boundary
    def act(keep: dict[str, Any], event: gr.SelectData) -> list[Any]:
        name, value = str(event.index), str(event.value)
        if name == "cancel":
            trainings.cancel(value)
            gr.Info(f"{value} stops after this step; the best epoch stays.")
        elif name == "resume":
            trainings.resume(value)
            keep["chosen"] = value
        elif name == "show":
            keep["chosen"] = None if keep["chosen"] == value else value
        elif name.startswith("tick:"):
            wanted = name.removeprefix("tick:")
            keep["ticked"] = [n for n in keep["ticked"] if n != wanted] + (
                [wanted] if value == "true" else []
            )
        return show(keep)

    @error_boundary
    def preview(*values: Any) -> list[Any]:
        from models.data.parts import open_parts
        from models.registry import spec
        from models.training.preview import format_text, sheet
        from models.training.preview import preview as look_at

        given = dict(zip(order, values, strict=True))
        recipe = recipe_of({k: given[k] for k in ("balance", "balance_by", "augmentation")})
        labels = Path(str(given["labels"])) if given["labels"] else None
        parts = open_parts(
            str(given["data"]),
            given["image_col"] or None,
            given["label_col"] or None,
            task=str(given["task"]),
            labels=labels,
        )
        drawn = format_text(parts.training, recipe)
        name = (
            str(given["model"]).split(":")[0]
            if not str(given["model"]).startswith("timm:")
            else str(given["model"])
        )
        page = sheet(look_at(parts.training, spec(name).preprocessing, recipe.augmentation))
        return [gr.Image(page, visible=True), gr.Markdown(drawn, visible=True)]

    @error_boundary
    def charts_zip(keep: dict[str, Any]) -> str:
        folder = trainings.one(keep["chosen"]).path.with_suffix(".charts")
        return shutil.make_archive(str(handed_out(folder.stem)), "zip", folder)

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    inputs = [form[key] for key in order]
    gr.on([part.change for part in inputs], typing, inputs, [typed], trigger_mode="always_last", **quiet)
    start.click(begin, [kept, *inputs], [*areas, seen, counted], **quiet)
    look.click(
        preview,
        inputs,
        [seen, counted],
        api_visibility="private",
        show_progress="full",
        show_progress_on=[seen],
    )
    gr.on([shown.select, table.select], act, [kept], areas, trigger_mode="multiple", **quiet)
    clock.tick(error_boundary(show), [kept], areas, **quiet)
    save.click(charts_zip, [kept], [save], **quiet)
    ctx.on_load(typing, inputs, [typed])
    ctx.on_tab(ID, opened, [kept], [form["model"], *areas])


def _form() -> tuple[dict[str, Any], list[str]]:
    """The controls by the names of `Recipe`, and their order; what is rarely changed lies folded."""
    plain, made = Recipe(), {}
    with gr.Column(elem_classes="vt-controls vt-panel"):
        made["model"] = gr.Dropdown(["fer_vgg"], value="fer_vgg", allow_custom_value=True, label="Model")
        made["data"] = gr.Textbox(
            "toon_faces",
            label="Data",
            info="a folder, a table, toon_faces, torchvision:NAME",
            elem_id="vt-train-data",
        )
        made["recipe"] = gr.Radio(
            list(CHOICES["recipe"]),
            value=plain.recipe,
            label="Recipe",
            info="scratch · features: a new head on a frozen base · finetune: then its last blocks too",
        )
        made["name"] = gr.Textbox("first", label="Name", elem_id="vt-train-name")
        with gr.Row():
            made["epochs"] = gr.Number(
                plain.epochs, label="Epochs", precision=0, minimum=1, min_width=90, elem_id="vt-train-epochs"
            )
            made["seeds"] = gr.Textbox(
                str(plain.seed), label="Seed", placeholder="0,1,2", min_width=90, elem_id="vt-train-seeds"
            )
        with gr.Accordion("Optimizer", open=False):
            with gr.Row():
                made["optimizer"] = gr.Dropdown(
                    list(CHOICES["optimizer"]), value=plain.optimizer, label="Optimizer", min_width=90
                )
                made["schedule"] = gr.Dropdown(
                    list(CHOICES["schedule"]), value=plain.schedule, label="Schedule", min_width=90
                )
            with gr.Row():
                made["learning_rate"] = gr.Number(
                    None, label="Learning rate", placeholder="0.002", min_width=90
                )
                made["batch_size"] = gr.Number(
                    plain.batch_size, label="Batch size", precision=0, minimum=2, min_width=90
                )
            with gr.Row():
                made["weight_decay"] = gr.Number(plain.weight_decay, label="Weight decay", min_width=90)
                made["clip"] = gr.Number(plain.clip, label="Clip gradient", min_width=90)
            with gr.Row():
                made["label_smoothing"] = gr.Number(
                    plain.label_smoothing, label="Label smoothing", min_width=90
                )
                made["mixup"] = gr.Number(plain.mixup, label="Mixup", min_width=90)
            made["patience"] = gr.Number(
                plain.patience,
                label="Patience",
                precision=0,
                minimum=1,
                min_width=90,
                elem_id="vt-train-patience",
            )
        with gr.Accordion("Data and augmentation", open=False):
            with gr.Row():
                made["image_col"] = gr.Textbox("", label="Image column", placeholder="guessed", min_width=90)
                made["label_col"] = gr.Textbox("", label="Label column", placeholder="guessed", min_width=90)
            made["labels"] = gr.Textbox("", label="Corrected labels", placeholder="labels.csv")
            made["task"] = gr.Dropdown(
                list(CHOICES["task"]),
                value=plain.task,
                label="Task",
                info="affect: valence and arousal of a table",
            )
            with gr.Row():
                made["balance"] = gr.Dropdown(
                    list(CHOICES["balance"]), value=plain.balance, label="Class balance", min_width=90
                )
                made["balance_by"] = gr.Textbox(
                    "", label="Balance by column", placeholder="of the data", min_width=90
                )
            made["augmentation"] = gr.Textbox(str(plain.augmentation), label="Augmentation", lines=2)
        with gr.Accordion("Transfer", open=False):
            made["weights"] = gr.Textbox(
                "", label="Weights of the base", placeholder="official ones are fetched"
            )
            with gr.Row():
                made["head"] = gr.Dropdown(
                    list(CHOICES["head"]), value=plain.head, label="Head", min_width=90
                )
                made["head_epochs"] = gr.Number(
                    plain.head_epochs, label="Epochs of the head", precision=0, minimum=1, min_width=90
                )
            with gr.Row():
                made["unfreeze"] = gr.Number(
                    plain.unfreeze, label="Unfreeze blocks", precision=0, minimum=1, min_width=90
                )
                made["fine_rate"] = gr.Number(plain.fine_rate, label="Share of the rate", min_width=90)
    return made, list(made)
