"""Lists of images by name: what a name in a link, a command or a click on a finding stands for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from explain.analysis.duplicates import rows_of
from explain.analysis.findings import Findings
from explain.analysis.multi_label.proposals import label_set_findings
from explain.analysis.on_maps import ATTENTION, said_of
from explain.analysis.proposals.model_checks import AT_BORDER
from explain.analysis.proposals.proposal import Proposal, Side
from explain.analysis.ranking import select
from explain.analysis.votes import has_votes, voted_errors
from explain.formatting import counted, listed
from explain.run.format import CALLED, TARGETS, map_column
from explain.run.people.notes import Note
from explain.run.reader import RunData

LISTS = {
    "errors": "all errors",
    "labels": "probable label errors",
    "duplicates": "near duplicates that disagree",
    "similar": "near duplicates",
    "border": "errors at the border",
    "notes": "with a note",
    "corrected": "with a corrected label",
}
"""Those that every run has."""
OUTCOMES = {"false-alarms": "false alarms", "misses": "misses", "hits": "hits"}
"""Those of runs of two classes: negative images that are predicted positive, positive ones that are not, and
positive ones that are."""
OF_SETS = {"label-sets": "probable label errors, all labels"}
"""Those of runs of several labels per image."""
OF_VOTES = {
    "second-choice": "errors: people's second choice",
    "disputed": "errors: people disagree",
    "undisputed": "errors: people agree",
}
"""Those of runs of data with people's votes."""
VOTES_NOTE = (
    "people disagree from votes of three against one on; where they disagree, the label may be at fault as "
    "well as the network"
)
EARLIER_NAMES = {"alike": "similar"}
"""Names of lists in links and commands of earlier versions -> names today."""
LABELS_NOTE = (
    "by confident learning on the run's probabilities, the most probable error first; where the network was "
    "trained on these images, this is optimistic: it has learned some wrong labels by heart"
)

SETS_NOTE = (
    "images of which confident learning takes an answer to any label for wrong; those whose labels fit the "
    "network's answers worst first; optimistic where the network was trained on these images"
)


@dataclass(frozen=True, eq=False)
class Group:
    """`rows` in the order in which they are shown first; `note` says what they are; `maps`: of a list by
    where maps are strong, the verdict on them; `sides`: as those of a `Proposal`."""

    title: str
    note: str
    rows: np.ndarray
    maps: str = ""
    sides: tuple[Side, ...] = ()


def lists_of(run: RunData) -> dict[str, str]:
    """The lists that a run has."""
    of_sets = OF_SETS if run.label_sets is not None else {}
    of_votes = OF_VOTES if run.label_sets is None and has_votes(run) else {}
    outcomes = OUTCOMES if len(run.classes) == 2 else {}
    return {**outcomes, **LISTS, **of_sets, **of_votes}


def group(findings: Findings, notes: dict[str, Note], key: str) -> Group | None:
    """`key`: a name of `lists_of` the run, or `slice:NAME`, `proposal:NUMBER`, `tag:NAME`,
    `where:STATISTIC:LOW:HIGH`, `cluster:CLASS:NUMBER:METHOD:TARGET`, and of several labels per image
    `instead:LABEL` and `together:LABEL`, by the number of the other label, and `all:NUMBER`, a proposal for
    all labels; None for anything else."""
    key = EARLIER_NAMES.get(key, key)
    kind, _, name = key.partition(":")
    if kind in KINDS:
        return KINDS[kind](findings, notes, name)
    if key in OUTCOMES and findings.run.binary:
        return _outcome(findings.run, key)
    if key in OF_SETS and findings.run.label_sets is not None:
        return _label_sets(findings)
    if key in OF_VOTES and key in lists_of(findings.run):
        return _of_votes(findings.run, key)
    if key not in LISTS:
        return None
    ok, title = findings.run.ok, LISTS[key]
    if key == "errors":
        return Group(title, "", ok.index[~ok["correct"]].to_numpy())
    if key == "labels" and findings.inconclusive:
        return Group(title, findings.inconclusive, np.array([], int))
    if key == "labels":
        return Group(title, _labels_note(findings), findings.suspects)
    if key in ("duplicates", "similar"):
        return Group(title, "pairs side by side", rows_of(findings.duplicates, agree=key == "similar"))
    if key == "border":
        at = ok[f"{map_column(findings.method, 'pred')}.border_mass"] > AT_BORDER
        rows, maps = ok.index[~ok["correct"] & at].to_numpy(), said_of(findings.run, findings.method)
        return Group(title, "more than half of the map in the outer eighth", rows, maps)
    noted = [image for image, note in notes.items() if note.wrong or key == "notes"]
    return Group(title, "", ok.index[ok["id"].isin(noted)].to_numpy())


def _labels_note(findings: Findings) -> str:
    if findings.several is None:
        return LABELS_NOTE
    networks = findings.several.networks
    return f"{LABELS_NOTE}; in the order of the mean with {listed([*networks])}"


def _of_votes(run: RunData, key: str) -> Group:
    found = voted_errors(run)
    if found is None:
        return Group(OF_VOTES[key], "no error on an image with votes", np.array([], int))
    if key == "second-choice":
        expected = (
            f"{len(found.second):,} of {counted(found.errors, 'error')}; {found.expected:.0f} by chance"
        )
        return Group(OF_VOTES[key], expected, found.second)
    wrong = run.ok.index[~run.ok["correct"]].to_numpy()
    rows = found.disputed if key == "disputed" else wrong[~np.isin(wrong, found.disputed)]
    return Group(OF_VOTES[key], f"{len(rows):,} of {counted(found.errors, 'error')}; {VOTES_NOTE}", rows)


