"""SpRAy: the different strategies of a network on one class, as clusters of its maps.

S. Lapuschkin et al., *Unmasking Clever Hans predictors and assessing what machines really learn*, Nature
Communications 10:1096, 2019.

scikit-learn is imported where it is needed: it takes a second, and most commands show no clusters.
"""

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from explain.analysis.few_parts import of_few_parts
from explain.formatting import counted, plural
from explain.run.reader import RunData
from explain.run.regions import reduced
from models.errors import UserError
from models.measures.evaluation import wilson_interval

FEWEST, SIDE, SAMPLE = 8, 16, 400
MOST = 5000
"""Images whose maps are read."""
CONTROLS = 2  # random groups
_SPLITS = threading.Lock()
"""Held while the number of threads is limited: two that overlap would set it back to a wrong one."""


@dataclass(frozen=True, eq=False)
class Cluster:
    """`rows` of the run's table, those nearest to `mean` first; `wrong` of them; `mean` (h, w) of their maps,
    each scaled to sum 1."""

    rows: np.ndarray
    wrong: int
    mean: np.ndarray

    @property
    def error_rate(self) -> float:
        return self.wrong / len(self.rows)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, of the error rate."""
        return wilson_interval(self.wrong, len(self.rows))


@dataclass(frozen=True, eq=False)
class Clustering:
    """`clusters`, the smallest first: odd ones are rare. `apart`: their silhouette, and what one group of the
    same spread reaches (`control`). `left_out`: images whose map has no positive value; `images`: those that
    were looked at, `of` so many."""

    clusters: list[Cluster]
    apart: float
    control: float
    left_out: int
    images: int = 0
    of: int = 0

    @property
    def sampled(self) -> str:
        """What of the images was looked at, where it is not all."""
        return f"a sample of {self.images:,} of {counted(self.of, 'image')}" if self.images < self.of else ""


def cluster_maps(
    run: RunData,
    rows: np.ndarray,
    method: str,
    target: str = "label",
    most: int = 6,
    seed: int = 0,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Clustering:
    """At most `most` clusters of the rows' positive maps; of more than `MOST` rows, those of some parts of
    the run (`of_few_parts`). Beyond `SAMPLE` images, an evenly spread sample is
    clustered and each other image goes with its nearest neighbor. `raise_if_cancelled` is called between the
    steps. Raises UserError for less than `FEWEST` maps."""
    of, rows = len(rows), of_few_parts(run, rows, MOST)
    maps = np.maximum(np.nan_to_num(run.maps(method, target, rows.tolist())), 0)
    total = maps.sum((1, 2))
    kept, fractions = rows[total > 0], maps[total > 0] / total[total > 0][:, None, None]
    if len(kept) < FEWEST:
        raise UserError(
            f"{len(kept)} of {counted(len(rows), 'image')} {plural(len(kept), 'has', 'have')} a map with "
            f"positive evidence: clusters need at least {FEWEST}."
        )
    small = (
        fractions
        if max(fractions.shape[1:]) <= SIDE
        else reduced(fractions, (min(SIDE, fractions.shape[1]), min(SIDE, fractions.shape[2])))
    )
    points = np.sqrt(
        small.reshape(len(small), -1)
    )  # distances of square roots are those of Hellinger: made for fractions
    sample = np.unique(np.linspace(0, len(points) - 1, min(SAMPLE, len(points))).astype(int))
    labels, apart, control = split(points[sample], most, seed, raise_if_cancelled)
    if len(sample) < len(points):
        labels = labels[_nearest(points[sample], points)]
    wrong = ~run.ok.loc[kept, "correct"].to_numpy()
    clusters = [_cluster(kept, fractions, points, wrong, labels == k) for k in np.unique(labels)]
    clusters.sort(key=lambda c: len(c.rows))
    return Clustering(clusters, apart, control, len(rows) - len(kept), len(rows), of)


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The index of the point that is nearest to each of the others."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(others, return_distance=False)
    return np.asarray(near[:, 0])


def _cluster(
    rows: np.ndarray, maps: np.ndarray, points: np.ndarray, wrong: np.ndarray, inside: np.ndarray
) -> Cluster:
    far = np.square(points[inside] - points[inside].mean(0)).sum(1)
    return Cluster(
        rows[inside][np.argsort(far, kind="stable")], int(wrong[inside].sum()), maps[inside].mean(0)
    )


def split(
    points: np.ndarray, most: int, seed: int = 0, raise_if_cancelled: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, float, float]:
    """(labels (n,), silhouette, control) of points (n, d): the number of spectral clusters, two to `most`,
    with the largest silhouette (P. Rousseeuw, 1987: 1 far apart, 0 not at all), if that exceeds what
    `CONTROLS` normal distributions of the points' mean and covariance reach, which are one group; otherwise
    one cluster."""
    import sklearn.cluster  # noqa: F401 (with it come the threads that are limited)
    from threadpoolctl import threadpool_limits

    if np.ptp(points, axis=0).max() < 1e-6:
        return np.zeros(len(points), int), 0.0, 0.0
    with _SPLITS, threadpool_limits(1):  # for so few points, threads mostly wait for each other
        return _split(points, most, seed, raise_if_cancelled)


def _split(
    points: np.ndarray, most: int, seed: int, raise_if_cancelled: Callable[[], None]
) -> tuple[np.ndarray, float, float]:
    """As `split`, of points that are not all the same."""
    raise_if_cancelled()
    rng = np.random.default_rng(seed)
    labels, found = _best(points, most, seed)
    _, spread, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)
    scale = spread[:, None] * axes / np.sqrt(len(points))
    control = -1.0
    for _ in range(CONTROLS):
        raise_if_cancelled()
        sample = rng.standard_normal((len(points), len(scale))) @ scale
        control = max(control, _best(sample, most, seed)[1])
    return (labels, found, control) if found > control else (np.zeros_like(labels), 0.0, control)


def _best(points: np.ndarray, most: int, seed: int) -> tuple[np.ndarray, float]:
    """Labels and silhouette of the best number of clusters."""
    from sklearn.cluster import KMeans
    from sklearn.manifold import spectral_embedding
    from sklearn.metrics import euclidean_distances, silhouette_score

    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Graph is not fully connected"
        )  # clusters that have nothing in common are welcome
        embedding = spectral_embedding(
            affinity(points), n_components=most, drop_first=False, random_state=seed
        )
    apart = euclidean_distances(points)
    tried = [
        KMeans(k, n_init=3, random_state=seed).fit_predict(embedding[:, :k])
        for k in range(2, most + 1)
        if k < len(points)
    ]
    scores = [
        float(silhouette_score(apart, labels, metric="precomputed")) if len(set(labels)) > 1 else -1.0
        for labels in tried
    ]
    return tried[int(np.argmax(scores))], max(scores)


def affinity(points: np.ndarray) -> np.ndarray:
    """(n, n) in [0, 1]: each point and its nearest neighbors, as many as the logarithm of n but four at
    least, made symmetric as in SpRAy."""
    from sklearn.neighbors import NearestNeighbors

    neighbors = min(len(points) - 1, max(4, round(np.log(len(points)))))
    near = NearestNeighbors(n_neighbors=neighbors).fit(points).kneighbors_graph().toarray()
    return np.asarray((near + near.T) / 2)
