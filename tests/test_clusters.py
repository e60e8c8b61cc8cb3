"""Clusters of maps: planted groups are found, one crowd stays one."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.neighbors import kneighbors_graph

from explain.analysis.clusters import SAMPLE, Clustering, affinity, cluster_maps, split
from models.errors import UserError
from models.measures.evaluation import wilson_interval


def spots(centers: np.ndarray, seed: int = 0, jitter: float = 0.04, size: int = 8) -> np.ndarray:
    """(n, size, size) maps with a round spot near each center (n, 2) in [0, 1]."""
    at = (centers + np.random.default_rng(seed).normal(0, jitter, centers.shape)) * (size - 1)
    y, x = np.mgrid[0:size, 0:size]
    return np.exp(-((y - at[:, :1, None]) ** 2 + (x - at[:, 1:, None]) ** 2) / 2)


def clustered(maps: np.ndarray, correct: np.ndarray | None = None) -> Clustering:
    table = pd.DataFrame(
        {"correct": np.ones(len(maps), bool) if correct is None else correct}, index=np.arange(len(maps)) + 10
    )
    run = SimpleNamespace(maps=lambda method, target, rows: maps[np.array(rows) - 10], ok=table)
    return cluster_maps(run, table.index.to_numpy(), "layer_cam")  # type: ignore[arg-type]


def test_planted_groups_are_found_the_rare_one_first() -> None:
    group = np.repeat([0, 1, 2], [60, 50, 8])
    maps = spots(np.array([(0.2, 0.2), (0.8, 0.8), (0.1, 0.9)])[group])
    correct = np.random.default_rng(1).random(118) < np.array([0.9, 0.5, 0.1])[group]
    found = clustered(maps, correct)
    assert [len(c.rows) for c in found.clusters] == [8, 50, 60]
    for cluster, planted in zip(found.clusters, (2, 1, 0), strict=True):
        assert set(cluster.rows) == set(np.flatnonzero(group == planted) + 10)
        wrong = int((~correct[group == planted]).sum())
        assert (cluster.wrong, cluster.error_rate) == (wrong, wrong / (group == planted).sum())
        assert cluster.interval == wilson_interval(wrong, int((group == planted).sum()))
        fractions = maps[group == planted] / maps[group == planted].sum((1, 2), keepdims=True)
        np.testing.assert_allclose(cluster.mean, fractions.mean(0), rtol=1e-6)
        roots = np.sqrt(fractions.reshape(len(fractions), -1))
        far = ((roots - roots.mean(0)) ** 2).sum(1)
        assert cluster.rows[0] - 10 == np.flatnonzero(group == planted)[far.argmin()]
    assert found.apart > found.control


def test_one_crowd_stays_one() -> None:
    noise = np.random.default_rng(2).random((200, 8, 8))
    assert len(clustered(noise).clusters) == 1
    assert len(clustered(np.ones((40, 8, 8))).clusters) == 1
    assert len(clustered(np.repeat(spots(np.array([(0.5, 0.5)])), 30, 0)).clusters) == 1


def test_silhouette_is_scikit_learns() -> None:
    points = np.sqrt(spots(np.array([(0.2, 0.2), (0.8, 0.8)])[np.repeat([0, 1], 40)]).reshape(80, -1))
    labels, apart, control = split(points, 6)
    assert apart == pytest.approx(silhouette_score(points, labels))
    assert adjusted_rand_score(labels, np.repeat([0, 1], 40)) == 1
    assert control < apart


def test_affinity_is_the_symmetric_neighbor_graph() -> None:
    points = np.random.default_rng(3).random((50, 5))
    graph = kneighbors_graph(points, 4).toarray()
    np.testing.assert_allclose(affinity(points), (graph + graph.T) / 2)


def test_more_than_the_sample_go_with_their_neighbors() -> None:
    group = np.repeat([0, 1], [2 * SAMPLE, SAMPLE])
    found = clustered(spots(np.array([(0.2, 0.2), (0.8, 0.8)])[group]))
    assert sorted(len(c.rows) for c in found.clusters) == [SAMPLE, 2 * SAMPLE]


def test_fine_maps_and_empty_ones() -> None:
    maps = spots(np.array([(0.2, 0.2), (0.8, 0.8)])[np.repeat([0, 1], 20)], size=32)
    maps[:3] = -1
    found = clustered(maps)
    assert found.left_out == 3
    assert [len(c.rows) for c in found.clusters] == [17, 20]
    with pytest.raises(
        UserError, match="7 of 40 images have a map with positive evidence: clusters need at least 8"
    ):
        clustered(np.where(np.arange(40)[:, None, None] < 7, maps + 2, -1))