def _label_sets(findings: Findings) -> Group:
    title, found = OF_SETS["label-sets"], label_set_findings(findings.run.label_sets)
    if found.inconclusive:
        return Group(title, found.inconclusive, np.array([], int))
    return Group(title, SETS_NOTE, found.suspect_rows())


def _outcome(run: RunData, key: str) -> Group:
    """From the most confident prediction on."""
    label, pred = key != "false-alarms", key != "misses"
    of, as_ = (run.positive if side else 1 - run.positive for side in (label, pred))
    note = f"true {run.classes[of]}, predicted {run.classes[as_]}, the most confident first"
    return Group(OUTCOMES[key], note, select(run, of, as_))


def _slice(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    found = next((s for s in findings.slices(findings.method) if s.name == name), None)
    if found is None:
        return None
    note = f"{found.wrong} of {len(found.rows)} wrong, {found.rest_wrong} of {found.rest} of the rest"
    maps = said_of(findings.run, findings.method) if found.kind == ATTENTION else ""
    return Group(name, note, found.rows, maps)


def _proposal(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    return _numbered(findings.proposals, name)


def _of_all_labels(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    sets = findings.run.label_sets
    return None if sets is None else _numbered(label_set_findings(sets).proposals, name)


def _numbered(made: Sequence[Proposal], name: str) -> Group | None:
    if not name.isdecimal() or int(name) >= len(made):
        return None
    found = made[int(name)]
    return Group(found.title, found.text, found.rows, sides=found.sides)


def _tag(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    ids = [i for i, note in notes.items() if name in note.tags]
    return Group(f"tagged {name}", "", findings.run.ok.index[findings.run.ok["id"].isin(ids)].to_numpy())


def _where(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    """Of the maps for the prediction, by the method whose maps are seldom empty."""
    statistic, _, limits = name.partition(":")
    low, _, high = limits.partition(":")
    if statistic not in findings.run.manifest.request.statistics:
        return None
    try:
        least, most = float(low or "-inf"), float(high or "inf")
    except ValueError:
        return None
    ok = findings.run.ok
    values = ok[f"{map_column(findings.method, 'pred')}.{statistic}"].to_numpy(float)
    order = np.argsort(-values, kind="stable")
    rows = ok.index.to_numpy()[order[(values[order] >= least) & (values[order] <= most)]]
    title = f"{statistic.replace('_', ' ')} {low or '…'} to {high or '…'}"
    return Group(title, "the largest first", rows, said_of(findings.run, findings.method))


def prepare(findings: Findings, key: str, raise_if_cancelled: Callable[[], None]) -> None:
    """Compute the clusters that `key` names, if it names any: the one list that `analyze` does not prepare.
    `raise_if_cancelled` is called between the steps."""
    kind, _, name = key.partition(":")
    if kind == "cluster" and (asked := asked_cluster(findings.run, name)) is not None:
        label, _, method, target = asked
        findings.clusters(label, method, target, raise_if_cancelled)


def asked_cluster(run: RunData, name: str) -> tuple[int, int, str, str] | None:
    """(class, number, method, target) of CLASS:NUMBER:METHOD:TARGET; None where the run has no such."""
    label, number, method, target = (*name.split(":"), "", "", "")[:4]
    known = method in run.manifest.request.methods and target in TARGETS
    if not (known and label.isdecimal() and int(label) in run.present and number.isdecimal()):
        return None
    return int(label), int(number), method, target


def _cluster(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    if (asked := asked_cluster(findings.run, name)) is None:
        return None
    label, number, method, target = asked
    run, clustering = findings.run, findings.clusters(label, method, target)
    if number >= len(clustering.clusters):
        return None
    found = clustering.clusters[number]
    note = f"{found.wrong} of {len(found.rows)} wrong; the most typical first"
    note = "; ".join(filter(None, [note, clustering.sampled]))
    return Group(f"{run.classes[label]}, cluster {number + 1}", note, found.rows, said_of(run, method))


def _two_labels(findings: Findings, name: str, missed: bool) -> Group | None:
    """Of a run of several labels per image, images of the label that is asked for and of label number `name`:
    those that miss the one and call the other in error, or those that have both."""
    sets, other = findings.run.label_sets, int(name) if name.isdecimal() and len(name) < 8 else -1
    if sets is None or not 0 <= other < len(sets.classes):
        return None
    ok, second = findings.run.ok, sets.classes[other]
    rows, first = ok.index.to_numpy(), ok["label"].to_numpy() == 1
    called, true = sets.prob[rows, other] >= CALLED, sets.truth[rows, other]
    hit = first & (ok["pred"].to_numpy() == 0) & called & ~true if missed else first & true
    order = np.argsort(-sets.prob[rows, other], kind="stable")
    asked = findings.run.classes[1]
    title = f"{asked} missed, {second} called instead" if missed else f"{asked} and {second}"
    note = f"the most probable {second} first; {second} is called from {CALLED}" if missed else ""
    return Group(title, note, rows[order[hit[order]]])


def _instead(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    return _two_labels(findings, name, missed=True)


def _together(findings: Findings, notes: dict[str, Note], name: str) -> Group | None:
    return _two_labels(findings, name, missed=False)


KINDS: dict[str, Callable[[Findings, dict[str, Note], str], Group | None]] = {
    "slice": _slice,
    "proposal": _proposal,
    "all": _of_all_labels,
    "tag": _tag,
    "where": _where,
    "cluster": _cluster,
    "instead": _instead,
    "together": _together,
}
"""Kinds of lists -> their functions: what may stand before the colon."""
