"""Endpoints for gradio_client and for agents: predict, explain, errors, export, report."""

import asyncio
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from dashboard.error_boundary import error_boundary
from dashboard.server.event_queue import MAPS, READS
from dashboard.server.uploads import handed_out, open_upload, photo_upload
from dashboard.session.context import Context
from dashboard.session.map_queue import answer
from explain.analysis.findings import Findings
from explain.analysis.headline import headline
from explain.analysis.on_maps import said_of
from explain.analysis.ranking import SORTS
from explain.run.reader import RunData
from models.errors import UserError
from models.faces.crop import FaceRequest

if TYPE_CHECKING:
    from explain.methods.compute import MapResult
    from explain.methods.live import ImageSession
    from explain.methods.request import MapRequest

TOP, MOST = 5, 1000
PLAIN, PREFIXES = ("", "errors", "correct", "notes"), ("class:", "pair:", "tag:")
"""Selections that need no findings, and the beginnings of others."""
EXPORT = {"concurrency_id": "export"}


def register(endpoints: "Endpoints", ctx: Context) -> None:
    """Those that this page's access allows."""
    with gr.Row(visible=False):  # before the tabs, whose handlers would have the names otherwise
        endpoints.register_errors()
        if ctx.access.explains:
            endpoints.register_live()
        if ctx.access.computes:
            endpoints.register_files()


