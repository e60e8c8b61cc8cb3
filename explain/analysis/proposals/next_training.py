"""The training that a proposal asks for: the whole command, and runs of networks that were trained so. No
torch."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from explain.analysis.proposals.proposal import Proposal
from explain.run.format import Manifest, read_manifest
from explain.run.reader import RunData
from models.errors import UserError
from models.program import typed
from models.shipped import shipped
from models.training.trained import described


def checkpoint_of(manifest: Manifest) -> Path | None:
    """The file of the run's network, as it was named for the run or as it comes with Vitrine; None where
    there is none."""
    named = Path(manifest.weights or "-")
    return named if named.is_file() else shipped().get(manifest.request.model)


def description_of(manifest: Manifest) -> dict[str, Any]:
    """What the checkpoint of the run's network says of its training; empty where it says nothing."""
    file = checkpoint_of(manifest)
    return {} if file is None else described(file)


def command_of(run: RunData, option: str) -> str:
    """The command that trained the run's network, with the option of a proposal and a further checkpoint to
    write; empty where the network's checkpoint does not tell its command, or there is no option."""
    words = _words(description_of(run.manifest).get("command"))
    if not option or "train" not in words:
        return ""
    kept = _options(words[words.index("train") + 1 :])
    asked = _options(_words(option))
    out = next((Path(values[0]).name for name, *values in kept if name == "--out" and values), "network")
    replaced = {"--out", *(name for name, *_ in asked)}
    every = [*(o for o in kept if o[0] not in replaced), *asked]
    stem = out.removesuffix(".safetensors")
    file = Path("trainings") / f"{stem}.next.safetensors"
    return typed(["train", *(word for o in every for word in o), "--out", str(file)])


def _words(text: object) -> list[str]:
    try:
        return shlex.split(text) if isinstance(text, str) else []
    except ValueError:  # a quote that does not end
        return []


def _options(words: Sequence[str]) -> list[list[str]]:
    """Each option with its values."""
    found: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            found.append(list(word.split("=", 1)))
        elif found:
            found[-1].append(word)
    return found


def tried(option: str, recipe: dict[str, Any]) -> bool:
    """Whether a training's recipe (`Recipe.as_dict`) has every value of a proposal's option. An option that
    no recipe holds, as a list of labels, was not tried."""
    asked = [
        (name.removeprefix("--").replace("-", "_"), values) for name, *values in _options(_words(option))
    ]
    return bool(asked) and all(len(values) == 1 and _has(recipe, name, values[0]) for name, values in asked)


def _has(recipe: dict[str, Any], name: str, value: str) -> bool:
    if name != "augment":
        return name in recipe and _same(recipe[name], value)
    pairs = [part.partition("=") for part in value.split(",")]
    strengths = recipe.get("augmentation", {})
    return all(key in strengths and _same(strengths[key], number) for key, _, number in pairs)


def _same(kept: object, value: str) -> bool:
    try:
        return float(str(kept)) == float(value)
    except ValueError:
        return str(kept) == value


def runs_that_tried(run: RunData, found: Iterable[Proposal], others: Iterable[Path]) -> dict[str, list[str]]:
    """Option of a proposal -> names of the folders among `others` that are runs of the same images by a
    network that was trained with it, where the run's own was not. Folders that cannot be read are left
    out."""
    options = {p.option for p in found if p.option}
    mine = description_of(run.manifest).get("training", {})
    made: dict[str, list[str]] = {}
    for folder in others if options else ():
        try:
            manifest = read_manifest(folder)
        except UserError:
            continue
        recipe = description_of(manifest).get("training", {})
        same = manifest.request.data_fingerprint == run.manifest.request.data_fingerprint
        for option in options:
            if same and tried(option, recipe) and not tried(option, mine):
                made.setdefault(option, []).append(folder.name)
    return made
