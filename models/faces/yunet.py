"""The detector YuNet, from OpenCV's file `face_detection_yunet_2023mar.onnx`, run by onnxruntime.

W. Wu, H. Peng, S. Yu, *YuNet: a tiny millisecond-level face detector*, Machine Intelligence Research 2023.
Boxes are decoded as by OpenCV's `FaceDetectorYN`, which is the reference of the tests.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.errors import UserError
from models.extras import require_package
from models.faces.boxes import FaceBox, without_overlaps

STRIDES = (8, 16, 32)
LARGEST = 640  # longer side of the picture that is searched, where the file takes any
SURE, APART = 0.7, 0.3
"""Least score of a face, and most overlap of two; OpenCV's defaults are 0.9 and 0.3."""


def opened(path: Path) -> Callable[[Image.Image], list[FaceBox]]:
    """Raises UserError where the file is missing, is another network, or onnxruntime is not installed."""
    if not path.is_file():
        raise UserError(
            f"No file '{path}': download face_detection_yunet_2023mar.onnx from OpenCV's model zoo, or use "
            "--face-detector lbp."
        )
    require_package("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has exceptions of its own, by the kind of damage
        raise UserError(
            f"'{path}' cannot be opened by onnxruntime ({str(error)[:120]}): is the file complete?"
        ) from error
    names = {output.name for output in session.get_outputs()}
    needed = {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox") for stride in STRIDES}
    if missing := sorted(needed - names):
        raise UserError(
            f"'{path}' is not YuNet (2023mar): it has no output {missing[0]}; use "
            "face_detection_yunet_2023mar.onnx of OpenCV's model zoo."
        )
    return lambda image: _find(session, image)


def _find(session: Any, image: Image.Image) -> list[FaceBox]:
    """The picture in the corner of a black square or rectangle: as large as the file's input, or, where that
    is free, so that its sides are multiples of 32."""
    fixed = session.get_inputs()[0]
    height, width = (side if isinstance(side, int) else 0 for side in fixed.shape[2:])
    scale = min((width or LARGEST) / image.width, (height or LARGEST) / image.height)
    across, down = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.convert("RGB").resize((across, down), Image.Resampling.BILINEAR, reducing_gap=3.0)
    canvas = np.zeros((height or -(-down // 32) * 32, width or -(-across // 32) * 32, 3), np.float32)
    canvas[:down, :across] = np.asarray(small)[..., ::-1]  # blue first
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {fixed.name: canvas.transpose(2, 0, 1)[None]})
    boxes = decoded(dict(zip(names, values, strict=True)), canvas.shape[1] // 8 * 8)
    return [box.scaled(1 / scale) for box in without_overlaps(boxes, APART)]


def decoded(outputs: Mapping[str, np.ndarray], width: int) -> list[FaceBox]:
    """Boxes of score `SURE` and more, in pixels of an input so many pixels wide. Of every stride and cell:
    score √(class · object), center (cell + shift) · stride, size exp(·) · stride."""
    boxes: list[FaceBox] = []
    for stride in STRIDES:
        classes, objects, shapes = (
            np.asarray(outputs[f"{kind}_{stride}"], float).reshape(-1, size)
            for kind, size in (("cls", 1), ("obj", 1), ("bbox", 4))
        )
        scores = np.sqrt(np.clip(classes, 0, 1) * np.clip(objects, 0, 1))[:, 0]
        for cell in np.flatnonzero(scores >= SURE):
            row, column = divmod(int(cell), width // stride)
            shift_x, shift_y, log_w, log_h = shapes[cell]
            w, h = np.exp([log_w, log_h]) * stride
            x, y = (column + shift_x) * stride, (row + shift_y) * stride
            boxes.append(FaceBox(*map(float, (x - w / 2, y - h / 2, w, h, scores[cell]))))
    return boxes
