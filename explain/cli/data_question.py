"""Ask the owner, once, whether the pictures may be read that a run of others names."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explain.run.reader import RunData

AllowData = Annotated[
    bool,
    typer.Option(
        "--allow-data", help="Read the pictures that this run names, although it was not made here."
    ),
]


def ask_for_data(run: "RunData", allowed: bool = False) -> None:
    """Nothing is asked of runs that were made on this machine, or that bring their pictures along. Without an
    answer the pictures are not read."""
    from explain.run.trusted_data import allow

    if run.may_read_data:
        return
    root = run.manifest.data_root
    asked = f"This run was not made here, and says that its pictures are in '{root}'."
    if allowed or (sys.stdin.isatty() and typer.confirm(f"{asked} May they be read and shown?", err=True)):
        allow(root, run.table["id"])
    else:
        typer.echo(
            f"{asked} They are not read, and its thumbnails are shown; --allow-data reads them, now and "
            "later.",
            err=True,
        )
