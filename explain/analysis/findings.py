"""All results of the analysis of a run: the evidence, whether anything may be concluded from it, and
proposals. `analyze` computes all of it and writes the slow part into the run's folder."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from explain.analysis.chance import inconclusive
from explain.analysis.duplicates import DuplicatePair
from explain.analysis.evidence import ABOUT, CONTRASTS, FILE, Evidence
from explain.analysis.proposal import Proposal
from explain.analysis.proposals import proposals
from explain.analysis.ranking import by_recall
from explain.run.format import write_json
from explain.run.parquet import write
from explain.run.reader import RunData
from models.errors import UserError


class Findings(Evidence):
    """Of one run."""

    def __init__(self, run: RunData):
        super().__init__(run)
        self.ready = self.kept
        """Whether nothing slow is left to be computed."""

    @cached_property
    def inconclusive(self) -> str:
        """As `chance.inconclusive`."""
        return inconclusive(self.run)

    @cached_property
    def proposals(self) -> list[Proposal]:
        """As `proposals.proposals`; none where nothing may be concluded."""
        return [] if self.inconclusive else proposals(self)


def analyze(findings: Findings, clicks: bool = True) -> Iterator[float]:
    """Compute everything and write it into the run's folder, `ABOUT` last; yields the fraction that is done.
    Where the folder cannot be written, the results live as long as `findings`. `clicks`: also compute what
    the dashboard's first clicks would wait for."""
    if not findings.kept:
        for fraction, name in ((0.1, "fit"), (0.6, "checked"), (0.8, "duplicates"), (0.95, "_contrasts")):
            getattr(findings, name)
            yield fraction
        with suppress(OSError):
            _write(findings.run.folder, findings)
    findings.ready = True
    if clicks:
        _soon_asked_for(findings)
    yield 1.0


def _soon_asked_for(findings: Findings) -> None:
    """What the first clicks would wait for."""
    run, method = findings.run, findings.run.manifest.request.methods[0]
    _ = findings.proposals, run.margin, findings.means(method, "label")
    if run.present:
        with suppress(UserError):  # too few maps
            findings.clusters(by_recall(run)[0], method, "label")


def _as_written(pair: DuplicatePair) -> dict[str, object]:
    """With the keys of the format (docs/run_format.md), so that earlier versions read it, too."""
    return {"row": pair.row, "other": pair.other, "alike": pair.similarity, "agree": pair.agree}


def _write(folder: Path, findings: Findings) -> None:
    for name, table in ((FILE, findings.checked), (CONTRASTS, findings._contrasts)):
        write(pa.Table.from_pandas(table.reset_index(drop=True), preserve_index=False), folder / name)
    write_json(
        folder / ABOUT,
        findings.stamp | {"fit": asdict(findings.fit), "twins": list(map(_as_written, findings.duplicates))},
    )