class Endpoints:
    """The handlers; each is published under its own name, with its docstring."""

    def __init__(self, ctx: Context):
        self._ctx = ctx

    def register_errors(self) -> None:
        inputs = [gr.Textbox("errors"), gr.Number(20, precision=0)]
        _endpoint(self.errors, inputs, [gr.JSON(label="errors")], READS)

    def register_live(self) -> None:
        photo, found = photo_upload("photo", "vt-api-photo"), gr.JSON(label="answer")
        _endpoint(self.predict, [photo, gr.Textbox("")], [found], MAPS)
        inputs = [photo, gr.Textbox("grad_cam"), *(gr.Textbox("") for _ in range(3))]
        overlay = gr.Image(type="pil", format="png", label="overlay")
        _endpoint(self.explain, inputs, [found, overlay], MAPS)

    def register_files(self) -> None:
        file = gr.File(label="file")
        inputs = [gr.Textbox(""), gr.Number(2, precision=0), gr.Textbox("")]
        _endpoint(self.export, inputs, [file], EXPORT)
        _endpoint(self.report, [], [file], EXPORT)

    @error_boundary
    def errors(self, request: gr.Request, select: str = "errors", limit: int = 20) -> dict[str, Any]:
        """Images of the run, the most confident errors first, with the run's headline figures and what to try
        next.

        Args:
            select: errors, correct, class:NAME, pair:TRUE>PREDICTED, labels, duplicates, border, tag:NAME;
            nothing for some of every class. limit: maximum number of images.
        """
        from explain.export.selection import selected

        select, findings = str(select or ""), self._ctx.findings
        run = findings.run
        self._prepare(select, str(request.session_hash))
        selection = selected(findings, select, sort=next(iter(SORTS)))
        shown = selection.rows[: max(1, min(int(limit or 20), MOST))]
        method = run.manifest.request.methods[0]
        return {
            "model": run.manifest.request.model,
            "data": run.manifest.request.data,
            "selected": selection.description,
            "number": len(selection.rows),
            "figures": {figure.name: figure.value for figure in headline(run, method)},
            "maps": said_of(run, method),
            "images": _images(run, shown),
            "what_to_try": _proposals(findings) if findings.ready else None,
            "inconclusive": findings.inconclusive,
        }

    def _prepare(self, select: str, who: str) -> None:
        """Compute what a selection needs. Raises UserError where the findings are not there yet."""
        from explain.analysis.groups import prepare
        from explain.export.selection import LONGEST

        cancellation = self._ctx.cancellation
        if select not in PLAIN and not select.startswith(PREFIXES) and self._ctx.work_out():
            raise UserError(f"What '{select[:60]}' means is still being computed: ask again in a minute.")
        cancellation.begin(who)
        prepare(self._ctx.findings, select[:LONGEST], lambda: cancellation.raise_if_cancelled(who))

    @error_boundary
    async def predict(self, request: gr.Request, photo: str, faces: str = "") -> dict[str, Any]:
        """The prediction of the network for a photo: its most probable classes; and of a network about faces,
        which faces were found, and which part of the photo it got.

        Args:
            photo: JPEG, PNG or WebP of at most 24 million pixels. It is not kept.
            faces: auto (crop to the largest face), off (the whole photo), or the number of a face, counted
            from the largest; nothing for auto where the network is about faces, else off.
        """
        session = await self._session(request, photo, faces)
        prob = session.prob
        best = (-prob).argsort(kind="stable")[:TOP].tolist()
        return {
            "model": self._ctx.run.manifest.request.model,
            "classes": [{"name": self._ctx.run.classes[i], "probability": float(prob[i])} for i in best],
            **found_faces(session),
        }

    async def _session(
        self, request: gr.Request, photo: str, faces: str, requests: "tuple[MapRequest, ...]" = ()
    ) -> "ImageSession":
        """Of a photo, with those first maps that go through the network together with others'
        (`session.map_queue`); it is not kept. Raises `Cancelled` where who asks has left."""

        def ask() -> "Future[ImageSession]":
            return self._ctx.maps.ask(self._opened(photo), self._faces(faces), requests)

        wanted = self._ctx.cancellation.still_wanted(str(request.session_hash))
        return await answer(await asyncio.to_thread(ask), wanted)

    @error_boundary
    async def explain(
        self,
        request: gr.Request,
        photo: str,
        method: str = "grad_cam",
        target: str = "",
        layer: str = "",
        faces: str = "",
    ) -> tuple[dict[str, Any], Image.Image]:
        """Where the network looks in a photo: the raw map as rows of numbers (seven digits), and a picture of
        it laid over the photo.

        Args:
            photo: JPEG, PNG or WebP of at most 24 million pixels. It is not kept.
            method: grad_cam, layer_cam, hires_cam, score_cam, integrated_gradients, lime ...
            target: the class to explain, by name or number; nothing for the prediction.
            layer: nothing for the last one with maps.
            faces: auto (crop to the largest face), off (the whole photo), or the number of a face, counted
            from the largest; nothing for auto where the network is about faces, else off.
        """
        from explain.methods.registry import get
        from explain.methods.request import MapRequest
        from explain.methods.single_image import class_number

        get(method)  # raises for a method that there is not
        map_request = MapRequest(method, layer or "", class_number(self._ctx.run.classes, target or None))
        session = await self._session(request, photo, faces, (map_request,))
        return await asyncio.to_thread(self._explained, session, map_request, str(request.session_hash))

    def _explained(
        self, session: "ImageSession", map_request: "MapRequest", who: str
    ) -> tuple[dict[str, Any], Image.Image]:
        """The network is held only for a map that is not known yet."""
        from explain.render import normalize, overlay

        cancellation, known = self._ctx.cancellation, session.known(map_request)
        cancellation.begin(who)
        with nullcontext() if known else self._ctx.classifier():
            result = session.map(map_request, lambda fraction: cancellation.raise_if_cancelled(who))
        return self._described(session, result), overlay(session.image, normalize(result.raw))

    def _described(self, session: "ImageSession", result: "MapResult") -> dict[str, Any]:
        """What `explain` answers beside the picture."""
        return {
            "model": self._ctx.run.manifest.request.model,
            "method": result.request.method,
            "layer": result.layer,
            **self._answer(session, result.target),
            **found_faces(session),
            "seconds": round(result.seconds, 3),
            "map": [[float(f"{value:.7g}") for value in line] for line in result.raw.tolist()],
        }

    @error_boundary
    def export(self, select: str = "", per_class: int = 2, methods: str = "") -> str:
        """An archive of images, overlays, raw maps and tables.

        Args:
            select: as for errors; nothing for some of every class.
            per_class: maximum wrong and correct images per class; 0 for all of a list.
            methods: of the run's, with commas; nothing for the first.
        """
        from explain.export.gallery import ExportOptions
        from explain.export.gallery import export as write

        out = handed_out(f"{self._ctx.run.folder.name}.zip")
        named = tuple(name.strip() for name in str(methods or "").split(",") if name.strip())
        write(self._ctx.findings, out, ExportOptions(str(select or ""), int(per_class) or None, named))
        return str(out)

    @error_boundary
    def report(self) -> str:
        """What the run found, as one HTML file that needs no network."""
        from explain.export.label_report import label_report
        from explain.export.report import report as make
        from explain.export.report import write_report

        out, sets = handed_out(f"{self._ctx.run.folder.name}.html"), self._ctx.run.label_sets
        write_report(make(self._ctx.findings) if sets is None else label_report(sets), out)
        return str(out)

    def _answer(self, session: "ImageSession", target: int) -> dict[str, Any]:
        """What the network says of a target."""
        return {"target": self._ctx.run.classes[target], "probability": float(session.prob[target])}

    def _faces(self, text: str) -> FaceRequest | None:
        """As the page looks for faces, where nothing is asked for. Raises UserError for what is no choice."""
        usual = self._ctx.subjects.faces
        if not text:
            return usual
        return replace(usual or FaceRequest(detector=self._ctx.face_detector), which=str(text))

    def _opened(self, photo: str | None) -> Image.Image:
        if not photo:
            raise UserError("There is no photo: give one, as handle_file('photo.jpg').")
        request = self._ctx.run.manifest.request
        return open_upload(photo, self._ctx.exif, request.bits, request.white, request.alpha)


def found_faces(session: "ImageSession") -> dict[str, Any]:
    """Faces of the photo and which part of it was used; nothing where faces were not looked for."""
    return {} if session.face is None else {"faces": session.face.as_dict()}


def _proposals(findings: Findings) -> list[dict[str, str]]:
    return [{"title": p.title, "why": p.text, "train": p.option} for p in findings.proposals]


def _images(run: RunData, rows: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "image": str(x.id),
            "true": run.classes[int(x.label)],
            "called": run.classes[int(x.pred)],
            "confidence": round(float(x.confidence), 4),
            "loss": round(float(x.loss), 4),
        }
        for x in run.table.loc[rows].itertuples()
    ]


def _endpoint(handler: Any, inputs: list[Any], outputs: list[Any], options: dict[str, Any]) -> None:
    """Under the handler's own name."""
    gr.Button(visible=False).click(
        handler,
        inputs,
        outputs,
        api_name=handler.__name__,
        api_visibility="public",
        **options,
    )
