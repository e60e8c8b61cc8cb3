"""A run from Python."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from explain.analysis.verdict import require_right_reading
from explain.methods.registry import defaults
from explain.run.engine import Progress, match
from explain.run.engine import run as compute
from explain.run.format import REQUEST
from explain.run.preflight import NoAnswers, preflight
from explain.run.reader import RunData, open_run
from models.class_names import named_by_data, named_by_matching
from models.classifier import Classifier
from models.data.open import open_data
from models.data.source import ImageSource
from models.errors import UserError
from models.task import as_asked, require_task


def ran(
    net: Classifier,
    data: Any,
    out: Path,
    methods: str | Sequence[str],
    split: str | None,
    limit: int | None,
    restart: bool,
    batch_size: int,
    force: bool,
    task: str,
) -> RunData:
    """See `vitrine.run`."""
    source = _opened(data, net, split, limit, task)
    net = as_asked(net, source, task)
    if restart or not (out / REQUEST).is_file():
        _require_right_reading(net, source, force)
    chosen = methods.split(",") if isinstance(methods, str) else list(methods)
    chosen, layer = (chosen, None) if chosen else defaults(net.access)
    with tqdm(total=len(source), unit="image") as bar:

        def show(now: Progress) -> None:
            bar.update(now.done - bar.n)

        compute(
            net,
            source,
            out,
            chosen,
            layer,
            restart=restart,
            batch_size=batch_size,
            command="vitrine.run(...)",
            progress=show,
            say=bar.write,
        )
    return open_run(out)


def _require_right_reading(net: Classifier, source: ImageSource, force: bool) -> None:
    """Raises UserError where more images of a sample are right when they are read in another way."""
    named, _ = named_by_data(net, source.classes)
    outputs = match(named, source).outputs
    named = named_by_matching(named, dict(zip(source.classes, outputs, strict=True)))
    with suppress(NoAnswers):  # the run counts them all
        require_right_reading(preflight(named, source, outputs), force, print)


def _opened(data: Any, net: Classifier, split: str | None, limit: int | None, task: str) -> ImageSource:
    """Raises UserError for what is no data, as a list of files."""
    if not isinstance(data, str | Path | ImageSource):
        raise UserError(
            f"data is a {type(data).__name__}: pass a folder with one subfolder per class, a table of files "
            "and labels, the name of a data set, or an ImageSource."
        )
    if isinstance(data, ImageSource):
        return data
    return open_data(str(data), split, limit=limit, known=net.classes, labels_as=require_task(task))
