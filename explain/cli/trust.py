"""The command trust: how far the maps of a run can be trusted. Typer calls it; heavy packages are imported
inside, so that `--help` answers at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.data_question import ask_for_data
from explain.cli.options import (
    AllowData,
    Device,
    Options,
    Run,
    RunWeights,
    Seed,
    from_commas,
    option_groups,
)
from explain.cli.output import progress_bar, say
from explain.cli.threshold import Label
from models.interrupts import listen, raise_if_interrupted

if TYPE_CHECKING:
    from explain.quality.measure import Measurement
    from explain.run.reader import RunData
    from models.classifier import Classifier


@dataclass(frozen=True)
class TrustOptions(Options):
    """What is measured, and how finely."""

    methods: Annotated[
        str, typer.Option(help="Methods, separated by commas (default: those of the run).")
    ] = ""
    images: Annotated[
        int, typer.Option(min=10, help="Maximum images: correct and wrong ones of every class in turn.")
    ] = 200
    layers: Annotated[
        str,
        typer.Option(
            help="Layers, separated by commas, or all: the output of every block (default: the run's layer)."
        ),
    ] = ""
    figures: Annotated[str, typer.Option(help="Figures, separated by commas: insertion_deletion, road.")] = (
        "insertion_deletion,road"
    )
    cells: Annotated[
        int, typer.Option(min=2, help="Cells on a side of the grid whose cells are removed.")
    ] = 14
    steps: Annotated[int, typer.Option(min=2, help="Steps of insertion and deletion.")] = 10
    baseline: Annotated[
        str, typer.Option(help="What stands in removed cells: blur (the blurred image) or mean (one color).")
    ] = "blur"
    precision: Annotated[str, typer.Option(help="Precision: fp32 or bf16.")] = "fp32"
    seed: Seed = 0

    def require_known(self) -> None:
        """Raises UserError for unknown figures, baselines and precisions: before the network is loaded."""
        from explain.quality.plan import require_known

        require_known(from_commas(self.figures), self.baseline, self.precision)

    def works(self, classifier: "Classifier", run: "RunData") -> "list[Measurement]":
        """One for each layer. Raises UserError for unknown methods and layers, and for a run without
        answers."""
        from explain.quality.curves import CurveSettings
        from explain.quality.plan import measurements

        return measurements(
            classifier,
            run,
            methods=from_commas(self.methods),
            layers=from_commas(self.layers),
            images=self.images,
            figures=from_commas(self.figures),
            curves=CurveSettings(self.cells, self.steps, self.baseline, seed=self.seed),
            precision=self.precision,
        )


@option_groups
def trust(
    run: Run,
    options: TrustOptions,
    weights: RunWeights = None,
    device: Device = "cpu",
    label: Label = "",
    allow_data: AllowData = False,
) -> None:
    """Measure how far the maps of a run can be trusted: each method against controls, such as a spot in the
    center of the image. The last lines say which method to read.

    Results are kept in the run folder, for reports, exports and the dashboard. The same command resumes."""
    from explain.quality.format_text import wrapped
    from explain.quality.remarks import caution
    from explain.run.model import network_of
    from explain.run.reader import open_run
    from models.memory import reuse_memory

    options.require_known()
    opened = open_run(run, label)
    ask_for_data(opened, allow_data)
    reuse_memory()
    classifier = network_of(opened.manifest, weights, device)
    works = options.works(classifier, opened)
    for text in filter(None, [caution(opened), _plan(works)]):
        say("\n".join([*wrapped(text), ""]))
    listen()
    try:
        with progress_bar("trust") as on_progress:
            for fraction in _steps(works):
                raise_if_interrupted()
                on_progress(fraction)
    except KeyboardInterrupt:
        say(f"\nStopped. Results so far are in {run}; run the same command to resume.")
        raise typer.Exit(130) from None
    say(_result(works, opened))


def _plan(works: "Sequence[Measurement]") -> str:
    """What is about to be done; nothing where everything is known."""
    from explain.formatting import counted

    images, pending = len(works[0].rows), sum(len(work.pending) for work in works)
    if not pending:
        return ""
    parts = [counted(images, "image"), counted(len(works[0].methods), "method")]
    if len(works) > 1:
        parts.append(f"{len(works)} layers ({', '.join(work.store.settings.layer for work in works)})")
    known = len(works) * images - pending
    before = f" {known:,} images were measured before." if known else ""
    return (
        f"Measuring {', '.join(parts)}: {sum(work.passes for work in works):,} passes of one image through "
        f"the network, besides those that make the maps.{before}"
    )


def _steps(works: "Sequence[Measurement]") -> Iterator[float]:
    """Do all of it; yields the fraction that is done."""
    total, before = max(sum(work.passes for work in works), 1), 0
    for work in works:
        for fraction in work.steps():
            yield (before + fraction * work.passes) / total
        before += work.passes


def _result(works: "Sequence[Measurement]", run: "RunData") -> str:
    """Tables, what is missing, and what to do."""
    from explain.quality.depth import Depth, advice
    from explain.quality.format_text import format_depth, format_trust, wrapped
    from explain.quality.next_run import command_at
    from explain.quality.remarks import explained, missing_control, unread
    from explain.quality.verdict import Trust

    found = [Trust.of(work.store, work.methods) for work in works]
    missing = (*unread(works), *missing_control(found[0], works[0]))
    notes = [line for text in missing for line in (*wrapped(text), "")]
    if len(found) == 1:
        return "\n".join([*notes, format_trust(found[0], explained(run))])
    depth = Depth.of(found, run.manifest.request.layer)
    lines = [*notes, format_depth(depth), "", *wrapped(advice(depth))]
    if depth.advised is not None:
        lines.append(command_at(run.manifest, depth.advised.layer))
    return "\n".join(lines)
