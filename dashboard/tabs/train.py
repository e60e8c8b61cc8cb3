"""Train: preview the data, start a training, follow it, and compare trainings."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.listed.training_list import comparison, outcome, training_list
from dashboard.error_boundary import error_boundary, message_text
from dashboard.plots import figure
from dashboard.server.uploads import handed_out
from dashboard.session.context import Context
from dashboard.session.training_jobs import TrainingJobs, as_typed, recipe_of
from dashboard.tabs.train_form import TrainForm
from dashboard.tabs.train_state import TrainView
from models.training.charts import charts
from models.training.trained import Trained

TITLE, ID = "Train", "train"
NEEDS = "computes"
PLOTS = ("loss", "accuracy", "macro_f1", "ap", "roc", "reliability", "confusion", "confusion-normalized")
PLACES = {"ccc": "accuracy", "mAP": "accuracy"}
"""Charts that stand where another one does: the measure by which the best epoch is chosen."""
SECONDS = 2  # between two looks at the trainings that run
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(ctx: Context) -> None:
    TrainTab(ctx).listen()


class TrainTab:
    """The components of the tab and its handlers."""

    def __init__(self, ctx: Context):
        self._ctx, self._jobs = ctx, TrainingJobs(ctx.trainings)
        self._view = gr.State(asdict(TrainView()))
        with gr.Row(elem_classes="vt-main vt-train"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._left()
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                self._right()
        clock = self._clock = gr.Timer(SECONDS, active=False)
        details = [self._details, *self._plots, self._save, self._comparison]
        self._areas = [self._view, self._list, *details, clock]

    def _left(self) -> None:
        self._form = TrainForm()
        self._typed = gr.Textbox(
            as_typed(self._form.command([control.value for control in self._form.inputs], self._jobs.folder)),
            interactive=False,
            label="Equivalent command",
            lines=3,
            buttons=["copy"],
            elem_id="vt-typed",
        )
        with gr.Row():
            self._preview = gr.Button("Preview data", size="md")
            self._start = gr.Button("Start training", variant="primary", size="md", elem_id="vt-start")

    def _right(self) -> None:
        self._list = clickable(training_list([], None, []), "vt-training-list")
        self._sheet = gr.Image(visible=False, show_label=False, elem_id="vt-preview", buttons=[])
        self._counts = gr.Markdown(visible=False)
        self._details = clickable("", "vt-outcome")
        with gr.Row(elem_classes="vt-plots"):
            self._plots = [
                gr.Plot(visible=False, show_label=False, min_width=330, elem_id=f"vt-plot-{key}")
                for key in PLOTS
            ]
        self._save = gr.DownloadButton("Download all charts (PNG and CSV)", visible=False, size="sm")
        self._comparison = clickable("", "vt-comparison")

    def listen(self) -> None:
        inputs, areas, view, previewed = (
            self._form.inputs,
            self._areas,
            self._view,
            [self._sheet, self._counts],
        )
        # one at a time: a look at the trainings that began before a click must not end after it
        shown: dict[str, Any] = {**QUIET, "concurrency_id": "trainings"}
        changes = [control.change for control in inputs]
        gr.on(changes, self.typed, inputs, [self._typed], trigger_mode="always_last", **QUIET)
        form = self._form
        gr.on(form.looks, self.fields, inputs, form.of_task, trigger_mode="always_last", **QUIET)
        self._start.click(self.start, [view, *inputs], [*areas, *previewed], **shown)
        self._preview.click(
            self.preview,
            inputs,
            previewed,
            api_visibility="private",
            show_progress="full",
            show_progress_on=[self._sheet],
        )
        clicks = [self._list.select, self._comparison.select]
        gr.on(clicks, self.act, [view], areas, trigger_mode="multiple", **shown)
        self._clock.tick(self.show, [view], areas, **shown)
        self._save.click(self.charts_zip, [view], [self._save], **QUIET)
        opened = [self._form.controls["model"], *areas]
        self._ctx.on_tab(ID, self.opened, [view], opened, concurrency_id="trainings")

    def _shown(self, view: TrainView) -> list[Any]:
        """Values for the areas: the list always; charts and comparison only where they changed."""
        trainings = {self._jobs.key(t): t for t in self._jobs.all()}
        for complaint in self._jobs.complaints():
            gr.Warning(message_text(complaint))
        view, waiting = view.among(trainings), self._jobs.waiting
        chosen = trainings.get(view.chosen or "")
        listed = training_list(
            list(trainings.items()), view.chosen, view.ticked, [n for n in waiting if n not in trainings]
        )
        running = bool(waiting) or any(t.progress and t.progress.alive for t in trainings.values())
        stamp, clock = view.stamp(chosen), gr.Timer(active=running)
        drawn = [gr.skip()] * (len(PLOTS) + 2)
        if stamp != view.drawn:
            drawn = _drawn(chosen, [trainings[name] for name in view.ticked])
        details = outcome(chosen) if chosen else ""
        return [asdict(replace(view, drawn=stamp)), listed, details, *drawn, clock]

    @error_boundary
    def show(self, keys: dict[str, Any]) -> list[Any]:
        return self._shown(TrainView(**keys))

    @error_boundary
    def opened(self, keys: dict[str, Any]) -> list[Any]:
        from models.registry import names  # torch is imported by now

        return [gr.Dropdown(choices=names()), *self._shown(replace(TrainView(**keys), drawn=""))]

    @error_boundary
    def typed(self, *values: Any) -> str:
        return as_typed(self._form.command(values, self._jobs.folder))

    @error_boundary
    def fields(self, *values: Any) -> list[Any]:
        return self._form.fields(values)

    @error_boundary
    def start(self, keys: dict[str, Any], *values: Any) -> list[Any]:
        name = self._jobs.start(self._form.command(values, self._jobs.folder))
        shown = self._shown(replace(TrainView(**keys), chosen=name))
        return [*shown, gr.Image(visible=False), gr.Markdown(visible=False)]

    @error_boundary
    def act(self, keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        action, value, view = str(event.index), str(event.value), TrainView(**keys)
        if action == "cancel":
            self._jobs.cancel(value)
            gr.Info(message_text(f"{value} stops after this step. The best epoch is kept."))
        elif action == "resume":
            self._jobs.resume(value)
            view = replace(view, chosen=value)
        return self._shown(view.apply(action, value))

    @error_boundary
    def preview(self, *values: Any) -> list[Any]:
        from models.data.parts import open_parts
        from models.data.tables.votes import VoteColumns
        from models.registry import spec
        from models.training import preview as previews

        form = self._form.values(values)
        recipe = recipe_of({k: form[k] for k in ("balance", "balance_by", "augmentation")})
        training = open_parts(
            str(form["data"]),
            form["image_col"] or None,
            form["label_col"] or None,
            task=str(form["task"] or ""),
            labels=Path(str(form["labels"])) if form["labels"] else None,
            votes=VoteColumns.parse(form["label_columns"], form["other_columns"]),
        ).training
        counts, name = previews.format_text(training, recipe), str(form["model"])
        name = name if name.startswith("timm:") else name.split(":")[0]
        sheet = previews.sheet(previews.preview(training, spec(name).preprocessing, recipe.augmentation))
        return [gr.Image(sheet, visible=True), gr.Markdown(counts, visible=True)]

    @error_boundary
    def charts_zip(self, keys: dict[str, Any]) -> str:
        folder = self._jobs.one(keys["chosen"]).path.with_suffix(".charts")
        return shutil.make_archive(str(handed_out(folder.stem)), "zip", folder)


def _drawn(chosen: Trained | None, compared: list[Trained]) -> list[Any]:
    """The charts of the chosen training, their download, and the comparison."""
    figures = {PLACES.get(c.key, c.key): figure(c) for c in charts(chosen)} if chosen else {}
    plots = [gr.Plot(figures.get(key), visible=key in figures) for key in PLOTS]
    saved = bool(chosen and chosen.path.with_suffix(".charts").is_dir())
    return [*plots, gr.DownloadButton(visible=saved), comparison(compared)]
