"""How far a run is, from its log: the bar of `run` (tqdm), its lines, and its error."""

import re
from dataclasses import dataclass
from pathlib import Path

TAIL = 64_000  # bytes of a log that are read
_BAR = re.compile(r"(\d+)/(\d+) \[[\d:]+<([\d:]+|\?), +(\?|[\d.]+)(image/s|s/image)")
_SECONDS = (1, 60, 3600)


@dataclass(frozen=True)
class LogProgress:
    """`done` of `total` images; `rate`: images/s; `left`: seconds, both None where not known yet. `message`:
    the last line that is no bar; `error`: the line `vitrine: …` of a command that was refused; `stopped`:
    the command says that a person stopped it."""

    done: int = 0
    total: int = 0
    rate: float | None = None
    left: int | None = None
    message: str = ""
    error: str = ""
    stopped: bool = False


def parse(text: str) -> LogProgress:
    """The state of a log; bars are separated by carriage returns."""
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    plain = [line for line in lines if not _BAR.search(line)]
    bars = [found for line in lines if (found := _BAR.search(line))]
    errors = [line.removeprefix("vitrine: ") for line in plain if line.startswith("vitrine: ")]
    done, total, rate, left = _numbers(bars[-1]) if bars else (0, 0, None, None)
    return LogProgress(
        done,
        total,
        rate,
        left,
        plain[-1][:200] if plain else "",
        errors[-1][:600] if errors else "",
        any(line.startswith("Stopped. Results so far") for line in plain),
    )


def _numbers(bar: re.Match[str]) -> tuple[int, int, float | None, int | None]:
    done, total, remaining, speed, unit = bar.groups()
    value = None if speed == "?" else float(speed)
    rate = value if value is None or unit == "image/s" else 1 / value if value else None
    parts = [] if remaining == "?" else [int(part) for part in reversed(remaining.split(":"))]
    left = sum(n * seconds for n, seconds in zip(parts, _SECONDS, strict=False)) if parts else None
    return int(done), int(total), rate, left


def read_log(path: Path) -> LogProgress:
    """The state of a file, of which the end is read; nothing where there is none."""
    try:
        if not path.is_file():
            return LogProgress()
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - TAIL))
            return parse(log.read(TAIL).decode("utf-8", "replace"))
    except OSError:
        return LogProgress()
