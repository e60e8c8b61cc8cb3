"""A run from Python."""

from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from explain.run.engine import Progress
from explain.run.engine import run as compute
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.open import open_data
from models.data.source import ImageSource


def ran(
    net: Classifier,
    data: str | Path | ImageSource,
    out: Path,
    methods: str | Sequence[str],
    split: str | None,
    limit: int | None,
    restart: bool,
    batch_size: int,
) -> RunData:
    """See `vitrine.run`."""
    source = (
        data if isinstance(data, ImageSource) else open_data(str(data), split, limit=limit, known=net.classes)
    )
    with tqdm(total=len(source), unit="image") as bar:

        def show(now: Progress) -> None:
            bar.update(now.done - bar.n)

        compute(
            net,
            source,
            out,
            methods.split(",") if isinstance(methods, str) else list(methods),
            restart=restart,
            batch_size=batch_size,
            command="vitrine.run(...)",
            progress=show,
            say=bar.write,
        )
    return open_run(out)
