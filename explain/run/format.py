"""The run folder: the contract between the engine that writes it and everything that reads it
(docs/run_format.md).

Reading needs pandas and pyarrow only, neither torch nor the model nor the images.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from explain.run.image_stats import FACTS, HASH
from explain.run.map_stats import STATISTICS, mass_in
from explain.run.parquet import read
from models.errors import UserError
from models.files.atomic import atomic
from models.files.json_files import build, read_object
from models.inputs.channels import has_alpha
from models.outputs.task import MULTI, REGRESSION, SINGLE
from models.program import typed

SCHEMA, LABEL_SETS, NUMBERS = 1, 2, 3
SCHEMAS = {SINGLE: SCHEMA, MULTI: LABEL_SETS, REGRESSION: NUMBERS}
"""The format of a run of each task: earlier versions open those of one class per image."""
TARGETS = ("pred", "label")
OTHER = "other"
"""Target of runs of two classes only: the class that is not predicted. Runs of earlier versions lack it."""
CALLED = 0.5
"""The probability from which a label is called when a run is made."""
OF_CLASS = "class"
"""Target of the maps of runs of several labels per image, or of numbers: the class, or output, of the row."""
MOST_OUTPUTS = 8
"""At most so many maps an image a run of numbers keeps: those of the outputs with the largest standardized
residual."""
REQUEST, MANIFEST, SAMPLES, METADATA = "request.json", "manifest.json", "samples", "metadata.parquet"
MAPS = "maps"
"""Of runs of several labels per image, and of numbers: the folder of the maps, one row an image and class, or
output, whose parts have the numbers of the parts of `SAMPLES`."""
SUSPICION_OF, SUSPICION = "suspicion.json", "suspicion.parquet"
"""Of several networks (`explain.analysis.label_errors.suspicion`): what it is of, and the values."""
COLUMNS = "columns.parquet"  # of all parts (`explain.run.light_columns`)
DERIVED = (
    COLUMNS,
    "analysis.json",
    "analysis.parquet",
    "contrasts.parquet",
    "means.parquet",
    "survey.json",
    "strongest.parquet",
    "depth.parquet",
    "depth.labels.parquet",
    SUSPICION_OF,
    SUSPICION,
)
"""Files that are computed from the rows; those that say whether the others are valid come first."""
BY_LABEL = "labels"
"""Folder of the derived files of each label, of a run of several labels per image."""
TRUST = "trust"
"""Folder of what was measured of the maps (`explain.quality.store`)."""
MODEL = "model.json"
"""How the network was opened (`models.sources.model_file`)."""
NOTES, REVIEW, NOTES_LOCK = "notes.jsonl", "review.jsonl", "notes.lock"
"""Files of people (`explain.run.people.notes`, `explain.run.people.review`), to which lines are added under
one lock."""
LOCK = "lock"
STAMP = "stamp"
NO_ANSWER = "the network answered "
"""How the error of an image begins that was read, and to which the network had no answer."""


T = TypeVar("T")


UNNAMED = "Sequential"
"""The class of networks that have no class of their own."""


@dataclass(frozen=True)
class Request:
    """What a run computes. Two runs with the same request are the same run, which is how a run is resumed: so
    everything that changes a prediction or a label is part of it. `outputs`: class of the data -> output
    of the network; `bits`: that integer pictures of more than 8 bits use; `code`: a hash of the person's
    own code that builds the network, empty for others; `task`: one of `models.outputs.task.TASKS`;
    `output_kind`: what the network returns (logits, probabilities or percent), where a person said it and it
    looks otherwise, and percent; else empty; `answer`: its first scores for noise (`explain.run.answer`);
    `method_code`: a hash of the code of each method from outside. Runs of earlier versions have neither these
    seven nor `preprocessing`."""

    model: str
    weights_hash: str
    data: str
    data_fingerprint: str
    classes: tuple[str, ...]
    methods: tuple[str, ...]
    layer: str
    map_shape: tuple[int, int]
    precision: str
    schema: int = SCHEMA
    regions: tuple[str, ...] = ()
    outputs: dict[str, int] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    transform_input: bool | None = None
    bits: int = 0
    code: str = ""
    task: str = SINGLE
    output_kind: str = ""
    answer: tuple[float, ...] = ()
    method_code: dict[str, str] = field(default_factory=dict)

    @property
    def multi_label(self) -> bool:
        """Whether images have any number of labels, and each class an answer of its own."""
        return self.task == MULTI

    @property
    def regression(self) -> bool:
        """Whether the outputs are numbers; `classes` are their names."""
        return self.task == REGRESSION

    @property
    def maps_apart(self) -> bool:
        """Whether maps are rows of their own (`MAPS`)."""
        return self.multi_label or self.regression

    @property
    def truth_column(self) -> str:
        """Of a part: what is true of an image."""
        return "true" if self.regression else "labels" if self.multi_label else "label"

    @property
    def white(self) -> float:
        """The largest value of images of floats, as `models.preprocessing.Preprocessing.white`."""
        scale = self.preprocessing.get("scale", 255)
        return 255 / scale if isinstance(scale, int | float) and scale > 0 else 1.0

    @property
    def alpha(self) -> bool:
        """Whether the network takes the alpha of images, as `models.preprocessing.Preprocessing.alpha`."""
        return has_alpha(len(self.preprocessing.get("mean", ())))

    @property
    def where(self) -> str:
        """Of what the maps are: 'layer features.8', 'layers features.4, features.8', or 'the image' where
        layers cannot be reached."""
        names = self.layer.split(",")
        return f"layer{'s' * (len(names) > 1)} {', '.join(names)}" if self.layer else "the image"

    @property
    def targets(self) -> tuple[str, ...]:
        """Of which classes per image has maps."""
        return (*TARGETS, OTHER) if len(self.classes) == 2 else TARGETS

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the numbers of every map."""
        return (*STATISTICS, *map(mass_in, self.regions))


