"""The network that a run was made with. torch comes with the first call."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from explain.run.format import Manifest
from models.errors import UserError
from models.shipped import shipped

if TYPE_CHECKING:
    from models.classifier import Classifier


def network_of(manifest: Manifest, weights: Path | None = None, device: str = "cpu") -> "Classifier":
    """Its weights are those of the file `weights`, or those that the run names; classes and preprocessing are
    the run's. Raises UserError where the weights cannot be had or are others."""
    request = manifest.request
    file = weights or (
        Path(manifest.weights) if manifest.weights and Path(manifest.weights).is_file() else None
    )
    name = request.model if request.model in shipped() and not weights else architecture(request.model)
    if (
        not file
        and name not in shipped()
        and not manifest.weights.startswith(("torchvision", "timm", "registered"))
    ):
        raise UserError(
            f"The weights of this run ({manifest.weights or 'not recorded'}) are not here: the run's own "
            "maps are shown; "
            "for live maps start with --weights FILE."
        )
    from models.registry import load  # torch: not before it is known that there is something to load

    classifier = load(name, file, device=device)
    if classifier.weights_hash != request.weights_hash:
        raise UserError(
            f"'{classifier.weights}' holds other weights than the run was made with: start with --weights "
            "FILE."
        )
    return as_in_run(classifier, manifest)


def as_in_run(classifier: "Classifier", manifest: Manifest) -> "Classifier":
    """The network fed and named as in the run, whatever is assumed of its weights by now."""
    from models.preprocessing import Preprocessing
    from models.preprocessing_options import words_for

    request = manifest.request
    made = replace(classifier, classes=request.classes, renamed=classifier.classes != request.classes)
    rescaled = classifier.transform_input
    if request.transform_input is not None and classifier.transform_input is not None:
        made.model.transform_input = request.transform_input  # type: ignore[assignment]
    if raw := request.preprocessing or manifest.preprocessing:
        fed = replace(Preprocessing.from_dict(raw), bits=request.bits or raw.get("bits", 0))
        changed = fed != classifier.preprocessing or made.transform_input != rescaled
        words = tuple(words_for(fed, made.transform_input)) if changed else ()
        made = replace(made, preprocessing=fed, preprocessing_from="as the run was made", options=words)
    return made


def architecture(name: str) -> str:
    """`fer_vgg:mydata` -> `fer_vgg`, `timm:NAME:mydata` -> `timm:NAME`; names without data stay."""
    parts = name.split(":")
    return ":".join(parts[: 2 if parts[0] == "timm" else 1])
