"""Errors of a network on images on which people voted: do people make the same ones?"""

from dataclasses import dataclass

import numpy as np

from explain.run.reader import RunData
from models.data.tables.votes import ENTROPY, SECOND, SPLIT_ENTROPY


@dataclass(frozen=True, eq=False)
class VotedErrors:
    """`errors`: wrong predictions of images with votes. `second`: rows of those that predict the class with
    the second most votes. `expected`: how many of them there would be if the errors of each class had nothing
    to do with the people's votes for their images. `disputed`: rows of errors on whose image people disagree
    at least as much as three to one."""

    errors: int
    second: np.ndarray
    expected: float
    disputed: np.ndarray


def has_votes(run: RunData) -> bool:
    about = run.metadata
    return about is not None and SECOND in about and ENTROPY in about and about[ENTROPY].dtype.kind == "f"


def voted_errors(run: RunData) -> VotedErrors | None:
    """None where the data has no votes, or no error is on an image that has them.

    `expected` is the mean over all orders in which the predictions of a class's errors can be given to its
    images: each error of a class counts the fraction of its images whose second choice is predicted there.
    """
    if not has_votes(run) or run.metadata is None:
        return None
    wrong = run.ok[~run.ok["correct"]]
    about = run.metadata.loc[wrong.index]
    wrong, about = wrong[about[ENTROPY].notna()], about[about[ENTROPY].notna()]
    if not len(wrong):
        return None
    outputs = run.manifest.request.outputs or {name: i for i, name in enumerate(run.classes)}
    called, second = wrong["pred"].to_numpy(), about[SECOND].map(outputs).fillna(-1).to_numpy(int)
    expected = 0.0
    for label in wrong["label"].unique():
        of = (wrong["label"] == label).to_numpy()
        expected += float((called[of][:, None] == second[of][None, :]).mean(1).sum())
    disputed = about[ENTROPY].to_numpy(float) >= SPLIT_ENTROPY
    rows = wrong.index.to_numpy()
    return VotedErrors(len(wrong), rows[called == second], expected, rows[disputed])


def people_said(run: RunData, row: int) -> str:
    """'people also said anger' of an image on which people disagree; empty for others."""
    if not has_votes(run) or run.metadata is None:
        return ""
    about = run.metadata.loc[row]
    said = about[SECOND]
    if not isinstance(said, str) or not said or not float(about[ENTROPY]) >= SPLIT_ENTROPY:
        return ""
    return f"people also said {said}"
