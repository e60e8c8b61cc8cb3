"""One line on the files of a data set that are not read, by their kind."""

from collections import Counter
from pathlib import PurePath

from models.data.images import REFUSED

SHOWN = 6
FACES_LIST = "faces.jsonl"
"""What `data crop-faces` writes beside its crops: a file of Vitrine, neither data nor a table of labels."""


def suffix_of(name: str) -> str:
    """The kind of a file, as it is counted: its suffix in small letters."""
    return PurePath(name).suffix.lower() or "no suffix"


def not_read(skipped: Counter[str]) -> str:
    """The line on files that were skipped (suffix -> number); empty where there are none."""
    if not skipped:
        return ""
    total = skipped.total()
    kinds = [
        f"{suffix} {count}" for suffix, count in sorted(skipped.items(), key=lambda kind: (-kind[1], kind[0]))
    ]
    return (
        f"{total} file{'s' * (total != 1)} not read, {'it is' if total == 1 else 'they are'} no picture "
        f"of a known format ({', '.join(kinds[:SHOWN])}{' ...' * (len(kinds) > SHOWN)}){_remedy(skipped)}"
    )


def _remedy(skipped: Counter[str]) -> str:
    """What to do about files that are images, of a kind that is not read."""
    formats = dict.fromkeys(REFUSED[suffix] for suffix in REFUSED if suffix in skipped)
    return "".join(f"; {name}: {remedy}" for name, remedy in formats)
