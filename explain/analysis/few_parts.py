"""A sample of images that lie together: reading a few images out of each of a thousand files takes as long as
reading the files."""

import numpy as np

from explain.run.reader import RunData


def of_few_parts(run: RunData, rows: np.ndarray, most: int) -> np.ndarray:
    """All of the rows, in their order, where they are at most `most`; otherwise those of some of their parts,
    spread evenly over the run, which hold about as many, and never none."""
    if len(rows) <= most:
        return rows
    part = run.table["part"].to_numpy()[run.table.index.get_indexer(rows)]
    parts = np.unique(part)
    wanted = max(1, round(len(parts) * most / len(rows)))
    return np.asarray(rows[np.isin(part, parts[np.linspace(0, len(parts) - 1, wanted).astype(int)])])
