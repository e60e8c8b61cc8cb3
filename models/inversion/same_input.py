"""Whether a decoder learned from images that were prepared as those of its network now."""

from dataclasses import fields
from typing import Any

from models.preprocessing import Preprocessing

HOW_READ = ("exif", "bits")
"""How files are read: a decoder gets the layer's output of whatever was read."""


def differences(about: dict[str, Any], now: Preprocessing) -> list[str]:
    """One phrase for every setting that differs: 'mean 0.5 (now 0)'. `about`: the description of a decoder;
    one of an earlier version tells only size and channels."""
    if not isinstance(about.get("preprocessing"), dict):
        learned = [("size", tuple(about["size"]), now.size), ("channels", about["channels"], now.channels)]
    else:
        before = Preprocessing.from_dict(about["preprocessing"])
        names = [f.name for f in fields(Preprocessing) if f.name not in HOW_READ]
        learned = [(name, getattr(before, name), getattr(now, name)) for name in names]
        if before.channels != now.channels:
            rest = [entry for entry in learned if entry[0] not in ("mean", "std")]
            learned = [("channels", before.channels, now.channels), *rest]
    return [f"{name} {_text(old)} (now {_text(new)})" for name, old, new in learned if old != new]


def _text(value: Any) -> str:
    if not isinstance(value, tuple):
        return "squash" if value is None else str(value)
    return ",".join(f"{v:g}" for v in (value[:1] if len(set(value)) == 1 else value))
