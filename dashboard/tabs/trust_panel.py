"""The line above the maps of Errors: the verdict on them, and the measurement that it comes from."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable
from dashboard.components.markup import Markup
from dashboard.components.trust.trust_depth import LAYER
from dashboard.components.trust.trust_line import MEASURE, STOP, Offer, trust_line
from dashboard.error_boundary import error_boundary
from dashboard.session.context import Context
from explain.quality.known import stamp_of
from explain.quality.over_depth.known_depth import known_depth
from models.layers.access import reaches

SECONDS = 1.0  # between two looks at a measurement that runs
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


class TrustPanel:
    """`outputs`: the line, the clock that follows a measurement, and what of the folder the page shows."""

    def __init__(self, ctx: Context, method: str):
        self._ctx = ctx
        self._first = self.stamp
        self.line = clickable(self.drawn(method), "vt-trust")
        self._clock, self._shown = gr.Timer(SECONDS, active=False), gr.State(self._first)
        self.outputs = [self.line, self._clock, self._shown]

    @property
    def stamp(self) -> str:
        """Of what is measured."""
        return repr(stamp_of(self._ctx.run))

    @property
    def changed(self) -> bool:
        """Whether something was measured since the page was built."""
        return self.stamp != self._first

    def drawn(self, method: str) -> Markup:
        measuring = self._ctx.measuring
        progress = measuring.progress if measuring.running else ""
        live = self._ctx.access.explains and reaches(self._ctx.run.manifest.access, "layers")
        return trust_line(self._ctx.run, method, self._offer, progress, measuring.ended, live)

    @property
    def _offer(self) -> Offer:
        if not self._ctx.access.computes:
            return ""
        return "button" if self._ctx.can_measure else "command"

    def listen(self, view: gr.State, redraw: Callable[..., Any], areas: Sequence[Any]) -> None:
        """`redraw` (view) -> values of `areas`: what else follows from what is measured."""
        self.line.select(self.act, [view], self.outputs[:2], trigger_mode="multiple", **QUIET)
        self.line.select(self.use_layer, None, [self._ctx.layer, self._ctx.tabs], **QUIET)
        self._clock.tick(self.follow, [view], self.outputs, **QUIET)
        self._shown.change(redraw, [view], list(areas), **QUIET)

    @error_boundary
    def act(self, keys: dict[str, Any], event: gr.SelectData) -> list[Any]:
        if event.index in (MEASURE, STOP):
            self._ctx.access.require_compute()
        if event.index == MEASURE:
            self._ctx.measuring.start()
        elif event.index == STOP:
            self._ctx.measuring.stop()
        return self.values(str(keys["method"]))[:2]

    @error_boundary
    def use_layer(self, event: gr.SelectData) -> list[Any]:
        """Inspect, with live maps at the layer that was clicked."""
        depth = known_depth(self._ctx.run) if event.index == LAYER else None
        if depth is None or event.value not in [trust.layer for trust in depth.layers]:
            return [gr.skip()] * 2
        return [{"layer": event.value, "click": time.monotonic_ns()}, gr.Tabs(selected="inspect")]

    @error_boundary
    def follow(self, keys: dict[str, Any]) -> list[Any]:
        """The progress, and what was measured once it has ended."""
        return self.values(str(keys["method"]))

    def values(self, method: str) -> list[Any]:
        """Of `outputs`."""
        running = self._ctx.measuring.running  # asked first: what it wrote is there when it has ended
        return [self.drawn(method), gr.Timer(active=running), gr.skip() if running else self.stamp]
