"""A run from Python."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from explain.analysis.verdict import require_right_reading
from explain.methods.registry import defaults
from explain.run.engine import Progress, match
from explain.run.engine import run as compute
from explain.run.format import REQUEST
from explain.run.preflight.check import NoAnswers, preflight
from explain.run.preflight.matched import Matched, matched_to
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.corrections import corrected, read_corrections
from models.data.open import open_data
from models.data.source import ImageSource
from models.data.tables.votes import VoteColumns
from models.errors import UserError
from models.outputs.task import as_asked, require_task

OF_NETWORK = {
    "class_names": "classes of vitrine.wrap",
    "outputs": "outputs of vitrine.wrap",
    "which": "which of vitrine.load",
}
"""Options of the command line that belong to the network."""
SAID_BY_ITSELF = "all matched by equal names"
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)(?: (?=[A-Z]{2,}|'|sorted|numbers))?")


@dataclass(frozen=True)
class Reading:
    """How the data of a run is read; the parameters of `vitrine.run` of the same names."""

    split: str | None
    limit: int | None
    task: str
    image_col: str | None
    label_col: str | None
    label_columns: str | Sequence[str]
    other_columns: str | Sequence[str]
    labels: str | Path | None
    classes: str | Path | None

    def open(self, data: Any, net: Classifier) -> ImageSource:
        """Raises UserError for what is no data, as a list of files."""
        if not isinstance(data, str | Path | ImageSource):
            raise UserError(
                f"data is a {type(data).__name__}: pass a folder with one subfolder per class, a table of "
                "files and labels, the name of a data set, or an ImageSource."
            )
        source = data if isinstance(data, ImageSource) else self._opened(str(data), net)
        return corrected(source, read_corrections(Path(self.labels))) if self.labels else source

    def _opened(self, data: str, net: Classifier) -> ImageSource:
        votes = VoteColumns.parse(_with_commas(self.label_columns), _with_commas(self.other_columns))
        return open_data(
            data,
            self.split,
            self.image_col,
            self.label_col,
            self.limit,
            known=net.classes,
            labels_as=require_task(self.task),
            votes=votes,
        )


@contextmanager
def parameters_named() -> Iterator[None]:
    """Messages that name options of the command line name the parameters of `vitrine.run` instead."""
    try:
        yield
    except UserError as error:
        message = as_parameters(str(error))
        if message == str(error):
            raise
        raise UserError(message) from error


def as_parameters(message: str) -> str:
    """'give --label-col NAME' -> 'give label_col=NAME', of options that are parameters of `vitrine.run` or in
    `OF_NETWORK`; those of the network's input stay: in Python it is a `Preprocessing`."""
    from inspect import signature

    from vitrine import run

    known = signature(run).parameters

    def named(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        if name in OF_NETWORK:
            return OF_NETWORK[name] + " " * found[0].endswith(" ")
        if name not in known:
            return found[0]
        return name + "=" * found[0].endswith(" ")

    return _OPTION.sub(named, message)


def ran(
    net: Classifier,
    data: Any,
    out: Path,
    reading: Reading,
    methods: str | Sequence[str],
    restart: bool,
    batch_size: int,
    force: bool,
) -> RunData:
    """See `vitrine.run`."""
    with parameters_named():
        source = reading.open(data, net)
        matched = matched_to(as_asked(net, source, reading.task), source, _path(reading.classes))
        if restart or not (out / REQUEST).is_file():
            _require_right_reading(matched, force)
        return _computed(matched, out, methods, restart, batch_size)


def _computed(
    matched: Matched, out: Path, methods: str | Sequence[str], restart: bool, batch_size: int
) -> RunData:
    chosen = methods.split(",") if isinstance(methods, str) else list(methods)
    chosen, layer = (chosen, None) if chosen else defaults(matched.classifier.access)
    with tqdm(total=len(matched.source), unit="image") as bar:

        def show(now: Progress) -> None:
            bar.update(now.done - bar.n)

        for note in matched.notes:
            if SAID_BY_ITSELF not in note:
                bar.write(as_parameters(note))
        compute(
            matched.classifier,
            matched.source,
            out,
            chosen,
            layer,
            mapping=matched.mapping,
            order=matched.order,
            restart=restart,
            batch_size=batch_size,
            command="vitrine.run(...)",
            progress=show,
            say=bar.write,
        )
    return open_run(out)


def _require_right_reading(matched: Matched, force: bool) -> None:
    """Raises UserError where more images of a sample are right when they are read in another way."""
    of_data = matched.classifier, matched.source
    outputs = match(*of_data, matched.mapping, matched.order).outputs
    with suppress(NoAnswers):  # the run counts them all
        found = preflight(*of_data, outputs, order=matched.order, decisive=True)
        require_right_reading(found, force, print)


def _with_commas(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else ",".join(names)


def _path(classes: str | Path | None) -> Path | None:
    return Path(classes) if classes else None
