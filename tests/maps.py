"""Maps of a method for prepared inputs, and of several methods from one captured pass."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from explain.methods.compute import MapResult, compute_maps, maps_from_pass
from explain.methods.inputs import MethodInputs
from explain.methods.registry import METHODS, get
from explain.methods.request import MapRequest, Smoothing
from explain.network.hooks import Capture
from explain.network.target import as_target

ATTENTION = {name for name, method in METHODS.items() if method.needs == "attention"}
"""Methods that need a vision transformer."""


def maps_for(
    inputs: MethodInputs,
    method: str,
    parameters: dict[str, Any] | None = None,
    fuse: str = "mean",
    smoothing: Smoothing | None = None,
) -> MapResult:
    contrast = inputs.target.contrast_class
    request = MapRequest(
        method,
        ",".join(inputs.layers),
        tuple(inputs.target.plus.tolist()),
        None if contrast is None else tuple(contrast.tolist()),
        tuple((parameters or {}).items()),
        fuse,
        smoothing or Smoothing(),
    )
    return compute_maps(
        inputs.model,
        inputs.x,
        request,
        passes=inputs.passes,
        batch_size=inputs.batch_size,
        on_progress=inputs.on_progress,
    )


def maps_of_pass(captured: Capture, methods: Iterable[str], target: Any) -> dict[str, Tensor]:
    return {m: maps_from_pass(captured, get(m), get(m).settings(), as_target(target)) for m in methods}
