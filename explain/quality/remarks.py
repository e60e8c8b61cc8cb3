"""What to know beside the figures of trust: what the maps explain, whether the network is at chance, and what
is missing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from explain.analysis.chance import FEW_IMAGES, in_few_words, inconclusive
from explain.quality.controls import RANDOM_NETWORK
from explain.quality.described.description import Description
from explain.quality.described.repeated import Repeated
from explain.quality.measure import Measurement
from explain.quality.over_depth.depth import not_recommended
from explain.quality.tables import of_methods, tables
from explain.quality.verdict import Trust, recommendation
from explain.run.outputs.label_sets import LabelRun
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.counts import counted


def explained(run: RunData, target: str | None = None) -> str:
    """What the maps are of, and which score the figures follow. `target`: what was measured (as
    `TrustSettings`), by default what the run asks for."""
    if isinstance(run, NumbersRun):
        return f"maps of the output {run.outputs[run.index]} (score: the number)"
    one = isinstance(run, LabelRun)
    if one and target != "":
        return f"maps of the label {run.classes[1]} (score: its probability)"
    which = "most probable label" if one or run.all_labels else "predicted class"
    return f"maps of the {which} (score: its probability)"


def caution(run: RunData) -> str:
    """That the network is at chance, or the images do not tell, and why; empty where it is above chance."""
    reason = inconclusive(run)
    if in_few_words(run) == FEW_IMAGES:
        return reason
    about = "such a network explain nothing about the numbers"
    if not run.numbers:
        about = "a network at chance explain nothing about the classes"
    return reason and f"{reason} Maps of {about}."


def concluded(run: RunData, trust: Trust) -> str:
    """Which method to read; of a network at chance none."""
    reason = in_few_words(run)
    return not_recommended("method", reason) if reason else recommendation(trust)


def unread(works: Sequence[Measurement]) -> list[str]:
    """How many images could not be read, or are others now."""
    count, of = max(work.unread for work in works), len(works[0].rows)
    left_out = "could not be read, or are not the pictures of the run any more"
    return [f"{count:,} of {of:,} images {left_out}: left out."] if count else []


def tables_of_work(work: Measurement) -> list[Trust]:
    """The tables of the methods of `work`, as the page and reports have them: with the methods of the run
    that were measured before; an empty one where nothing was measured."""
    found = of_methods(tables(work.store, work.run.manifest.request.methods), work.methods)
    return found or [Trust.of(work.store, work.methods)]


def missing(trust: Trust, work: Measurement, again: Sequence[Repeated] = ()) -> list[str]:
    """What could not be measured: the control of random weights, figures of maps that are made many times,
    and boxes of other images."""
    found = missing_control(trust, work)
    for one in again:
        if one.missing:
            found.append(f"Not measured: {one.store.settings.figure} ({one.missing.rstrip('.')}).")
    boxes = work.beside.regions.boxes if work.beside else None
    if boxes is not None and boxes.unmatched:
        found.append(f"{counted(boxes.unmatched, 'box', 'boxes')} of images that the run has not: left out.")
    return found


def described_by(work: Measurement, again: Sequence[Repeated], trust: Trust) -> Description:
    """What `work` and `again` measured that describes the maps; figures that are not asked for now come from
    what the folder holds."""
    kept = Description.kept(work.run, trust, work.store.settings.target)
    stores = [one.store for one in again] + ([work.beside.store] if work.beside else [])
    now = Description.of(trust, stores)
    return replace(kept, **{s.settings.figure: getattr(now, s.settings.figure) for s in stores})


def missing_control(trust: Trust, work: Measurement) -> list[str]:
    """That there is no network with random weights to compare with, and why."""
    random = trust.rows[trust.rows["variant"] == RANDOM_NETWORK]
    if len(random) and any(np.isfinite(random[kind]).any() for kind in work.store.settings.kinds):
        return []
    reason = "its maps are not finite" if len(random) else work.no_random or work.why_no_random()
    return [f"Control missing: the map of a network with random weights ({reason})."] if reason else []
