"""Maps of one image, with a display for notebooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explain.methods.compute import MapResult
from explain.methods.live import open_session
from explain.methods.registry import defaults, get
from explain.methods.request import MapRequest
from explain.methods.single_image import class_number
from explain.quality.one_map.badge import badges
from explain.quality.one_map.check import check_map
from explain.quality.one_map.kept import Badge
from explain.quality.one_map.map_check import ONE_IMAGE, MapCheck
from explain.render import jpeg_bytes, jpeg_url, normalize, overlay
from models.classifier import Classifier
from models.data.images import UnreadableImage, open_image
from models.errors import UserError
from models.faces.crop import FaceCrop, face_request
from models.faces.detectors import DEFAULT


@dataclass(frozen=True, eq=False)
class Explained:
    """`maps`: method -> raw float32 map (h, w), at the layer's own resolution; `prob` (K,), the numbers
    themselves of a regression (`are_numbers`); `seen`: the image as the network gets it. `badges`: what is
    said of each map at once, `checks`: the check of each map that has one, where it was asked for. `face`:
    faces that were found, and the part of the image that the network got, where they were looked for."""

    classes: tuple[str, ...]
    prob: np.ndarray
    seen: Image.Image
    results: Mapping[str, MapResult]
    are_numbers: bool = False
    badges: Mapping[str, Badge] = field(default_factory=dict)
    checks: Mapping[str, MapCheck] = field(default_factory=dict)
    face: FaceCrop | None = None

    @property
    def maps(self) -> dict[str, np.ndarray]:
        return {name: found.raw for name, found in self.results.items()}

    @property
    def predicted(self) -> str:
        """The predicted class; of a regression, all numbers by their names."""
        if self.are_numbers:
            return ", ".join(f"{n} {value:.4g}" for n, value in zip(self.classes, self.prob, strict=True))
        return self.classes[int(self.prob.argmax())]

    def overlay(self, method: str) -> Image.Image:
        """The map of a method on the image."""
        return overlay(self.seen, normalize(self.results[method].raw))

    def save(self, folder: str | Path) -> Path:
        """Write each map as `METHOD.npy` and `METHOD.png`, and return the folder. Raises UserError if it
        cannot be written."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, found in self.results.items():
                np.save(folder / f"{name}.npy", found.raw)
                self.overlay(name).save(folder / f"{name}.png")
        except OSError as error:
            raise UserError(f"'{folder}' cannot be written ({error.strerror or error}).") from error
        return folder

    def _repr_html_(self) -> str:
        """The image and the maps on it, with what is said of each; below them the checks."""
        sure = "" if self.are_numbers else f" {100 * self.prob.max():.1f} %"
        figures = [_figure(self.seen, f"{self.predicted}{sure}")]
        for name, found in self.results.items():
            layer = f", {found.layer}" if found.layer else ""
            caption = f"{get(name).title} for {self.classes[found.target]}{layer}"
            figures.append(_figure(self.overlay(name), caption, self._said(name)))
        checks = [_checked(get(name).title, check) for name, check in self.checks.items()]
        checks += [f"<p><small>{escape(ONE_IMAGE)}</small></p>"] if checks else []
        face = [] if self.face is None else [f"<p><small>{escape(self.face.described)}</small></p>"]
        return f"<div>{''.join(face + figures + checks)}</div>"

    def _said(self, method: str) -> list[str]:
        """The lines below a map."""
        badge = self.badges.get(method)
        return badge.lines if badge is not None else []


def _figure(picture: Image.Image, caption: str, lines: Sequence[str] = ()) -> str:
    """A picture with its caption and lines of text, as HTML."""
    said = "".join(f"<br><small>{escape(line)}</small>" for line in lines)
    return (
        '<figure style="display:inline-block;margin:4px;width:224px;vertical-align:top">'
        f'<img src="{jpeg_url(jpeg_bytes(picture))}" alt="{escape(caption)}" style="width:224px">'
        f"<figcaption>{escape(caption)}{said}</figcaption></figure>"
    )


def _checked(title: str, check: MapCheck) -> str:
    """The lines of a check, as HTML: its table keeps its columns."""
    lines = "\n".join(check.lines)
    return (
        f"<p><b>Check of {escape(title)}</b>: {escape(check.quantity.name)}</p>"
        f'<pre style="white-space:pre-wrap">{escape(lines)}</pre>'
    )


def explained(
    net: Classifier,
    image: str | Path | Image.Image,
    methods: str | Sequence[str],
    target: str | int | None,
    layer: str,
    parameters: Mapping[str, Any],
    check: bool = False,
    faces: str = "",
    face_detector: str = DEFAULT,
) -> Explained:
    """See `vitrine.explain`."""
    wanted_face = face_request(faces, net.domain, face_detector)
    methods = methods.split(",") if isinstance(methods, str) else list(methods)
    if not methods:
        methods, chosen = defaults(net.access, layer)
        layer = chosen or ""
    index = (
        class_number(net.classes, None if target is None else str(target))
        if not isinstance(target, int)
        else target
    )
    if index is not None and not 0 <= index < len(net.classes):
        raise UserError(f"Class number {index}: there are 0 to {len(net.classes) - 1}.")
    wanted = [MapRequest(name, layer, index, parameters=_given(name, parameters)) for name in methods]
    unknown = [p for p in parameters if not any(p in _names(name) for name in methods)]
    if unknown:
        raise UserError(f"No parameter '{unknown[0]}' in {', '.join(methods)}.")
    session = open_session(net, _opened(image, net), wanted_face)
    results = {r.method: session.map(r) for r in wanted}
    said = dict(zip(results, badges(session, [*results.values()]), strict=True))
    checks = {name: check_map(session, results[name]) for name in results if check and said[name].ordered}
    numbers, seen = session.numbers, session.image
    return Explained(net.classes, session.prob, seen, results, numbers, said, checks, session.face)


def _names(method: str) -> set[str]:
    return {p.name for p in get(method).parameters}


def _given(method: str, parameters: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in parameters.items() if name in _names(method))


def _opened(image: Any, net: Classifier) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, str | Path):
        shape = f" {tuple(image.shape)}" if hasattr(image, "shape") else ""
        raise UserError(
            f"image is a {type(image).__name__}{shape}: pass the path of a file, or a PIL image, such as "
            "PIL.Image.fromarray(pixels) of uint8 (height, width, 3)."
        )
    try:
        fed = net.preprocessing
        return open_image(Path(image), exif=fed.exif, bits=fed.bits, white=fed.white, alpha=fed.alpha)
    except UnreadableImage as error:
        raise UserError(f"'{image}' cannot be used: {error}.") from error
