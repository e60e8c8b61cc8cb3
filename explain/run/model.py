"""The network that a run was made with. torch comes with the first call."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from explain.run.format import Manifest
from models.errors import UserError
from models.program import program, typed
from models.shipped import architecture, shipped

if TYPE_CHECKING:
    from models.classifier import Classifier
    from models.inputs.options import PreprocessingOptions


def network_of(manifest: Manifest, weights: Path | None = None, device: str = "cpu") -> "Classifier":
    """Its weights are those of the file `weights`, or those that the run names; classes and preprocessing are
    the run's. Raises UserError where the weights cannot be had or are others."""
    request = manifest.request
    if manifest.source:
        return _from_source(manifest, weights, device)
    name, file = _name_and_file(manifest, weights)
    if not network_is_here(manifest, weights):
        raise UserError(
            f"The weights of this run ({manifest.weights or 'not recorded'}) are not here: the run's own "
            "maps are shown; for live maps start with --weights FILE."
        )
    from models.preprocessing import Preprocessing
    from models.registry import load  # torch: not before it is known that there is something to load

    raw = request.preprocessing or manifest.preprocessing
    fed = Preprocessing.from_dict(raw) if raw else None
    made = load(name, file, None, device, fed, manifest.which, request.output_kind, request.task)
    return as_in_run(_same_weights(made, manifest), manifest)


def network_is_here(manifest: Manifest, weights: Path | None = None) -> bool:
    """Whether there is something to load: weights in a file, shipped or of a package, or code that this
    person has named before. Nothing is loaded."""
    from models.own_code.trusted import is_trusted, names_code

    if manifest.source:
        return is_trusted(manifest.source) or bool(weights and not names_code(manifest.source))
    name, file = _name_and_file(manifest, weights)
    packages = ("torchvision", "timm", "registered")
    return bool(file) or name in shipped() or manifest.weights.startswith(packages)


def _name_and_file(manifest: Manifest, weights: Path | None) -> tuple[str, Path | None]:
    """The name of the network, and the file of its weights; None where they are in none."""
    request = manifest.request
    named = Path(manifest.weights) if manifest.weights and Path(manifest.weights).is_file() else None
    name = request.model if request.model in shipped() and not weights else architecture(request.model)
    return name, weights or named


def _from_source(manifest: Manifest, weights: Path | None, device: str) -> "Classifier":
    """A network that its file or a person's code makes. Raises UserError for one that this person has not
    named before: code runs, and files of other formats are programs too."""
    from models.outputs.task import with_task
    from models.own_code.trusted import is_trusted, names_code
    from models.preprocessing import Preprocessing
    from models.registry import load

    source, file = manifest.source, weights
    if not is_trusted(source) and (names_code(source) or not weights):
        raise UserError(
            f"This run names {source}, which is not run because a run says so: the run's own maps are shown; "
            f"for live maps name it yourself once, as in {typed(['check', '--model', source])}."
        )
    if names_code(source):
        file = weights or (Path(manifest.weights) if manifest.weights else None)
    elif weights:
        source, file = str(weights), None
    request = manifest.request
    classes, fed = request.classes, Preprocessing.from_dict(request.preprocessing)
    made = load(source, file, None, device, fed, manifest.which, request.output_kind, request.task)
    made = with_task(_same_weights(made, manifest), request.task)
    return _same_answer(replace(made, classes=classes, renamed=made.classes != classes), manifest)


def _same_weights(classifier: "Classifier", manifest: Manifest) -> "Classifier":
    """Raises UserError where the run was made with others."""
    if classifier.weights_hash != manifest.request.weights_hash:
        raise UserError(
            f"'{classifier.weights or classifier.source}' holds other weights than the run was made with: "
            "start with --weights FILE."
        )
    require_same_reading(classifier, manifest)
    return classifier


def require_same_reading(classifier: "Classifier", manifest: Manifest) -> None:
    """Raises UserError where the person's own code that builds the network has changed since the run, or its
    outputs are read as something else."""
    if classifier.output_kind != manifest.request.output_kind:
        was, now = (kind or "as found" for kind in (manifest.request.output_kind, classifier.output_kind))
        raise UserError(
            f"The outputs of '{classifier.name}' are read otherwise ({now}) than in the run ({was}): the "
            "run's own maps are shown; for live maps make the run again."
        )
    before = manifest.request.code
    if before and classifier.code and before != classifier.code:
        raise UserError(
            f"The code of '{classifier.source or classifier.name}' has changed since the run was made: the "
            "run's own maps are shown; for live maps make the run again, or start with the code as it was."
        )


def as_in_run(classifier: "Classifier", manifest: Manifest) -> "Classifier":
    """The network fed and named as in the run, whatever is assumed of its weights by now. Raises UserError
    where it answers otherwise than then."""
    from models.inputs.options import words_for
    from models.outputs.task import with_task
    from models.preprocessing import Preprocessing

    request = manifest.request
    classifier = with_task(classifier, request.task)
    made = replace(classifier, classes=request.classes, renamed=classifier.classes != request.classes)
    rescaled = classifier.transform_input
    if request.transform_input is not None and classifier.transform_input is not None:
        made.model.transform_input = request.transform_input  # type: ignore[assignment]
    if raw := request.preprocessing or manifest.preprocessing:
        fed = replace(Preprocessing.from_dict(raw), bits=request.bits or raw.get("bits", 0))
        changed = fed != classifier.preprocessing or made.transform_input != rescaled
        words = made.options
        if changed:
            words = tuple(words_for(fed, made.transform_input, classifier.preprocessing))
        made = replace(made, preprocessing=fed, preprocessing_from="as the run was made", options=words)
    return _same_answer(made, manifest)


def _same_answer(classifier: "Classifier", manifest: Manifest) -> "Classifier":
    """The network, fed as in the run. Raises UserError where it answers otherwise than when the run was made:
    it has state that is neither weights nor code."""
    from explain.run.answer import answer, settled

    was = manifest.request.answer
    if was and settled(answer(classifier), was) != list(was):
        raise UserError(
            f"'{classifier.source or classifier.name}' answers otherwise than when the run was made, with "
            "the same weights (a number, or a file that its code reads, has changed): the run's own maps are "
            "shown; for live maps make the run again."
        )
    return classifier


def require_same_input(classifier: "Classifier", options: "PreprocessingOptions") -> None:
    """Raises UserError for options that prepare images otherwise than for the run of this network: what is
    kept in a run's folder belongs to its predictions."""
    before, rescaled = classifier.preprocessing, options.transform_input
    told = options.apply(before)
    if told == before and rescaled in (None, classifier.transform_input):
        return
    raise UserError(
        f"{', '.join(options.given)}: the run was made with {before.described}, and what is kept in its "
        f"folder belongs to it: leave the options out, or make a run with them first ({program()} run)."
    )
