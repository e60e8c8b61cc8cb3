"""Raw maps as pixels; no other file normalizes them. NumPy and Pillow only; browsers color and blend the
result."""

import base64
import io
from functools import lru_cache

import numpy as np
from PIL import Image

from models.inputs.channels import as_rgb, color_values, rgb_values

COLOR_MAPS = ("turbo", "inferno", "viridis", "teal")
"""The first is the default; inferno, viridis and teal keep their order for color-blind eyes."""

_ALPHA = (
    0,
    0.5,
    0.8,
    0.95,
    1,
)  # of a map's values 0, 1/4, ... 1: the picture stays untouched where there is no evidence

_TEAL = ((0.04, 0.09, 0.10), (0.05, 0.30, 0.29), (0.10, 0.55, 0.51), (0.45, 0.80, 0.72), (0.95, 0.99, 0.90))

PHOTO_SIDE = 1200  # longer side of a photo with a map on a part of it

FINE = 64 * 64
"""Maps with at least so many positions are fine: attributions of pixels, and CAMs of early layers of large
inputs."""


def normalize(raw: np.ndarray, top: float | np.ndarray | None = None) -> np.ndarray:
    """Positive part in [0, 1]: raw / `top` (default: the map's own peak). Maps (..., h, w); zeros stay zero.

    Maps that share one `top` can be compared; negative evidence and NaN are drawn as nothing.
    """
    positive = _positive(raw)
    full = peak(raw)[..., None, None] if top is None else np.asarray(top, np.float32)
    return np.clip(np.divide(positive, full, out=np.zeros_like(positive), where=full > 0), 0, 1)


def peak(raw: np.ndarray) -> np.ndarray:
    """The value that is drawn at full strength, for maps (..., h, w): the maximum; the 99th percentile of
    what is positive in fine maps, where a few pixels would leave all others dark."""
    positive = _positive(raw)
    if raw.shape[-2] * raw.shape[-1] < FINE:
        return np.asarray(positive.max((-2, -1)))
    shown = np.where(positive > 0, positive, np.nan).reshape(*raw.shape[:-2], -1)
    shown[~(positive > 0).any((-2, -1))] = 0
    return np.asarray(np.nanquantile(shown, 0.99, axis=-1))


def _positive(raw: np.ndarray) -> np.ndarray:
    return np.maximum(np.nan_to_num(raw.astype(np.float32), posinf=0, neginf=0), 0)


def signed(raw: np.ndarray, top: float | None = None) -> np.ndarray:
    """A map (h, w) in [-1, 1]: raw / `top` (default: the `signed_peak` of the map). Zeros stay zero; NaN is
    drawn as nothing."""
    values = np.nan_to_num(raw.astype(np.float32), posinf=0, neginf=0)
    full = signed_peak(raw) if top is None else top
    return np.clip(values / full, -1, 1) if full > 0 else np.zeros_like(values)


def signed_peak(raw: np.ndarray) -> float:
    """The magnitude that is drawn at full strength in a signed map (h, w), as `peak` of its magnitudes."""
    return float(peak(np.abs(raw)))


def signed_problem(raw: np.ndarray) -> str:
    """Which evidence a signed map lacks, or why it shows nothing; '' where it has both."""
    found = problem(raw)
    if found not in ("", "no positive evidence"):
        return found
    positive, negative = bool((raw > 0).any()), bool((raw < 0).any())
    if positive and negative:
        return ""
    return "no negative evidence" if positive else "no positive evidence" if negative else "no evidence"


def problem(raw: np.ndarray) -> str:
    """Why a map shows nothing, or '': values that are not finite, no positive value, or one value
    everywhere."""
    if not np.isfinite(raw).any():
        return "no map: the layer gave no finite number"
    if not np.isfinite(raw).all():
        return "parts of the map are not finite"
    if not (raw > 0).any():
        return "no positive evidence"
    return "flat: every position has the same value" if raw.size > 1 and raw.min() == raw.max() else ""


def map_png(scaled: np.ndarray, enlarge: int = 1) -> str:
    """A map (h, w) in [0, 1] as a data URL: gray PNG at the layer's own resolution, about 100 bytes for 7 ×
    7.

    `enlarge`: so many times larger, bilinear, for pictures so large that the browser's own scaling would show
    steps.
    """
    image = Image.fromarray(scaled.astype(np.float32))
    image = (
        image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.BILINEAR)
        if enlarge > 1
        else image
    )
    return _data_url(Image.fromarray(np.round(np.asarray(image) * 255).astype(np.uint8)), "PNG")


