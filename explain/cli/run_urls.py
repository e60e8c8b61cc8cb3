"""Run folders on the command line: a path, or a URL, whose copy on this machine a command then gets."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from models.data.remote.location import is_url
from models.errors import UserError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:(?=/)")


@dataclass(frozen=True)
class RunUrl:
    """A URL that stands for a run folder. Nothing was asked of its server yet."""

    url: str


def run_path(given: str | Path) -> Path | RunUrl:
    """What Typer makes of the text for an option or argument that names a run folder."""
    return RunUrl(given) if isinstance(given, str) and is_url(given) else Path(given)


def with_runs(command: Callable[..., None]) -> Callable[..., None]:
    """The command with folders in place of URLs. What it derives from their runs is written there when it
    ends."""

    @wraps(command)
    def called(**given: Any) -> None:
        for name, value in given.items():
            _must_be_local(name, value)
        folders = {name: _opened(value) for name, value in given.items()}
        if folders == given:
            return command(**given)
        from explain.run.remote.mirrors import publish_all

        try:
            command(**folders)
        except UserError:  # the one line that is printed
            publish_all(lambda line: None)
            raise
        except BaseException:  # typer.Exit among them
            publish_all(warn)
            raise
        return publish_all(warn)

    return called


def _must_be_local(name: str, value: Any) -> None:
    """Raises UserError for a URL where a path of this machine is meant, of which `Path` has dropped a slash:
    the folder 's3:' would be made."""
    if isinstance(value, Path) and (scheme := _SCHEME.match(str(value))) and not Path(scheme[0]).exists():
        raise UserError(
            f"--{name.replace('_', '-')} is a URL ({scheme[0]}//…): give a path of this machine, and copy it "
            "from there."
        )


def warn(line: str) -> None:
    typer.echo(f"vitrine: {line}", err=True)


def _opened(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_opened, value))
    if not isinstance(value, RunUrl):
        return value
    from explain.run.run_folder import run_folder

    return run_folder(value.url)
