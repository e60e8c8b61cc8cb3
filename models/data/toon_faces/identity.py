"""Everything about a drawn face that is *not* its expression: who it is, how it is held, how it is lit."""

from dataclasses import dataclass

import numpy as np

Color = tuple[int, int, int]

SKIN: tuple[Color, ...] = (
    (255, 224, 196),
    (245, 205, 170),
    (234, 188, 148),
    (221, 168, 124),
    (198, 140, 98),
    (165, 110, 74),
    (128, 82, 54),
    (94, 60, 42),
)
HAIR: tuple[Color, ...] = (
    (28, 22, 20),
    (58, 38, 26),
    (98, 64, 38),
    (150, 104, 58),
    (212, 172, 108),
    (170, 74, 36),
    (150, 150, 152),
    (226, 222, 216),
)
IRIS: tuple[Color, ...] = ((70, 44, 28), (96, 68, 36), (62, 94, 62), (66, 108, 150), (90, 100, 110))
HAIR_STYLES = ("bald", "short", "side", "long", "bun", "curly")


@dataclass(frozen=True)
class Identity:
    """Lengths are in face units: the half width of an average face is 1."""

    skin: Color
    hair: Color
    iris: Color
    hair_style: str
    width: float
    height: float
    jaw: float
    eye_gap: float
    eye_size: float
    brow_height: float
    brow_thickness: float
    brow_slant: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip: float
    mouth_curve: float
    beard: float
    glasses: str


@dataclass(frozen=True)
class Scene:
    """Pose (radians and fractions of the image), light, background, camera and occluder."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    light_angle: float
    light: float
    exposure: float
    background: tuple[Color, Color]
    background_kind: str
    shirt: Color
    blur: float
    noise: float
    occluder: tuple[float, float, float, float, float] | None  # x, y, half width, half height, angle
    occluder_color: Color


def _color(rng: np.random.Generator, low: int = 40, high: int = 225, chroma: float = 0.45) -> Color:
    """A muted color: `chroma` of a random one, the rest its grey."""
    color = rng.uniform(low, high, 3)
    r, g, b = (chroma * color + (1 - chroma) * color.mean()).astype(int)
    return int(r), int(g), int(b)


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draw a person."""

    def around(mean: float, spread: float) -> float:
        return float(np.clip(rng.normal(mean, spread), mean - 2 * spread, mean + 2 * spread))

    style = str(rng.choice(HAIR_STYLES, p=(0.08, 0.24, 0.2, 0.22, 0.12, 0.14)))
    return Identity(
        skin=SKIN[rng.integers(len(SKIN))],
        hair=HAIR[rng.choice(len(HAIR), p=(0.26, 0.2, 0.16, 0.1, 0.1, 0.06, 0.07, 0.05))],
        iris=IRIS[rng.integers(len(IRIS))],
        hair_style=style,
        width=around(1.0, 0.06),
        height=around(1.3, 0.07),
        jaw=around(0.66, 0.08),
        eye_gap=around(0.44, 0.025),
        eye_size=around(1.0, 0.1),
        brow_height=around(0.36, 0.03),
        brow_thickness=around(0.075, 0.02),
        brow_slant=around(0.0, 0.025),
        nose_width=around(0.17, 0.025),
        nose_length=around(0.42, 0.04),
        mouth_width=around(0.38, 0.035),
        lip=around(0.075, 0.016),
        mouth_curve=around(0.0, 0.02),
        beard=float(rng.uniform(0.4, 1.0)) if rng.random() < 0.2 and style != "bun" else 0.0,
        glasses=str(rng.choice(("none", "round", "square"), p=(0.8, 0.1, 0.1))),
    )


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a pose, a light, a place and a camera."""
    occluder = None
    if rng.random() < 0.12:
        occluder = (
            float(rng.uniform(-0.9, 0.9)),
            float(rng.uniform(-0.9, 1.1)),
            float(rng.uniform(0.25, 0.6)),
            float(rng.uniform(0.12, 0.26)),
            float(rng.uniform(-1.5, 1.5)),
        )
    return Scene(
        yaw=float(rng.normal(0, 0.2)),
        pitch=float(rng.normal(0, 0.08)),
        roll=float(rng.normal(0, 0.11)),
        scale=float(rng.uniform(0.285, 0.365)),
        shift=(float(rng.normal(0, 0.025)), float(rng.normal(0.02, 0.02))),
        light_angle=float(rng.uniform(0, 2 * np.pi)),
        light=float(rng.uniform(0.05, 0.4)),
        exposure=float(rng.uniform(0.72, 1.12)),
        background=(_color(rng), _color(rng)),
        background_kind=str(rng.choice(("plain", "gradient", "bokeh", "stripes"), p=(0.2, 0.35, 0.3, 0.15))),
        shirt=_color(rng, 30, 215),
        blur=float(rng.choice((0.0, rng.uniform(0.3, 1.1)), p=(0.6, 0.4))),
        noise=float(rng.uniform(0, 7)),
        occluder=occluder,
        occluder_color=_color(rng, 20, 235),
    )
