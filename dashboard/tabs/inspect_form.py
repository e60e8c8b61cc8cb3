"""The controls of the Inspect tab."""

from typing import Any

import gradio as gr

from dashboard.components.parameters import ParameterControls
from dashboard.tabs.inspect_state import FORM, NO_CLASS
from explain.methods.registry import METHODS, methods_for
from explain.run.reader import RunData
from models.layers.access import reaches


class InspectForm:
    """`controls` by the names of `FORM`; `parameters`: of the methods. What is rarely changed lies folded."""

    def __init__(self, run: RunData, target: int | None):
        with gr.Group(elem_classes="vt-panel vt-controls"):
            controls = {**_maps(run, target), **_display()}
            with gr.Accordion("Smoothing and fusion", open=False):
                controls |= _smoothing()
            with gr.Accordion("Parameters of the methods", open=False, elem_id="vt-parameters"):
                self.parameters = ParameterControls(METHODS.values())
        self.controls: dict[str, Any] = {name: controls[name] for name in FORM}

    @property
    def inputs(self) -> list[Any]:
        """All controls, in the order in which handlers get their values."""
        return [*self.controls.values(), *self.parameters.inputs]

    def changes(self) -> list[Any]:
        """The events after which maps are computed; a slider reports when it is released."""
        released = ("noise", "threshold")
        events = [self.controls[name].input for name in FORM if name not in released]
        events += [self.controls[name].release for name in released]
        return events + [control.change for control in self.parameters.inputs]


def _maps(run: RunData, target: int | None) -> dict[str, Any]:
    """Methods, classes and layers."""
    request = run.manifest.request
    classes = [(name, i) for i, name in enumerate(run.classes)]
    layers, known = (
        [n.strip() for n in request.layer.split(",") if n.strip()],
        methods_for(run.manifest.access),
    )
    methods = gr.Dropdown(
        [(METHODS[name].title, name) for name in known],
        value=list(request.methods),
        multiselect=True,
        label="Methods",
        info=_left_out(run.manifest.access),
        elem_id="vt-methods",
    )
    name = "Output" if run.numbers else "Target class"
    with gr.Row():
        of_class = gr.Dropdown(
            classes, value=target, label=name, filterable=True, min_width=120, elem_id="vt-target"
        )
        contrast = gr.Dropdown(
            [("–", NO_CLASS), *classes],
            value=NO_CLASS,
            label="Contrast class",
            filterable=True,
            min_width=120,
            elem_id="vt-contrast",
            visible=not run.numbers,
        )
    chosen = gr.Dropdown(
        layers,
        value=layers,
        multiselect=True,
        label="Layers (several are fused)",
        elem_id="vt-layers",
        visible=reaches(run.manifest.access, "layers"),
    )
    return {"methods": methods, "target": of_class, "contrast_class": contrast, "layers": chosen}


def _left_out(access: str) -> str | None:
    """Why methods are missing from the list; None where none is."""
    missing = len(METHODS) - len(methods_for(access))
    gives = {
        "scores": "scores alone",
        "gradients": "no layers",
        "layers": "layers of other kinds than PyTorch's",
    }
    return f"{missing} more need what this file lacks: it gives {gives[access]}." if missing else None


def _display() -> dict[str, Any]:
    return {
        "shared": gr.Checkbox(False, label="One scale for all maps", elem_id="vt-shared"),
        "threshold": gr.Slider(
            0, 1, 0, step=0.05, label="Box threshold (fraction of the maximum)", elem_id="vt-threshold"
        ),
    }


def _smoothing() -> dict[str, Any]:
    with gr.Row():
        flip = gr.Checkbox(False, label="Average with the mirror image", min_width=120)
        noise = gr.Slider(0, 50, 0, step=1, label="Noisy copies", min_width=120)
    return {
        "flip": flip,
        "noise": noise,
        "fuse": gr.Radio(["mean", "max"], value="mean", label="Fusion of several layers"),
    }
