"""The order of a network's layers, which a run folder keeps beside what was measured at them: without the
network nobody knows it. No torch."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from explain.run.format import TRUST, write_json
from models.files.json_files import read_object

FILE = "layers.json"


def keep_order(run: Path, layers: Sequence[str]) -> None:
    """`layers`: names, from the input to the output. Where the folder cannot be written, they are not
    kept."""
    with suppress(OSError):
        (run / TRUST).mkdir(parents=True, exist_ok=True)
        write_json(run / TRUST / FILE, {"layers": list(layers)})


def in_order(run: Path, layers: Iterable[str]) -> list[str]:
    """`layers` as the folder of the run orders them; where it does not know them all, by their names, numbers
    by value."""
    order, names = kept_order(run), list(layers)
    known = {name: k for k, name in enumerate(order)}
    if all(name in known for name in names):
        return sorted(names, key=known.__getitem__)
    return sorted(names, key=_natural)


def kept_order(run: Path) -> list[str]:
    """The names that the folder holds; none where it holds none that can be read."""
    try:
        names = read_object(run / TRUST / FILE).get("layers")
    except (OSError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _natural(name: str) -> list[list[tuple[float, str]]]:
    """features.10 after features.2, and features, which ends with its last layer, after both; of several with
    commas as the last one."""
    parts = [re.split(r"(\d+)", part) for part in name.rpartition(",")[2].split(".")]
    key = [[(int(p), "") if p.isdecimal() else (-1.0, p) for p in part] for part in parts]
    return [*key, [(float("inf"), "")]]