def colored_png(scaled: np.ndarray, colors: str = "turbo") -> str:
    """A map (h, w) in [0, 1] as a data URL of RGB, at its own resolution."""
    return _data_url(colored(scaled, colors), "PNG")


def colored(scaled: np.ndarray, colors: str = "turbo") -> Image.Image:
    """RGB of a map (h, w) in [0, 1]."""
    table = color_table(colors)
    channels = [np.interp(scaled, np.linspace(0, 1, len(table)), channel) for channel in table.T]
    return Image.fromarray((255 * np.stack(channels, -1)).round().astype(np.uint8))


def sheet_png(maps: np.ndarray, columns: int, colors: str, longest: int = 112) -> str:
    """Maps (n, h, w) in [0, 1] side by side as one data URL, `columns` in a row: PNG with a palette, cells of
    at most `longest` pixels."""
    step = -(-max(maps.shape[1:]) // longest)
    image = Image.fromarray(
        side_by_side(np.round(maps[:, ::step, ::step] * 255).astype(np.uint8), columns), "P"
    )
    table = np.linspace(0, 1, 256)[:, None].repeat(3, 1) if colors == "grey" else color_table(colors, 256)
    image.putpalette(np.round(table * 255).astype(np.uint8).tobytes())
    return _data_url(image, "PNG")


def side_by_side(cells: np.ndarray, columns: int) -> np.ndarray:
    """Cells (n, h, w) or (n, h, w, 3) as one picture, `columns` in a row."""
    n, h, w = cells.shape[:3]
    rows = -(-n // columns)
    full = np.zeros((rows * columns, *cells.shape[1:]), cells.dtype)
    full[:n] = cells
    return (
        full.reshape(rows, columns, h, w, -1).swapaxes(1, 2).reshape(rows * h, columns * w, *cells.shape[3:])
    )


def pictures_url(pictures: np.ndarray, columns: int, side: int) -> str:
    """Pictures (n, h, w, 3) uint8 side by side as a JPEG, each at most `side` pixels wide."""
    image = Image.fromarray(side_by_side(pictures, columns))
    if pictures.shape[2] > side:
        image = image.resize(
            (columns * side, round(image.height * columns * side / image.width)), Image.Resampling.LANCZOS
        )
    return jpeg_url(jpeg_bytes(image, quality=90))


def kernels_png(kernels: np.ndarray, columns: int) -> str:
    """Weights (n, C, h, w) of one channel or three as pictures side by side: gray is zero, each kernel up to
    its own largest magnitude."""
    top = np.abs(kernels).max((1, 2, 3), keepdims=True)
    values = 0.5 + np.divide(kernels, 2 * top, out=np.zeros_like(kernels), where=top > 0)
    cells = rgb_values(np.round(255 * values).astype(np.uint8).transpose(0, 2, 3, 1))
    return _data_url(Image.fromarray(side_by_side(cells, columns)), "PNG")


def signed_pixels(values: np.ndarray) -> Image.Image:
    """RGB of signed values (C, h, w) of pixels: gray is zero, strongest at the 99.9th percentile of their
    magnitudes; those of alpha are left out."""
    values = np.nan_to_num(color_values(values.transpose(1, 2, 0)))
    top = float(np.quantile(np.abs(values), 0.999)) or float(np.abs(values).max()) or 1.0
    pixels = np.round(255 * np.clip(0.5 + values / (2 * top), 0, 1)).astype(np.uint8)
    return Image.fromarray(rgb_values(pixels))


def difference_png(values: np.ndarray) -> str:
    """A signed map (h, w) in [-1, 1] as a data URL of RGBA: teal for positive, orange for negative."""
    return _data_url(_difference(values), "PNG")


def _difference(values: np.ndarray) -> Image.Image:
    strength = np.clip(np.abs(values), 0, 1)
    color = np.where(values[..., None] >= 0, np.array([31, 168, 155.0]), np.array([222, 104, 42.0]))
    rgba = np.concatenate([color, 255 * strength[..., None] ** 0.8], -1)
    return Image.fromarray(rgba.round().astype(np.uint8), "RGBA")


def signed_overlay(image: Image.Image, values: np.ndarray, opacity: float = 0.75) -> Image.Image:
    """RGB: the picture under a signed map (h, w) in [-1, 1], which is made as large as the picture
    (bilinear)."""
    large = Image.fromarray(values.astype(np.float32)).resize(image.size, Image.Resampling.BILINEAR)
    colors = _difference(np.asarray(large))
    colors.putalpha(colors.getchannel("A").point(lambda alpha: round(opacity * alpha)))
    return Image.alpha_composite(image.convert("RGBA"), colors).convert("RGB")


def jpeg_bytes(image: Image.Image, longer_side: int | None = None, quality: int = 88) -> bytes:
    """JPEG, reduced to `longer_side` where it is larger; alpha is dropped
    (`models.inputs.channels.as_rgb`)."""
    image = as_rgb(image)
    if longer_side and max(image.size) > longer_side:
        scale = longer_side / max(image.size)
        image = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))),
            Image.Resampling.BILINEAR,
        )
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def jpeg_url(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def png_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _data_url(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


@lru_cache(maxsize=16)
def color_table(name: str, steps: int = 17) -> np.ndarray:
    """(steps, 3) colors in [0, 1] from low to high, to be read only."""
    if name == "teal":
        table = np.array(
            [np.interp(np.linspace(0, 4, steps), range(5), channel) for channel in zip(*_TEAL, strict=True)]
        ).T
    else:
        from matplotlib import colormaps

        table = np.asarray(colormaps[name](np.linspace(0, 1, steps)))[:, :3]
    table.setflags(write=False)
    return table


def overlay(
    image: Image.Image, scaled: np.ndarray, colors: str = "turbo", opacity: float = 0.55
) -> Image.Image:
    """RGB: the picture under a map (h, w) in [0, 1], blended as browsers do it with `color_filters`.

    The map is made as large as the picture (bilinear), then colored; its value is also its alpha, times
    `opacity`.
    """
    table, pixels = color_table(colors), np.asarray(image.convert("RGB"), np.float32)
    value = np.asarray(
        Image.fromarray(scaled.astype(np.float32)).resize(image.size, Image.Resampling.BILINEAR)
    )
    color = np.stack([np.interp(value, np.linspace(0, 1, len(table)), channel) for channel in table.T], -1)
    alpha = opacity * np.interp(value, np.linspace(0, 1, len(_ALPHA)), _ALPHA)[..., None]
    return Image.fromarray(np.round(pixels * (1 - alpha) + 255 * color * alpha).astype(np.uint8))


def placed(scaled: np.ndarray, place: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) of a part of a picture as a map of the whole: (height, width), bilinear inside `place`
    (left, top, right, bottom in pixels of a picture of `size`, width and height), 0 elsewhere."""
    left, top, right, bottom = (round(value) for value in place)
    large = Image.fromarray(scaled.astype(np.float32)).resize(
        (max(1, right - left), max(1, bottom - top)), Image.Resampling.BILINEAR
    )
    whole = Image.new("F", size)
    whole.paste(large, (left, top))
    return np.asarray(whole)


def overlay_on_photo(
    photo: Image.Image, scaled: np.ndarray, place: tuple[float, float, float, float]
) -> Image.Image:
    """RGB: `overlay` of a map (h, w) in [0, 1] of the part `place` of a photo on the whole of it, reduced to
    `PHOTO_SIDE`."""
    ratio = min(1, PHOTO_SIDE / max(photo.size))
    small = as_rgb(photo).resize([max(1, round(side * ratio)) for side in photo.size])  # type: ignore[arg-type]
    left, top, right, bottom = (value * ratio for value in place)
    return overlay(small, placed(scaled, (left, top, right, bottom), small.size))


def color_filters() -> str:
    """SVG filters that color a gray map in the browser, one for each of `COLOR_MAPS`: `url(#vt-turbo)` ...

    The map's value also becomes its alpha, so that the picture stays untouched where there is no evidence.
    """
    alpha = '<feColorMatrix values="1 0 0 0 0 0 1 0 0 0 0 0 1 0 0 1 0 0 0 0"/>'

    def channel(letter: str, values: np.ndarray) -> str:
        return f'<feFunc{letter} type="table" tableValues="{" ".join(f"{v:.3f}" for v in values)}"/>'

    filters = (
        f'<filter id="vt-{name}" color-interpolation-filters="sRGB">{alpha}<feComponentTransfer>'
        + "".join(channel(letter, column) for letter, column in zip("RGB", color_table(name).T, strict=True))
        + '<feFuncA type="table" '
        f'tableValues="{" ".join(f"{v:g}" for v in _ALPHA)}"/></feComponentTransfer></filter>'
        for name in COLOR_MAPS
    )
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true">{"".join(filters)}</svg>'