@dataclass(frozen=True)
class Manifest:
    """The request and its outcome. `status` is 'complete', or 'partial' for a run that has not ended.
    `source`: what `models.registry.load` takes for the network, where that is not its name; `access`: how
    much of it can be reached (`models.layers.access`); `which`: the set of parameters that was read, of a
    file with several."""

    request: Request
    status: str
    counts: dict[str, int]
    images_per_second: float | None = None
    titles: dict[str, str] = field(default_factory=dict)
    weights: str = ""
    which: str = ""
    source: str = ""
    access: str = "modules"
    data_root: str = ""
    data_classes: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    finished: str = ""

    @property
    def network(self) -> str:
        """The name of the network for display: that of the request, or of the factory, 'net.py:build', where
        the class of what a person's code builds says nothing."""
        place, _, factory = self.source.rpartition(":")
        if self.request.model != UNNAMED or not place or not factory.isidentifier():
            return self.request.model
        return f"{Path(place).name}:{factory}"


def map_column(method: str, target: str) -> str:
    return f"map.{method}.{target}"


def area_column(region: str) -> str:
    return f"area.{region}"


_ONE_CLASS = [("label", pa.int16()), ("pred", pa.int16()), ("confidence", pa.float32())]
_SEVERAL = [("labels", pa.list_(pa.int16())), ("logit", pa.list_(pa.float32()))]
_NUMBERS = [("true", pa.list_(pa.float64())), ("predicted", pa.list_(pa.float32()))]
_ANSWERS = {SINGLE: _ONE_CLASS, MULTI: _SEVERAL, REGRESSION: _NUMBERS}


def part_schema(request: Request) -> pa.Schema:
    """The columns of a part."""
    fields = [
        ("id", pa.string()),
        *_ANSWERS[request.task],
        ("loss", pa.float32()),
        *([] if request.regression else [("prob", pa.list_(pa.float32()))]),
    ]
    if not request.maps_apart:
        fields += _map_fields(request, request.targets)
    fields += [(area_column(region), pa.float32()) for region in request.regions]
    fields += [(name, pa.int32() if name in ("width", "height") else pa.float32()) for name in FACTS]
    return pa.schema(
        [
            *fields,
            (HASH, pa.uint64()),
            ("thumbnail", pa.binary()),
            (STAMP, pa.string()),
            ("error", pa.string()),
        ]
    )


def map_schema(request: Request) -> pa.Schema:
    """The columns of a part of the maps of a run that keeps them apart: one row an image and class, or
    output."""
    return pa.schema([("id", pa.string()), ("class", pa.int16()), *_map_fields(request, (OF_CLASS,))])


