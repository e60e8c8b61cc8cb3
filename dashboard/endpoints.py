"""What programs may ask for, by gradio_client or as tools for agents: predict, explain, errors, export,
report."""

from typing import Any

import gradio as gr
from PIL import Image

from dashboard.error_boundary import error_boundary
from dashboard.server.uploads import handed_out, open_upload, photo_upload
from dashboard.session.context import Context
from explain.analysis.headline import headline
from explain.analysis.ranking import SORTS
from models.errors import UserError

TOP, MOST = 5, 1000


def build(ctx: Context) -> None:
    """Register those that this page's access allows."""
    with gr.Row(visible=False):  # before the tabs, whose handlers would have the names otherwise
        _listed(ctx)
        if ctx.access.explains:
            _live(ctx)
        if ctx.access.computes:
            _handed_out(ctx)


def _listed(ctx: Context) -> None:
    @error_boundary
    def errors(request: gr.Request, select: str = "errors", limit: int = 20) -> dict[str, Any]:
        """Images of the run, the most confident errors first, with the run's headline figures and what to try
        next.

        Args:
            select: errors, correct, class:NAME, pair:TRUE>PREDICTED, labels, duplicates, border, tag:NAME;
            nothing for some of every class. limit: at most so many images.
        """
        from explain.analysis.groups import prepare
        from explain.export.selection import LONGEST, selected

        run, plain = ctx.run, ("", "errors", "correct", "notes")
        if (
            str(select or "") not in plain
            and not str(select).startswith(("class:", "pair:", "tag:"))
            and ctx.work_out()
        ):
            raise UserError(
                f"What '{str(select)[:60]}' means is still being worked out: ask again in a minute."
            )
        who = str(request.session_hash)
        ctx.cancellation.begin(who)
        prepare(ctx.findings, str(select or "")[:LONGEST], lambda: ctx.cancellation.raise_if_cancelled(who))
        found = selected(ctx.findings, str(select or ""), sort=next(iter(SORTS)))
        chosen = run.table.loc[found.rows[: max(1, min(int(limit or 20), MOST))]]
        images = [
            {
                "image": str(x.id),
                "true": run.classes[int(x.label)],
                "called": run.classes[int(x.pred)],
                "confidence": round(float(x.confidence), 4),
                "loss": round(float(x.loss), 4),
            }
            for x in chosen.itertuples()
        ]
        figures = {figure.name: figure.value for figure in headline(run, run.manifest.request.methods[0])}
        proposals = (
            [{"title": p.title, "why": p.text, "train": p.option} for p in ctx.findings.proposals]
            if ctx.findings.ready
            else None
        )
        return {
            "model": run.manifest.request.model,
            "data": run.manifest.request.data,
            "selected": found.description,
            "number": len(found.rows),
            "figures": figures,
            "images": images,
            "what_to_try": proposals,
            "inconclusive": ctx.findings.inconclusive,
        }

    _endpoint(errors, [gr.Textbox("errors"), gr.Number(20, precision=0)], [gr.JSON(label="errors")])


def _live(ctx: Context) -> None:
    @error_boundary
    def predict(photo: str) -> dict[str, Any]:
        """What the network says of a photo: its most probable classes.

        Args:
            photo: JPEG, PNG or WebP of at most 24 million pixels. It is not kept.
        """
        from explain.methods.live import open_session

        opened = _opened(ctx, photo)
        with ctx.classifier() as classifier:
            prob = open_session(classifier, opened).prob
        best = (-prob).argsort(kind="stable")[:TOP].tolist()
        return {
            "model": ctx.run.manifest.request.model,
            "classes": [{"name": ctx.run.classes[i], "probability": float(prob[i])} for i in best],
        }

    @error_boundary
    def explain(
        request: gr.Request, photo: str, method: str = "grad_cam", target: str = "", layer: str = ""
    ) -> tuple[dict[str, Any], Image.Image]:
        """Where the network looks in a photo: the raw map as rows of numbers (seven digits), and a picture of
        it laid over the photo.

        Args:
            photo: JPEG, PNG or WebP of at most 24 million pixels. It is not kept.
            method: grad_cam, layer_cam, hires_cam, score_cam, integrated_gradients, lime ...
            target: the class to explain, by name or number; nothing for the prediction.
            layer: nothing for the last one with maps.
        """
        from explain.methods.live import MapRequest, open_session
        from explain.methods.registry import get
        from explain.methods.single_image import class_number
        from explain.render import normalize, overlay

        get(method)
        plus, opened, who = (
            class_number(ctx.run.classes, target or None),
            _opened(ctx, photo),
            str(request.session_hash),
        )
        ctx.cancellation.begin(who)
        with ctx.classifier() as classifier:
            session = open_session(classifier, opened)
            made = session.map(
                MapRequest(method, layer or "", plus),
                lambda fraction: ctx.cancellation.raise_if_cancelled(who),
            )
            raw = [[float(f"{value:.7g}") for value in line] for line in made.raw.tolist()]
            told = {
                "model": ctx.run.manifest.request.model,
                "method": method,
                "layer": made.layer,
                "target": ctx.run.classes[made.target],
                "probability": float(session.prob[made.target]),
                "seconds": round(made.seconds, 3),
                "map": raw,
            }
            return told, overlay(session.seen, normalize(made.raw))

    photo, answer = photo_upload("photo", "vt-api-photo"), gr.JSON(label="answer")
    _endpoint(predict, [photo], [answer], "model")
    asked = [photo, gr.Textbox("grad_cam"), gr.Textbox(""), gr.Textbox("")]
    _endpoint(explain, asked, [answer, gr.Image(type="pil", format="png", label="overlay")], "model")


def _handed_out(ctx: Context) -> None:
    @error_boundary
    def export(select: str = "", per_class: int = 2, methods: str = "") -> str:
        """An archive of images, overlays, raw maps and tables.

        Args:
            select: as for errors; nothing for some of every class.
            per_class: at most so many wrong and so many right images of a class; 0 for all of a list.
            methods: of the run's, with commas; nothing for the first.
        """
        from explain.export.gallery import ExportOptions
        from explain.export.gallery import export as write

        out = handed_out(f"{ctx.run.folder.name}.zip")
        named = tuple(name.strip() for name in str(methods or "").split(",") if name.strip())
        write(ctx.findings, out, ExportOptions(str(select or ""), int(per_class) or None, named))
        return str(out)

    @error_boundary
    def report() -> str:
        """What the run found, as one HTML file that needs no network."""
        from explain.export.report import report as make
        from explain.export.report import write_report

        out = handed_out(f"{ctx.run.folder.name}.html")
        write_report(make(ctx.findings), out)
        return str(out)

    file = gr.File(label="file")
    _endpoint(export, [gr.Textbox(""), gr.Number(2, precision=0), gr.Textbox("")], [file], "export")
    _endpoint(report, [], [file], "export")


def _opened(ctx: Context, photo: str | None) -> Image.Image:
    if not photo:
        raise UserError("There is no photo: give one, as handle_file('photo.jpg').")
    return open_upload(photo, ctx.exif, ctx.run.manifest.request.bits)


def _endpoint(handler: Any, inputs: list[Any], outputs: list[Any], concurrency_id: str | None = None) -> None:
    """Under the handler's own name."""
    gr.Button(visible=False).click(
        handler,
        inputs,
        outputs,
        api_name=handler.__name__,
        api_visibility="public",
        concurrency_id=concurrency_id,
    )
