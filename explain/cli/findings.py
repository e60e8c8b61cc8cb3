"""The commands about what runs tell: analyze · compare · notes. Typer calls them; heavy packages are imported
inside, so that `--help` answers at once."""

from pathlib import Path
from typing import Annotated

import typer

from explain.cli.models import say
from models.errors import UserError
from models.program import program

Run = Annotated[Path, typer.Argument(help="A run folder made by 'run'.")]


def analyze(run: Run) -> None:
    """What to try next, with the numbers behind it; the worst slices. Kept in the run's folder for the
    dashboard."""
    from explain.analysis.findings import Findings
    from explain.analysis.findings import analyze as work_out
    from explain.analysis.format_text import format_text
    from explain.cli.commands import progress_bar
    from explain.run.reader import open_run

    findings = Findings(open_run(run))
    with progress_bar("analyze") as on_progress:
        for fraction in work_out(findings):
            on_progress(fraction)
    say(format_text(findings))


def compare(
    first: Run,
    second: Annotated[Path, typer.Argument(help="Another run of the same images.")],
    method: Annotated[
        str | None, typer.Option(help="A method that both have; by itself the first one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write one row an image to this CSV.")] = None,
) -> None:
    """Two runs side by side: metrics with intervals, McNemar's test, who is right where the other is wrong,
    and whether they look alike."""
    from explain.analysis.compare import as_table, format_text
    from explain.analysis.compare import compare as set_side_by_side
    from explain.run.reader import open_run
    from models.csv_files import write_csv

    found = set_side_by_side(open_run(first), open_run(second), method)
    say("\n".join(format_text(found)))
    if out:
        write_csv(as_table(found), out)
        say(f"table      {out}")


def notes(
    run: Run,
    out: Annotated[Path | None, typer.Option(help="Write every note to this CSV.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Write the corrected labels to this CSV, for --labels of train and run."),
    ] = None,
) -> None:
    """What was said about the images of a run, as files."""
    from explain.run.notes import read, tags_of, write_labels, write_table
    from explain.run.reader import open_run

    opened = open_run(run)
    found = read(run)
    wrong = sum(note.wrong for note in found.values())
    tags = ", ".join(f"{tag} {count}" for tag, count in tags_of(found).items()) or "none"
    say(f"notes      {len(found)} images, {wrong} labels said to be wrong; tags: {tags}")
    if labels and not wrong:
        raise UserError(
            "No label was said to be wrong, so there is nothing to correct: say it in the dashboard, below "
            "an image."
        )
    if out:
        write_table(opened, out)
        say(f"table      {out}")
    if labels:
        write_labels(opened, labels)
        say(f"labels     {labels}\nnext       {program()} train ... --labels {labels}")