def _map_fields(request: Request, targets: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    (h, w), fields = request.map_shape, list[tuple[str, pa.DataType]]()
    for method in request.methods:
        for target in targets:
            name = map_column(method, target)
            fields += [(name, pa.list_(pa.float16(), h * w)), (f"{name}.scale", pa.float32())]
            fields += [(f"{name}.{statistic}", pa.float32()) for statistic in request.statistics]
    return fields


def pack_maps(maps: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Raw float32 maps (n, h, w) -> float16 lists and the scale of each map, so that no magnitude over- or
    underflows."""
    peak = np.nan_to_num(np.abs(maps)).max((1, 2))
    scale = np.where(np.isfinite(peak) & (peak > 0), peak, 1).astype(np.float32)
    flat = (maps / scale[:, None, None]).astype(np.float16).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), maps.shape[1] * maps.shape[2]), scale


def write_json(path: Path, value: Any) -> None:
    """Atomically: a reader sees the old file or the new one."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def maps_of(part: Path) -> Path:
    """Where the maps of a part's images lie, of a run that keeps them apart."""
    return part.parent.parent / MAPS / part.name


def part_files(folder: Path) -> list[Path]:
    return sorted((folder / SAMPLES).glob("part-*.parquet"), key=lambda path: path.name)


def done_ids(folder: Path) -> set[str]:
    """Ids of all rows that are on disk."""
    return {i for path in part_files(folder) for i in read(path, ["id"])["id"].to_pylist()}


def begin(folder: Path, request: Request, differ: Sequence[str] = (), restart: bool = False) -> None:
    """Claim the folder, which `one_writer` holds, for this request. `differ`: messages, what the folder's own
    request differs in. Raises UserError where it holds another run, unless it is to `restart`."""
    if (folder / REQUEST).is_file():
        if differ and not restart:
            raise UserError(
                f"'{folder}' holds another run ({'; '.join(differ[:4])}): start again with --restart, or "
                "choose another --out."
            )
        if not restart:
            return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / REQUEST, asdict(request))
    except OSError as error:
        raise UserError(f"'{folder}' cannot be written ({error.strerror}): choose another --out.") from error


def read_request(folder: Path) -> Request:
    """Raises UserError for a file that is not a request, or of another format."""
    raw = _json(folder / REQUEST)
    if raw.get("schema") not in SCHEMAS.values():
        known = " and ".join(map(str, SCHEMAS.values()))
        raise UserError(
            f"This run has format {str(raw.get('schema'))[:20]}, this Vitrine reads {known}: run it again."
        )
    request = _built(Request, raw, folder / REQUEST)
    if SCHEMAS.get(request.task) != request.schema:
        raise UserError(f"'{folder / REQUEST}' names task '{request.task[:20]}': run it again.")
    if not request.methods or not request.classes or min(request.map_shape) < 1:
        raise UserError(f"'{folder / REQUEST}' names no methods, classes, or size of maps: run it again.")
    return request


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read ({_reason(error)}): is this a run folder?") from error


def _built(kind: type[T], raw: Mapping[str, Any], path: Path, **given: Any) -> T:
    try:
        return build(kind, raw, **given)
    except ValueError as error:
        raise UserError(f"'{path}' is not as Vitrine writes it ({_reason(error)}): run it again.") from error


def _reason(error: Exception) -> str:
    return (
        (str(error).splitlines() or [""])[0][:100] if isinstance(error, ValueError) else type(error).__name__
    )


def read_manifest(folder: Path) -> Manifest:
    """The manifest; for a run that has not ended, one made from its request, with status 'partial'."""
    if not (folder / REQUEST).is_file():
        command = typed(["run", "...", "--out", str(folder)])
        raise UserError(f"'{folder}' is no run folder: make one with {command}.")
    request = read_request(folder)
    if not (folder / MANIFEST).is_file():
        return Manifest(request, "partial", {}, access="modules" if request.layer else "scores")
    return _built(Manifest, _json(folder / MANIFEST), folder / MANIFEST, request=request)


def finish(folder: Path, manifest: Manifest) -> None:
    """Write the manifest: the run is whole from here on."""
    write_json(folder / MANIFEST, {k: v for k, v in asdict(manifest).items() if k != "request"})


def rows_to_table(columns: dict[str, Any], request: Request) -> pa.Table:
    """A table of the run's schema from arrays of equal length; absent columns are null."""
    return table_of(columns, part_schema(request))


def table_of(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """As `rows_to_table`, of any schema with a column `id`."""
    n = len(columns["id"])
    arrays = [
        pa.array(columns[f.name], f.type)
        if f.name in columns and not isinstance(columns[f.name], pa.Array)
        else columns.get(f.name, pa.nulls(n, f.type))
        for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def unpack_maps(column: pa.ChunkedArray, scale: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The inverse of `pack_maps`: raw float32 (n, h, w); NaN where the row has no map."""
    array = column.combine_chunks()
    h, w = shape
    maps = np.full((len(array), h, w), np.nan, np.float32)
    valid = np.asarray(array.is_valid())
    maps[valid] = array.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, h, w)
    return maps * scale[:, None, None]
