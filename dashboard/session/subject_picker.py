"""The controls that choose an image from outside of the run, the same in every tab with live results."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from inspect import isasyncgenfunction
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.error_boundary import error_boundary
from dashboard.examples import examples_strip
from dashboard.server.event_queue import MODEL
from dashboard.server.uploads import photo_upload
from dashboard.session.context import Context
from dashboard.session.subjects import first_row, of_row
from dashboard.session.types import Subject


class SubjectPicker:
    """An upload field and a strip of examples, named `prefix`-upload and `prefix`-examples, and what turns an
    event into a subject."""

    def __init__(self, ctx: Context, prefix: str):
        self._ctx = ctx
        with gr.Group(visible=ctx.access.explains, elem_classes="vt-panel vt-controls"):
            self.upload = photo_upload("Upload a photo", f"{prefix}-upload")
            self.examples = clickable(examples_strip(), f"{prefix}-examples")

    def uploaded(self, request: gr.Request, path: str) -> Subject:
        """Raises UserError for a photo that cannot be read."""
        return {"upload": self._ctx.photos.keep(str(request.session_hash), path)}

    def example(self, event: gr.SelectData) -> Subject:
        return {"example": str(event.value)}

    def opened(self, opened: Subject | None) -> Subject | None:
        """The row that was clicked last, otherwise the first one; None for a run without readable images."""
        if opened:
            return of_row(opened)
        row = first_row(self._ctx.run, self._ctx.asked)
        return None if row is None else {"row": row}

    def listen(
        self,
        show: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        progress_on: Any,
        kind: dict[str, Any] = MODEL,
    ) -> None:
        """Update `outputs` with `show(subject, *inputs)`, or with what `show(request, subject, *inputs)`
        yields where it is asynchronous, for every upload and every example. `progress_on`: the component that
        shows the progress; `kind`: options of `server.event_queue`."""
        if not self._ctx.access.explains:
            return

        @error_boundary
        async def uploaded(request: gr.Request, path: str | None, *values: Any) -> AsyncIterator[list[Any]]:
            if path:
                yield [*[gr.skip()] * len(outputs), None]  # the field is free for the next photo
                subject = await asyncio.to_thread(self.uploaded, request, path)
                async for step in _shown(show, request, subject, values):
                    yield [*step, gr.skip()]

        @error_boundary
        async def example(
            request: gr.Request, event: gr.SelectData, *values: Any
        ) -> AsyncIterator[list[Any]]:
            async for step in _shown(show, request, self.example(event), values):
                yield step

        options = {"api_visibility": "private", "show_progress_on": [progress_on], **kind}
        self.upload.upload(  # alone: Gradio says `input` of every upload besides, also of one from the camera
            uploaded, [self.upload, *inputs], [*outputs, self.upload], trigger_mode="always_last", **options
        )
        self.examples.select(example, [*inputs], [*outputs], **options)


async def _shown(
    show: Callable[..., Any], request: gr.Request, subject: Subject, values: Sequence[Any]
) -> AsyncIterator[list[Any]]:
    if isasyncgenfunction(show):
        async for step in show(request, subject, *values):
            yield step
    else:
        yield await asyncio.to_thread(show, subject, *values)
