"""timm's classifiers, as `timm:NAME`."""

import difflib
from collections.abc import Collection, Iterator
from dataclasses import replace
from math import floor
from typing import Any

from torch import nn

from models.errors import UserError
from models.foreign.parameter_sets import State
from models.preprocessing import LETTERBOX, Preprocessing
from models.sources.architecture import ArchitectureSource
from models.sources.base import ModelSpec, Pretrained
from models.sources.nearest import nearest
from models.sources.unfilled import unfilled

PREFIX = "timm:"
ALIASES = {"mobilenet_v1": "timm:mobilenetv1_100"}


class TimmModels(ArchitectureSource):
    """`timm:NAME`, where NAME may carry a tag of its weights, and `ALIASES`."""

    def recognizes(self, name: str) -> bool:
        return name in ALIASES or name.startswith(PREFIX)

    def listed(self) -> Iterator[tuple[str, str]]:
        for name, full in ALIASES.items():
            yield name, f"{full}, ImageNet; weights are downloaded, or --weights FILE"

    def spec(self, name: str) -> ModelSpec:
        import timm
        from timm.data import resolve_data_config

        short = ALIASES.get(name, name).removeprefix(PREFIX)
        _require_known(short)
        config = getattr(timm.get_pretrained_cfg(short, allow_unregistered=True), "__dict__", {})
        preprocessing = preprocessing_of(resolve_data_config({}, pretrained_cfg=config))

        def build(outputs: int | None, keys: Collection[str] | None = None) -> nn.Module:
            with unfilled(keys):
                return timm.create_model(short, num_classes=outputs or 1000)

        def pretrained() -> Pretrained:
            return timm.create_model(short, pretrained=True), preprocessing, f"timm {short}"

        return ModelSpec(
            f"{PREFIX}{short}",
            build,
            preprocessing,
            pretrained,
            "timm's",
            nearest=lambda s: _nearest(short, s),
        )


def _nearest(name: str, state: State) -> str:
    """Families share a module of timm."""
    import timm

    base = name.split(".")[0]
    module = timm.model_entrypoint(base).__module__.rpartition(".")[2]
    family = [f"{PREFIX}{other}" for other in timm.list_models(module=module)]

    def build(other: str) -> nn.Module:
        return timm.create_model(other.removeprefix(PREFIX))

    return nearest(f"{PREFIX}{base}", family, build, state)


def _require_known(name: str) -> None:
    import timm

    base, known = name.split(".")[0], timm.list_models()
    if base not in known:
        near = difflib.get_close_matches(base, known, 3)
        hint = f": did you mean {' or '.join(near)}?" if near else "."
        raise UserError(f"No timm model '{name}'{hint}")


def preprocessing_of(config: dict[str, Any]) -> Preprocessing:
    """As `timm.data.transforms_factory.transforms_imagenet_eval` does it. Raises UserError for what cannot be
    expressed so."""
    size, mean = tuple(config["input_size"][1:]), tuple(config["mean"])
    scaled, mode = tuple(floor(side / config["crop_pct"]) for side in size), config.get("crop_mode")
    fed = Preprocessing(size, None, mean, tuple(config["std"]), config["interpolation"])
    if mode == "squash":
        return fed if scaled == size else replace(fed, resize=scaled)
    if mode == "border" and scaled == size:
        fill = tuple(round(255 * value) for value in mean)
        return replace(fed, resize=LETTERBOX, fill=fill[:1] if len(set(fill)) == 1 else fill)
    if mode == "border" or len(set(scaled)) > 1:
        raise UserError(
            f"timm's crop_mode {mode} with crop_pct {config['crop_pct']:g} at {size[0]} × {size[1]} cannot "
            "be expressed as Vitrine's preprocessing."
        )
    return replace(fed, resize=scaled[0])
