"""The commands that write what a run shows for others: export · report. Typer calls them; heavy packages are
imported inside, so that `--help` answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.data_question import ask_for_data
from explain.cli.findings import number_lines
from explain.cli.options import AllowData, BlurEyes, Options, Run, from_commas, option_groups
from explain.cli.output import progress_bar, say
from explain.cli.threshold import Decision
from explain.formatting import be, counted

if TYPE_CHECKING:
    from explain.export.gallery import Export, ExportOptions
    from explain.export.number_gallery import NumberExport


@dataclass(frozen=True)
class WhatToExport(Options):
    """Fields as those of `explain.export.gallery.ExportOptions`."""

    select: Annotated[
        str,
        typer.Option(
            help="Images to export: errors (wrong predictions); correct; class:NAME (true class); "
            "pair:TRUE>PREDICTED; tag:NAME (of notes); labels (probable label errors); duplicates (near "
            "duplicates that disagree); similar (near duplicates); border (errors at the border); "
            "notes (with a note); corrected (with a corrected label); of several labels per image label-sets "
            "(probable label errors of all labels); of two classes false-alarms, misses, hits (of the "
            "positive class); of numbers over, under, nearest (over-estimates, under-estimates, smallest "
            "errors); or a list that a link of the dashboard names (default: some of every class)."
        ),
    ] = ""
    per_class: Annotated[
        int | None,
        typer.Option(
            help="Maximum wrong and correct images per class (default: 2, or all that --select names); of "
            "numbers, images per group (default: 4)."
        ),
    ] = None
    methods: Annotated[
        str,
        typer.Option(help="Methods of the run, separated by commas (default: the first)."),
    ] = ""
    sort: Annotated[
        str,
        typer.Option(
            help="Order of the images: most confident, least confident, highest loss, lowest loss, or least "
            "margin."
        ),
    ] = "most confident"
    originals: Annotated[
        bool, typer.Option(help="Write the original images, too, where they can be read.")
    ] = True
    maps: Annotated[bool, typer.Option(help="Write the maps as numbers (.npy), too.")] = True
    blur_eyes: BlurEyes = False

    def to_export_options(self) -> "ExportOptions":
        from explain.export.gallery import ExportOptions

        methods = tuple(from_commas(self.methods))
        return ExportOptions(
            self.select, self.per_class, methods, self.sort, self.originals, self.maps, self.blur_eyes
        )


@option_groups
def export(
    run: Run,
    out: Annotated[Path, typer.Option(help="Folder to write, or a file whose name ends in .zip.")],
    what: WhatToExport,
    decision: Decision,
    allow_data: AllowData = False,
) -> None:
    """Write images of a run with their maps: originals, overlays, raw maps, a sheet of all classes, a page
    that opens without a server, and tables."""
    from explain.analysis.binary.text import format_binary
    from explain.export.gallery import INDEX, Export
    from explain.export.number_gallery import NumberExport

    options, lines = what.to_export_options(), list[str]()
    made: Export | NumberExport
    if (opened := decision.numbers(run)) is not None:
        ask_for_data(opened, allow_data)
        made = NumberExport(opened, out, options)
    else:
        findings = decision.findings(run)
        ask_for_data(findings.run, allow_data)
        made, lines = Export(findings, out, options), format_binary(findings)
    with progress_bar("export") as on_progress:
        for fraction in made.steps():
            on_progress(fraction)
    for line in filter(None, [made.run.unfinished, *lines, _without_original(made)]):
        say(line)
    say(f"{counted(made.images, 'image')}, {made.description}")
    say(f"archive    {out}" if out.suffix.lower() == ".zip" else f"page       {out / INDEX}")


def _without_original(made: "Export | NumberExport") -> str:
    """One line on originals that are left out; empty where there is none."""
    if not (count := len(made.without_original)):
        return ""
    return (
        f"{count} of {counted(made.images, 'original')} {be(count)} left out: not to be read at "
        f"'{made.run.manifest.data_root}', or another picture now than when the run was made"
    )


@option_groups
def report(
    *,
    run: Run,
    decision: Decision,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    method: Annotated[
        str | None, typer.Option(help="Method of the run whose maps are shown (default: the first).")
    ] = None,
    per_class: Annotated[
        int,
        typer.Option(help="Maximum wrong and correct images per class, of numbers per group, from 1 to 10."),
    ] = 2,
    blur_eyes: BlurEyes = False,
) -> None:
    """Write what the run found as one HTML file, which opens without a server or a network; of several labels
    per image, of which --label names none, all labels."""
    from explain.analysis.binary.text import format_binary
    from explain.export.number_report import number_report
    from explain.export.report import report as make
    from explain.export.report import write_report
    from explain.run.reader import open_run

    opened = open_run(run, decision.label)
    if (of_numbers := decision.numbers(run)) is not None:
        text = number_report(of_numbers, method, per_class, blur_eyes)
        lines = number_lines(of_numbers, decision)
    elif opened.all_labels and not decision.positive:
        text, lines = decision.label_report(run, method, per_class, blur_eyes)
    else:
        findings = decision.findings(run)
        text, lines = make(findings, method, per_class, blur_eyes), format_binary(findings)
    write_report(text, out)
    for line in filter(None, [opened.unfinished, *lines]):
        say(line)
    say(f"report     {out}, {len(text.encode()) / 1e6:.1f} MB")
