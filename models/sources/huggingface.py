"""Image classifiers of Hugging Face: `hf:FOLDER`, or `hf:ID` of the hub. They need `transformers` (an
optional package). Names of classes, and how images are prepared, stand beside the parameters."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

from models import checkpoints
from models.classes.given_names import must_name_all
from models.classes.names import unnamed
from models.classifier import Classifier
from models.errors import UserError
from models.extras import require_package
from models.inputs.options import words_for
from models.inputs.processor_config import from_processor_config
from models.inputs.transform_check import UnreadableTransform, compared
from models.outputs.scores import giving_scores
from models.outputs.task import MULTI, REGRESSION, SINGLE
from models.preprocessing import Preprocessing
from models.sources.asked import asked_preprocessing, example_of
from models.sources.base import ModelSource, Told

PREFIX = "hf:"
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
TASKS = {
    "single_label_classification": SINGLE,
    "multi_label_classification": MULTI,
    "regression": REGRESSION,
}
"""`problem_type` of a configuration -> task; it is missing where nobody trained the network as one of them:
transformers then takes one output for a regression."""


class HuggingFaceModels(ModelSource):
    """`AutoModelForImageClassification` of a folder or an id. Code of a repository is never run."""

    asks_input = True

    def recognizes(self, name: str) -> bool:
        return name.startswith(PREFIX)

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        place = name.removeprefix(PREFIX)
        if weights is not None:
            raise UserError(f"'{name}' has its own parameters: leave --weights out.")
        folder = Path(place).expanduser()
        if folder.is_dir():
            place = str(folder.resolve())
        elif folder.is_absolute() or place.startswith(".") or (folder.parent.is_dir() and "/" in place):
            raise UserError(f"No folder '{place}': give a folder, or an id of the hub as OWNER/NAME.")
        network, config = _network(place, name)
        task = TASKS.get(config.problem_type, REGRESSION if config.num_labels == 1 else "")
        preprocessing, origin = _preprocessing(place, name, told)
        model, note = giving_scores(network.eval(), example_of(preprocessing), task)
        names = _names(model, config, classes, name)
        return Classifier(
            Path(place).name,
            model,
            names,
            preprocessing,
            place,
            checkpoints.fingerprint(model),
            preprocessing_from=origin,
            source=PREFIX + place,
            options=tuple(words_for(preprocessing, always=True)) if told else (),
            notes=(note,) if note else (),
            task=task,
            metadata={"outputs": "logits"},  # whose sigmoid or softmax transformers takes
        )


def _network(place: str, name: str) -> tuple[Any, Any]:
    require_package("transformers")
    from transformers import AutoConfig, AutoModelForImageClassification
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
        if getattr(config, "problem_type", None) not in (None, *TASKS):
            raise UserError(
                f"{name} answers with {config.problem_type.replace('_', ' ')}: Vitrine explains networks "
                "that answer with classes, labels or numbers."
            )
        network, report = AutoModelForImageClassification.from_pretrained(
            place, config=config, trust_remote_code=False, output_loading_info=True
        )
    except UserError:
        raise
    except Exception as error:  # the library raises everything from OSError to its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(
            f"{name} cannot be loaded ({reason}): give a folder with {CONFIG} and parameters."
        ) from error
    if missing := list(report["missing_keys"]):
        raise UserError(
            f"{name} lacks {len(missing)} parameters ({', '.join(missing[:2])} ...): is it a classifier, and "
            "is the download complete?"
        )
    return network, config


def _preprocessing(place: str, name: str, told: Told) -> tuple[Preprocessing, str]:
    if isinstance(told, Preprocessing):
        return told, "as the run was made"
    raw = _processor(place)
    if raw is None:
        return asked_preprocessing(name, told)
    base, origin = from_processor_config(raw), f"from {PROCESSOR}"
    if not told or not told.given:
        return base, origin + _as_processed(place, base)
    return told.apply(base), f"{told.origin}; the rest {origin}"


def _as_processed(place: str, made: Preprocessing) -> str:
    """ "; compared with it": how near `made` is to what the image processor of transformers does. Raises
    UserError where they differ by more than a resize of tensors does."""
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(place, trust_remote_code=False)
        processor(Image.new("RGB", (48, 40)), return_tensors="pt")
    except Exception:  # it may need packages that are not here
        return ", not compared with its image processor, which cannot be run"

    def transform(image: Image.Image) -> Any:
        return processor(image, return_tensors="pt")["pixel_values"][0]

    try:
        return f"; {compared(made, transform, True, 'image processor')}"
    except UnreadableTransform as error:
        raise UserError(f"{place}: {error.reason}: give --input-size, --resize, --mean and --std.") from error


def _processor(place: str) -> dict[str, Any] | None:
    """The file beside the parameters; None where there is none."""
    if Path(place).is_dir():
        path = Path(place) / PROCESSOR
    else:
        from transformers.utils import cached_file

        found = cached_file(place, PROCESSOR, _raise_exceptions_for_missing_entries=False)
        path = Path(found) if found else Path(place) / PROCESSOR
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read ({type(error).__name__}): is it JSON?") from error
    return raw if isinstance(raw, dict) else None


def _names(model: Any, config: Any, classes: tuple[str, ...] | None, name: str) -> tuple[str, ...]:
    """As the configuration names them; where it has only LABEL_0, LABEL_1 ..., as a person does."""
    stored = tuple(str(config.id2label[k]) for k in sorted(config.id2label, key=int))
    placeholder = all(text == f"LABEL_{k}" for k, text in enumerate(stored))
    if classes and not placeholder and classes != stored:
        raise UserError(
            f"{name} names its outputs itself ({', '.join(stored[:4])} ...): leave --class-names out."
        )
    names = classes or (unnamed(len(stored)) if placeholder else stored)
    must_name_all(names, model, len(stored), name)
    return names
