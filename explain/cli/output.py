"""What commands print: lines, and a progress bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from tqdm import tqdm

from models.files.shown_paths import shown


def say(text: str) -> None:
    typer.echo(shown(text))


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[float], None]]:
    """A bar for work that reports the fraction that is done; it is shown after a second and removed at the
    end."""
    with tqdm(
        total=100,
        desc=name,
        bar_format="{desc} {percentage:3.0f} %|{bar:40}| {remaining} left",
        delay=1,
        leave=False,
    ) as bar:

        def on_progress(fraction: float) -> None:
            bar.update(100 * fraction - bar.n)

        yield on_progress
