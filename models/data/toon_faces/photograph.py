"""Light, background, occluder and camera: from the clean drawing to the picture that a network sees."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from models.data.toon_faces.action_units import PARTS
from models.data.toon_faces.draw import FaceArtist
from models.data.toon_faces.identity import Scene
from models.data.toon_faces.pen import OVERSAMPLE, SIZE, Pen, ellipse


def paint_background(pen: Pen, rng: np.random.Generator) -> None:
    """Fill the canvas; backgrounds are drawn small and blurred by the enlargement, as by a lens."""
    scene, small = pen.scene, SIZE // 2
    a, b = (np.array(c, float) for c in scene.background)
    y, x = np.mgrid[0:small, 0:small] / small
    ramp = x * np.cos(scene.light_angle) + y * np.sin(scene.light_angle)
    if scene.background_kind == "stripes":
        ramp = 0.35 + 0.35 * np.sin(ramp * 16)
    elif scene.background_kind == "plain":
        ramp = np.zeros_like(ramp)
    image = Image.fromarray(np.clip(a + (b - a) * ramp[..., None], 0, 255).astype(np.uint8))
    if scene.background_kind == "bokeh":
        draw = ImageDraw.Draw(image)
        for _ in range(12):
            cx, cy, r = (float(v) for v in rng.uniform((0, 0, 2), (small, small, 9)))
            draw.ellipse(
                (cx - r, cy - r, cx + r, cy + r),
                fill=tuple(int(v) for v in a + (b - a) * rng.uniform(-0.6, 1.6) + 20),
            )
        image = image.filter(ImageFilter.GaussianBlur(1.5))
    pen.picture.paste(image.resize(pen.picture.size, Image.Resampling.BICUBIC))


def occluder_outline(scene: Scene) -> np.ndarray | None:
    if scene.occluder is None:
        return None
    x, y, rx, ry, angle = scene.occluder
    return ellipse(x, y, rx, ry, angle)


def develop(artist: FaceArtist, rng: np.random.Generator) -> Image.Image:
    """Occluder, light, blur, sensor noise; reduced to SIZE × SIZE."""
    scene, pen = artist.scene, artist.pen
    outline = occluder_outline(scene)
    if outline is not None:
        pen.fill(outline, scene.occluder_color, depth=0.9)
    small = pen.picture.reduce(OVERSAMPLE)
    if scene.blur:
        small = small.filter(ImageFilter.GaussianBlur(scene.blur))
    pixels = np.asarray(small, np.float32)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j].astype(np.float32)
    light = 1 + scene.light * (x * np.cos(scene.light_angle) + y * np.sin(scene.light_angle))
    pixels = pixels * (light * scene.exposure)[..., None] + rng.normal(0, scene.noise, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def part_masks(artist: FaceArtist, parts: tuple[str, ...] = PARTS) -> dict[str, np.ndarray]:
    """Where parts of the face are, (SIZE, SIZE) bool each; what an occluder hides is left out."""
    outline = occluder_outline(artist.scene)
    hidden = [] if outline is None else [artist.pen.place(outline, 0.9) / OVERSAMPLE]
    masks = {}
    for part in parts:
        mask = Image.new("L", (SIZE, SIZE))
        draw = ImageDraw.Draw(mask)
        for fill, shapes in ((1, artist.outlines[part]), (0, hidden)):
            for shape in shapes:
                draw.polygon([(float(x), float(y)) for x, y in shape], fill=fill)
        masks[part] = np.asarray(mask, bool)
    return masks
