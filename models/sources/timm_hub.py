"""timm's classifiers with weights of others: `timm:hf-hub:ID` of the Hugging Face hub,
`timm:local-dir:FOLDER` as `timm.models.save_for_hf` writes it."""

from pathlib import Path
from typing import Any

from models import checkpoints
from models.classes.given_names import must_name_all
from models.classes.names import unnamed
from models.classifier import Classifier
from models.errors import UserError
from models.outputs.scores import as_told
from models.sources.asked import example_of
from models.sources.base import ModelSource, Told
from models.sources.timm_models import PREFIX, preprocessing_of

HUB, LOCAL = f"{PREFIX}hf-hub:", f"{PREFIX}local-dir:"


class TimmHubModels(ModelSource):
    """The architecture, the preprocessing and the names of the classes stand in `config.json`."""

    def recognizes(self, name: str) -> bool:
        return name.startswith((HUB, LOCAL))

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        if weights is not None:
            raise UserError(f"'{name}' has its own parameters: leave --weights out.")
        place = name.removeprefix(PREFIX)
        if name.startswith(LOCAL):
            place = f"local-dir:{Path(name.removeprefix(LOCAL)).expanduser().resolve()}"
        model, config = _created(place, name)
        preprocessing = preprocessing_of(config)
        names = _names(model, int(model.num_classes), classes, name)
        architecture = model.pretrained_cfg["architecture"]
        model, note = as_told(model, example_of(preprocessing))
        return Classifier(
            f"{PREFIX}{architecture}",
            model,
            names,
            preprocessing,
            place,
            checkpoints.fingerprint(model),
            preprocessing_from="from config.json",
            source=PREFIX + place,
            notes=(note,) if note else (),
        )


def _created(place: str, name: str) -> tuple[Any, dict[str, Any]]:
    import timm
    from timm.data import resolve_data_config

    try:
        model = timm.create_model(place, pretrained=True)
        return model, resolve_data_config({}, model=model)
    except Exception as error:  # the hub raises everything from OSError to its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(
            f"{name} cannot be loaded ({reason}): give a folder or an id with config.json and parameters."
        ) from error


def _names(model: Any, outputs: int, classes: tuple[str, ...] | None, name: str) -> tuple[str, ...]:
    stored = tuple(map(str, model.pretrained_cfg.get("label_names") or ()))
    known = stored or classes or unnamed(outputs)
    must_name_all(known, model, outputs, name)
    return known
