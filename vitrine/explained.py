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
from explain.quality.badge import badges
from explain.quality.check import check_map
from explain.quality.kept import Badge
from explain.quality.map_check import MapCheck
from explain.render import jpeg_bytes, jpeg_url, normalize, overlay
from models.classifier import Classifier
from models.data.images import UnreadableImage, open_image
from models.errors import UserError


@dataclass(frozen=True, eq=False)
class Explained:
    """`maps`: method -> raw float32 map (h, w), at the layer's own resolution; `prob` (K,), the numbers
    themselves of a regression (`are_numbers`); `seen`: the image as the network gets it. `badges`: what is
    said of each map at once, `checks`: the check of each map that has one, where it was asked for."""

    classes: tuple[str, ...]
    prob: np.ndarray
    seen: Image.Image
    results: Mapping[str, MapResult]
    are_numbers: bool = False
    badges: Mapping[str, Badge] = field(default_factory=dict)
    checks: Mapping[str, MapCheck] = field(default_factory=dict)

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
        sure = "" if self.are_numbers else f" {100 * self.prob.max():.1f} %"
        cells = [(self.seen, f"{escape(self.predicted)}{sure}")]
        for name, found in self.results.items():
            layer = f", {escape(found.layer)}" if found.layer else ""
            cells.append(
                (
                    self.overlay(name),
                    f"{escape(get(name).title)} for {escape(self.classes[found.target])}{layer}",
                )
            )
        pictures = "".join(
            f'<figure style="display:inline-block;margin:4px"><img src="{jpeg_url(jpeg_bytes(picture))}" '
            f'alt="{caption}" '
            f'style="width:224px"><figcaption>{caption}</figcaption></figure>'
            for picture, caption in cells
        )
        return f"<div>{pictures}</div>"


def explained(
    net: Classifier,
    image: str | Path | Image.Image,
    methods: str | Sequence[str],
    target: str | int | None,
    layer: str,
    parameters: Mapping[str, Any],
    check: bool = False,
) -> Explained:
    """See `vitrine.explain`."""
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
    session = open_session(net, _opened(image, net))
    results = {r.method: session.map(r) for r in wanted}
    said = dict(zip(results, badges(session, [*results.values()]), strict=True))
    checks = {name: check_map(session, results[name]) for name in results if check and said[name].ordered}
    return Explained(net.classes, session.prob, session.image, results, session.numbers, said, checks)


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
