"""What to do next: the command of a run at another layer, and that of measuring the stages."""

import shlex
from pathlib import Path

from explain.network.stages import STAGES
from explain.quality.verdict import Trust
from explain.run.format import Manifest
from models.program import program, typed


def try_stages(trust: Trust, folder: Path) -> list[str]:
    """What to measure where no method of one layer beats its controls: one sentence and the command; nothing
    where one does, where too little was measured to tell, and for methods without a layer."""
    if trust.recommended is not None or not trust.layer or "," in trust.layer or not trust.verdicts:
        return []
    best = trust.verdicts[0]
    if not best.decided or best.decisive.outcome == "too few images":
        return []
    words = ["trust", str(folder), "--layers", STAGES, "--methods", "layer_cam"]
    return ["", "LayerCAM over the stages of a network often says more than maps of one layer:", typed(words)]


def command_at(manifest: Manifest, layer: str) -> str:
    """The command that made the run, with the given layer and a folder of its own; where it was made from
    Python, the option alone."""
    words = shlex.split(manifest.command) if manifest.command.startswith(program()) else []
    if "run" not in words:
        return f"--layer {shlex.quote(layer)}"
    given = words[words.index("run") :]
    kept, out = _without(given, "--layer"), _value(given, "--out")
    kept = _without([word for word in kept if word != "--restart"], "--out")
    several = layer.count(",") and f"{layer.count(',') + 1}-layers"  # all names may be too long for a folder
    return typed([*kept, "--layer", layer, "--out", f"{out}-{several or layer.replace('/', '-')}"])


def _value(words: list[str], option: str) -> str:
    for k, word in enumerate(words):
        if word == option and k + 1 < len(words):
            return words[k + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return "run"


def _without(words: list[str], option: str) -> list[str]:
    """Without an option and its value."""
    found, skip = list[str](), False
    for word in words:
        if skip:
            skip = False
        elif word == option:
            skip = True
        elif not word.startswith(f"{option}="):
            found.append(word)
    return found
