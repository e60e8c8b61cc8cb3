"""Probable label errors by the mean of several networks: computed by `analyze --also`, and kept in the run's
folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from explain.analysis.compare import must_be_of_one_kind, must_be_the_same_pictures, same_names
from explain.analysis.label_errors.noise import wrong_of
from explain.formatting import counted, listed
from explain.run.format import SUSPICION, SUSPICION_OF, write_json
from explain.run.parquet import Damaged, read, write
from explain.run.reader import RunData
from models.errors import UserError
from models.files.json_files import read_object


@dataclass(frozen=True, eq=False)
class Suspicion:
    """`values`: of every readable row, the probability that its label is wrong; `networks`: names of those
    whose mean it is, besides the run's own."""

    values: pd.Series
    networks: tuple[str, ...]


def kept_suspicion(run: RunData, stamp: Mapping[str, object]) -> Suspicion | None:
    """What `keep_suspicion` wrote of this run; None where nothing fits."""
    try:
        about = read_object(run.derived / SUSPICION_OF)
        networks = about["networks"]
        if any(about.get(k) != v for k, v in stamp.items()) or not isinstance(networks, list):
            return None
        values = read(run.derived / SUSPICION, ["suspicion"])["suspicion"].to_numpy()
        return Suspicion(pd.Series(values, run.ok.index), tuple(map(str, networks)))
    except (OSError, ValueError, KeyError, Damaged):
        return None


def keep_suspicion(run: RunData, others: Sequence[RunData], stamp: Mapping[str, object]) -> Suspicion:
    """Compute it of the mean of the probabilities of the run and of others, and write it into the run's
    folder. Raises UserError as `mean_probabilities`, and where it cannot be written."""
    prob, label = mean_probabilities(run, others), run.ok["label"].to_numpy()
    found = Suspicion(
        pd.Series(wrong_of(prob, label), run.ok.index), tuple(o.manifest.request.model for o in others)
    )
    try:
        write(pa.table({"id": run.ok["id"].astype(str), "suspicion": found.values}), run.derived / SUSPICION)
        write_json(run.derived / SUSPICION_OF, {**stamp, "networks": list(found.networks)})
    except OSError as error:
        raise UserError(
            f"'{run.derived}' cannot be written ({error.strerror}), and --also keeps its result there: allow "
            "it, or leave --also out."
        ) from error
    return found


def mean_probabilities(run: RunData, others: Sequence[RunData]) -> np.ndarray:
    """(n, K) float64 in the rows of `run.ok`: the mean over the runs, each with the same weight (*deep
    ensembles*, B. Lakshminarayanan et al. 2017). Raises UserError where another run has other classes, lacks
    an image, or is the run itself."""
    total = _probabilities(run)
    for other in others:
        if other.folder.resolve() == run.folder.resolve():
            raise UserError(f"'{other.folder}' is the run itself: give --also a run of another network.")
        must_be_of_one_kind(run, other)
        total += _probabilities(other)[_rows(run, other)][:, _columns(run, other)]
    return total / (1 + len(others))


def _probabilities(run: RunData) -> np.ndarray:
    """(n, K) float64 in the rows of `run.ok`."""
    found = np.zeros((len(run.ok), len(run.classes)))
    for rows, prob in run.probabilities():
        found[run.ok.index.get_indexer(pd.Index(rows))] = prob
    return found


def _rows(run: RunData, other: RunData) -> np.ndarray:
    """Place in `other.ok` of each image of `run.ok`."""
    first = other.ok["id"].reset_index(drop=True).drop_duplicates()
    place = pd.Series(first.index, first).reindex(run.ok["id"])
    if lacking := int(place.isna().sum()):
        raise UserError(
            f"'{other.folder}' lacks {lacking:,} of the {counted(len(run.ok), 'image')} of '{run.folder}': "
            "run both networks on the same images."
        )
    found = place.to_numpy(int)
    rows = other.ok.index.to_numpy()[found]
    must_be_the_same_pictures(run, other, pd.DataFrame({"row_a": run.ok.index, "row_b": rows}))
    return found


def _columns(run: RunData, other: RunData) -> list[int]:
    """Output of the other network for each class of the run."""
    of = {k: j for j, k in same_names(run.data_names, other.data_names).items()}
    if missing := [name for k, name in enumerate(run.data_names) if k not in of]:
        raise UserError(
            f"The network of '{other.folder}' lacks the classes {listed(missing[:8])} of '{run.folder}': "
            "give --also a run of a network with the same classes."
        )
    return [of[k] for k in range(len(run.classes))]
