"""Other ways to read the images that a network may have been trained with: single changes, of four kinds, and
changes of different kinds together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from models.preprocessing import Preprocessing

COLORS, RESIZE, EXIF, NORMALIZATION = "colors", "resize", "exif", "normalization"
KINDS = (COLORS, RESIZE, EXIF, NORMALIZATION)
"""In the order in which changes are made: mean and std are those of the channels in their new order."""
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "normalized as for ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "normalized to -1 ... 1": ((0.5,), (0.5,)),
    "not normalized": ((0.0,), (1.0,)),
}
CAFFE = (123.68, 116.779, 103.939)
"""Mean red, green and blue of ImageNet, which Caffe's networks subtract from pixels from 0 to 255, most of
them in the order blue, green, red (K. Chatfield et al., BMVC 2014)."""
WITHOUT_MEAN = "pixels from 0 to 255 without Caffe's mean"


@dataclass(frozen=True)
class Change:
    """One change of a `kind` of `KINDS`; `words`: the options that ask for it alone; `preprocessing`: what
    becomes of the one that is changed."""

    kind: str
    name: str
    words: tuple[str, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class Reading:
    """One way to read the images. `changes`: kind -> name, at least one; `words`: the options that ask for
    it."""

    changes: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def name(self) -> str:
        return ", ".join(name for _, name in self.changes)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(kind for kind, _ in self.changes)


def single_readings(p: Preprocessing) -> list[Reading]:
    """Every single change, without those that change nothing; the rarest last, which is Caffe's mean alone,
    without its order of the colors."""
    changes = [c for kind in (NORMALIZATION, COLORS, RESIZE, EXIF) for c in _changes(p, kind)]
    return [
        Reading(((c.kind, c.name),), c.words, c.preprocessing)
        for c in sorted(changes, key=lambda c: c.name == WITHOUT_MEAN)
        if c.preprocessing != p
    ]


def extended(p: Preprocessing, reading: Reading, by: Sequence[Reading]) -> list[Reading]:
    """`reading` with one more change, each of a kind that it leaves as it is, out of the single ones `by`."""
    more = [one for one in by if not one.kinds & reading.kinds]
    return [combined(p, dict(reading.changes) | dict(one.changes)) for one in more]


def pairs(p: Preprocessing, singles: Sequence[Reading]) -> list[Reading]:
    """Two changes together, for networks of which no single one is found: of normalization, colors and
    resize. Colors come first: red and blue are the most often exchanged."""
    of = {kind: [one for one in singles if one.kinds == {kind}] for kind in KINDS}
    chosen = [(COLORS, NORMALIZATION), (RESIZE, NORMALIZATION), (COLORS, RESIZE)]
    return [
        combined(p, dict(one.changes) | dict(other.changes))
        for first, second in chosen
        for one in of[first]
        for other in of[second]
    ]


def combined(p: Preprocessing, names: dict[str, str]) -> Reading:
    """Changes (kind -> name), made one after the other; an option of a later one replaces that of an earlier
    one."""
    options: dict[str, str] = {}
    made, changed = list[tuple[str, str]](), p
    for kind in KINDS:
        if kind in names:
            change = next(c for c in _changes(changed, kind) if c.name == names[kind])
            options |= dict(zip(change.words[::2], change.words[1::2], strict=True))
            made, changed = [*made, (kind, change.name)], change.preprocessing
    words = tuple(word for option in options.items() for word in option)
    return Reading(tuple(made), words, changed)


def possible(singles: Sequence[Reading]) -> int:
    """How many readings there are, single changes and all that can be combined."""
    return prod(1 + sum(one.kinds == {kind} for one in singles) for kind in KINDS) - 1


def _changes(p: Preprocessing, kind: str) -> list[Change]:
    makers = {COLORS: _colors, RESIZE: _resizes, EXIF: _exif, NORMALIZATION: _normalizations}
    return [Change(kind, name, words, made) for name, words, made in makers[kind](p)]


_Made = Iterator[tuple[str, tuple[str, ...], Preprocessing]]


def _colors(p: Preprocessing) -> _Made:
    if p.channels >= 3:
        order = "rgb" if p.order == "bgr" else "bgr"
        values = [(f"--{name}", getattr(p, name)) for name in ("mean", "std")]
        # where they differ, the option alone does not say in which order they are
        more = [w for name, v in values if len(set(v)) > 1 for w in (name, ",".join(map(str, v)))]
        other = replace(p, order=order)
        yield f"colors as {other.color.upper()}", ("--channels", other.color, *more), other
    if p.channels == 1:
        when, channels = ("before", "grey") if p.grey_last else ("after", "grey-last")
        yield f"grey {when} the resize", ("--channels", channels), replace(p, grey_last=not p.grey_last)


def _resizes(p: Preprocessing) -> _Made:
    if p.resize is None:
        short = round(min(p.size) * 256 / 224)
        yield "cropped", ("--resize", str(short)), replace(p, resize=short)
    else:
        whole = replace(p, resize=None, crop="center", fill=(0,))
        yield "squashed", ("--resize", "squash"), whole


def _exif(p: Preprocessing) -> _Made:
    exif = "ignore" if p.exif == "apply" else "apply"
    yield f"EXIF orientation: {exif}", ("--exif", exif), replace(p, exif=exif)


def _normalizations(p: Preprocessing) -> _Made:
    scale = () if p.scale == 255 else ("--scale", "255")
    for name, (mean, std) in NORMALIZATIONS.items():
        if p.channels == 4 and len(mean) == 3:  # of the colors; alpha as it is
            mean, std = (*mean, 0.0), (*std, 1.0)
        if len(mean) in (1, p.channels):
            means, stds = (v * p.channels if len(v) == 1 else v for v in (mean, std))
            words = (*scale, "--mean", _told(means), "--std", _told(stds))
            yield name, words, replace(p, mean=means, std=stds, scale=255.0)
    raw = replace(p, mean=(0.0,) * p.channels, std=(1.0,) * p.channels, scale=1.0)
    yield "pixels from 0 to 255", ("--scale", "1", "--mean", "0", "--std", "1"), raw
    if p.channels >= 3:
        means = (*(CAFFE[::-1] if p.order == "bgr" else CAFFE), *[0.0] * (p.channels - 3))
        words = ("--scale", "1", "--mean", _told(means), "--std", "1")
        yield WITHOUT_MEAN, words, replace(raw, mean=means)


def _told(values: tuple[float, ...]) -> str:
    return ",".join(f"{v:g}" for v in (values[:1] if len(set(values)) == 1 else values))
