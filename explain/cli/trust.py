"""The command trust: how far the maps of a run can be trusted. Typer calls it; heavy packages are imported
inside, so that `--help` answers at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    from explain.quality.described.repeated import Repeated
    from explain.quality.measure import Measurement
    from explain.quality.verdict import Trust
    from explain.run.reader import RunData
    from models.classifier import Classifier


@dataclass(frozen=True)
class TrustOptions(Options):
    """What is measured, and how finely."""

    methods: Annotated[
        str, typer.Option(help="Methods, separated by commas (default: those of the run).")
    ] = ""
    images: Annotated[
        int,
        typer.Option(
            min=10, help="Maximum number of images. Each class gives correct and wrong ones in turn."
        ),
    ] = 200
    layers: Annotated[
        str,
        typer.Option(
            help="Layers, separated by commas; all-stages: the last layers of each resolution together, "
            "beside the run's layer; or all: the output of every block, and all-stages (default: the run's "
            "layer)."
        ),
    ] = ""
    figures: Annotated[
        str,
        typer.Option(
            help="Figures, separated by commas: insertion_deletion, road; and mprt, stability, which make "
            "maps many times, of at most 16 images. Where these alone are named, the first two are measured, "
            "too."
        ),
    ] = "insertion_deletion,road"
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Table of boxes in which maps should lie: columns image, left, top, right, bottom in "
            "pixels, and label if boxes are of classes (default: regions that the data knows, as of "
            "toon_faces)."
        ),
    ] = None
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
        """One for each layer, the run's own before the stages. Raises UserError for unknown methods and
        layers, and for a run without answers."""
        from explain.quality.curves import CurveSettings
        from explain.quality.plan import measurements, with_own
        from models.data.tables.boxes import read_boxes

        ids = [str(name) for name in run.table["id"]]
        return measurements(
            classifier,
            run,
            methods=from_commas(self.methods),
            layers=with_own(run, from_commas(self.layers)),
            images=self.images,
            figures=from_commas(self.figures),
            curves=CurveSettings(self.cells, self.steps, self.baseline, seed=self.seed),
            precision=self.precision,
            boxes=None if self.boxes is None else read_boxes(self.boxes, ids),
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
    from explain.network.stages import STAGES
    from explain.quality.format_text import wrapped
    from explain.quality.plan import repeated
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
    shown = works[-1:] if {*from_commas(options.layers)} == {STAGES} else works
    again = repeated(shown, from_commas(options.figures))
    for text in filter(None, [caution(opened), _plan(works), *map(_plan_of, again)]):
        say("\n".join([*wrapped(text), ""]))
    listen()
    try:
        with progress_bar("trust") as on_progress:
            for fraction in _steps(works, again):
                raise_if_interrupted()
                on_progress(fraction)
    except KeyboardInterrupt:
        say(f"\nStopped. Results so far are in {run}; run the same command to resume.")
        raise typer.Exit(130) from None
    say(_result(works, shown, again, opened))


def _plan(works: "Sequence[Measurement]") -> str:
    """What is about to be done; nothing where everything is known."""
    from explain.formatting import counted, layer_label

    images, pending = len(works[0].rows), sum(len(work.pending) for work in works)
    if not pending:
        return ""
    parts = [counted(images, "image"), counted(len(works[0].methods), "method")]
    if len(works) > 1:
        names = ", ".join(layer_label(work.store.settings.layer) for work in works)
        parts.append(f"{len(works)} layers ({names})")
    known = len(works) * images - pending
    before = f" {known:,} images were measured before." if known else ""
    passes = sum(work.passes for work in works)
    needs = (
        f"{passes:,} passes of one image through the network, besides those that make the maps"
        if passes
        else "their maps are made again, to describe them"
    )
    return f"Measuring {', '.join(parts)}: {needs}.{before}"


def _plan_of(work: "Repeated") -> str:
    """As `_plan`, of a figure that makes maps many times."""
    from explain.formatting import counted
    from explain.quality.settings import REPEATED_IMAGES

    if not work.pending:
        return ""
    name = {"mprt": "MPRT", "stability": "Max-sensitivity"}[work.store.settings.figure]
    return f"{name} of {counted(len(work.rows), 'image')} (at most {REPEATED_IMAGES}): {work.maps:,} maps."


def _steps(works: "Sequence[Measurement]", again: "Sequence[Repeated]") -> Iterator[float]:
    """Do all of it; yields the fraction that is done. A map counts as two passes."""
    jobs = [(work.steps(), work.passes + len(work.pending)) for work in works]
    jobs += [(work.steps(), 2 * work.maps) for work in again]
    total, before = max(sum(weight for _, weight in jobs), 1), 0
    for steps, weight in jobs:
        for fraction in steps:
            yield (before + fraction * weight) / total
        before += weight


def _result(
    works: "Sequence[Measurement]",
    shown: "Sequence[Measurement]",
    again: "Sequence[Repeated]",
    run: "RunData",
) -> str:
    """What is missing; tables where one layer is `shown`; what several layers say; and what to do."""
    from explain.quality.format_text import wrapped
    from explain.quality.remarks import missing, tables_of_work, unread

    found = tables_of_work(shown[0])
    lacking = (*unread(works), *missing(found[0], shown[0], again))
    parts = ["\n".join([*wrapped(text), ""]) for text in lacking]
    if len(shown) == 1:
        parts.append(_of_one(shown[0], again, found, run, alone=len(works) == 1))
    if len(works) > 1:
        parts.append(_over_depth(works, run))
    return "\n".join(parts)


def _of_one(
    work: "Measurement", again: "Sequence[Repeated]", found: "Sequence[Trust]", run: "RunData", alone: bool
) -> str:
    """The tables of one layer. `alone`: no other layer stands beside it."""
    from explain.quality.described.tables import tables_of
    from explain.quality.format_text import format_trust
    from explain.quality.next_run import try_stages
    from explain.quality.remarks import caution, concluded, described_by, explained
    from explain.quality.tables import size_text

    texts = [
        format_trust(
            trust,
            explained(run),
            tables_of(described_by(work, again, trust)),
            concluded(run, trust),
            size_text(trust, len(found) == 1),
        )
        for trust in found
    ]
    passes = any(trust.recommended for trust in found)
    after = [] if passes or caution(run) else try_stages(found[0], run.folder)
    return "\n".join(["\n\n".join(texts), *(after if alone else [""])])


def _over_depth(works: "Sequence[Measurement]", run: "RunData") -> str:
    """Bars of the layers, and the command of the next run where another layer is the better one. Where page
    and reports show another measurement, which says something else, what that says counts."""
    from explain.quality.format_text import format_depth, wrapped
    from explain.quality.next_run import command_at
    from explain.quality.over_depth.depth import advice
    from explain.quality.over_depth.known_depth import depth_of_command, known_depth
    from models.counts import counted

    measured = [work.store for work in works]
    depth, shown = depth_of_command(run, measured, works[0].methods), known_depth(run)
    lines = [format_depth(depth), ""] if depth.layers else []
    lines += wrapped(advice(depth))
    if shown is not None and advice(shown) != advice(depth):
        size = f"{counted(len(shown.layers), 'layer')} on {counted(shown.images, 'image')}"
        lines += ["", *wrapped(f"The page and reports show what was measured at {size}. {advice(shown)}")]
        depth = shown
    if depth.advised is not None:
        lines.append(command_at(run.manifest, depth.advised.layer))
    return "\n".join(lines)
