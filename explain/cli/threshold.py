"""Options of commands that read a run of two classes: the threshold, and the positive class."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import Options
from models.errors import UserError

if TYPE_CHECKING:
    from explain.analysis.findings import Findings
    from explain.run.outputs.number_run import NumbersRun
    from explain.run.run_data import RunData

Threshold = Annotated[
    str,
    typer.Option(
        help="Of two classes: probability from which the positive class is predicted. A number from 0 to 1, "
        "best-f1, or sensitivity-90: the fewest false alarms with 90 % sensitivity (default: 0.5, the "
        "network's own prediction)."
    ),
]
Positive = Annotated[
    str, typer.Option(help="Of two classes: name of the positive one (default: the second output).")
]


Label = Annotated[
    str,
    typer.Option(help="Of several labels per image: name of the label to look at (default: none)."),
]


@dataclass(frozen=True)
class Decision(Options):
    """What decides between two classes; of several labels per image, which label is asked for."""

    threshold: Threshold = ""
    positive: Positive = ""
    label: Label = ""

    def findings(self, folder: Path) -> "Findings":
        """Of a run folder, at this threshold. Raises UserError for what is no run, for a threshold that does
        not fit it, and where one label must be named."""
        from explain.analysis.findings import Findings
        from explain.run.reader import open_run

        run = open_run(folder, self.label)
        if run.all_labels:
            raise UserError(
                f"'{folder}' is a run of several labels per image: name one with --label: "
                f"{', '.join(run.classes[:12])}."
            )
        return self.of(Findings(run))

    def label_report(
        self, folder: Path, method: str | None, per_class: int, blur_eyes: bool
    ) -> tuple[str, list[str]]:
        """The report of all labels of a run of several per image, at this threshold of each; and measures of
        all of them for a terminal."""
        from explain.analysis.multi_label.scores import label_scores
        from explain.analysis.multi_label.text import format_multi_label
        from explain.export.label_report import label_report
        from explain.run.format import CALLED
        from explain.run.reader import open_run

        sets = open_run(folder).label_sets
        scores = label_scores(sets)
        thresholds = scores.thresholds(self.threshold or str(CALLED))
        text = label_report(sets, thresholds, method, per_class, blur_eyes)
        return text, format_multi_label(scores, scores.at(thresholds))

    def numbers(self, folder: Path) -> "NumbersRun | None":
        """The run of a folder where its outputs are numbers, otherwise None. Raises UserError for what is no
        run, and for a threshold."""
        from explain.run.format import read_manifest
        from explain.run.outputs.number_run import NumbersRun
        from explain.run.reader import open_run

        if not read_manifest(folder).request.regression:
            return None
        run = open_run(folder, self.label)
        self.require_fitting(run)
        return run if isinstance(run, NumbersRun) else None

    def require_fitting(self, run: "RunData") -> None:
        """Raises UserError for a threshold and a positive class where the outputs of a run are numbers."""
        for option, given in (("--threshold", self.threshold), ("--positive", self.positive)):
            if given:
                run.require_probabilities(option)

    def of(self, findings: "Findings") -> "Findings":
        """The findings at this threshold. Raises UserError as `findings.with_threshold`."""
        from explain.analysis.findings import with_threshold

        return with_threshold(findings, self.threshold, self.positive)


NETWORKS_OWN = Decision()
