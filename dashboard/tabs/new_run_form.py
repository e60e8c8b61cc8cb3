"""The controls of the New run tab, one for each of `run_command.FIELDS`."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from dashboard.session.run_command import FIELDS
from explain.methods.registry import methods_in_runs
from models.inputs.channels import COLORS
from models.inputs.options import EXIF, INTERPOLATIONS
from models.outputs.kinds import KINDS

CHECKPOINTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pt2", ".onnx", ".keras", ".h5")
TABLES = (".csv", ".parquet", ".jsonl", ".tar", ".zip")
NAMES = (".txt", ".json", ".csv")
PLAIN = "default"


class NewRunForm:
    """`controls` by field; `checkpoint`, `table`, `names`: fields for dropped files."""

    def __init__(self, device: str) -> None:
        with gr.Column(elem_classes="vt-controls vt-panel"):
            found = _basics()
            self.checkpoint, self.table, self.names = _dropped()
            with gr.Accordion("Labels and classes", open=False):
                found |= _labels()
            with gr.Accordion("Input of the network", open=False):
                found |= _input()
            with gr.Accordion("Methods and layer", open=False):
                found |= _work(device)
        self.controls: dict[str, Any] = {name: found[name] for name in FIELDS}

    @property
    def inputs(self) -> list[Any]:
        """All controls, in the order in which handlers get their values."""
        return list(self.controls.values())

    def values(self, values: Sequence[Any]) -> dict[str, str]:
        """Texts by field; what is left as it is by default is empty."""
        return {name: _text(value) for name, value in zip(self.controls, values, strict=True)}

    def shown(self, values: Mapping[str, str], before: Sequence[Any]) -> list[Any]:
        """New values of the controls, where they differ from those of `before`."""
        now = zip(self.controls.items(), before, strict=True)
        return [
            gr.skip() if _text(old) == values[name] else (values[name] or _nothing(control))
            for (name, control), old in now
        ]


def _nothing(control: Any) -> str:
    return PLAIN if isinstance(control, gr.Dropdown) else ""


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else ""
    text = str(value if value is not None else "").strip()
    return "" if text == PLAIN else text


def _basics() -> dict[str, Any]:
    return {
        "model": gr.Dropdown(
            ["fer_vgg:toon_faces"],
            value="fer_vgg:toon_faces",
            allow_custom_value=True,
            label="Model",
            info="a name, timm:NAME, or the path of a file that holds the network",
            elem_id="vt-run-model",
        ),
        "weights": _line("Weights", "default: the network's own", "vt-run-weights"),
        "data": gr.Textbox(
            "toon_faces",
            label="Data",
            info="a folder, a table, toon_faces, torchvision:NAME",
            elem_id="vt-run-data",
            max_lines=1,
        ),
        "name": gr.Textbox("first", label="Name of the run", elem_id="vt-run-name", max_lines=1),
    }


def _dropped() -> tuple[gr.File, gr.File, gr.File]:
    with gr.Accordion("Drop files (at most 20 MB)", open=False):
        checkpoint = gr.File(
            label="Checkpoint", file_types=[*CHECKPOINTS], height=140, elem_id="vt-run-checkpoint"
        )
        table = gr.File(
            label="Images: .zip of class folders, .tar, .parquet, or a table",
            file_types=[*TABLES],
            height=140,
            elem_id="vt-run-table",
        )
        names = gr.File(
            label="Class names (.txt, .json, .csv)", file_types=[*NAMES], height=140, elem_id="vt-run-names"
        )
    return checkpoint, table, names


def _labels() -> dict[str, Any]:
    form: dict[str, Any] = {}
    with gr.Row():
        form["image_col"] = _line("Image column", "automatic")
        form["label_col"] = _line("Label column", "automatic")
    with gr.Row():
        form["label_columns"] = _line("Columns of votes", "of people: a column for each class")
        form["other_columns"] = _line("Votes for no class", "such as unknown")
    form["split"] = _choice("Part of the data", ("train", "validation", "test"), custom=True)
    form["which"] = _line("Parameters of the checkpoint", "of several sets: its name")
    form["outputs"] = _choice("Outputs of the network", KINDS, elem_id="vt-run-outputs")
    form["labels"] = _line("Corrected labels", "labels.csv")
    form["class_names"] = _line("Class names file", "names.txt, or imagenet", "vt-run-class-names")
    form["classes"] = gr.Dropdown(
        [PLAIN, "sorted", "numbers", "numbers-from-1"],
        value=PLAIN,
        allow_custom_value=True,
        label="Matching of classes",
        info="default: by name; an order of the outputs, or a CSV file",
        elem_id="vt-run-classes",
    )
    return form


def _input() -> dict[str, Any]:
    form: dict[str, Any] = {}
    with gr.Row():
        form["input_size"] = _line("Input size", "224, or 192x256", "vt-run-input-size")
        form["resize"] = _line("Resize", "squash, letterbox, 256", "vt-run-resize")
    with gr.Row():
        form["mean"] = _line("Mean", "0.485,0.456,0.406", "vt-run-mean")
        form["std"] = _line("Std", "0.229,0.224,0.225", "vt-run-std")
    with gr.Row():
        form["interpolation"] = _choice("Interpolation", INTERPOLATIONS)
        form["channels"] = _choice("Channels", COLORS, elem_id="vt-run-channels")
    with gr.Row():
        form["scale"] = _line("Scale", "255, 1")
        form["exif"] = _choice("EXIF orientation", EXIF)
    with gr.Row():
        form["crop"] = _choice("Crop", ("center", "center-floor", "none"))
        form["fill"] = _line("Fill of letterbox", "0")
    form["bits"] = _line("Bits of deep images", "as the data shows")
    return form


def _work(device: str) -> dict[str, Any]:
    form: dict[str, Any] = {
        "methods": gr.Dropdown(
            methods_in_runs(), value=[], multiselect=True, label="Methods", info="none: those of the network"
        )
    }
    with gr.Row():
        form["layer"] = _line("Layer", "the last map")
        form["limit"] = _line("Limit of images", "all", "vt-run-limit")
    form["device"] = gr.Textbox(device, label="Device", max_lines=1)
    form["force"] = gr.Checkbox(
        False, label="Run even if the check finds a better way to prepare the images (--force)"
    )
    return form


def _line(label: str, placeholder: str, elem_id: str | None = None) -> gr.Textbox:
    return gr.Textbox("", label=label, placeholder=placeholder, max_lines=1, min_width=90, elem_id=elem_id)


def _choice(
    label: str, choices: Sequence[str], custom: bool = False, elem_id: str | None = None
) -> gr.Dropdown:
    return gr.Dropdown(
        [PLAIN, *choices],
        value=PLAIN,
        label=label,
        min_width=90,
        allow_custom_value=custom,
        elem_id=elem_id,
    )
