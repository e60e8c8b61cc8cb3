"""The endpoints of a run of numbers, under the names of those of other runs."""

from typing import TYPE_CHECKING, Any

import gradio as gr

from dashboard.endpoints import MOST, Endpoints, found_faces
from dashboard.error_boundary import error_boundary
from dashboard.server.uploads import handed_out
from dashboard.session.context import Context
from explain.analysis.numbers.proposals import group_of
from explain.analysis.numbers.run_numbers import compared_measures, plane_of
from explain.export.gallery import ExportOptions
from explain.export.number_gallery import NumberExport, named_group, unknown
from explain.run.outputs.number_run import NumbersRun

if TYPE_CHECKING:
    from explain.methods.live import ImageSession


class NumberEndpoints(Endpoints):
    """The handlers; each is published under its own name, with its docstring."""

    def __init__(self, ctx: Context, run: NumbersRun):
        super().__init__(ctx)
        self._run = run

    @error_boundary
    def errors(self, request: gr.Request, select: str = "over", limit: int = 20) -> dict[str, Any]:
        """Images of the run with their true and predicted numbers, and the measures of one output beside
        those of answering the mean.

        Args:
            select: over, under, nearest, suspicious, or a region as in a link of the page; of another output
            than the first, its name before it, as age:over. limit: maximum number of images.
        """
        run, key = named_group(self._run, str(select or ""))
        plane, k = plane_of(run, run.index), run.index
        group = group_of(run, k, key or "over")
        if group is None:
            raise unknown(key)
        rows = group.rows.tolist()
        shown = rows[: max(1, min(int(limit or 20), MOST))]
        return {
            "model": run.manifest.request.model,
            "data": run.manifest.request.data,
            "output": plane.name,
            "selected": group.title,
            "number": len(rows),
            "measures": [
                {"name": m.name, "value": m.value, "interval": m.interval, "answering the mean": m.control}
                for m in compared_measures(run, k)
            ],
            "images": [
                {
                    "image": str(run.table.at[row, "id"]),
                    "true": float(run.truth[row, k]),
                    "predicted": float(run.predicted[row, k]),
                }
                for row in shown
            ],
        }

    @error_boundary
    async def predict(self, request: gr.Request, photo: str, faces: str = "") -> dict[str, Any]:
        """The numbers that the network predicts for a photo; and of a network about faces, which faces were
        found, and which part of the photo it got.

        Args:
            photo: JPEG, PNG or WebP of at most 24 million pixels. It is not kept.
            faces: auto (crop to the largest face), off (the whole photo), or the number of a face, counted
            from the largest; nothing for auto where the network is about faces, else off.
        """
        session = await self._session(request, photo, faces)
        numbers = {name: float(v) for name, v in zip(self._run.outputs, session.prob, strict=True)}
        return {"model": self._run.manifest.request.model, "numbers": numbers, **found_faces(session)}

    @error_boundary
    def export(self, select: str = "", per_class: int = 4, methods: str = "") -> str:
        """An archive of images, overlays, raw maps and tables.

        Args:
            select: as for errors; nothing for some of every group.
            per_class: maximum number of images per group; 0 for all of a list.
            methods: of the run's, with commas; nothing for the first.
        """
        out = handed_out(f"{self._run.folder.name}.zip")
        named = tuple(name.strip() for name in str(methods or "").split(",") if name.strip())
        run, key = named_group(self._run, str(select or ""))
        for _ in NumberExport(run, out, ExportOptions(key, int(per_class) or None, named)).steps():
            pass
        return str(out)

    @error_boundary
    def report(self) -> str:
        """What the run found, as one HTML file that needs no network."""
        from explain.export.number_report import number_report
        from explain.export.report import write_report

        out = handed_out(f"{self._run.folder.name}.html")
        write_report(number_report(self._run), out)
        return str(out)

    def _answer(self, session: "ImageSession", target: int) -> dict[str, Any]:
        return {"target": self._run.outputs[target], "predicted": float(session.prob[target])}
