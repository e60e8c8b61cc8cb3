"""Ask once whether the images may be read that a run from another machine names."""

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from explain.run.reader import RunData


def ask_for_data(run: "RunData", allowed: bool = False) -> None:
    """Nothing is asked about runs that were made on this machine, or whose images are in the run folder.

    Without an answer the images are not read."""
    from explain.run.trusted_data import allow

    if run.may_read_data:
        return
    root = run.manifest.data_root
    asked = f"This run was made on another machine, and names images in '{root}'."
    if allowed or (sys.stdin.isatty() and typer.confirm(f"{asked} May they be read and shown?", err=True)):
        allow(root, run.table["id"])
    else:
        typer.echo(
            f"{asked} They are not read, and thumbnails are shown; --allow-data reads them from now on.",
            err=True,
        )
