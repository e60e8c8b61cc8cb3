"""The command `run`: from options to a run folder. Typer calls it; heavy packages are imported inside, so
that `--help` answers at once."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from explain.cli.check import stop_where_wrong
from explain.cli.findings import analyzed, label_lines
from explain.cli.matching import ClassMapping, Reopen, open_and_match
from explain.cli.options import (
    ClassNames,
    DataOfTask,
    LabeledColumns,
    Layer,
    Network,
    Options,
    from_commas,
    option_groups,
)
from explain.cli.output import say
from explain.cli.run_urls import run_path
from models.inputs.options import NO_OPTIONS, PreprocessingOptions
from models.interrupts import listen, raise_if_interrupted
from models.program import typed

if TYPE_CHECKING:
    from explain.run.engine import Progress
    from explain.run.job import Schedule
    from explain.run.preflight.matched import Matched
    from models.classifier import Classifier
    from models.data.source import ImageSource


Out = Annotated[
    Path,
    typer.Option(
        parser=run_path,
        metavar="PATH",
        help="Run folder: a new one, or one to resume; or its URL, such as s3://bucket/runs/first.",
    ),
]


@dataclass(frozen=True)
class RunOptions(Options):
    """What a run computes, and how."""

    methods: Annotated[
        str,
        typer.Option(
            help="Methods, separated by commas; 'methods' lists them. A run takes those that need few passes "
            "(default: layer_cam; of networks without layers input_x_gradient or occlusion)."
        ),
    ] = ""
    layer: Layer = None
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass through the network.")] = 32
    precision: Annotated[
        str, typer.Option(help="Number format: fp32, or bf16 (about twice as fast on many CPUs).")
    ] = "fp32"
    force: Annotated[
        bool,
        typer.Option("--force", help="Run even if the check finds a better way to prepare the images."),
    ] = False
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete what --out holds of a run, and start again.")
    ] = False


@dataclass(frozen=True)
class EngineOptions(Options):
    """Where a run computes."""

    engine: Annotated[
        str,
        typer.Option(
            help="local (this process) or ray (workers, on one machine or many; docs/scale.md); the rows are "
            "the same, and either resumes the other's."
        ),
    ] = "local"
    address: Annotated[
        str,
        typer.Option(
            help="With --engine ray: address of the cluster, as 'ray start' prints it, or auto (default: "
            "RAY_ADDRESS, else workers on this machine)."
        ),
    ] = ""
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --engine ray: number of workers (default: one per GPU, or per core without)."
        ),
    ] = None
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --engine ray: GPUs of each worker; 0.5 puts two on one (default: 1 if --device is a "
            "GPU, else 0).",
        ),
    ] = None

    def schedule(self, reopen: Reopen) -> "Schedule":
        """Raises UserError for an engine that is not there or lacks its package."""
        from explain.run.engines import Workers, schedule

        return schedule(self.engine, Workers(self.address, self.workers, self.gpus_per_worker), reopen)


@option_groups
def run(
    *,
    network: Network,
    data: DataOfTask,
    out: Out,
    options: RunOptions,
    engine: EngineOptions,
    columns: LabeledColumns,
    classes: ClassMapping = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum images, evenly spread over the data (default: all).")
    ] = None,
    class_names: ClassNames = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Compute predictions and maps for every image of labeled data, and write a run folder.

    A run that was stopped is resumed by the same command; images that have changed are computed again. The
    exit code is 1 if no image has an answer."""
    from explain.analysis.binary.text import area_lines
    from explain.analysis.format_text import format_proposals
    from explain.analysis.ranking import format_text

    reopen = Reopen(network, data, columns, classes, class_names, preprocessing, limit)
    engine.schedule(reopen)  # what is missing is said first
    matched, source = open_and_match(network, data, columns, classes, class_names, preprocessing, limit)
    _methods_and_layer(options, matched.classifier)  # before the sample, which takes seconds
    stop_where_wrong(matched, source, out, options.restart, options.force)
    reopen = replace(reopen, classes=Path(matched.order) if matched.order else classes)
    answered = compute_run(matched, source, out, options, engine.schedule(reopen))
    if lines := label_lines(out, brief=True):
        say("\n".join(lines))
    else:
        findings = analyzed(out)
        areas = area_lines(findings.scores) if findings.run.binary else []
        say("\n".join([*format_text(findings.run, areas), *format_proposals(findings)]))
    say(f"next       {typed(['serve', '--run', str(out)])}")
    if not answered:  # the lines above say why
        raise typer.Exit(1)


def compute_run(
    matched: "Matched", source: "ImageSource", out: Path, options: RunOptions, schedule: "Schedule"
) -> int:
    """Write the run folder `out`; returns how many images have an answer.

    Raises `typer.Exit` where a person stops it."""
    from explain.run.engine import run as compute
    from models.memory import reuse_memory

    reuse_memory()
    listen()
    methods, layer = _methods_and_layer(options, matched.classifier)
    try:
        with _progress_bar() as on_progress:
            manifest = compute(
                matched.classifier,
                source,
                out,
                methods,
                layer,
                precision=options.precision,
                batch_size=options.batch_size,
                mapping=matched.mapping,
                order=matched.order,
                restart=options.restart,
                command=typed(sys.argv[1:]),
                progress=on_progress,
                say=say,
                schedule=schedule,
            )
    except KeyboardInterrupt:
        say(f"\nStopped. Results so far are in {out}; run the same command to resume.")
        raise typer.Exit(130) from None
    return manifest.counts["ok"]


def _methods_and_layer(options: RunOptions, classifier: "Classifier") -> tuple[tuple[str, ...], str | None]:
    """As they were asked for; of no methods, the defaults of the network. Raises UserError for an unknown
    method or precision."""
    from explain.methods.registry import defaults
    from explain.run.engine import chosen_methods

    methods, layer = from_commas(options.methods), options.layer
    if not methods:
        methods, layer = defaults(classifier.access, layer)
    return chosen_methods(classifier, methods, options.precision), layer


@contextmanager
def _progress_bar() -> Iterator[Callable[["Progress"], None]]:
    """Images per second and the time left; a run that is resumed starts from where it was. What ends the run
    is printed below the bar."""
    bars: list[tqdm] = []

    def show(now: "Progress") -> None:
        raise_if_interrupted()
        if not bars:
            bars.append(
                tqdm(total=now.total, initial=now.before, unit="image", smoothing=0.1, dynamic_ncols=True)
            )
        bars[0].update(now.done - bars[0].n)
        if now.failed:
            bars[0].set_postfix(failed=now.failed)
        if now.done == now.total:
            bars[0].close()

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()
