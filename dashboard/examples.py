"""Example photos that are on every machine: one that matplotlib ships and two that scikit-learn ships."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from dashboard.components.markup import action, html, join
from explain.render import jpeg_bytes, jpeg_url
from models.data.images import open_image
from models.errors import UserError

EXAMPLES = {
    "Grace Hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}


def _path(name: str) -> Path | None:
    package, inside = EXAMPLES[name]
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    return path if path and path.is_file() else None


def open_example(name: str) -> Image.Image:
    """The picture. Raises UserError for a name that is not in `EXAMPLES` or not installed."""
    path = _path(name) if name in EXAMPLES else None
    if path is None:
        raise UserError(f"No example '{name}': choose from {', '.join(EXAMPLES)}.")
    return open_image(path)


@lru_cache
def examples_strip() -> Markup:
    """The examples as small buttons."""
    buttons = join(
        html(
            '<button class="vt-example" title="{name}" {click}><img alt="" src="{url}">'
            "<span>{name}</span></button>",
            name=name,
            click=action("example", name),
            url=jpeg_url(jpeg_bytes(open_example(name), 96)),
        )
        for name in EXAMPLES
        if _path(name)
    )
    return html('<div class="vt-examples"><span>or try</span>{}</div>', buttons)
