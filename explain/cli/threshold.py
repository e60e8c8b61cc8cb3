"""Options of commands that read a run of two classes: the threshold, and the positive class."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import Options

if TYPE_CHECKING:
    from explain.analysis.findings import Findings

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


@dataclass(frozen=True)
class Decision(Options):
    """What decides between two classes."""

    threshold: Threshold = ""
    positive: Positive = ""

    def of(self, findings: "Findings") -> "Findings":
        """The findings at this threshold. Raises UserError as `findings.with_threshold`."""
        from explain.analysis.findings import with_threshold

        return with_threshold(findings, self.threshold, self.positive)


NETWORKS_OWN = Decision()
